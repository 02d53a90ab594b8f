"""The program ``cozystack-migrate``: plan, run and follow the migrations of a platform.

Exit codes: 0 done, or nothing to do; 1 failed, or cannot go on before a person has acted; 2 wrong usage; 3 ``status`` and
``plan`` while steps are pending.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

import msgspec

from cozystack import __version__
from cozystack.api import names, yaml
from cozystack.kube import Client, Clock, HttpTransport, SystemClock, load_config
from cozystack.kube.errors import KubeError
from cozystack.migrate import correcting, planning, showing
from cozystack.migrate.generate import OLDEST, extra_rules
from cozystack.migrate.pruning import prune
from cozystack.migrate.rights import give_up_rights
from cozystack.migrate.runner import CannotGoOn, Failed, Runner, Superseded, locked
from cozystack.migrate.scripts import folder_steps
from cozystack.migrate.step import BadStep, Step, in_order, own_steps
from cozystack.migrate.waiting import wait
from cozystack.runtime import LeadershipLost, Log, Service, configure, supervise

PENDING = 3
FOLDER = "/migrations"


@dataclass(frozen=True, slots=True)
class Context:
    """What every command works with."""

    client: Client
    steps: list[Step]
    target: int
    namespace: str
    clock: Clock
    log: Log
    json: bool
    arguments: argparse.Namespace
    environment: Mapping[str, str]


Command: TypeAlias = Callable[[Context], Awaitable[int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    try:
        options = parser(os.environ).parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return _run(options, os.environ)
    except (BadStep, CannotGoOn, Failed, Superseded, LeadershipLost, KubeError, TimeoutError) as error:
        sys.stderr.write(f"cozystack-migrate {options.command}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 1


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The command line. Defaults come from the environment that the hook of the chart gives."""
    common = argparse.ArgumentParser(add_help=False)
    add = common.add_argument
    add(
        "-n",
        "--namespace",
        default=environment.get("NAMESPACE") or names.SYSTEM_NAMESPACE,
        help="of the platform (%(default)s)",
    )
    add(
        "--target",
        type=_number,
        default=environment.get("TARGET_VERSION") or None,
        help="version to reach; that of this program",
    )
    add(
        "--migrations",
        type=Path,
        metavar="DIR",
        default=Path(environment.get("COZYSTACK_MIGRATIONS") or FOLDER),
        help="folder with further steps, modules and scripts (%(default)s)",
    )
    add("--kubeconfig", type=Path, help="file to connect with; $KUBECONFIG, or the service account of the Pod")
    add("-o", "--output", choices=["text", "json"], default="text", help="for people or for programs")
    top = argparse.ArgumentParser(
        prog="cozystack-migrate",
        description="Bring a cluster to where the packages of a release of the platform expect it.",
        epilog="Exit codes: 0 done or nothing to do, 1 failed, 2 wrong usage, 3 steps are pending (plan, status).",
    )
    top.add_argument("--version", action="version", version=f"cozystack-migrate {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, about) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", parents=[common])
        if name == "run":
            command.add_argument("--give-up-rights", metavar="NAME", help="delete roles and bindings of that name afterwards")
        if name == "stamp":
            command.add_argument("number", type=_number, help="the first step that has not been done")
        if name == "prune":
            command.add_argument("packages", nargs="+", metavar="PACKAGE", help="name of a Package")
        if name == "skip":
            command.add_argument("step", help="name of the step")
            command.add_argument("--reason", required=True, help="why; it is kept in the ledger")
    return top


def _run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    clock = SystemClock()
    configure(sys.stderr, clock=clock, style="console", level=logging.INFO)
    steps = in_order([*own_steps(), *folder_steps(options.migrations)])
    highest = max((step.id.number + 1 for step in steps), default=OLDEST)
    target = options.target if options.target is not None else highest
    if options.command == "role":
        sys.stdout.write(yaml.dump(extra_rules(folder_steps(options.migrations))))
        return 0
    return asyncio.run(_connected(options, environment, steps, target, clock))


async def _connected(
    options: argparse.Namespace, environment: Mapping[str, str], steps: list[Step], target: int, clock: Clock
) -> int:
    kubeconfig = options.kubeconfig or (Path(environment["KUBECONFIG"]) if environment.get("KUBECONFIG") else None)
    transport = HttpTransport(load_config(kubeconfig, None, environment), clock=clock)
    client = Client(transport, clock=clock, user_agent=f"cozystack-migrate/{__version__}")
    json = options.output == "json"
    log = Log("cozystack.migrate")
    context = Context(client, steps, target, options.namespace, clock, log, json, options, environment)
    codes: list[int] = []

    async def command() -> None:
        codes.append(await COMMANDS[options.command][0](context))

    try:
        await supervise([Service(options.command, command)], clock=clock, finished=options.command)
    finally:
        await transport.close()
    # Without a code it was told to stop: whoever waits for it must not take that for success.
    return codes[0] if codes else 1


async def _plan(context: Context) -> int:
    planned = await planning.plan(
        context.client,
        context.steps,
        target=context.target,
        namespace=context.namespace,
        clock=context.clock,
        oldest=OLDEST,
    )
    _print(context, planned, showing.planned)
    return 1 if planned.refused else PENDING if planned.steps else 0


async def _status(context: Context) -> int:
    status = await planning.status(
        context.client, context.steps, target=context.target, namespace=context.namespace, oldest=OLDEST
    )
    _print(context, status, showing.status)
    return {"current": 0, "pending": PENDING, "running": PENDING}.get(status.state, 1)


async def _migrate(context: Context) -> int:
    runner = Runner(
        context.client,
        context.steps,
        target=context.target,
        clock=context.clock,
        log=context.log,
        namespace=context.namespace,
        oldest=OLDEST,
        by=__version__,
    )
    pod = context.environment.get("POD_NAME") or socket.gethostname()
    report = await locked(
        runner,
        context.client,
        clock=context.clock,
        identity=f"{pod}_{os.getpid()}_{Random().getrandbits(32):08x}",  # noqa: S311 - a name
        namespace=context.namespace,
        random=Random(),  # noqa: S311 - spreads retries
    )
    result = showing.Ran(report.version, [str(step) for step in report.ran], report.left)
    _print(context, result, showing.ran)
    if context.arguments.give_up_rights:
        try:
            await give_up_rights(context.client, context.arguments.give_up_rights, namespace=context.namespace)
        except KubeError as error:
            # Everything is done; the next upgrade takes them away.
            context.log.warning("the rights of the runner are left", error=str(error))
    return 0


async def _wait(context: Context) -> int:
    version = await wait(
        context.client, namespace=context.namespace, target=context.target, clock=context.clock, log=context.log
    )
    _print(context, showing.Ran(version, [], []), showing.ran)
    return 0


async def _stamp(context: Context) -> int:
    await correcting.stamp(context.client, context.arguments.number, namespace=context.namespace, clock=context.clock)
    sys.stdout.write(f"The cluster is at version {context.arguments.number}.\n")
    return 0


async def _skip(context: Context) -> int:
    step = await correcting.skip(
        context.client,
        context.arguments.step,
        context.arguments.reason,
        steps=[step.id for step in context.steps],
        namespace=context.namespace,
        clock=context.clock,
    )
    sys.stdout.write(f"Step {step} will not run.\n")
    return 0


async def _prune(context: Context) -> int:
    gone, kept = await prune(context.client, context.arguments.packages)
    for name in gone:
        sys.stdout.write(f"Package {name} is being deleted.\n")
    for name, reason in kept.items():
        sys.stdout.write(f"Package {name} stays: {reason}.\n")
    return 0


async def _role(context: Context) -> int:
    raise AssertionError("needs no cluster")


COMMANDS: Mapping[str, tuple[Command, str]] = {
    "plan": (_plan, "show which steps would run and what they would change; changes nothing"),
    "run": (_migrate, "run every step that is pending, one at a time in the whole cluster"),
    "status": (_status, "show where the cluster stands and what became of each step"),
    "wait": (_wait, "wait for the runner that another attempt of the release started"),
    "stamp": (_stamp, "tell the number of an installation that has lost it; never lowers one"),
    "skip": (_skip, "record that a step shall not run in this cluster"),
    "prune": (_prune, "delete Packages that the platform does not emit any more, unless others depend on them"),
    "role": (_role, "print the rules that the steps in the folder need, for the value migrations.extraRules"),
}


def _print(context: Context, value: showing.T, text: Callable[[showing.T], str]) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n" if context.json else text(value))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f'"{text}" is not a number')
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
