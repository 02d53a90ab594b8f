"""Show progress: a live picture on a terminal, plain lines elsewhere, JSON for programs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cozystack.sandbox.progress import Progress, Row, State, Summary

_STYLES: dict[State, tuple[str, str]] = {
    "ready": ("●", "green"),
    "working": ("◐", "yellow"),
    "waiting": ("○", "bright_black"),
    "failed": ("✗", "bold red"),
}
_WORDS: dict[State, str] = {"ready": "ready", "working": "working", "waiting": "waiting", "failed": "FAILED"}


class Terminal:
    """Writes to ``console`` (progress and summary). With ``quiet`` only the summary is shown."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self._quiet = quiet

    @property
    def live(self) -> bool:
        return self.console.is_terminal and not self._quiet

    def tell(self, elapsed: float, line: str) -> None:
        """One plain line about one change."""
        if not self._quiet and not self.live:
            self.console.print(f"[{elapsed:6.1f}s] {one_line(line)}", markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[None]:
        """A live picture for as long as the context lasts, where there is a terminal."""
        if not self.live:
            yield
            return
        with Live(console=self.console, refresh_per_second=5, get_renderable=lambda: self.picture(progress), transient=True):
            yield

    def picture(self, progress: Progress) -> RenderableType:
        """Everything at a glance; rows that do not fit the terminal are counted."""
        room = max(6, self.console.size.height - len(progress.steps) - 6)
        parts: list[RenderableType] = [steps_of(progress)]
        if progress.packages:
            rows = progress.rows()
            parts += [Text(), bar(progress, rows), packages_table(rows, room)]
        return Group(*parts)

    def summary(self, summary: Summary, progress: Progress) -> None:
        """What came of it, and how to go on."""
        if self.live:
            self.console.print(steps_of(progress))
        self.console.print(summary_of(summary), soft_wrap=True)

    def print(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)


def steps_of(progress: Progress) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for step in progress.steps:
        done = step.seconds is not None
        mark = Text("✓", style="green") if done else Text("…", style="yellow")
        seconds = step.seconds if step.seconds is not None else progress.monotonic() - step.began
        table.add_row(mark, Text(step.text, style="" if done else "bold"), Text(f"{seconds:5.1f} s", style="bright_black"))
    return table


def bar(progress: Progress, rows: list[Row]) -> RenderableType:
    ready = sum(row.state == "ready" for row in rows)
    width = 36
    filled = width * ready // max(1, len(rows))
    text = Text()
    text.append("━" * filled, style="green")
    text.append("━" * (width - filled), style="bright_black")
    text.append(f"  {ready} of {len(rows)} packages, {progress.ready_releases()} of {len(progress.releases)} releases ready")
    text.append(f"   {progress.elapsed:.1f} s", style="bright_black")
    return text


def packages_table(rows: list[Row], room: int) -> RenderableType:
    """Rows in the order in which they matter: failed, working, waiting, ready."""
    order: tuple[State, ...] = ("failed", "working", "waiting", "ready")
    chosen = sorted(rows, key=lambda row: (order.index(row.state), row.name))
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for row in chosen[:room]:
        table.add_row(*cells(row))
    if len(chosen) > room:
        table.add_row("", Text(f"and {len(chosen) - room} more", style="bright_black"), "", "")
    return table


def cells(row: Row) -> list[RenderableType]:
    mark, style = _STYLES[row.state]
    ready, count = row.releases
    return [
        Text(mark, style=style),
        Text(row.name, style=style if row.state in ("failed", "working") else ""),
        Text(f"{ready}/{count}" if count else "", style="bright_black"),
        Text(one_line(row.because), style="red" if row.state == "failed" else "bright_black"),
    ]


def summary_of(summary: Summary) -> RenderableType:
    parts: list[RenderableType] = []
    if summary.ready:
        after = f" after {summary.seconds:.1f} s" if summary.seconds else ""
        parts.append(Text(f"The platform is ready{after}.", style="bold green"))
    else:
        parts.append(Text(f"The platform is not ready: {one_line(summary.reason)}", style="bold red"))
    facts = Table.grid(padding=(0, 2))
    facts.add_row("packages", f"{summary.packages_ready} of {summary.packages} ready, from {summary.package_sources} sources")
    facts.add_row("releases", f"{summary.releases_ready} of {summary.releases} ready")
    if summary.waves:
        facts.add_row("waves", f"{len(summary.waves)}: " + ", ".join(str(len(wave)) for wave in summary.waves) + " packages")
    if summary.critical_path and summary.critical_path_seconds:
        chain = " → ".join(f"{entry['release']} {entry['seconds']:.1f} s" for entry in summary.critical_path)
        facts.add_row("critical path", f"{summary.critical_path_seconds:.1f} s: {chain}")
    parts.append(facts)
    for entry in summary.failed:
        parts.append(Text(f"failed: {entry['package']}: {one_line(entry['message'])}", style="red"))
        parts += _unblock(entry)
    told = {entry["message"] for entry in summary.failed}
    for message, packages in _by_message(summary.waiting).items():
        if message in told:
            parts.append(Text(f"held up by that: {', '.join(packages)}"))
        else:
            parts.append(Text(f"not ready: {', '.join(packages)}: {one_line(message)}"))
    if summary.kubeconfig:
        parts += [
            Text(),
            Text("Go on with", style="bold"),
            Text(f"  export KUBECONFIG={summary.kubeconfig}"),
            Text(f"  {kubectl()} get packages"),
            Text(f"  {kubectl()} get helmreleases -A"),
            Text(f"  {kubectl()} -n cozy-system logs deploy/cozystack-operator"),
        ]
    return Group(*parts)


def one_line(text: str) -> str:
    return " ".join(text.split())


def _unblock(entry: dict[str, str]) -> list[RenderableType]:
    return [Text(f"    {entry['unblock']}", style="bright_black")] if entry.get("unblock") else []


def _by_message(entries: list[dict[str, str]]) -> dict[str, list[str]]:
    """Packages by what they wait for: what holds many up is said once."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry["message"], []).append(entry["package"])
    return found


def kubectl() -> str:
    """The kubectl to name to people: their own, else the one that was installed with this program."""
    ours = Path(sys.executable).parent / "kubectl"
    if shutil.which("kubectl") is not None or not ours.is_file():
        return "kubectl"
    here = Path.cwd()
    return str(ours.relative_to(here)) if ours.is_relative_to(here) else str(ours)


def write_json(value: Any, stream: TextIO = sys.stdout) -> None:
    stream.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
