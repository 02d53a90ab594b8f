"""Record what `make run` shows, and the first command after it, as docs/run.svg.

    .venv/bin/python scripts/record.py

The platform really comes up, in a folder of its own; times are those of this machine.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cozystack.kube import SystemClock
from cozystack.runtime import Log
from cozystack.sandbox.progress import Progress, Summary
from cozystack.sandbox.state import State
from cozystack.sandbox.terminal import Terminal, bar, packages_table, steps_of, summary_of
from cozystack.sandbox.up import Options, up

PICTURE = Path(__file__).parents[1] / "docs" / "run.svg"


class Recorder(Terminal):
    """Shows the last picture and the summary, then asks kubectl, then stops the sandbox."""

    def __init__(self, console: Console, state: State) -> None:
        super().__init__(console)
        self._state = state

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[None]:
        yield

    def tell(self, elapsed: float, line: str) -> None:
        print(f"[{elapsed:6.1f}s] {line}", file=sys.stderr)

    def print(self, text: str, style: str = "") -> None:
        print(text, file=sys.stderr)

    def summary(self, summary: Summary, progress: Progress) -> None:
        console, rows = self.console, progress.rows()
        console.print(Text("$ make run", style="bold"))
        console.print(steps_of(progress))
        console.print(bar(progress, rows))
        console.print(packages_table(rows, 7))
        text = re.sub(r"KUBECONFIG=\S+", "KUBECONFIG=.cozystack/kubeconfig", _plain(summary_of(summary)))
        console.print(Text(text), soft_wrap=False)
        console.print(Text("$ kubectl get packages | head -5", style="bold"))
        kubectl = Path(sys.executable).parent / "kubectl"
        asyncio.get_running_loop().run_in_executor(None, self._ask, [str(kubectl), "get", "packages"])

    def _ask(self, command: list[str]) -> None:
        shown = subprocess.run(
            command,
            env={**os.environ, "KUBECONFIG": str(self._state.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.console.print(Text("\n".join((shown.stdout or shown.stderr).splitlines()[:5])))
        os.kill(os.getpid(), signal.SIGTERM)


def _plain(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get().rstrip()


def main() -> int:
    logging.disable()
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder) / "state")
        options = Options(state=state, helm="native")
        summary = asyncio.run(up(options, Recorder(console, state), clock=SystemClock(), log=Log("cozystack.sandbox")))
    if not summary.ready:
        return 1
    svg = console.export_svg(title="cozystack", unique_id="cozystack-run")
    # The font is the viewer's own: a picture in a repository fetches nothing.
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    PICTURE.write_text(re.sub(r"[ \t]+\n", "\n", svg))
    return 0


if __name__ == "__main__":
    sys.exit(main())
