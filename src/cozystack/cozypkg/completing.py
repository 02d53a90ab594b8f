"""What a shell may complete: names of packages, variants and components, from the cluster or the files that the line names.

The shell's script (``cozypkg completion``) runs the program with ``_COZYPKG_COMPLETE`` set; only then this module is loaded. A
cluster that does not answer within two seconds has nothing to say: a shell never waits and never shows an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.session import Session

if TYPE_CHECKING:
    from cozystack.cozypkg.world import World

_PATIENCE = 2.0

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def attach(command: click.Command) -> click.Command:
    """``command`` with completion of what it takes; changes it."""
    for param in command.params:
        completer = _COMPLETERS.get((command.name or "", param.name or "")) or _COMPLETERS.get(("", param.name or ""))
        if completer is not None:
            param._custom_shell_complete = _matching(completer)
    return command


def _matching(completer: Completer) -> Completer:
    def matching(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [item for item in completer(ctx, param, incomplete) if str(item.value).startswith(incomplete)]

    return matching


def _world(ctx: click.Context) -> World | None:
    from cozystack.cozypkg.world import CHOICE, look

    params: dict[str, Any] = {}
    here: click.Context | None = ctx
    while here is not None:
        params = {**{key: value for key, value in here.params.items() if value}, **params}
        here = here.parent
    kubeconfig = params.get("kubeconfig")
    session = Session(
        kubeconfig=Path(kubeconfig) if kubeconfig else None, context=params.get("context"), request_timeout=_PATIENCE
    )
    offline = params.get("offline") or ()
    files = [*(params.get("files") or ()), *([offline] if isinstance(offline, str) else offline)]
    if "-" in files:
        return None
    try:
        return look(session, files, CHOICE)
    except (CommandError, OSError, ValueError):
        return None


def _offered(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Packages that can be installed; after ``NAME=`` their variants."""
    world = _world(ctx)
    if world is None:
        return []
    name, equals, _ = incomplete.partition("=")
    if equals and name in world.sources:
        return [CompletionItem(f"{name}={variant.name}") for variant in world.sources[name].spec.variants]
    return [
        CompletionItem(each, help=f"{len(source.spec.variants)} variants" if len(source.spec.variants) > 1 else None)
        for each, source in sorted(world.sources.items())
    ]


def _installed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    world = _world(ctx)
    return [CompletionItem(name, help=world.packages[name].variant) for name in sorted(world.packages)] if world else []


def _either(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    world = _world(ctx)
    return [CompletionItem(name) for name in sorted(world.sources.keys() | world.packages.keys())] if world else []


def _variants(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Variants of the package that the line is about."""
    world, name = _world(ctx), ctx.params.get("name")
    source = world.sources.get(str(name)) if world is not None and name else None
    if source is None:
        return _offered(ctx, param, incomplete)
    return [CompletionItem(variant.name) for variant in source.spec.variants]


def _components(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Components of the variant that is installed."""
    world, name = _world(ctx), str(ctx.params.get("name") or "")
    if world is None or name not in world.packages or name not in world.sources:
        return []
    variants = [each for each in world.sources[name].spec.variants if each.name == world.packages[name].variant]
    dotted = param.name in ("assigned", "dropped")
    return [CompletionItem(each.name + ("." if dotted else "")) for variant in variants[:1] for each in variant.components]


def _dependencies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    world, name = _world(ctx), str(ctx.params.get("name") or "")
    if world is None or name not in world.sources:
        return []
    return [CompletionItem(each) for each in sorted({each for v in world.sources[name].spec.variants for each in v.depends_on})]


_COMPLETERS: dict[tuple[str, str], Completer] = {
    ("add", "names"): _offered,
    ("plan", "added"): _offered,
    ("plan", "deleted"): _installed,
    ("show", "name"): _either,
    ("why", "name"): _installed,
    ("set", "name"): _installed,
    ("rollback", "name"): _installed,
    ("resume", "name"): _installed,
    ("dot", "package"): _either,
    ("explain", "package"): _installed,
    ("", "names"): _installed,
    ("add", "variants"): _offered,
    ("set", "variants"): _variants,
    ("", "components"): _components,
    ("set", "enabled"): _components,
    ("set", "disabled"): _components,
    ("set", "assigned"): _components,
    ("set", "dropped"): _components,
    ("set", "ignored"): _dependencies,
    ("set", "respected"): _dependencies,
}
