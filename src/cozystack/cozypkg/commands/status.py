"""``cozypkg status``: how far the platform has come; with ``--watch`` as a view that stays up to date."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import Column, Format, table_lines, write_json, write_yaml
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import STATE, World, look
from cozystack.planner.comparison import measured_durations
from cozystack.planner.progress import STATES, Progress, Standing, progress
from cozystack.planner.sentences import did_you_mean

_COLUMNS = (
    Column("NAME"),
    Column("VARIANT"),
    Column("STATE"),
    Column("WAVE"),
    Column("RELEASES"),
    Column("FOR"),
    Column("REASON", shrinks=True),
)
_STYLES = {
    "failed": "bold red",
    "held": "magenta",
    "deleting": "yellow",
    "progressing": "cyan",
    "waiting": "",
    "ready": "green",
}


@click.command("status")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-w", "--watch", is_flag=True, help="Stay, and show every change, until all are ready.")
@files_option()
@output_option("table", "json", "yaml", "name")
@cluster_options
def command(session: Session, names: tuple[str, ...], watch: bool, files: tuple[str, ...], output: Format) -> None:
    """Say how the Packages are, those that need a look first: state, wave, releases, since when, and what each waits for."""
    if watch and files:
        raise click.UsageError("files do not change: --watch needs a cluster")
    if watch:
        if output != "table":
            raise click.UsageError("--watch shows a table")
        if session.stdout.isatty() and not session.plain:
            _live(session, names)
        else:
            _told(session, names)
        return
    world = look(session, files, STATE)
    for name in names:
        if name not in world.packages:
            raise CommandError(f"{world.origin} has no Package {name}{did_you_mean(name, world.packages)}")
    found = _progress(world, names)
    match output:
        case "json":
            write_json(msgspec.to_builtins(found), session.stdout)
        case "yaml":
            write_yaml(msgspec.to_builtins(found), session.stdout)
        case "name":
            session.stdout.writelines(f"{each.name}\n" for each in found.packages)
        case _:
            width = shutil.get_terminal_size((80, 24)).columns if session.stdout.isatty() else None
            lines = [summary(found), *_table(found.packages, _now(session), width)]
            session.write_lines(lines)


def _progress(world: World, names: tuple[str, ...]) -> Progress:
    found = progress(world.catalogue(), durations=measured_durations(world.releases.values()))
    if not names:
        return found
    packages = tuple(each for each in found.packages if each.name in names)
    counts = {state: sum(each.state == state for each in packages) for state in STATES}
    counts = {state: count for state, count in counts.items() if count}
    # How long all the others take says nothing of these.
    return msgspec.structs.replace(found, packages=packages, counts=counts, remaining=None)


def _now(session: Session) -> float:
    return (session.clock.now() if session.clock is not None else datetime.now(UTC)).timestamp()


def summary(found: Progress) -> str:
    """One line: how many are ready, how many are what else, and how long it may take."""
    total = len(found.packages)
    parts = [f"{found.counts.get('ready', 0)} of {total} Package{'' if total == 1 else 's'} ready"]
    parts += [f"{count} {state}" for state, count in found.counts.items() if state != "ready"]
    if found.remaining is not None:
        parts.append(f"about {_lasting(found.remaining)} left")
    return ", ".join(parts)


def _table(standings: tuple[Standing, ...], now: float, width: int | None) -> list[str]:
    rows = [
        (
            each.name,
            each.variant,
            each.state,
            str(each.wave or "-"),
            f"{each.releases_ready}/{each.releases}",
            _lasting(now - each.since) if each.since else "",
            "" if each.state == "ready" else each.reason,
        )
        for each in standings
    ]
    return table_lines(_COLUMNS, rows, available=width) if rows else []


def _lasting(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def frame(found: Progress, *, now: float, elapsed: float, width: int, height: int) -> list[tuple[str, str]]:
    """What the live view shows: lines with their state. What needs a look is on top, and what does not fit is counted."""
    wave = min((each.wave for each in found.packages if each.wave and each.state != "ready"), default=found.waves)
    head = f"{summary(found)}; wave {wave} of {found.waves}; {_lasting(elapsed)}"
    room = max(1, height - 4)
    shown = found.packages[:room]
    lines = [(head, "summary")]
    for line, state in zip(_table(shown, now, width), ("", *(each.state for each in shown)), strict=False):
        lines.append((line, state))
    hidden = found.packages[room:]
    if hidden:
        ready = sum(each.state == "ready" for each in hidden)
        lines.append((f"and {len(hidden)} more, {ready} of them ready", ""))
    return lines


def _live(session: Session, names: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    # The terminal is asked for its size at every frame, since it may change.
    console = Console(file=session.stdout, no_color=not session.colour, highlight=False)
    with Live(console=console, auto_refresh=False, transient=False) as live:

        def draw(found: Progress, elapsed: float) -> None:
            lines = frame(found, now=_now(session), elapsed=elapsed, width=console.width, height=console.height)
            text = Text("\n", no_wrap=True).join(
                Text(line, style="bold" if state == "summary" else _STYLES.get(state, "")) for line, state in lines
            )
            live.update(text, refresh=True)

        _followed(session, names, draw, tick=1.0, pause=0.2)


def _told(session: Session, names: tuple[str, ...]) -> None:
    """A line for each change, for logs and pipes."""
    before: dict[str, Any] = {}

    def tell(found: Progress, elapsed: float) -> None:
        for each in found.packages:
            now = (each.state, each.releases_ready, each.reason if each.state not in ("ready", "progressing") else "")
            if before.get(each.name) != now:
                before[each.name] = now
                reason = f": {each.reason}" if each.reason and each.state != "ready" else ""
                session.stdout.write(f"{each.name} {each.state} {each.releases_ready}/{each.releases}{reason}\n")
        session.stdout.flush()

    _followed(session, names, tell)


def _followed(
    session: Session,
    names: tuple[str, ...],
    show: Callable[[Progress, float], None],
    *,
    tick: float | None = None,
    pause: float = 0.0,
) -> None:
    async def work(client: Any) -> None:
        from cozystack.cozypkg.waiting import follow

        began = client.clock.monotonic()

        def seen(world: World) -> bool:
            found = _progress(world, names)
            show(found, client.clock.monotonic() - began)
            return found.done and set(names) <= world.packages.keys()

        await follow(client, STATE, seen, tick=tick, pause=pause)

    session.on_cluster(work)
