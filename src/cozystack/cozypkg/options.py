"""Options that several commands share.

The options of the cluster are understood before and after the name of a command; the one after it wins (cozypkg-G1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from cozystack.cozypkg.session import Session

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds, from ``90s``, ``5m`` or a plain number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from cozystack.api.duration import parse_duration

        if isinstance(value, float):
            return value
        try:
            seconds = float(value) if str(value).isdecimal() else parse_duration(str(value)).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0:
            self.fail(f'"{value}" is not longer than nothing', param, ctx)
        return seconds


def cluster_options(function: F) -> F:
    """Adds ``--kubeconfig``, ``--context``, ``--request-timeout`` and ``--plain``; passes the ``Session`` first."""

    @click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Path of the kubeconfig.")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig; the current one if not given.")
    @click.option("--request-timeout", type=Duration(), help="How long one request may take.  [default: 30s]")
    @click.option("--plain", is_flag=True, help="No colours, and ASCII only.")
    @click.pass_context
    @wraps(function)
    def wrapped(
        ctx: click.Context,
        /,
        *args: Any,
        kubeconfig: Path | None,
        context: str | None,
        request_timeout: float | None,
        plain: bool,
        **kwargs: Any,
    ) -> Any:
        session = ctx.ensure_object(Session)
        session.kubeconfig = kubeconfig or session.kubeconfig
        session.context = context or session.context
        session.request_timeout = request_timeout or session.request_timeout
        session.plain = plain or session.plain
        return function(session, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


def output_option(*formats: str, default: str = "table") -> Callable[[F], F]:
    return click.option(
        "-o", "--output", type=click.Choice(formats or ("table", "wide", "json", "yaml", "name")), default=default,
        show_default=True, help="How to print.",
    )  # fmt: skip


def files_option(says: str = "Read this file or folder instead of a cluster; - is standard input.") -> Callable[[F], F]:
    return click.option("-f", "--file", "files", multiple=True, metavar="PATH", help=f"{says} Repeatable.")


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
