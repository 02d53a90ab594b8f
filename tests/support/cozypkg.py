"""Calls of ``cozypkg`` in this process: arguments in, streams and exit code out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cozystack.cozypkg.main import run
from cozystack.cozypkg.session import Session


@dataclass(frozen=True, slots=True)
class Result:
    """``both`` shows what a person would see."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return f"{self.out}{self.err}exit code {self.code}\n"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal, and speaks UTF-8."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


def call(
    *args: str | Path,
    stdin: str = "",
    terminal: bool = False,
    screen: bool = False,
    kubeconfig: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """``terminal``: standard input and error are one (questions may be asked); standard output is a pipe all the same, but
    for ``screen``."""
    stream = Terminal if terminal else Pipe
    out, err = Terminal() if screen else Pipe(), stream()
    session = Session(
        kubeconfig=kubeconfig,
        env=dict(env or {"HOME": "/nonexistent"}),
        stdin=stream(stdin),
        stdout=out,
        stderr=err,
    )
    code = run([str(arg) for arg in args], session)
    return Result(int(code), out.getvalue(), err.getvalue())
