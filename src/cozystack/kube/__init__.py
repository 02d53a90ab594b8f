"""The client side of the Kubernetes API.

======================  ====================================================================
``config``              where the server is and how to log in
``transport``, ``http`` how requests reach it
``errors``              what can go wrong, typed by what a caller can do
``client``              one method a verb, typed by ``Resource``
``store``, ``informer`` a local copy that follows the server, with indexes
``ownership``           what is kept of ``managedFields``
``apply``               server-side apply that is skipped when nothing differs
``discovery``           which resource serves a kind
``manifests``           arbitrary manifests, applied in an order that works
``clock``               time, passed in
======================  ====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cozystack.kube.apply import Applier, ApplyOutcome, needs_apply
from cozystack.kube.client import Call, Client, Listing, Malformed, WatchEvent
from cozystack.kube.clock import Clock, SystemClock, within
from cozystack.kube.config import ClusterConfig, ExecConfig, load_config
from cozystack.kube.discovery import Discovery
from cozystack.kube.informer import ChangeKind, Handler, Informer, Transform
from cozystack.kube.ownership import forget, ownership
from cozystack.kube.store import AppliedFields, Entry, Store, key_of
from cozystack.kube.transport import Response, ResponseStream, Transport

if TYPE_CHECKING:
    from cozystack.kube.http import HttpTransport

__all__ = [
    "AppliedFields",
    "Applier",
    "ApplyOutcome",
    "Call",
    "ChangeKind",
    "Client",
    "Clock",
    "ClusterConfig",
    "Discovery",
    "Entry",
    "ExecConfig",
    "Handler",
    "HttpTransport",
    "Informer",
    "Listing",
    "Malformed",
    "Response",
    "ResponseStream",
    "Store",
    "SystemClock",
    "Transform",
    "Transport",
    "WatchEvent",
    "forget",
    "key_of",
    "load_config",
    "needs_apply",
    "ownership",
    "within",
]


def __getattr__(name: str) -> Any:
    """``HttpTransport`` is loaded when it is asked for: its library takes longer to load than all the rest."""
    if name != "HttpTransport":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from cozystack.kube.http import HttpTransport

    return HttpTransport
