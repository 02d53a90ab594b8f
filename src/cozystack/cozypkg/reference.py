"""The reference of all commands, as Markdown and as man pages, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from cozystack import __version__
from cozystack.cozypkg.errors import Exit
from cozystack.cozypkg.formats import FORMATS, OBJECTS, rows
from cozystack.cozypkg.main import COMMANDS, cli
from cozystack.planner.linting import RULES

_EXITS = {
    Exit.OK: "done, or nothing to do",
    Exit.FAILED: "it could not be done; the sentence on standard error says why",
    Exit.FOUND: "`plan` has found changes, `lint`, `verify` and `explain` have found something wrong",
    Exit.DECLINED: "a question was answered with no, or could not be asked",
    Exit.TIMED_OUT: "the time was over before all was as it should be",
    Exit.MOVED: "the cluster has changed since a plan was made or shown; what it was for was left alone",
    Exit.USAGE: "wrong usage",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}

ENDS: dict[Exit, tuple[str, ...]] = {
    Exit.FOUND: ("explain", "lint", "plan", "verify"),
    Exit.DECLINED: ("add", "apply", "del", "import", "resume", "rollback", "set", "teardown", "upgrade"),
    Exit.TIMED_OUT: ("add", "del", "import", "resume", "teardown", "upgrade", "wait"),
    Exit.MOVED: ("add", "apply", "del", "import", "resume", "rollback", "set", "teardown", "upgrade"),
}
"""The commands that end with a code; every command may end with those that are not here."""


def markdown() -> str:
    """``docs/cozypkg.md``"""
    return "\n".join(_markdown()) + "\n"


def _markdown() -> Iterator[str]:
    yield "# cozypkg: reference"
    yield ""
    yield "Generated from the commands by `make generate`; a test fails when it is stale. With a question, read the"
    yield "[guide](cozypkg-guide.md)."
    yield ""
    yield "Data goes to standard output, everything else to standard error. Questions are asked on a terminal only."
    yield ""
    yield "| exit code | when | of which commands |"
    yield "|---|---|---|"
    for code, when in _EXITS.items():
        yield f"| {code.value} | {when} | {', '.join(f'`{name}`' for name in ENDS.get(code, ())) or 'all'} |"
    yield ""
    for name, command in _commands():
        context = click.Context(command, info_name=f"cozypkg {name}")
        yield f"## cozypkg {name}"
        yield ""
        yield f"`{_usage(command, context)}`"
        yield ""
        yield _text(command)
        yield ""
        rows = [record for param in _own(command) if (record := param.get_help_record(context)) is not None]
        if rows:
            yield "| option | meaning |"
            yield "|---|---|"
            for option, meaning in rows:
                yield f"| `{_cell(option)}` | {_cell(meaning)} |"
            yield ""
        yield from _documents(name)
    yield "## Options of every command"
    yield ""
    yield "| option | meaning |"
    yield "|---|---|"
    context = click.Context(cli, info_name="cozypkg")
    for param in cli.params:
        record = param.get_help_record(context)
        if record is not None and param.name in _SHARED:
            yield f"| `{record[0]}` | {' '.join(record[1].split())} |"
    yield ""
    yield "## Rules of `cozypkg lint`"
    yield ""
    yield "| id | name | severity | what |"
    yield "|---|---|---|---|"
    for rule in RULES.values():
        yield f"| {rule.id} | {rule.name} | {rule.severity} | {rule.about} |"


def _documents(name: str) -> Iterator[str]:
    """What the JSON of a command holds."""
    if name in OBJECTS:
        yield "JSON and YAML are objects of the Kubernetes API."
        yield ""
    for document in FORMATS:
        if document.partition(" ")[0] != name:
            continue
        option = "--format" if name in ("dot", "lint") else "-o"
        yield f"What `cozypkg {document} {option} json` holds (a key with `?` only where there is something to say):"
        yield ""
        yield "| key | type | meaning |"
        yield "|---|---|---|"
        for path, kind, meaning in rows(document):
            yield f"| `{path}` | {kind} | {_cell(meaning)} |"
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


_SHARED = ("kubeconfig", "context", "request_timeout", "plain")


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None  # noqa: S101 - COMMANDS is the list that get_command reads
        yield name, command


def _own(command: click.Command) -> list[click.Parameter]:
    return [param for param in command.params if isinstance(param, click.Option) and param.name not in _SHARED]


def _usage(command: click.Command, context: click.Context) -> str:
    return f"{context.info_name} {' '.join(command.collect_usage_pieces(context))}"


def _text(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return text.replace("\b\n", "").strip()


def man_pages() -> dict[str, str]:
    """Man pages by the name of their file, in section 1."""
    pages = {"cozypkg.1": "\n".join(_main_page()) + "\n"}
    for name, command in _commands():
        pages[f"cozypkg-{name}.1"] = "\n".join(_page(name, command)) + "\n"
    return pages


def _main_page() -> Iterator[str]:
    yield from _head("cozypkg", "list, plan, explain and change the packages of a cluster")
    yield ".SH SYNOPSIS"
    yield ".B cozypkg"
    yield "[OPTIONS] COMMAND [ARGS]..."
    yield ".SH COMMANDS"
    for name, about in COMMANDS.items():
        yield ".TP"
        yield f"\\fBcozypkg-{_roff(name)}\\fR(1)"
        yield _roff(about)
    yield from _options(cli.params, click.Context(cli, info_name="cozypkg"))
    yield ".SH EXIT STATUS"
    for code, when in _EXITS.items():
        yield ".TP"
        yield str(code.value)
        yield _roff(when.replace("`", ""))


def _page(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"cozypkg {name}")
    yield from _head(f"cozypkg-{name}", COMMANDS[name].rstrip("."))
    yield ".SH SYNOPSIS"
    yield f".B cozypkg {_roff(name)}"
    yield _roff(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    for paragraph in _text(command).split("\n\n"):
        yield ".PP"
        yield _roff(" ".join(paragraph.split()))
    yield from _options(command.params, context)
    yield ".SH SEE ALSO"
    yield ".BR cozypkg (1)"


def _head(name: str, about: str) -> Iterator[str]:
    yield f'.TH "{name.upper()}" "1" "" "cozypkg {__version__}" "Cozystack"'
    yield ".SH NAME"
    yield f"{_roff(name)} \\- {_roff(about[0].lower() + about[1:])}"


def _options(params: list[click.Parameter], context: click.Context) -> Iterator[str]:
    options = (param for param in params if isinstance(param, click.Option))
    records = [record for param in options if (record := param.get_help_record(context)) is not None]
    if records:
        yield ".SH OPTIONS"
    for option, meaning in records:
        yield ".TP"
        yield f"\\fB{_roff(option)}\\fR"
        yield _roff(" ".join(meaning.split()))


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
