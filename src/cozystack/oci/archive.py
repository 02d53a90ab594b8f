"""Folders as ``tar.gz``, the same bytes for the same content, and back without leaving the folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, Self

from cozystack.oci.errors import OciError, UnsafeArchive

MOST_BYTES: Final = 512 * 1024 * 1024
MOST_ENTRIES: Final = 100_000
_OVERHEAD: Final = 2048
"""Bytes of headers and padding that an entry may take on average."""
EXCLUDED: Final = frozenset(
    (".git", ".gitignore", ".gitattributes", ".gitmodules", ".sourceignore", "__pycache__", ".DS_Store")
)


def digest_of(data: bytes) -> str:
    """``sha256:...`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack(folder: Path, *, exclude: Iterable[str] = EXCLUDED) -> bytes:
    """The folder as a reproducible ``tar.gz``: sorted, without times and owners; raises ``OciError``.

    ``exclude`` are names of files and folders that are left out wherever they are. A link to a file of the folder is packed
    as that file; every other link is left out, as Flux does, so that nothing from elsewhere on the machine gets in.
    """
    if not folder.is_dir():
        raise OciError(f"{folder} is not a folder")
    excluded = frozenset(exclude)
    root = folder.resolve()
    paths = [path for path in folder.rglob("*") if not excluded.intersection(path.relative_to(folder).parts)]
    files = [path for path in paths if path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(root))]
    try:
        return pack_files((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files)
    except OSError as error:
        raise OciError(f"{folder} cannot be read: {error}") from error


def pack_files(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Files (path in the archive, content) as a reproducible ``tar.gz``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0)


def read_archive(data: bytes) -> dict[str, bytes]:
    """Every file of a ``tar`` or ``tar.gz`` by its path; raises ``UnsafeArchive``, also for what is no archive."""
    files: dict[str, bytes] = {}
    total = 0
    # tarfile's own guess would also take bzip2 and xz, which nobody pushes and which bound nothing.
    source = _Gzip(fileobj=io.BytesIO(data)) if data.startswith(b"\x1f\x8b") else io.BytesIO(data)
    try:
        with tarfile.open(fileobj=source, mode="r:", tarinfo=_Entry) as archive:
            for number, entry in enumerate(archive):
                if number >= MOST_ENTRIES:
                    raise UnsafeArchive(f"the archive has more than {MOST_ENTRIES} entries")
                if entry.size < 0:
                    raise UnsafeArchive(f"{entry.name} has a negative size")
                if entry.isdir():
                    continue
                if not entry.isfile():
                    raise UnsafeArchive(f"{entry.name} is neither a file nor a folder")
                total += entry.size
                if total > MOST_BYTES:
                    raise UnsafeArchive(f"the archive holds more than {MOST_BYTES} bytes")
                content = archive.extractfile(entry)
                files[_safe(entry.name)] = content.read() if content is not None else b""
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise UnsafeArchive(f"not a tar archive: {error}") from error
    return files


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of an archive below ``folder``; raises ``UnsafeArchive`` before anything is written."""
    files = read_archive(data)
    for name in files:
        above = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in files), "")
        if above:
            raise UnsafeArchive(f"the archive has {above} as a file and as a folder")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise UnsafeArchive(f'the entry "{name}" lies outside the archive')
    return str(path)


class _Entry(tarfile.TarInfo):
    """A header; a negative size would send tarfile back to where it was, for ever."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0:
            raise UnsafeArchive(f"{found.name} has a negative size")
        return found


class _Gzip(gzip.GzipFile):
    """Decompresses no further than an archive within the limits can be long: long names and comments count as well."""

    def read(self, size: int | None = -1) -> bytes:
        most = MOST_BYTES + _OVERHEAD * MOST_ENTRIES
        if size is None or size < 0 or self.tell() + size > most:
            raise UnsafeArchive(f"the archive unpacks to more than {most} bytes")
        return super().read(size)
