"""Package repositories as OCI artifacts: the same digest for the same files, wherever and whenever they are packed.

Annotations are those that Flux's own tools write. Nothing in them depends on the machine: the time is the epoch, the revision
is the digest of the content, and the source is a name that the caller gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from cozystack.oci.archive import digest_of, pack, pack_files, read_archive
from cozystack.oci.client import Pulled, RegistryClient
from cozystack.oci.reference import Reference

PLATFORM: Final = "core/platform"
MARK: Final = f"{PLATFORM}/.build-revision"
"""A file that is in artifacts and not in folders."""
_CREATED = "1970-01-01T00:00:00Z"


class Difference(msgspec.Struct, frozen=True, order=True):
    """One file: ``added`` to the folder, ``removed`` from it, or ``changed``; as seen from the artifact."""

    path: str
    how: str


def pack_repository(folder: Path) -> bytes:
    """A repository as the content of its artifact, the same bytes for the same files; raises ``OciError``.

    A mark that depends on every file goes into the platform's chart, so that each new artifact upgrades the platform first:
    only that moves the other packages on to it (specification, packages 2.5 and 7).
    """
    files = {path: content for path, content in read_archive(pack(folder)).items() if path != MARK}
    if not any(path.startswith(f"{PLATFORM}/") for path in files):
        return pack_files(files.items())
    return pack_files({**files, MARK: _mark(files)}.items())


async def push_repository(
    layer: bytes, reference: Reference, client: RegistryClient, *, source: str = "packages", revision: str = ""
) -> str:
    """Push what ``pack_repository`` has packed; the digest of the artifact; raises ``OciError``."""
    annotations = {
        "org.opencontainers.image.created": _CREATED,
        "org.opencontainers.image.source": source,
        "org.opencontainers.image.revision": revision or digest_of(layer),
    }
    return await client.push(reference, layer, annotations=annotations)


def files_of(pulled: Pulled) -> dict[str, bytes]:
    """The files of a repository's artifact as they were in its folder; raises ``OciError``."""
    return {path: content for path, content in read_archive(pulled.layer).items() if path != MARK}


def is_marked_rightly(pulled: Pulled) -> bool:
    """Whether the mark in an artifact is that of its files; true where there is none."""
    files = read_archive(pulled.layer)
    mark = files.pop(MARK, None)
    return mark is None or mark == _mark(files)


def differences(artifact: Mapping[str, bytes], folder: Mapping[str, bytes]) -> Iterator[Difference]:
    """What differs between the files of an artifact and those of a folder."""
    for path in sorted(artifact.keys() | folder.keys()):
        if path not in artifact:
            yield Difference(path, "added")
        elif path not in folder:
            yield Difference(path, "removed")
        elif artifact[path] != folder[path]:
            yield Difference(path, "changed")


def _mark(files: Mapping[str, bytes]) -> bytes:
    mark = hashlib.sha256()
    for path, content in sorted(files.items()):
        mark.update(f"{path} {len(content)}\n".encode() + content)
    return mark.hexdigest().encode() + b"\n"
