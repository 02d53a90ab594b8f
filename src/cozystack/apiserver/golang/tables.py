"""The Go types of built-in kinds, as far as bodies depend on them: names, numbers and types of fields, and what Go leaves out.

Read from ``tables.json.gz``, which ``generate/main.go`` makes of the types of Kubernetes.
"""

from __future__ import annotations

import functools
import gzip
import importlib.resources
from typing import Final

import msgspec

LIST: Final = ".ExtraValue"
"""How a message is called that only wraps a list of texts."""


class Field(msgspec.Struct, array_like=True, frozen=True):
    """One field of a message; ``flags`` are explained in ``generate/main.go``."""

    name: str
    """Empty when the fields of the message belong to the message around it."""
    type: str
    flags: str
    go: str
    """What Go calls the type."""


class Tables(msgspec.Struct, frozen=True):
    kinds: dict[str, str]
    """Messages by kind: ``apps/v1 Deployment``."""
    messages: dict[str, dict[int, Field]]


@functools.cache
def tables() -> Tables:
    packed = importlib.resources.files(__package__).joinpath("tables.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=Tables)
