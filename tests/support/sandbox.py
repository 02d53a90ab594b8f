"""Run the program ``cozystack`` as a person would, and look at what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cozystack.apiserver.storage import open_storage

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "packages"
PROGRAM = (sys.executable, "-m", "cozystack.sandbox.cli")
_LONGEST = 240.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended: ``summary`` is its JSON, empty when it printed none."""

    code: int
    summary: dict[str, Any]
    said: str


def environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "COZYSTACK_STATE", "COZYSTACK_HELM")
    }
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200"}


def cozystack(*arguments: str | Path) -> Ran:
    """Run the program to its end."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        env=environment(),
        timeout=_LONGEST,
        check=False,
        text=True,
    )
    summary = msgspec.json.decode(done.stdout) if done.stdout.startswith("{") else {}
    return Ran(done.returncode, summary, done.stderr + ("" if summary else done.stdout))


def up_once(state: Path, *arguments: str | Path) -> Ran:
    return cozystack("up", "--once", "--output", "json", "--timeout", "120s", "--state-dir", state, *arguments)


def cozypkg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "cozystack.cozypkg.main", *arguments],
        capture_output=True,
        timeout=180,
        check=False,
        text=True,
        env=environment(),
    )


class Running:
    """A sandbox that runs; ``lines`` are what it says, as it says it."""

    def __init__(self, process: subprocess.Popen[str], state: Path) -> None:
        self.process = process
        self.state = state
        self.said: list[str] = []

    def until(self, text: str) -> str:
        """Read on until a line holds ``text``; the line. Fails when the program ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f'it ended without saying "{text}":\n' + "".join(self.said[-30:]))

    def kubectl(self, *arguments: str, timeout: float = 60) -> str:
        """What kubectl prints; raises when it fails, or takes longer."""
        program = Path(sys.executable).parent / "kubectl"
        done = subprocess.run(
            [program, "--kubeconfig", self.state / "kubeconfig", *arguments],
            capture_output=True,
            timeout=timeout,
            check=False,
            text=True,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def releases(self) -> dict[str, dict[str, Any]]:
        """The HelmReleases by their names."""
        listed = msgspec.json.decode(self.kubectl("get", "helmreleases", "-A", "-o", "json"))["items"]
        return {each["metadata"]["name"]: each for each in listed}

    def revisions(self) -> dict[str, int]:
        """The newest revision of each release."""
        return {name: each["status"]["history"][0]["version"] for name, each in self.releases().items()}

    def until_revision(self, name: str, revision: int) -> None:
        """Wait until a release has it; fails after minutes: whoever waits for others is looked at every half a minute."""
        namespace = self.releases()[name]["metadata"]["namespace"]
        there = f"--for=jsonpath={{.status.history[0].version}}={revision}"
        self.kubectl("-n", namespace, "wait", f"helmrelease/{name}", there, "--timeout=170s", timeout=180)

    def upgraded(self) -> dict[str, int]:
        """The same, of those that have more than one."""
        return {name: revision for name, revision in sorted(self.revisions().items()) if revision > 1}

    def cozypkg(self, *arguments: str, code: int = 0) -> str:
        """What cozypkg prints, both streams; fails unless it ends with ``code``."""
        done = cozypkg(*arguments, "--kubeconfig", self.state / "kubeconfig")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pids(self, module: str) -> list[int]:
        """Processes below the sandbox that run a module."""
        return [pid for pid in _below(self.process.pid) if module in _command(pid)]


@contextmanager
def running(state: Path, *arguments: str | Path) -> Iterator[Running]:
    """A sandbox for as long as the context lasts; it must stop by itself when it is told to."""
    process = subprocess.Popen(
        [*PROGRAM, "up", "--state-dir", str(state), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        text=True,
    )
    try:
        yield Running(process, state)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        process.stdout.read()
        process.wait(60)
        process.stdout.close()


def stored(state: Path, resource: str) -> list[dict[str, Any]]:
    """The objects of a resource in the state of a sandbox that does not run."""
    storage = open_storage(state / "api.sqlite")
    try:
        return [each.object for each in storage.objects(resource)]
    finally:
        storage.close()


def _below(pid: int) -> list[int]:
    found: list[int] = []
    # Whatever ends while it is looked at has nothing below it.
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found += [child, *_below(child)]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
