"""Calls of ``cozypkg`` in this process: arguments in, streams and exit code out."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cozystack.cozypkg.main import run
from cozystack.cozypkg.session import Session
from cozystack.kube import Clock


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


class Watched(Terminal):
    """Standard output that makes something happen as soon as a text has been written to it, once."""

    def __init__(self, text: str, then: Callable[[], object], *, screen: bool) -> None:
        super().__init__()
        self._text = text
        self._then: Callable[[], object] | None = then
        self._screen = screen

    def isatty(self) -> bool:
        return self._screen

    def flush(self) -> None:
        super().flush()
        if self._then is not None and self._text in self.getvalue():
            then, self._then = self._then, None
            then()


class Pipe(io.StringIO):
    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


def call(
    *args: str | Path,
    stdin: str = "",
    terminal: bool = False,
    screen: bool = False,
    when: tuple[str, Callable[[], object]] | None = None,
    kubeconfig: Path | None = None,
    env: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> Result:
    """``terminal``: standard input and error are one (questions may be asked); standard output is a pipe all the same, but
    for ``screen``. ``when``: what happens as soon as a text has been printed."""
    stream = Terminal if terminal else Pipe
    out, err = Terminal() if screen else Pipe(), stream()
    if when is not None:
        out = Watched(*when, screen=screen)
    session = Session(
        kubeconfig=kubeconfig,
        env=dict(env or {"HOME": "/nonexistent"}),
        stdin=stream(stdin),
        stdout=out,
        stderr=err,
        clock=clock,
    )
    code = run([str(arg) for arg in args], session)
    return Result(int(code), out.getvalue(), err.getvalue())
