"""Where steps come from: modules, scripts, and files that are neither."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cozystack.api.resources import DEPLOYMENTS
from cozystack.migrate.access import RUNNER, Cluster, reads, rules, writes
from cozystack.migrate.generate import extra_rules
from cozystack.migrate.main import COMMANDS, main
from cozystack.migrate.runner import Failed
from cozystack.migrate.scripts import folder_steps
from cozystack.migrate.step import BadStep, in_order, load_module, own_steps
from support.migrations import MAPS, World, step

TEXT = (Path(__file__).parents[2] / "docs/migrations.md").read_text()
GOOD = '"""Do it."""\nNUMBER = 57\nNAME = "good"\nREADS = ()\nWRITES = ()\nWAY_BACK = None\nasync def plan(cluster): ...\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing.at.all\n", "cannot be loaded: ModuleNotFoundError: No module named 'nothing'"),
        (GOOD.replace("NUMBER = 57\n", ""), "has no NUMBER, or one that is not an int"),
        (GOOD.replace("57", "True"), "has no NUMBER, or one that is not an int"),
        (GOOD.replace("57", "0"), "has number 0 and name 'good'; a step is numbered from 1"),
        (GOOD.replace('"good"', '"Not Good"'), "has number 57 and name 'Not Good'"),
        (GOOD.replace("READS = ()\n", ""), "has no READS, or one that is not a tuple"),
        (GOOD.replace("WAY_BACK = None\n", ""), "has no WAY_BACK: what an older release makes of its work, or None"),
        (GOOD.replace("async ", ""), "has no `async def plan(cluster)`"),
        (GOOD.replace('"""Do it."""\n', ""), "has no docstring"),
    ],
)
def test_a_file_that_is_no_step_is_refused_by_name(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "m57.py"
    path.write_text(text)
    with pytest.raises(BadStep, match=re.escape(reason)) as error:
        load_module(path)
    assert str(path) in str(error.value)


def test_a_folder_holds_modules_and_scripts_and_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "m57.py").write_text(GOOD)
    (tmp_path / "58").write_text("#!/bin/sh\n")
    (tmp_path / "README").write_text("")
    (tmp_path / "lib").mkdir()
    assert [str(each.id) for each in folder_steps(tmp_path)] == ["58 script-58", "57 good"]
    assert folder_steps(tmp_path / "nowhere") == []


def test_a_script_says_at_its_head_what_it_is_for_and_whether_there_is_a_way_back(tmp_path: Path) -> None:
    (tmp_path / "57").write_text("#!/bin/sh\n# about: Rename anvils\n#way-back: Both names are read. \n\n# about: no more\n")
    (tmp_path / "58").write_text("#!/bin/sh\necho way-back: none\n# way-back: it is too late\n")
    found = folder_steps(tmp_path)
    assert [(each.about, each.way_back) for each in found] == [
        ("Rename anvils", "Both names are read."),
        ("A script", None),
    ]


def test_what_a_step_may_touch_is_told_in_words() -> None:
    accesses = [
        reads(MAPS, "a", "b", own_namespace=True),
        reads(DEPLOYMENTS),
        writes(DEPLOYMENTS, "patch", "delete"),
        writes(MAPS, "create", names=["a"]),
    ]
    assert [str(each) for each in accesses] == [
        "ConfigMap a, b in the platform's namespace",
        "Deployment",
        "Deployment: patch, delete",
        "ConfigMap a: create",
    ]
    assert [each.writes for each in accesses] == [False, False, True, True]


def test_two_steps_of_one_number_or_one_name_are_refused() -> None:
    with pytest.raises(BadStep, match="two steps have the number 57: 57 a and 57 b"):
        in_order([step(57, "b"), step(57, "a")])
    with pytest.raises(BadStep, match="two steps have the name a: 57 a and 58 a"):
        in_order([step(57, "a"), step(58, "a")])


def test_numbers_of_this_release_follow_one_another() -> None:
    numbers = [each.id.number for each in own_steps()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


SCRIPT = "#!/bin/sh\necho working\n"


@pytest.mark.parametrize("executable", [True, False])
async def test_a_script_that_has_written_its_number_is_done(executable: bool, world: World, tmp_path: Path) -> None:
    """The version is written by somebody else here: a script would use kubectl."""
    path = tmp_path / "56"
    path.write_text(SCRIPT + '[ "$CURRENT_VERSION $TARGET_VERSION $NAMESPACE" = "57 57 cozy-system" ]\n')
    path.chmod(0o755 if executable else 0o644)
    await world.start("57")
    await world.client.create(MAPS, ledger_from(56))
    report = await world.run(folder_steps(tmp_path), 57)
    assert [str(each) for each in report.ran] == ["56 script-56"]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("exit 3", "step 56 script-56 failed: it ended with 3: working"),
        ("exit 0", "it ended with 0 without writing version 57, so it left something undone: working"),
    ],
)
async def test_a_script_is_done_only_when_its_number_is_there(end: str, reason: str, world: World, tmp_path: Path) -> None:
    """packages-M1."""
    (tmp_path / "56").write_text(f"{SCRIPT}{end}\n")
    await world.start("56")
    with pytest.raises(Failed, match=re.escape(reason)):
        await world.run(folder_steps(tmp_path), 57)
    assert await world.version() == "56"


async def test_a_file_that_cannot_be_run_fails_with_the_reason(world: World, tmp_path: Path) -> None:
    (tmp_path / "56").write_text("echo hello\n")
    await world.start("56")
    with pytest.raises(Failed, match="is neither executable nor begins with #!"):
        await world.run(folder_steps(tmp_path), 57)


def ledger_from(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cozystack-migrations", "namespace": "cozy-system"},
        "data": {"baseline": f"number: {number}\n"},
    }


# The documentation


async def test_the_example_of_a_step_is_one(world: World, tmp_path: Path) -> None:
    (text,) = re.findall(r"(?s)```python file=\S+\n(.*?)```", TEXT)
    path = tmp_path / "m57.py"
    path.write_text(text)
    example = load_module(path)
    await world.start("57")
    deployment = {
        "metadata": {"name": "anvil", "namespace": "cozy-system", "labels": {"app": "anvil"}},
        "spec": {
            "selector": {"matchLabels": {"app": "anvil"}},
            "template": {"metadata": {"labels": {"app": "anvil"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
        },
    }
    await world.create("Deployment", "deployments", deployment, group="apps")
    await world.run([example], 58)
    found = await Cluster(world.client, (reads(DEPLOYMENTS),), "cozy-system", world.clock).list(DEPLOYMENTS)
    assert [each["metadata"]["labels"] for each in found] == [{"app": "anvil", "weight": "heavy"}]


def test_every_command_is_described() -> None:
    described = re.findall(r"(?m)^\| `cozystack-migrate (\w+)", TEXT)
    assert described == list(COMMANDS)


# Rights


def test_rules_are_as_narrow_as_the_declarations() -> None:
    accesses = [reads(MAPS, "a", own_namespace=True), writes(MAPS, "create", "patch", names=["a"], own_namespace=True)]
    assert rules(accesses, own_namespace=False) == []
    core = {"apiGroups": [""], "resources": ["configmaps"]}
    assert rules(accesses, own_namespace=True) == [
        {**core, "verbs": ["create"]},
        {**core, "verbs": ["get", "patch"], "resourceNames": ["a"]},
    ]


def test_the_runner_may_not_list_or_change_what_is_not_its_own() -> None:
    everywhere = rules(RUNNER, own_namespace=False)
    assert {verb for rule in everywhere for verb in rule["verbs"]} == {"list"}
    assert {plural for rule in everywhere for plural in rule["resources"]} == {"packages", "packagesources"}


def test_rules_for_steps_of_ones_own_are_for_everywhere() -> None:
    assert extra_rules([step(57)]) == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"], "resourceNames": ["tally"]}
    ]


# The command line


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["plan", "--help"], 0),
        ([], 2),
        (["fly"], 2),
        (["stamp", "x"], 2),
        (["skip", "a"], 2),
        (["plan", "-o", "x"], 2),
    ],
)
def test_wrong_arguments_are_told_from_help(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    output = capsys.readouterr()
    assert ("usage: cozystack-migrate" in output.out) == (code == 0)


def test_what_goes_wrong_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", f"--kubeconfig={tmp_path / 'none'}", f"--migrations={tmp_path}"]) == 1
    assert capsys.readouterr().err.startswith("cozystack-migrate plan: ")
    (tmp_path / "m1.py").write_text("")
    assert main(["plan", f"--migrations={tmp_path}"]) == 1
    assert "has no NUMBER" in capsys.readouterr().err


def test_the_rights_of_a_folder_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "from cozystack.api.resources import SECRETS\nfrom cozystack.migrate.access import reads\n"
    (tmp_path / "m57.py").write_text(
        GOOD.replace("NUMBER", text + "NUMBER").replace("READS = ()", 'READS = (reads(SECRETS, "a"),)')
    )
    assert main(["role", f"--migrations={tmp_path}"]) == 0
    assert capsys.readouterr().out == (
        "- apiGroups:\n  - ''\n  resources:\n  - secrets\n  verbs:\n  - get\n  resourceNames:\n  - a\n"
    )
