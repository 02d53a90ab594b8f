"""One call of the program: where the cluster is, how to print, what the environment says.

Everything that a command takes from outside comes through here, so that a test can pass its own: arguments, environment,
streams, time. The cluster is asked only when somebody reads from it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from cozystack import __version__
from cozystack.cozypkg.errors import CommandError

if TYPE_CHECKING:
    from cozystack.kube import Client, Clock, ClusterConfig
    from cozystack.kube.errors import KubeError

T = TypeVar("T")

_IN_ASCII = str.maketrans({"→": "->", "…": "...", "└": "`-", "├": "|-", "│": "|", "─": "-", "✓": "+"})

MANAGER = "cozypkg"
"""Field manager of everything that the program writes."""


@dataclass(slots=True)
class Session:
    """``request_timeout`` in seconds. ``interactive``: both ends are a terminal, so questions may be asked."""

    kubeconfig: Path | None = None
    context: str | None = None
    request_timeout: float = 30.0
    plain: bool = False
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Clock | None = None
    _read: bool = False
    """Whether standard input has been read."""

    @property
    def interactive(self) -> bool:
        return self.stdin.isatty() and self.stderr.isatty()

    @property
    def colour(self) -> bool:
        return self.stdout.isatty() and not self.plain and "NO_COLOR" not in self.env and self.env.get("TERM") != "dumb"

    @property
    def ascii(self) -> bool:
        """Whether the terminal may not know more than ASCII (cozypkg-G4)."""
        return self.plain or "utf" not in (self.stderr.encoding or "").lower().replace("-", "")

    @property
    def server(self) -> str:
        """The address of the cluster; raises ``ConfigError``."""
        from cozystack.kube import load_config

        return load_config(self.kubeconfig, self.context, self.env).server

    def standard_input(self) -> str:
        """All that standard input holds; raises ``CommandError``, also when it is asked for twice: it can be read once."""
        if self._read:
            raise CommandError("standard input is named twice, and can be read once")
        self._read = True
        content = getattr(self.stdin, "buffer", None)
        try:
            # As bytes, where there are any: YAML is UTF-8, whatever the terminal speaks.
            return content.read().decode() if content is not None else self.stdin.read()
        except UnicodeDecodeError as error:
            raise CommandError(f"standard input: byte {error.start + 1} is no UTF-8") from error

    def tell(self, text: str) -> None:
        """A line for the person, not for the data: standard error."""
        self.stderr.write(f"{self._spelt(text)}\n")
        self.stderr.flush()

    def write_lines(self, lines: Iterable[str]) -> None:
        """Data for people: lines on standard output."""
        self.stdout.writelines(f"{self._spelt(line)}\n" for line in lines)

    def _spelt(self, text: str) -> str:
        """Our own signs in ASCII where nothing else may be shown (cozypkg-G4); what others wrote stays."""
        return text.translate(_IN_ASCII) if self.ascii else text

    def on_cluster(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """The result of ``work`` with a client for the cluster; raises ``CommandError`` for whatever it leaves unhandled."""
        from cozystack.cozypkg.http import StreamTransport
        from cozystack.kube import Client, SystemClock, load_config
        from cozystack.kube.errors import KubeError

        config: ClusterConfig | None = None
        clock = self.clock or SystemClock()

        async def run(config: ClusterConfig) -> T:
            transport = StreamTransport(config, clock=clock, interactive=self.interactive)
            try:
                return await work(
                    Client(
                        transport,
                        clock=clock,
                        user_agent=f"cozypkg/{__version__}",
                        attempts=2,
                        timeout=self.request_timeout,
                    )
                )
            finally:
                await transport.close()

        try:
            config = load_config(self.kubeconfig, self.context, self.env)
            return awaited(run(config))
        except KubeError as error:
            raise CommandError(_sentence(error, config)) from error


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work`` in an event loop of its own.

    ``asyncio.run`` takes its signal handler back when it is done, and the module ``signal`` then writes out the repr of the
    task with its whole result: of a platform with 10,000 packages that takes two seconds. So here the task has none.
    """
    import asyncio

    results: list[T] = []

    async def run() -> None:
        results.append(await work)

    asyncio.run(run())
    return results[0]


def _sentence(error: KubeError, config: ClusterConfig | None) -> str:
    """What went wrong between here and the cluster, for a person."""
    from cozystack.kube import errors

    if config is None:
        return str(error)
    match error:
        case errors.Unauthorized():
            user = f"context {config.context}" if config.context else config.source or "this program"
            why = _expired(config) or "have they expired?"
            return f"the cluster at {config.server} does not accept the credentials of {user}: {why}"
        case errors.Forbidden():
            return f"the cluster does not allow it: {error.message}"
        case errors.TooManyRequests():
            return f"the cluster at {config.server} has too much to do: {error.message}"
        case errors.InternalError() | errors.ServerTimeout() | errors.ServiceUnavailable():
            return f"the cluster at {config.server} is not well: {error.message}"
        case errors.ApiError():
            return error.message
        case errors.DecodeError():
            return f"what answers at {config.server} is no Kubernetes (a proxy, a login page?): {error}"
        case errors.ConnectionFailed():
            expired = _expired(config)
            return f"{error}; {expired}" if expired else str(error)
    return str(error)


def _expired(config: ClusterConfig) -> str:
    """That the client certificate has expired, and when; a server that refuses it seldom says so."""
    if not config.client_cert_data:
        return ""
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        until = x509.load_pem_x509_certificate(config.client_cert_data).not_valid_after_utc
    except ValueError:
        return ""
    return f"the client certificate has expired on {until:%Y-%m-%d}" if until < datetime.now(UTC) else ""
