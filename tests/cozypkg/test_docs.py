"""The reference, the man pages, completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cozystack.cozypkg.main import COMMANDS
from cozystack.cozypkg.reference import man_pages, markdown
from support.cozypkg import call
from support.packages import PACKAGES

ROOT = Path(__file__).parents[2]


def complete(*words: str) -> list[str]:
    """What a shell is told about the last word."""
    done = subprocess.run(
        [sys.executable, "-m", "cozystack.cozypkg.main"],
        env={
            **os.environ,
            "_COZYPKG_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("cozypkg", *words)),
            "COMP_CWORD": str(len(words)),
            "KUBECONFIG": "/nonexistent",
        },
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_the_reference_is_what_the_commands_say() -> None:
    """``make generate`` writes it."""
    assert (ROOT / "docs" / "cozypkg.md").read_text() == markdown()


def test_every_command_has_a_man_page(tmp_path: Path) -> None:
    assert call("docs", "--format", "man", "--to", tmp_path).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"cozypkg.1", *(f"cozypkg-{name}.1" for name in COMMANDS)}
    assert set(man_pages()) == {path.name for path in tmp_path.iterdir()}


def test_man_pages_are_understood_by_man(tmp_path: Path) -> None:
    man = shutil.which("groff")
    if man is None:
        # Not every machine has it; the pages are checked by their own rules then.
        for page in man_pages().values():
            assert page.startswith(".TH ")
        return
    for name, page in man_pages().items():
        done = subprocess.run([man, "-man", "-ww", "-Tutf8"], input=page, capture_output=True, check=False, text=True)
        assert (name, done.returncode, done.stderr) == (name, 0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    script = call("completion", shell).out
    assert "_COZYPKG_COMPLETE" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, check=False, text=True, capture_output=True).returncode == 0


def test_names_variants_and_commands_are_completed() -> None:
    assert complete("expl") == ["explain"]
    assert complete("dot", "-f", str(PACKAGES), "cozystack.mon") == ["cozystack.monitoring", "cozystack.monitoring-agents"]
    assert complete("add", "--offline", str(PACKAGES), "cozystack.networking=") == [
        "cozystack.networking=noop",
        "cozystack.networking=cilium",
        "cozystack.networking=cilium-generic",
    ]


def test_a_cluster_that_is_not_there_completes_nothing_and_says_nothing() -> None:
    assert complete("show", "") == []
