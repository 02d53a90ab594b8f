"""Pages of the documentation, run block by block as they are printed, and looked at for what they show.

A block ``yaml file=PATH`` is written to that path, a block ``sh`` is run by a shell that stops at the first failure. What a
block ``text`` shows must have been said by the last ``sh`` block before it: its lines, in their order, whatever stands between.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support.sandbox import ROOT, environment

_LONGEST = 180.0


def blocks(page: str) -> list[tuple[str, str]]:
    """What is in the fences of a page, each with the words behind the opening one."""
    return re.findall(r"(?ms)^```([^\n]+)\n(.*?)^```$", (ROOT / "docs" / page).read_text())


def perform(page: str, folder: Path, **variables: str) -> dict[str, str]:
    """Run a page; what each shell block said, by its first line."""
    said: dict[str, str] = {}
    last = ""
    for kind, text in blocks(page):
        name, _, file = kind.partition(" file=")
        if file:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        elif name == "sh":
            last = said[text.splitlines()[0]] = perform_block(text, folder, **variables)
        elif name == "text":
            assert shows(last, text), f"{text}\nis not in what was said:\n{last}"
    return said


def perform_block(text: str, folder: Path, **variables: str) -> str:
    """Run shell commands that must not fail; what they say."""
    tools = Path(sys.executable).parent
    done = subprocess.run(
        ["/bin/sh", "-euc", text],
        cwd=folder,
        env={**environment(), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}"
    return done.stdout


def shows(said: str, text: str) -> bool:
    """Whether the lines of ``text`` are in what was said, in their order; a line may be a part of one."""
    lines = iter(said.splitlines())
    return all(any(part in line for line in lines) for part in text.splitlines() if part.strip())
