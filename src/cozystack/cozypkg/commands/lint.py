"""``cozypkg lint``: faults of files and package repositories, without a cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import click

from cozystack import __version__
from cozystack.cozypkg.checking import check_files, ordered
from cozystack.cozypkg.documents import content_of, files_below, values_of_file
from cozystack.cozypkg.errors import Exit
from cozystack.cozypkg.options import cluster_options
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.session import Session
from cozystack.planner.linting import RULES, Finding

_ORDER = ("error", "warning", "info")
_SARIF = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB = {"error": "error", "warning": "warning", "info": "notice"}
_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


@click.command("lint")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-f", "--file", "files", multiple=True, metavar="PATH", help="The same as an argument. Repeatable.")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text", show_default=True)
@click.option("--level", type=click.Choice(_ORDER), default="info", show_default=True, help="Show nothing below.")
@click.option(
    "--fail-on", type=click.Choice(_ORDER), default="error", show_default=True, help="Exit code 2 from this level on."
)
@click.option("--ignore", multiple=True, metavar="RULE", help="Leave a rule out, by id or name. Repeatable.")
@click.option("--values", "values_file", type=click.Path(path_type=Path, dir_okay=False), help="Values of the platform.")
@click.option("--no-cache", is_flag=True, help="Render every chart, also those that have not changed.")
@click.option("--rules", "explain_rules", is_flag=True, help="List the rules and end.")
@cluster_options
def command(
    session: Session,
    paths: tuple[str, ...],
    files: tuple[str, ...],
    form: Literal["text", "json", "sarif", "github"],
    level: str,
    fail_on: str,
    ignore: tuple[str, ...],
    values_file: Path | None,
    no_cache: bool,
    explain_rules: bool,
) -> int:
    """Find faults in files with Packages and PackageSources, or in package repositories.

    A folder with charts is a package repository: they are rendered too. Exit code 2 when there are errors.
    """
    if explain_rules:
        _write_rules(session, form)
        return Exit.OK
    known = {rule.id for rule in RULES.values()} | RULES.keys()
    for name in ignore:
        if name not in known:
            raise click.UsageError(f'--ignore: there is no rule "{name}"; --rules lists them')
    targets = [*paths, *files]
    if not targets:
        raise click.UsageError("name a file or a folder; - is standard input")
    found = asyncio.run(_check(session, targets, values_of_file(values_file) or {}, cached=not no_cache))
    counted = [finding for finding in found if finding.rule.id not in ignore and finding.rule.name not in ignore]
    shown = [finding for finding in counted if _ORDER.index(finding.rule.severity) <= _ORDER.index(level)]
    match form:
        case "json":
            write_json([_plain(finding) for finding in shown], session.stdout)
        case "sarif":
            write_json(_sarif(shown), session.stdout)
        case "github":
            session.stdout.writelines(f"{_github(finding)}\n" for finding in shown)
        case _:
            session.write_lines(_text(shown, len(counted) - len(shown), session.colour))
    # What is too low to be shown counts all the same.
    failed = any(_ORDER.index(finding.rule.severity) <= _ORDER.index(fail_on) for finding in counted)
    return Exit.FOUND if failed else Exit.OK


async def _check(session: Session, targets: list[str], values: dict[str, Any], *, cached: bool) -> list[Finding]:
    from cozystack.cozypkg.repository import is_repository

    findings: list[Finding] = []
    texts: list[tuple[str, bytes]] = []
    for target in targets:
        if target == "-":
            texts.append(("standard input", session.standard_input().encode()))
        elif Path(target).is_dir() and is_repository(Path(target)):
            from cozystack.cozypkg.chartchecks import cache_folder, check_repository

            cache = cache_folder(session.env) if cached else None
            workers = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
            findings += await check_repository(target, cache=cache, tell=session.tell, workers=workers, values=values)
        else:
            texts += ((str(file), content_of(file)) for file in files_below(target))
    return ordered([*findings, *check_files(texts)])


def _text(findings: list[Finding], hidden: int, colour: bool) -> Iterator[str]:
    for finding in findings:
        rule = finding.rule
        label = click.style(rule.severity, fg=_COLOURS[rule.severity]) if colour else rule.severity
        yield f"{_place(finding)}: {label} {rule.id} {rule.name}: {finding.message}"
        if finding.fix:
            yield f"    {finding.fix}"
    counts = {level: sum(finding.rule.severity == level for finding in findings) for level in _ORDER}
    below = f"; {hidden} below this level" if hidden else ""
    if not findings:
        yield f"no faults{below}"
        return
    words = {"error": "error", "warning": "warning", "info": "note"}
    yield ", ".join(f"{counts[level]} {word}{'' if counts[level] == 1 else 's'}" for level, word in words.items()) + below


def _place(finding: Finding) -> str:
    if not finding.file:
        return str(finding.subject) if finding.subject else "-"
    return ":".join(map(str, filter(None, (finding.file, finding.line, finding.column))))


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.rule.id,
        "rule": finding.rule.name,
        "severity": finding.rule.severity,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "object": str(finding.subject) if finding.subject else "",
        "field": finding.field,
        "message": finding.message,
        "fix": finding.fix,
    }


def _sarif(findings: list[Finding]) -> dict[str, Any]:
    """SARIF 2.1.0, with the rules that were found."""
    used = sorted({finding.rule for finding in findings}, key=lambda rule: rule.id)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "cozypkg",
                        "version": __version__,
                        "rules": [
                            {
                                "id": rule.id,
                                "name": rule.name,
                                "shortDescription": {"text": rule.about},
                                "defaultConfiguration": {"level": _SARIF[rule.severity]},
                            }
                            for rule in used
                        ],
                    }
                },
                "results": [
                    {
                        "ruleId": finding.rule.id,
                        "level": _SARIF[finding.rule.severity],
                        "message": {"text": f"{finding.message}. {finding.fix}." if finding.fix else finding.message},
                        "locations": [_location(finding)],
                    }
                    for finding in findings
                ],
            }
        ],
    }


def _location(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if finding.file:
        region = {"startLine": max(1, finding.line)} | ({"startColumn": finding.column} if finding.column else {})
        location["physicalLocation"] = {"artifactLocation": {"uri": quote(Path(finding.file).as_posix())}, "region": region}
    if finding.subject:
        location["logicalLocations"] = [{"fullyQualifiedName": str(finding.subject)}]
    return location


def _github(finding: Finding) -> str:
    """A workflow command of GitHub Actions."""
    place = f"file={_escaped(finding.file)},line={max(1, finding.line)}" if finding.file else ""
    column = f",col={finding.column}" if finding.column else ""
    title = f"{',' if place else ''}title={finding.rule.id} {finding.rule.name}"
    text = f"{finding.message}. {finding.fix}." if finding.fix else finding.message
    return f"::{_GITHUB[finding.rule.severity]} {place}{column}{title}::{_escaped(text, data=True)}"


def _escaped(text: str, *, data: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text if data else text.replace(":", "%3A").replace(",", "%2C")


def _write_rules(session: Session, form: str) -> None:
    if form == "json":
        rules = [{"id": rule.id, "rule": rule.name, "severity": rule.severity, "about": rule.about} for rule in RULES.values()]
        write_json(rules, session.stdout)
        return
    width = max(map(len, RULES))
    for rule in RULES.values():
        session.stdout.write(f"{rule.id}  {rule.name:{width}}  {rule.severity:7}  {rule.about}\n")
