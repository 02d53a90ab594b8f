"""Apply a set of arbitrary manifests in an order that works: namespaces and CRDs first, admission webhooks last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cozystack.kube.apply import ApplyOutcome
from cozystack.kube.client import Client
from cozystack.kube.discovery import Discovery

Manifest = dict[str, Any]


def in_order(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The manifests in the order to create them, otherwise as they came. Lists (``kind: List``) are unfolded."""
    raise NotImplementedError


async def apply_all(
    client: Client,
    discovery: Discovery,
    manifests: Iterable[Manifest],
    *,
    manager: str,
    force: bool = True,
    namespace: str = "default",
    established_within: float = 60.0,
) -> list[ApplyOutcome[dict[str, Any]]]:
    """Apply each, reading it first and skipping what does not differ.

    Before the first object of a kind that the server does not serve yet, waits (on the client's clock) until it does, at most
    ``established_within`` seconds; then raises ``UnknownKind``. ``namespace`` is for namespaced objects that name none.
    """
    raise NotImplementedError
