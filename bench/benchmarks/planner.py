"""Plan a platform of 10,000 Packages from objects in memory, and plan again after one edit.

``new``: nothing is installed yet. ``installed``: all releases run, their artifacts, generators and namespaces are there, as
an operator finds them when it restarts. Planning includes filling the indexes: from objects to ``plan_platform``.

An edit is what an event does: put the changed object into the view, and plan again what it affects. Edits hit random Packages:
values changed, a release that fails and recovers, a new chart, a variant's dependencies.

All of this is one thread that waits for nothing, so its processor time is measured: what it takes when nobody disturbs it.
"""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from random import Random

import msgspec

from bench.figures import Figure, Hold, Scale, percentile
from bench.objects import HUBS, external_artifact, installed, package_name, values
from bench.platforms import new_and_running, planned
from bench.processes import apart
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Object, ObjectMeta
from cozystack.planner import Affected, Catalogue, plan_namespace, plan_package, plan_source
from cozystack.planner.platform import PlatformPlan
from cozystack.runtime import tune_gc

PACKAGES = 10_000
EDITS = 2_000


def measure(scale: Scale) -> list[Figure]:
    count = scale.objects(PACKAGES)
    memory = apart(_held, count)
    wanted, running = new_and_running(count)
    tune_gc()
    new, _, plan = _planned(wanted, scale.repeat(5))
    assert plan.summary.creates == plan.summary.releases, plan.summary
    seconds, view, plan = _planned(running, scale.repeat(5))
    assert plan.summary.settled == count, plan.summary
    edits = _edits(view, count, scale.objects(EDITS))
    hubs = _hub_edits(view, scale.repeat(10))
    return [
        Figure(f"plan of {count:,} packages, new", new, "s", Hold("<", 3)),
        Figure(f"plan of {count:,} packages, installed", seconds, "s", Hold("<", 3)),
        Figure(f"view and plan of {count:,} packages, memory beside the objects", memory, "MB"),
        Figure("plan after one edit, median", statistics.median(edits), "ms", Hold("<", 5)),
        Figure("plan after one edit, p99", percentile(edits, 99), "ms", Hold("<", 5)),
        Figure("plan after one edit, slowest", max(edits), "ms"),
        Figure(f"plan after a hub with {_dependents(view):,} dependents changed", statistics.median(hubs), "ms"),
    ]


def _held(count: int) -> float:
    """MB that a view and the plan of an installed platform hold beside its objects, as Python's allocator counts them."""
    _, running = new_and_running(count)
    tracemalloc.start()
    view = Catalogue()
    plan = planned(view, running)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    assert len(plan.packages) == len(view.packages) == count
    return held / 1e6


def _planned(objects: Iterable[Object], times: int) -> tuple[float, Catalogue, PlatformPlan]:
    """Seconds from objects to the plan of the platform (median), and the last view and plan."""
    measured = []
    for _ in range(times):
        gc.collect()
        view = Catalogue()
        began = time.thread_time()
        plan = planned(view, objects)
        measured.append(time.thread_time() - began)
    return statistics.median(measured), view, plan


def _edits(view: Catalogue, count: int, times: int) -> list[float]:
    """Milliseconds of each edit."""
    random = Random(times)
    measured = []
    for number in range(times):
        name = package_name(random.randrange(HUBS, count))
        for obj in _edit(view, name, number):
            measured.append(_replanned(view, obj))
    return measured


def _edit(view: Catalogue, name: str, number: int) -> Iterator[Object]:
    """One change of Package ``name``, of the kind that is next; a release that fails recovers with the edit after it."""
    match number % 4:
        case 0:
            package = view.package(name)
            assert package is not None
            spec = msgspec.structs.replace(package.spec, components=values(int(name.rpartition("-")[2]), f"{number}Gi"))
            yield Package(metadata=_next(package), spec=spec, status=package.status)
        case 1:
            live = _release(view, name)
            yield installed(live, ready=False)
            yield installed(live)
        case 2:
            chart = _release(view, name).spec.chart_ref
            assert chart is not None
            artifact = external_artifact(chart.name, name)
            found = artifact.status.artifact
            assert found is not None
            digest = f"{number:064x}"
            artifact.status.artifact = msgspec.structs.replace(
                found, revision=f"latest@sha256:{digest}", digest=f"sha256:{digest}"
            )
            yield artifact
        case 3:
            source = view.source(name)
            assert source is not None
            first, *rest = source.spec.variants
            changed = msgspec.structs.replace(first, depends_on=(*first.depends_on[:-1], package_name(number % HUBS)))
            spec_ = msgspec.structs.replace(source.spec, variants=(changed, *rest))
            yield PackageSource(metadata=_next(source), spec=spec_, status=source.status)


def _hub_edits(view: Catalogue, times: int) -> list[float]:
    """Milliseconds of edits that change the state of the Package with the most dependents, and so touch all of them."""
    live = _release(view, _busiest(view))
    measured = []
    for _ in range(times):
        measured.append(_replanned(view, installed(live, ready=False)))
        measured.append(_replanned(view, installed(live)))
    return measured


def _replanned(view: Catalogue, obj: Object) -> float:
    """Milliseconds of one edit and of planning again what it affects."""
    began = time.thread_time()
    affected = view.put(obj)
    _plan_again(view, affected)
    return (time.thread_time() - began) * 1000


def _plan_again(view: Catalogue, affected: Affected) -> None:
    for name in affected.sources:
        plan_source(view, name)
    for name in affected.packages:
        plan_package(view, name)
    for name in affected.namespaces:
        plan_namespace(view, name)


def _busiest(view: Catalogue) -> str:
    return max((package_name(number) for number in range(HUBS)), key=lambda name: (len(view.dependents(name)), name))


def _dependents(view: Catalogue) -> int:
    return len(view.dependents(_busiest(view)))


def _release(view: Catalogue, name: str) -> HelmRelease:
    live = view.release(view.desired(name)[0].key)
    assert live is not None
    return live


def _next(obj: Object) -> ObjectMeta:
    """The metadata of ``obj`` after its spec was changed."""
    return msgspec.structs.replace(obj.metadata, generation=obj.metadata.generation + 1)
