"""Logs: one line a decision, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from cozystack.runtime import Log, VirtualClock, configure


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def written(style: Literal["json", "console"], *, level: int = logging.INFO) -> tuple[Log, io.StringIO]:
    stream = io.StringIO()
    configure(stream, clock=VirtualClock(), style=style, level=level)
    return Log("cozystack.test", package="acme.db"), stream


def test_a_line_of_json_has_the_message_and_the_fields() -> None:
    log, stream = written("json")
    log.bind(release="acme/seed").info("release applied", fields=3)
    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-01T00:00:00.000Z",
        "level": "info",
        "logger": "cozystack.test",
        "message": "release applied",
        "package": "acme.db",
        "release": "acme/seed",
        "fields": 3,
    }


def test_a_line_for_people() -> None:
    log, stream = written("console")
    log.warning("waiting", why="no values yet", at="a\nb", number=1, empty="")
    assert stream.getvalue() == ('00:00:00 W waiting  package=acme.db why="no values yet" at="a\\nb" number=1 empty=""\n')


def test_a_failure_is_one_line_with_its_place() -> None:
    log, stream = written("json")
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        log.error("reconcile failed", error=error)
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields["error"] == "ValueError: first\nsecond"
    assert "test_logging.py:" in fields["at"]


def test_secrets_are_not_written_wherever_they_stand() -> None:
    log, stream = written("json")
    log.info("x", token="s3cret", header={"Authorization": "s3cret"}, users=[{"password": "s3cret"}], client_key=b"s3cret")
    log.info("y", secret="ns/name-of-a-secret", tokens=7)
    assert "s3cret" not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()
    assert "ns/name-of-a-secret" in stream.getvalue()


def test_what_is_below_the_level_is_not_written() -> None:
    log, stream = written("json")
    log.debug("x")
    assert stream.getvalue() == ""
    log, stream = written("json", level=logging.DEBUG)
    log.debug("x")
    assert json.loads(stream.getvalue())["level"] == "debug"


def test_long_values_are_cut_and_lines_of_libraries_look_the_same() -> None:
    log, stream = written("json")
    log.info("x", text="y" * 10_000)
    logging.getLogger("aiohttp.server").warning("from %s", "a library")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert len(first["text"]) < 5000
    assert second["message"] == "from a library"


def test_configuring_again_replaces_the_stream() -> None:
    _, old = written("json")
    log, new = written("json")
    log.info("x")
    assert (old.getvalue(), new.getvalue().count("\n")) == ("", 1)
