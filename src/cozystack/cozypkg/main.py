"""The program ``cozypkg``. A command's module is imported when the command is called: ``--help`` must be quick."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import TextIOWrapper
from keyword import iskeyword
from typing import TextIO

import click

from cozystack import __version__
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import cluster_options
from cozystack.cozypkg.session import Session

COMMANDS = {
    "list": "List the packages that can be installed, or those that are.",
    "show": "Show one package: variants, components, what it needs and who needs it.",
    "search": "Find packages by name or by what is in them.",
    "why": "Say why a package is installed.",
    "status": "Say how the packages are, and what each waits for.",
    "wait": "Wait until packages are ready, gone or accepted.",
    "add": "Add packages and all that they need.",
    "del": "Delete packages and all that need them.",
    "teardown": "Remove the whole platform, in order.",
    "set": "Change the variant, the components or the values of an installed package.",
    "upgrade": "Fetch new versions of what is installed.",
    "rollback": "Roll the releases of a package back, and hold them there.",
    "resume": "Let what is held go on.",
    "export": "Print what is installed, for another cluster.",
    "import": "Install what was exported.",
    "plan": "Show what a change would do.",
    "apply": "Do exactly what a saved plan says.",
    "explain": "Say why packages are not ready, down to the Pod.",
    "dump": "Write what explains a platform into one file, without secrets.",
    "lint": "Find faults in files and package repositories.",
    "dot": "Draw what packages depend on.",
    "push": "Push a package repository to a registry.",
    "pull": "Fetch a package repository from a registry.",
    "verify": "Check that an artifact is what it says.",
    "completion": "Print what makes a shell complete commands and names.",
    "docs": "Print the reference of all commands.",
    "version": "Say the versions of this program and of the cluster.",
}
"""Every command and what it does, in the order of the help; its module is ``commands.<name>``, with ``_`` after a keyword."""


COMPLETING = "_COZYPKG_COMPLETE"
"""Set by a shell that asks for completions."""


class Commands(click.Group):
    """A group that knows its commands by name and loads them by need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name.replace("-", "_")
        command: click.Command = import_module(f"cozystack.cozypkg.commands.{module}").command
        if COMPLETING in os.environ:
            from cozystack.cozypkg.completing import attach

            return attach(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f'there is no command "{args[0]}"{hint}', ctx) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-v", "--version", prog_name="cozypkg", message="%(prog)s version %(version)s")
@cluster_options
def cli(session: Session) -> None:
    """List, plan, explain and change the packages of a cluster."""


def run(args: list[str], session: Session | None = None) -> int:
    """One call of the program with its arguments; the exit code. Nothing is raised on purpose."""
    session = session or Session()
    try:
        with redirect_stdout(session.stdout):
            result = cli.main(args=args, prog_name="cozypkg", standalone_mode=False, obj=session)
        session.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        session.tell("stopped")
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show(session.stderr)
        return Exit.USAGE
    except CommandError as error:
        session.tell(f"cozypkg: {error}")
        return error.code
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has seen enough (click ends the process for that); the interpreter must not write the rest.
        _drop(session.stdout)
        return Exit.FAILED
    except OSError as error:
        _drop(session.stdout)
        where = f"{error.filename}: " if error.filename else ""
        session.tell(f"cozypkg: {where}{(error.strerror or str(error)).lower()}")
        return Exit.FAILED
    return result if isinstance(result, int) else Exit.OK


def _drop(stream: TextIO) -> None:
    """Let nothing more be written to a stream that cannot take it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:
        pass


def _open_what_is_closed() -> None:
    """Standard streams that the caller has closed lead nowhere; else the first socket would take their place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - until the process ends


def main() -> int:
    _open_what_is_closed()
    if isinstance(sys.stdout, TextIOWrapper):
        # What a terminal cannot show is better shown as a question mark than not at all.
        sys.stdout.reconfigure(errors="replace")
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
