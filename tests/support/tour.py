"""A tour of kubectl: the commands of ``tests/cases/kubectl/tour.yaml``, and what they print, made comparable.

The same tour can be taken on any server, which has to be empty and has to let the kubeconfig do everything:
``python -m support.tour KUBECONFIG`` (in ``tests``) prints it, ``... --record`` stores it as what is expected. What is stored
comes from a real kube-apiserver. Ages, uids, versions, addresses, ports, times and tokens are replaced, columns are set two
spaces apart.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from cozystack.api import yaml

CASES: Final = Path(__file__).parents[1] / "cases" / "kubectl"
RECORDED: Final = CASES / "tour.txt"
_SECONDS: Final = 90

_REPLACED: Final = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z", "<time>"),
    (r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}", "<time>"),
    (r"(?<=resourceVersion: \")\d+(?=\")", "<version>"),
    (r"(?<=Resource Version:)( +)\d+", r"\1<version>"),
    (r"\b10\.\d+\.\d+\.\d+\b", "<address>"),
    (r"(?<=:)3[0-2]\d{3}(?=/TCP)", "<port>"),
    (r"\b127\.0\.0\.1:\d+", "<server>"),
    (r"(?<![\w.-])(?:\d+[dhms]){1,2}(?![\w.-])", "<age>"),
    (r"/tmp/\S+", "<file>"),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r'"(gitCommit|goVersion)": "[^"]*"', r'"\1": "<build>"'),
)


class Step(msgspec.Struct, frozen=True):
    """One command: what stands behind ``kubectl``, and what is given to it as a file.

    ``differs`` is what the embedded server makes it print, where that is not what a real one does.
    """

    run: str
    input: Any = None
    differs: str = ""

    @property
    def words(self) -> list[str]:
        """Spaces part words, but for those in quotes; JSON stays as it is."""
        if "{" in self.run or "[" in self.run:
            return self.run.split(" ")
        if "--schedule=" in self.run:
            head, _, schedule = self.run.partition(" --schedule=")
            return [*head.split(" "), f"--schedule={schedule}"]
        return shlex.split(self.run)


def steps() -> list[Step]:
    return msgspec.convert(yaml.load((CASES / "tour.yaml").read_bytes()), list[Step])


def tour(kubectl: Path, kubeconfig: Path) -> Iterator[tuple[Step, str]]:
    """Every step and what it printed, with its exit code when that is not 0."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"KUBECONFIG": str(kubeconfig), "HOME": home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        for step in steps():
            yield step, _printed(kubectl, step, environment)


def _printed(kubectl: Path, step: Step, environment: dict[str, str]) -> str:
    given = msgspec.json.encode(step.input) if step.input is not None else b""
    done = subprocess.run(
        [kubectl, *step.words], input=given, env=environment, capture_output=True, timeout=_SECONDS, check=False
    )
    text = normalised((done.stdout + done.stderr).decode())
    if step.run.startswith("explain "):
        text = _without_prose(text)
    return f"{text}(exit {done.returncode})\n" if done.returncode else text


def normalised(text: str) -> str:
    """Without what differs from one run to the next."""
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    lines = [re.sub(r"(?<=\S) {2,}", "  ", line).rstrip() for line in text.splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _without_prose(text: str) -> str:
    """What ``explain`` says of names and types: the embedded server has no descriptions."""
    kept = [
        line for line in text.splitlines() if line[:1].isupper() or "\t<" in line or line.lstrip().startswith(("enum:", "("))
    ]
    return "".join(f"{line}\n" for line in kept if not line.startswith("DESCRIPTION")) or text


def written(step: Step, printed: str) -> str:
    """One step of the recorded text."""
    given = f" <<< {msgspec.json.encode(step.input).decode()}" if step.input is not None else ""
    return f"$ kubectl {step.run}{given}\n{printed}\n"


def recorded() -> list[str]:
    """What each step is expected to be, as ``written`` has it."""
    parts = re.split(r"(?m)^(?=\$ kubectl )", RECORDED.read_text())
    return [part for part in parts if part]


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the tour of kubectl.")
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("--kubectl", type=Path, default=Path(sys.executable).with_name("kubectl"))
    parser.add_argument("--record", action="store_true", help="store it as what is expected")
    options = parser.parse_args()
    text = "".join(written(step, printed) for step, printed in tour(options.kubectl, options.kubeconfig))
    if options.record:
        RECORDED.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
