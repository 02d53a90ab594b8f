"""How a Package is, told from its status alone, and how far a platform has come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.api.time import parse_time
from cozystack.planner import Catalogue
from cozystack.planner.progress import Progress, Standing, progress, standing

MOMENT = "2026-01-01T00:00:00Z"


def package(name: str = "db", *conditions: tuple[str, ...], **more: Any) -> Package:
    """Conditions are type, status, reason, message."""
    found = [
        dict(zip(("type", "status", "reason", "message"), each, strict=False)) | {"lastTransitionTime": MOMENT}
        for each in conditions
    ]
    status = {"conditions": found, **more.pop("status", {})}
    value = {"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": name, **more}, "status": status}
    return msgspec.convert(value, Package)


READY = ("Ready", "True", "ReconciliationSucceeded", "2 of 2 releases are ready")
MOVING = ("Ready", "Unknown", "Progressing", "1 of 2 releases are ready")
GATED = ("Ready", "False", "DependenciesNotReady", "net is not ready")


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [
        (package("db"), "unknown", "the operator has not looked at it yet"),
        (package("db", READY), "ready", "2 of 2 releases are ready"),
        (package("db", MOVING, ("Reconciling", "True", "Progressing")), "progressing", "1 of 2 releases are ready"),
        (package("db", GATED, ("Reconciling", "True", "DependenciesNotReady")), "waiting", "net is not ready"),
        (package("db", GATED), "waiting", "net is not ready"),
        (package("db", ("Ready", "False", "PackageSourceNotFound", "no source")), "waiting", "no source"),
        (package("db", ("Ready", "False", "HelmReleaseFailed", "no room")), "failed", "no room"),
        (
            package("db", ("Ready", "False", "HelmReleaseFailed", "no room"), ("Reconciling", "True", "Progressing")),
            "failed",
            "no room",
        ),
        (package("db", ("Ready", "False", "X", "a"), ("Stalled", "True", "X", "b")), "failed", "b"),
        (package("db", READY, ("Held", "True", "Paused", "The Package is paused")), "held", "The Package is paused"),
        (package("db", READY, deletionTimestamp=MOMENT), "deleting", "2 of 2 releases are ready"),
        (
            package("db", GATED, status={"blockedBy": [{"reason": "FailingRelease", "message": "net/cni has failed"}]}),
            "waiting",
            "net/cni has failed",
        ),
    ],
)
def test_a_status_says_how_the_package_is(found: Package, state: str, reason: str) -> None:
    how = standing(found)
    assert (how.state, how.reason) == (state, reason)


def test_what_is_held_is_so_since_somebody_held_it() -> None:
    found = package("db", READY, ("Held", "True", "ReleaseSuspended", "Suspended: HelmRelease/db/db"))
    ready, held = found.status.conditions
    later = msgspec.structs.replace(held, last_transition_time="2026-01-02T00:00:00Z")
    status = msgspec.structs.replace(found.status, conditions=(ready, later))
    seen = standing(msgspec.structs.replace(found, status=status))
    assert (seen.state, seen.since) == ("held", parse_time("2026-01-02T00:00:00Z").timestamp())


def test_a_status_of_an_older_generation_is_not_believed() -> None:
    old = package("db", READY, generation=2)
    old.status.conditions = tuple(msgspec.structs.replace(each, observed_generation=1) for each in old.status.conditions)
    how = standing(old)
    assert (how.state, how.reason) == ("progressing", "the operator has not seen its last change yet")


def source(name: str, *needs: str) -> PackageSource:
    spec = {"variants": [{"name": "default", "dependsOn": list(needs)}]}
    return msgspec.convert(
        {"apiVersion": API_VERSION, "kind": "PackageSource", "metadata": {"name": name}, "spec": spec}, PackageSource
    )


def release(package: str) -> HelmRelease:
    metadata = {"name": package, "namespace": "ns", "labels": {"cozystack.io/package": package}}
    value = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": metadata, "spec": {"interval": "5m"}}
    return msgspec.convert(value, HelmRelease)


def test_what_needs_a_look_is_first_and_the_rest_of_the_way_is_estimated() -> None:
    view = Catalogue()
    with view.batch():
        for each in (
            source("net"), source("crds"), source("db", "net", "crds"), source("app", "db"), source("loop", "loop"),
            package("net", READY), package("crds", ("Ready", "False", "X", "broken")), package("db", MOVING),
            package("app", GATED), package("loop", GATED), release("db"),
        ):  # fmt: skip
            view.put(each)
    found = progress(view, durations={Key("ns", "db"): 30.0, Key("ns", "net"): 10.0, Key("ns", "crds"): 20.0})

    def how(name: str, state: Any, wave: int, reason: str) -> Standing:
        return Standing(name=name, variant="default", state=state, wave=wave, reason=reason, since=1767225600.0)

    assert found == Progress(
        packages=(
            how("crds", "failed", 1, "broken"),
            how("db", "progressing", 2, "1 of 2 releases are ready"),
            how("loop", "waiting", 0, "net is not ready"),
            how("app", "waiting", 3, "net is not ready"),
            how("net", "ready", 1, "2 of 2 releases are ready"),
        ),
        counts={"failed": 1, "progressing": 1, "waiting": 2, "ready": 1},
        waves=3,
        remaining=50.0,
    )
    assert not found.done


def test_without_any_duration_nothing_is_estimated() -> None:
    view = Catalogue()
    view.put(package("db", MOVING))
    assert progress(view).remaining is None
    view.put(package("db", READY))
    assert progress(view, durations={Key("ns", "x"): 1.0}).remaining is None
    assert progress(view).done
