"""Questions: who is asked, and what counts as an answer."""

from __future__ import annotations

import pytest

from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.prompts import choose, confirm, confirm_word
from cozystack.cozypkg.session import Session
from support.cozypkg import Pipe, Terminal


def session(answers: str, *, terminal: bool = True) -> Session:
    stream = Terminal if terminal else Pipe
    return Session(env={}, stdin=stream(answers), stdout=Pipe(), stderr=stream())


def said(asked: Session) -> str:
    return asked.stderr.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_one_reader_answers_all_questions() -> None:
    """cozypkg-A2"""
    asked = session("2\ny\nthe-word\n")
    assert choose(asked, "Which?", ["a", "b"]) == "b"
    confirm(asked, "Go on?", yes=False)
    confirm_word(asked, "Really?", "the-word", given="")
    assert said(asked) == "Which?: Go on? [y/N] Really? Type the-word to go on: "


@pytest.mark.parametrize("answer", ["", "n", "nope", "yess", " "])
def test_whatever_is_no_yes_is_a_no(answer: str) -> None:
    with pytest.raises(CommandError, match=r"^nothing was changed$") as caught:
        confirm(session(f"{answer}\n"), "Go on?", yes=False)
    assert caught.value.code is Exit.DECLINED


@pytest.mark.parametrize("answer", ["y", "Y", "yes", " YES "])
def test_yes_is_a_yes(answer: str) -> None:
    confirm(session(f"{answer}\n"), "Go on?", yes=False)


def test_a_script_is_never_asked() -> None:
    asked = session("y\n", terminal=False)
    with pytest.raises(CommandError, match=r"^Go on\? This is no terminal: say --yes$"):
        confirm(asked, "Go on?", yes=False)
    with pytest.raises(CommandError, match=r"^Really\? Say --confirm word$"):
        confirm_word(asked, "Really?", "word", given="")
    confirm(asked, "Go on?", yes=True)
    confirm_word(asked, "Really?", "word", given="word")
    assert (said(asked), asked.stdin.read()) == ("", "y\n")


def test_a_wrong_word_is_not_asked_for_again() -> None:
    with pytest.raises(CommandError, match=r"^Really\? Say --confirm word$"):
        confirm_word(session("word\n"), "Really?", "word", given="wrod")


def test_a_choice_is_a_number_or_a_name_and_the_default_is_an_empty_line() -> None:
    """cozypkg-A15"""
    assert choose(session("b\n"), "Which?", ["a", "b"]) == "b"
    assert choose(session("\n"), "Which?", ["a", "b"], default="a") == "a"
    asked = session("0\n\n3\n1\n")
    assert choose(asked, "Which?", ["a", "b"]) == "a"
    assert said(asked).count("is none of them: a number from 1 to 2, or a name") == 3


def test_the_end_of_the_input_ends_the_question() -> None:
    with pytest.raises(CommandError, match=r"^the input has ended before the question was answered$") as caught:
        choose(session("9\n"), "Which?", ["a"])
    assert caught.value.code is Exit.DECLINED
