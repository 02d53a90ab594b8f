"""``cozystack-operator hand-back``: leave a cluster as the original operator expects it, and exit.

Takes the lease, so that no operator of ours is at work, then removes what only ours understands: the finalizer that orders
deletion, annotations of ours on releases, generators, namespaces and copies of the values, the admission webhook with its
certificates, and the list of what was installed. Values, specs and labels stay; nothing restarts. What a user wrote (a pause, a
permitted move) stays too (D5, D9).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from cozystack.api import names
from cozystack.api.duration import parse_duration
from cozystack.api.meta import Key
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    CONFIG_MAPS,
    HELM_RELEASES,
    NAMESPACES,
    PACKAGES,
    SECRETS,
    Resource,
    untyped,
)
from cozystack.kube import Client, HttpTransport, SystemClock, key_of, load_config
from cozystack.kube.clock import Clock
from cozystack.kube.errors import Conflict, KubeError, NotFound
from cozystack.operator.inventory import INVENTORY
from cozystack.operator.webhook import registration
from cozystack.runtime import LeaderElector

USAGE = "cozystack-operator hand-back [--namespace NAME] [--timeout 60s] [--values-secret NAME]"
_USERS = frozenset((names.PAUSED_ANNOTATION, names.ALLOW_MOVE_ANNOTATION, names.SKIP_VALUES_ANNOTATION))
_ATTEMPTS = 5


def main(arguments: Sequence[str], environment: Mapping[str, str], *, lease: str) -> int:
    """Exit code 0 when nothing of ours is left, 1 when that cannot be done, 2 for wrong arguments."""
    given = {"--namespace": environment.get("POD_NAMESPACE") or names.SYSTEM_NAMESPACE, "--timeout": "60s"}
    given["--values-secret"] = names.VALUES_SECRET
    rest = list(arguments)
    while rest:
        name, has_value, value = rest.pop(0).partition("=")
        if name not in given or not (has_value or rest):
            sys.stderr.write(f'cozystack-operator hand-back: "{name}" is not understood\n{USAGE}\n')
            return 2
        given[name] = value if has_value else rest.pop(0)
    try:
        seconds = parse_duration(given["--timeout"]).total_seconds()
    except ValueError as error:
        sys.stderr.write(f"cozystack-operator hand-back: --timeout: {error}\n")
        return 2
    try:
        changed = asyncio.run(
            _run(environment, lease=Key(given["--namespace"], lease), secret=given["--values-secret"], seconds=seconds)
        )
    except (KubeError, TimeoutError) as error:
        sys.stderr.write(f"cozystack-operator hand-back: {error}\n")
        return 1
    sys.stdout.write(f"handed back: {changed} objects changed\n")
    return 0


async def _run(environment: Mapping[str, str], *, lease: Key, secret: str, seconds: float) -> int:
    clock = SystemClock()
    kubeconfig = environment.get("KUBECONFIG")
    transport = HttpTransport(load_config(Path(kubeconfig) if kubeconfig else None, None, environment), clock=clock)
    try:
        client = Client(transport, clock=clock, user_agent="cozystack-operator")
        return await hand_back(client, clock=clock, lease=lease, secret=secret, seconds=seconds)
    finally:
        await transport.close()


async def hand_back(client: Client, *, clock: Clock, lease: Key, secret: str, seconds: float) -> int:
    """How many objects were changed; raises ``TimeoutError`` when somebody holds the lease for longer than ``seconds``."""
    identity = f"hand-back_{socket.gethostname()}_{os.getpid()}_{Random().getrandbits(32):08x}"  # noqa: S311 - a name
    elector = LeaderElector(
        client,
        namespace=lease.namespace,
        name=lease.name,
        identity=identity,
        clock=clock,
        random=Random(),  # noqa: S311 - spreads retries
    )
    changed = 0
    began = asyncio.Event()

    async def lead() -> None:
        nonlocal changed
        began.set()
        # The webhook first: nobody answers for it any more, and one that fails closed must hold up nobody.
        changed = await remove_own(client, lease.namespace)
        changed += await strip(client, secret)

    leading = asyncio.ensure_future(elector.run(lead))
    limit = asyncio.ensure_future(clock.sleep(seconds))
    started = asyncio.ensure_future(began.wait())
    try:
        await asyncio.wait((leading, started, limit), return_when=asyncio.FIRST_COMPLETED)
        if not started.done() and not leading.done():
            raise TimeoutError(
                f"{elector.holder or 'somebody'} holds the lease {lease} and did not give it back within {seconds:g} s; "
                "stop the operator first"
            )
        await leading
        return changed
    finally:
        for task in (leading, limit, started):
            task.cancel()
        await asyncio.gather(leading, limit, started, return_exceptions=True)


async def strip(client: Client, secret: str) -> int:
    """Remove what is only ours from every object; how many were changed."""
    changed = 0
    selections: tuple[tuple[Resource[Any], dict[str, Any]], ...] = (
        (PACKAGES, {}),
        (HELM_RELEASES, {"label_selector": names.PACKAGE_LABEL}),
        (ARTIFACT_GENERATORS, {"namespace": names.SYSTEM_NAMESPACE}),
        (NAMESPACES, {}),
        (SECRETS, {"field_selector": f"metadata.name={secret}"}),
    )
    for resource, selection in selections:
        plain = _plain(resource)
        try:
            listing = await client.list(plain, **selection)
        except NotFound:
            continue
        for obj in listing.items:
            changed += await _strip_one(client, plain, obj)
    return changed


async def remove_own(client: Client, namespace: str) -> int:
    """Delete the objects that only we have a use for, when they are ours; how many there were."""
    removed = 0
    for resource, key in (
        (registration.CONFIGURATIONS, Key("", registration.NAME)),
        (_plain(SECRETS), Key(namespace, registration.SECRET)),
        (_plain(CONFIG_MAPS), INVENTORY),
    ):
        found = await client.find(resource, key)
        if found is None or not registration.LABELS.items() <= (found["metadata"].get("labels") or {}).items():
            continue
        try:
            await client.delete(resource, key, uid=found["metadata"]["uid"])
        except (NotFound, Conflict):
            continue
        removed += 1
    return removed


async def _strip_one(client: Client, resource: Resource[dict[str, Any]], obj: dict[str, Any]) -> bool:
    for _ in range(_ATTEMPTS):
        patch = _patch(obj)
        if not patch:
            return False
        metadata = {**patch, "resourceVersion": obj["metadata"]["resourceVersion"]}
        try:
            await client.patch(resource, key_of(obj), {"metadata": metadata}, manager=names.OPERATOR_MANAGER)
        except NotFound:
            return False
        except Conflict:
            found = await client.find(resource, key_of(obj))
            if found is None:
                return False
            obj = found
        else:
            return True
    raise TimeoutError(f"{resource.kind} {key_of(obj)} keeps changing")


def _plain(resource: Resource[Any]) -> Resource[dict[str, Any]]:
    """The same resource, with its objects whole."""
    return untyped(resource.group, resource.version, resource.kind, resource.plural, namespaced=resource.namespaced)


def _patch(obj: dict[str, Any]) -> dict[str, Any]:
    """The part of a merge patch that takes our finalizer and annotations off; empty when there are none."""
    metadata = obj["metadata"]
    patch: dict[str, Any] = {}
    finalizers = metadata.get("finalizers") or []
    if names.PACKAGE_FINALIZER in finalizers:
        patch["finalizers"] = [each for each in finalizers if each != names.PACKAGE_FINALIZER]
    ours = [name for name in metadata.get("annotations") or {} if name.startswith(names.OWN_PREFIX) and name not in _USERS]
    if ours:
        patch["annotations"] = dict.fromkeys(ours)
    return patch
