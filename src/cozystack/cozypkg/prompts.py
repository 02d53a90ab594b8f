"""Questions, on standard error, answered on standard input; only on a terminal, never in a script.

All questions of one call read through the session's one reader, so that nothing typed ahead is lost (cozypkg-A2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cozystack.cozypkg.errors import CommandError, Exit

if TYPE_CHECKING:
    from cozystack.cozypkg.session import Session


def confirm(session: Session, question: str, *, yes: bool) -> None:
    """Go on, or raise ``CommandError`` (declined). ``yes``: it was said on the command line."""
    if yes:
        return
    if not session.interactive:
        raise CommandError(f"{question} This is no terminal: say --yes", code=Exit.DECLINED)
    answer = _ask(session, f"{question} [y/N] ")
    if answer.lower() not in ("y", "yes"):
        raise CommandError("nothing was changed", code=Exit.DECLINED)


def confirm_word(session: Session, question: str, word: str, *, given: str) -> None:
    """For what is protected: the word itself must be typed, or given on the command line."""
    if given == word:
        return
    if given or not session.interactive:
        raise CommandError(f"{question} Say --confirm {word}", code=Exit.DECLINED)
    if _ask(session, f"{question} Type {word} to go on: ") != word:
        raise CommandError("nothing was changed", code=Exit.DECLINED)


def choose(session: Session, question: str, choices: list[str], *, default: str = "") -> str:
    """One of ``choices``, by its number or its name; raises ``CommandError`` when the input ends (cozypkg-A15)."""
    while True:
        answer = _ask(session, f"{question} [{default}]: " if default else f"{question}: ") or default
        if answer in choices:
            return answer
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]
        session.tell(f'"{answer}" is none of them: a number from 1 to {len(choices)}, or a name')


def _ask(session: Session, prompt: str) -> str:
    session.stderr.write(prompt)
    session.stderr.flush()
    line = session.stdin.readline()
    if not line:
        session.tell("")
        raise CommandError("the input has ended before the question was answered", code=Exit.DECLINED)
    return line.strip()
