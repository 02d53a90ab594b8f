"""The program ``cozystack``: a whole platform on this machine.

Exit codes: 0 ready (or done), 1 not ready or cannot go on, 2 wrong usage, 3 ``status`` of a sandbox that does not run,
130 stopped before it was ready.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Literal

import click
import msgspec
from rich.console import Console

from cozystack import __version__
from cozystack.api import yaml
from cozystack.api.duration import parse_duration
from cozystack.api.resources import HELM_RELEASES, PACKAGES
from cozystack.kube import Client, HttpTransport, SystemClock, load_config
from cozystack.kube.errors import ConnectionFailed, KubeError, NotFound
from cozystack.oci import InvalidReference, Login, OciError, Reference, RegistryClient, logins_from_docker_config
from cozystack.runtime import Log, configure, tune_gc
from cozystack.sandbox.errors import SandboxError
from cozystack.sandbox.progress import Progress, Summary, plan_of, read_catalogue, summarize
from cozystack.sandbox.repository import check_folder, parse_source, push
from cozystack.sandbox.state import State
from cozystack.sandbox.terminal import Terminal, packages_table, summary_of, write_json
from cozystack.sandbox.up import DEFAULT_VARIANT, Options, up

NOT_RUNNING = 3
Output = Literal["text", "json"]


class Duration(click.ParamType[float]):
    """Seconds, from ``90s``, ``5m`` or a plain number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = float(value) if str(value).isdecimal() else parse_duration(str(value)).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0:
            self.fail(f'"{value}" is not longer than nothing', param, ctx)
        return seconds


_state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=".cozystack",
    envvar="COZYSTACK_STATE",
    show_default=True,
    help="Folder of everything that the sandbox keeps.",
)
_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or for programs."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cozystack")
def cli() -> None:
    """A whole platform on this machine: API server, operator, Flux stand-ins, real Helm, your packages."""


@cli.command("up")
@click.option("--once", is_flag=True, help="End as soon as the platform is ready, or cannot become it.")
@click.option("--variant", default="", help=f"Variant of the platform; as before, or {DEFAULT_VARIANT}.")
@click.option("--platform-source", "source", default="", help="Package repository: a folder, oci://, https:// or ssh:// URL.")
@click.option("--platform-source-ref", "ref", default="", help="What to take of a URL: tag=v1, branch=main, digest=sha256:...")
@click.option("--insecure", is_flag=True, help="Fetch an oci:// repository over plain HTTP.")
@click.option("--values", "values_file", type=click.Path(path_type=Path), help="YAML file with values of the platform.")
@click.option("--timeout", type=Duration(), default="5m", show_default=True, help="How long the platform may take.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API server; as before, or a free one.")
@click.option("--helm", default="", help="auto, native, binary, or the path of a helm program (version 4).")
@_output
@_state_dir
def up_command(
    once: bool,
    variant: str,
    source: str,
    ref: str,
    insecure: bool,
    values_file: Path | None,
    timeout: float,
    port: int | None,
    helm: str,
    output: Output,
    state_dir: Path,
) -> None:
    """Bring a platform up, and keep it until Ctrl-C.

    The first time from nothing; later from where it stopped, with the packages as they are now.
    """
    check_machine()
    kind, binary = _helm(helm)
    options = Options(
        state=State(state_dir),
        once=once,
        variant=variant,
        source=source,
        source_ref=ref,
        insecure=insecure,
        values=_values(values_file),
        timeout=timeout,
        port=port or 0,
        helm=kind,
        helm_binary=binary,
    )
    clock = SystemClock()
    terminal = Terminal(Console(stderr=output == "json", highlight=False))

    async def run() -> Summary:
        return await up(options, terminal, clock=clock, log=Log("cozystack.sandbox"))

    with _logging_to(options.state, clock):
        tune_gc()
        summary = asyncio.run(run())
    if output == "json":
        write_json(summary)
    if not summary.ready:
        raise SystemExit(130 if summary.reason == "it was stopped" else 1)


@cli.command("status")
@_output
@_state_dir
def status_command(output: Output, state_dir: Path) -> None:
    """Show the packages and what they wait for; exit code 0 when all are ready."""
    state = State(state_dir)
    if not state.exists or not state.owner():
        raise SandboxError(f"no sandbox runs in {state.folder}; `cozystack up` starts one", code=NOT_RUNNING)
    summary, progress = asyncio.run(_status(state))
    if output == "json":
        write_json(summary)
    else:
        console = Console(highlight=False)
        console.print(packages_table(progress.rows(), 10_000))
        console.print(summary_of(summary), soft_wrap=True)
    raise SystemExit(0 if summary.ready else 1)


async def _status(state: State) -> tuple[Summary, Progress]:
    clock = SystemClock()
    transport = HttpTransport(load_config(state.kubeconfig, None, os.environ), clock=clock)
    client = Client(transport, clock=clock, user_agent=f"cozystack/{__version__}", attempts=1)
    progress = Progress(clock.monotonic)
    plan = None
    try:
        for package in (await client.list(PACKAGES)).items:
            progress.on_package("added", None, package)
        for release in (await client.list(HELM_RELEASES)).items:
            progress.on_release("added", None, release)
        plan = plan_of(await read_catalogue(client), {})
    except NotFound:
        pass
    except ConnectionFailed as error:
        raise SandboxError(f"the API server of {state.folder} cannot be reached: {error}", code=NOT_RUNNING) from error
    finally:
        await transport.close()
    ready = progress.all_say_ready()
    waiting = [row for row in progress.rows() if row.state != "ready"]
    reason = "" if ready else f"{len(waiting)} packages are not" if waiting else "there are no packages yet"
    summary = summarize(progress, plan, ready=ready, reason=reason, kubeconfig=str(state.kubeconfig))
    return msgspec.structs.replace(summary, seconds=0.0), progress


@cli.command("down")
@click.option("--wipe", is_flag=True, help="Forget everything: remove the state folder.")
@_state_dir
def down_command(wipe: bool, state_dir: Path) -> None:
    """Stop the sandbox; its state stays, unless it is wiped."""
    state = State(state_dir)
    owner = state.stop_owner()
    if owner:
        deadline = time.monotonic() + 40
        while state.owner() == owner:
            if time.monotonic() > deadline:
                raise SandboxError(f"the sandbox (process {owner}) did not stop within 40 s")
            time.sleep(0.1)
        click.echo(f"stopped {state.folder}")
    elif not wipe:
        click.echo(f"no sandbox runs in {state.folder}")
    if wipe:
        there = state.folder.exists()
        state.wipe()
        click.echo(f"removed {state.folder}" if there else f"there is no {state.folder}")


@cli.command("push")
@click.argument("reference")
@click.option("--platform-source", "source", default="", help="Folder of the packages; those of this checkout if not given.")
@click.option("--insecure", is_flag=True, help="Push over plain HTTP.")
@click.option(
    "--docker-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with logins; ~/.docker/config.json if there is one.",
)
def push_command(reference: str, source: str, insecure: bool, docker_config: Path | None) -> None:
    """Push a package repository to a registry, as the artifact that Flux fetches: oci://HOST/NAME:TAG."""
    found = parse_source(source)
    if found.kind != "folder":
        raise SandboxError("only a folder can be pushed")
    folder = Path(found.location)
    check_folder(folder)
    try:
        target = Reference.parse(reference)
    except InvalidReference as error:
        raise SandboxError(str(error)) from error

    async def run() -> str:
        async with RegistryClient(logins=_logins(docker_config), insecure=insecure) as client:
            return await push(folder, target, client)

    click.echo(f"oci://{target.repository}@{asyncio.run(run())}")


def _logins(file: Path | None) -> dict[str, Login]:
    path = file or Path.home() / ".docker" / "config.json"
    if file is None and not path.is_file():
        return {}
    try:
        return logins_from_docker_config(path.read_bytes())
    except (OSError, OciError, ValueError) as error:
        raise SandboxError(f"{path} cannot be read: {error}") from error


def check_machine() -> None:
    """Raises ``SandboxError`` where the sandbox cannot run."""
    if sys.platform != "linux":
        raise SandboxError(f"the sandbox runs on Linux; on {platform.system()} use a virtual machine with Linux")


def _helm(text: str) -> tuple[Literal["", "auto", "native", "binary"], Path | None]:
    if text in ("", "auto", "native", "binary"):
        return text, None  # type: ignore[return-value]
    found = shutil.which(text)
    if found is None:
        raise SandboxError(f'--helm: "{text}" is neither auto, native nor binary, and no program either', code=2)
    return "binary", Path(found).absolute()


def _values(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = yaml.load(file.read_bytes(), source=str(file))
    except OSError as error:
        raise SandboxError(f"{file} cannot be read: {error.strerror}") from error
    except yaml.YamlError as error:
        raise SandboxError(str(error)) from error
    if found is not None and not isinstance(found, dict):
        raise SandboxError(f"{file}: values are a map")
    return found or {}


class _logging_to:  # noqa: N801 - a context
    """Logs of the sandbox go to its folder: the terminal is for the platform."""

    def __init__(self, state: State, clock: SystemClock) -> None:
        self._state = state
        self._clock = clock

    def __enter__(self) -> None:
        folder = self._state.folder
        usable = self._state.exists or not folder.exists() or not any(folder.iterdir())
        self._file = None
        if usable:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = (folder / "sandbox.log").open("a")
            except OSError as error:
                raise SandboxError(f"{folder} cannot be used: {error.strerror}") from error
        configure(self._file or sys.stderr, clock=self._clock, style="console", level=logging.INFO)

    def __exit__(self, *_: object) -> None:
        logging.shutdown()
        if self._file is not None:
            self._file.close()


def main() -> int:
    """Run the program; the exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SandboxError as error:
        click.echo(f"cozystack: {error}", err=True)
        return error.code
    except KubeError as error:
        click.echo(f"cozystack: {error}", err=True)
        return 1
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
