"""The metrics that every program has: its requests, its reconciles, its queues, its caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cozystack.kube.client import Call
from cozystack.kube.informer import Informer
from cozystack.runtime.controller import Controller, Reconciled
from cozystack.runtime.metrics import Registry


def count_requests(registry: Registry) -> Callable[[Call], None]:
    """What a ``Client`` is given as ``observe``. Status ``0`` means that no answer came."""
    total = registry.counter("cozystack_requests_total", "Requests to the API server", ("verb", "resource", "status"))
    seconds = registry.histogram("cozystack_request_seconds", "Duration of requests, watches until they open", ("verb",))

    def observe(call: Call) -> None:
        total.inc(verb=call.verb, resource=call.resource, status=str(call.status))
        seconds.observe(call.seconds, verb=call.verb)

    return observe


def count_reconciles(registry: Registry) -> Callable[[Reconciled], None]:
    """What a ``Controller`` is given as ``observe``."""
    total = registry.counter("cozystack_reconciles_total", "Reconciles by outcome", ("controller", "outcome"))
    seconds = registry.histogram("cozystack_reconcile_seconds", "Duration of reconciles", ("controller",))

    def observe(run: Reconciled) -> None:
        total.inc(controller=run.controller, outcome=run.outcome)
        seconds.observe(run.seconds, controller=run.controller)

    return observe


def show_controller(registry: Registry, controller: Controller) -> None:
    """Gauges of a controller's queue, read when somebody looks."""
    labels = {"controller": controller.name}
    about = "Keys of controllers: ready and waiting for a worker, waiting for a time, running"
    for state, read in (
        ("ready", lambda: controller.queued),
        ("delayed", lambda: controller.delayed),
        ("running", lambda: controller.running),
    ):
        registry.collect("cozystack_controller_keys", about, read, {**labels, "state": state})


def show_informer(registry: Registry, informer: Informer[Any]) -> None:
    """Gauges of an informer's cache, read when somebody looks."""
    labels = {"resource": str(informer.resource)}
    registry.collect("cozystack_cache_objects", "Objects in caches", lambda: len(informer.store), labels)
    registry.collect("cozystack_cache_lists", "How often everything was listed", lambda: informer.lists, labels)
    registry.collect("cozystack_cache_watches", "How often a watch was opened", lambda: informer.watches, labels)
