"""``python -m e2e build|up|down|status|test``: a real cluster without containers, for a person or for tests.

Exit codes: 0 when it did what it was asked for, 1 when it could not, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from e2e.build import CONTROL_PLANE, EVERYTHING, PROGRAMS, build, cache_folder, path_of
from e2e.cluster import Options, serve
from e2e.errors import E2eError
from e2e.running import PARTS, run
from e2e.state import DEFAULT, Running, State

_LONGEST_STOP = 90.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    state = State(options.state_dir)
    try:
        match options.command:
            case "build":
                build()
            case "up":
                _up(state, node=not options.control_plane_only)
            case "down":
                _down(state, wipe=options.wipe)
            case "status":
                _status(state)
            case "test":
                return run(options.only or PARTS, options.arguments)
            case "serve":
                chosen = {name: getattr(options, name) for name in Options.__struct_fields__}
                asyncio.run(serve(state, Options(**chosen)))
    except E2eError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e", description="A real cluster on this machine, without containers.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="build the programs that are not built yet")
    up = commands.add_parser("up", help="start a cluster that stays until `down`")
    up.add_argument("--control-plane-only", action="store_true", help="no node and no registry: Pods stay pending")
    down = commands.add_parser("down", help="stop it")
    down.add_argument("--wipe", action="store_true", help="forget its state too")
    status = commands.add_parser("status", help="say what runs, and where")
    test = commands.add_parser("test", help="run the end-to-end tests on clusters of their own")
    test.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    test.add_argument("arguments", nargs="*", help="for pytest, after --")
    keep = commands.add_parser("serve", help="keep a cluster running in the foreground")
    keep.add_argument("--node", action="store_true", help="with a node and a registry")
    keep.add_argument("--no-audit", dest="audit", action="store_false", help="write no audit log")
    keep.add_argument("--no-controllers", dest="controllers", action="store_false", help="no kube-controller-manager")
    keep.add_argument("--token", default="", help="the administrator's token (default: a random one)")
    keep.add_argument("--until-stdin-ends", action="store_true", help="stop when the standard input ends")
    for command in (up, down, status, keep):
        command.add_argument("--state-dir", type=Path, default=DEFAULT, help=f"folder of the cluster (default: {DEFAULT})")
    parser.set_defaults(state_dir=DEFAULT)
    return parser


def _up(state: State, *, node: bool) -> None:
    build(EVERYTHING if node else CONTROL_PLANE)
    if state.owner():
        print(f"a cluster runs already in {state.folder}", file=sys.stderr)
        _status(state)
        return
    state.logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "e2e", "serve", "--state-dir", str(state.folder), *(["--node"] if node else [])]
    with (state.logs / "start.log").open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = process.stdout.readline()
    if not line:
        process.wait()
        raise E2eError((state.logs / "start.log").read_text().strip())
    _show(state, msgspec.json.decode(line, type=Running))


def _down(state: State, *, wipe: bool) -> None:
    owner = state.owner()
    if owner:
        os.kill(owner, signal.SIGTERM)
        deadline = time.monotonic() + _LONGEST_STOP
        while state.owner():
            if time.monotonic() > deadline:
                raise E2eError(f"process {owner} has not stopped within {_LONGEST_STOP:.0f} s")
            time.sleep(0.1)
    if wipe:
        state.wipe()


def _status(state: State) -> None:
    folder = cache_folder()
    for program in PROGRAMS:
        path = path_of(program, folder)
        print(f"{program.name:<26}{path if path.is_file() else 'not built'}")
    if state.owner():
        _show(state, state.read())
    else:
        print(f"nothing runs in {state.folder}")


def _show(state: State, running: Running) -> None:
    print(f"{'API server':<26}{running.url}")
    print(f"{'registry':<26}127.0.0.1:{running.ports['registry']}")
    print(f"{'kept by process':<26}{running.pid}")
    print(f"export KUBECONFIG={state.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main())
