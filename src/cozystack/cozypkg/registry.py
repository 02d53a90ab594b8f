"""What ``push``, ``pull`` and ``verify`` share: logins, references, one client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from cozystack.cozypkg.errors import CommandError
from cozystack.oci import Login, OciError, Reference, RegistryClient, logins_from_docker_config

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


def registry_options(function: F) -> F:
    """Adds ``--insecure`` and ``--docker-config``."""
    config = click.option(
        "--docker-config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with logins.  [default: config.json of DOCKER_CONFIG or ~/.docker]",
    )
    return click.option("--insecure", is_flag=True, help="Plain HTTP.")(config(function))


def reference_of(text: str) -> Reference:
    if not text.startswith("oci://"):
        raise CommandError(f'"{text}" does not start with oci://')
    try:
        return Reference.parse(text)
    except OciError as error:
        raise CommandError(str(error)) from error


def with_registry(
    work: Callable[[RegistryClient], Awaitable[T]], *, insecure: bool, docker_config: Path | None, env: Mapping[str, str]
) -> T:
    """The result of ``work``; raises ``CommandError``."""

    async def run() -> T:
        async with RegistryClient(logins=_logins(docker_config, env), insecure=insecure) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except OciError as error:
        raise CommandError(str(error)) from error


def _logins(file: Path | None, env: Mapping[str, str]) -> dict[str, Login]:
    usual = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/nonexistent")) / ".docker") / "config.json"
    path = file or usual
    if file is None and not path.is_file():
        return {}
    try:
        return logins_from_docker_config(path.read_bytes())
    except (OSError, OciError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
