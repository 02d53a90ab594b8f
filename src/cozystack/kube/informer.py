"""Keep a store equal to what the server holds, and say what changed.

List (paged), then watch with bookmarks from there; a stream that ends is resumed at the last version seen. When the server no
longer knows that version (410) everything is listed again and compared with the store, so that deletions inside the gap are
told like any other. Handlers are called synchronously, after the store has changed; they must be quick and must not fail.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Generic, Literal, TypeVar

from cozystack.api.resources import Resource
from cozystack.kube.client import Client, Malformed
from cozystack.kube.store import Entry, Store

T = TypeVar("T")

ChangeKind = Literal["added", "updated", "deleted"]
Handler = Callable[[ChangeKind, T | None, T | None], None]
"""Called with the kind of change, the old object (None when added) and the new one (None when deleted)."""

Transform = Callable[[T], Entry[T]]
"""Turns a decoded object into what the store keeps; see ``cozystack.kube.ownership``."""


class Informer(Generic[T]):
    """See the module. ``store`` may be read at any time, and is complete once ``synced``."""

    store: Store[T]

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform[T] | None = None,
        page_size: int = 500,
        random: Random | None = None,
        on_malformed: Callable[[Malformed], None] | None = None,
    ) -> None:
        self.resource = resource

    @property
    def synced(self) -> bool:
        """The first list is in the store (and every handler has been told)."""
        raise NotImplementedError

    async def wait_synced(self) -> None:
        raise NotImplementedError

    def on_change(self, handler: Handler[T]) -> None:
        """Call ``handler`` at every change from now on, in order of registration; objects already known come as added."""
        raise NotImplementedError

    async def run(self) -> None:
        """Follow the server until cancelled. Never raises for what the server or the network does: it tries again."""
        raise NotImplementedError
