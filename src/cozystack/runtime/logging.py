"""Structured logs: one line a decision, as JSON or for people; never a secret.

A line has a message that never varies and fields that do. Values of fields whose names sound like secrets are replaced,
wherever they stand in a value. The standard library's logging carries the lines, so that those of libraries look the same.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from typing import IO, Any, Literal

from cozystack.kube.clock import Clock

_SECRET = ("token", "password", "authorization", "credential", "privatekey", "clientkey", "clientsecret", "secretkey", "apikey")
_LONGEST = 4096


class Log:
    """A named log with bound fields: ``log.bind(package="acme.db").info("release applied", release="acme-db/seed")``."""

    def __init__(self, name: str, **fields: Any) -> None:
        self._logger = logging.getLogger(name)
        self._fields = fields

    def bind(self, **fields: Any) -> Log:
        """A log whose lines all carry these fields too."""
        return Log(self._logger.name, **{**self._fields, **fields})

    def debug(self, message: str, **fields: Any) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, *, error: BaseException | None = None, **fields: Any) -> None:
        """``error`` adds where it was raised; for failures that are bugs, not for what a server answers."""
        self._write(logging.ERROR, message, fields, error)

    def _write(self, level: int, message: str, fields: Mapping[str, Any], error: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", message, extra={"fields": {**self._fields, **fields}}, exc_info=error)


class LineFormatter(logging.Formatter):
    """One line a record, with the time of the clock that is passed in."""

    def __init__(self, clock: Clock, style: Literal["json", "console"]) -> None:
        super().__init__()
        self._clock = clock
        self._dialect = style

    def format(self, record: logging.LogRecord) -> str:
        moment = self._clock.now()
        fields = {name: redact(name, value) for name, value in getattr(record, "fields", {}).items()}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["error"] = _cut(f"{type(error).__name__}: {error}")
            fields["at"] = _place(error)
        if self._dialect == "json":
            head = {
                "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            }
            return json.dumps({**head, **fields}, default=str, ensure_ascii=False)
        text = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
        return f"{moment:%H:%M:%S} {record.levelname[0]} {_one_line(record.getMessage())}{'  ' + text if text else ''}"


def redact(name: str, value: Any) -> Any:
    """``value`` as it may be written in a field of that name."""
    lowered = name.lower().replace("_", "").replace("-", "")
    if isinstance(value, str | bytes) and any(word in lowered for word in _SECRET):
        return "[redacted]" if value else ""
    if isinstance(value, Mapping):
        return {str(key): redact(str(key), part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(name, part) for part in value]
    return _cut(value) if isinstance(value, str) else value


def configure(
    stream: IO[str], *, clock: Clock, style: Literal["json", "console"] = "json", level: int = logging.INFO
) -> logging.Handler:
    """Send everything that is logged in this process to ``stream``; returns the handler, for who wants to take it off again."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(clock, style))
    root = logging.getLogger()
    for other in [each for each in root.handlers if isinstance(each.formatter, LineFormatter)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _place(error: BaseException) -> str:
    """Where an exception was raised, in one line: the innermost frames, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames)


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if any(char in text for char in ' "=\n\t') or not text else text


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
