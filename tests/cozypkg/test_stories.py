"""Every command, every option and every form of output, as people and programs see them: golden, over TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from cozystack.apiserver import pki
from cozystack.cozypkg.errors import Exit
from cozystack.cozypkg.main import COMMANDS, cli
from cozystack.cozypkg.reference import ENDS
from support.cozypkg import call
from support.stories import commands, load, perform, recorded, stories


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.ensure(tmp_path_factory.mktemp("pki"), datetime.now(UTC))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if load(name).get("slow") else name for name in stories()]
)
def test_a_story_is_told_as_it_was_recorded(name: str, keys: pki.Pki, tmp_path: Path) -> None:
    assert perform(name, tmp_path, keys) == recorded(name)


# Whether all is told that there is to tell


ELSEWHERE = {
    ("status", "--watch"): "test_status.py",
    ("apply", "--confirm"): "test_rollout.py",
}
"""What has tests of its own, because it takes a terminal or a platform that goes back, and where."""
HELM = {"rollback"}
"""Commands that cannot do anything without Helm: ``test_holding.py``."""


def told() -> dict[str, list[list[str]]]:
    """The arguments of all calls by command."""
    found: dict[str, list[list[str]]] = {}
    for name in stories():
        for arguments in commands(name):
            found.setdefault(arguments[0], []).append(arguments[1:])
    return found


def wanted(command: click.Command) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each option of a command, and each choice of one, with the ways to write it."""
    for param in command.params:
        if not isinstance(param, click.Option) or param.name in ("kubeconfig", "context", "request_timeout", "plain", "help"):
            continue
        names = (*param.opts, *param.secondary_opts)
        if not isinstance(param.type, click.Choice):
            yield names[-1], names
            continue
        for choice in param.type.choices:
            yield f"{param.opts[0]} {choice}", tuple(f"{each} {choice}" for each in names)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in HELM])
def test_every_option_and_every_form_of_output_is_in_a_story(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    calls = [f" {' '.join(arguments).replace('=', ' ')} " for arguments in told()[name]]
    defaults = {f"{param.opts[0]} {param.default}" for param in command.params if isinstance(param, click.Option)}
    for option, ways in wanted(command):
        if option in defaults:
            # Whatever is printed without the option is printed in its default form.
            continue
        if (name, option) in ELSEWHERE:
            file = Path(__file__).with_name(ELSEWHERE[name, option])
            assert option.split()[0] in file.read_text()
            continue
        assert any(f" {way} " in call for way in ways for call in calls), f"cozypkg {name} {option} is in no story"


def ends() -> set[tuple[str, int]]:
    """The commands of all stories, with the codes that they end with."""
    found = set()
    for name in stories():
        for part in re.split(r"(?m)^(?=\$ cozypkg )", recorded(name))[1:]:
            code = re.search(r"(?m)^\(exit (\d+)\)$", part)
            found.add((part.split()[2], int(code[1]) if code else 0))
    return found


def test_every_exit_code_that_is_documented_is_in_a_story_and_the_reverse() -> None:
    documented = {(name, int(code)) for code, names in ENDS.items() for name in names}
    special = {(name, code) for name, code in ends() if code in map(int, ENDS)}
    assert {pair for pair in documented if pair[0] not in HELM} == special
    assert {code for _, code in ends()} <= {*map(int, Exit)}


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_usage_of_any_command_is_64_and_its_help_is_0(name: str) -> None:
    wrong = call(name, "--no-such-option")
    assert (wrong.code, wrong.out) == (64, "")
    assert wrong.err.splitlines()[-1] == "Error: No such option '--no-such-option'."
    assert call(name, "--help").code == 0
