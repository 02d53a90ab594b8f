"""Files that the program writes: whole or not at all, and readable by their owner alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cozystack.cozypkg.errors import CommandError


def write_private(path: Path, content: bytes) -> None:
    """Write ``content``, in the place of what was there; raises ``CommandError``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise CommandError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
