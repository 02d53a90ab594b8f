"""Files that the program writes: whole or not at all, and readable by their owner alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cozystack.cozypkg.errors import CommandError

_OF_THE_SYSTEM = ("/dev/", "/proc/")


def write_private(path: Path, content: bytes) -> None:
    """Write ``content``, in the place of what was there; raises ``CommandError``.

    A link leads to the file that is replaced. What is no file (a pipe, ``/dev/stdout`` wherever that leads) is written to: it
    must never be replaced, which root could do.
    """
    try:
        place, is_file = _end_of_links(path)
        if is_file:
            _replace(place, content)
        else:
            path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def _end_of_links(path: Path) -> tuple[Path, bool]:
    """Where links lead to, and whether a file is or may be there; raises ``OSError`` for links in a circle."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - links are followed one by one
    seen = set()
    while place.is_symlink() and place not in seen and not str(place).startswith(_OF_THE_SYSTEM):
        seen.add(place)
        place = Path(os.path.abspath(place.parent / place.readlink()))  # noqa: PTH100
    if str(place).startswith(_OF_THE_SYSTEM):
        return place, False
    try:
        return place, place.is_file() or not place.stat()
    except FileNotFoundError:
        return place, True


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
