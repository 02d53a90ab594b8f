"""Folders as ``tar.gz``, the same bytes for the same content, and back without leaving the folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from cozystack.oci.errors import OciError, UnsafeArchive

MOST_BYTES: Final = 512 * 1024 * 1024
MOST_ENTRIES: Final = 100_000
EXCLUDED: Final = frozenset(
    (".git", ".gitignore", ".gitattributes", ".gitmodules", ".sourceignore", "__pycache__", ".DS_Store")
)


def digest_of(data: bytes) -> str:
    """``sha256:...`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack(folder: Path, *, exclude: Iterable[str] = EXCLUDED) -> bytes:
    """The folder as a reproducible ``tar.gz``: sorted, without times and owners; raises ``OciError``.

    ``exclude`` are names of files and folders that are left out wherever they are.
    """
    if not folder.is_dir():
        raise OciError(f"{folder} is not a folder")
    excluded = frozenset(exclude)
    files = [path for path in sorted(folder.rglob("*")) if not excluded.intersection(path.relative_to(folder).parts)]
    return pack_files((str(path.relative_to(folder).as_posix()), _content(path)) for path in files if path.is_file())


def _content(path: Path) -> bytes:
    return path.read_bytes()


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
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
            for number, entry in enumerate(archive):
                if number >= MOST_ENTRIES:
                    raise UnsafeArchive(f"the archive has more than {MOST_ENTRIES} entries")
                if entry.isdir():
                    continue
                if not entry.isfile():
                    raise UnsafeArchive(f"{entry.name} is neither a file nor a folder")
                total += entry.size
                if total > MOST_BYTES:
                    raise UnsafeArchive(f"the archive holds more than {MOST_BYTES} bytes")
                source = archive.extractfile(entry)
                files[_safe(entry.name)] = source.read() if source is not None else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UnsafeArchive(f"not a tar archive: {error}") from error
    return files


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of an archive below ``folder``; raises ``UnsafeArchive`` before anything is written."""
    for name, content in read_archive(data).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise UnsafeArchive(f'the entry "{name}" lies outside the archive')
    return str(path)
