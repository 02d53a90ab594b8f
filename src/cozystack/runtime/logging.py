"""Structured logs: one line a decision, as JSON or for people; never a secret."""

from __future__ import annotations

import logging
from typing import IO, Any, Literal

from cozystack.kube.clock import Clock


class Log:
    """A named log with bound fields: ``log.bind(package="acme.db").info("release applied", release="acme-db/seed")``."""

    def __init__(self, name: str, **fields: Any) -> None:
        self.name = name

    def bind(self, **fields: Any) -> Log:
        raise NotImplementedError

    def debug(self, message: str, **fields: Any) -> None:
        raise NotImplementedError

    def info(self, message: str, **fields: Any) -> None:
        raise NotImplementedError

    def warning(self, message: str, **fields: Any) -> None:
        raise NotImplementedError

    def error(self, message: str, *, error: BaseException | None = None, **fields: Any) -> None:
        raise NotImplementedError


def configure(stream: IO[str], *, clock: Clock, style: Literal["json", "console"] = "json", level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to ``stream``."""
    raise NotImplementedError
