"""Seeded faults as data: a platform of three packages, what is wrong with it, and what must be said of it.

``acme.app`` depends on ``acme.db``, which depends on ``acme.net``; all of it runs, and then a case says what is different:

* ``release``: of ``acme-db/db``: ``failing`` or ``progressing`` with Helm's message; ``absent``; ``unseen``
* ``given``: more objects of the planner, in the short forms of ``support.cases`` (a later one replaces an earlier)
* ``without``: objects of the planner that are not there
* ``objects``: what else the cluster shows. ``Deployment``, ``StatefulSet``, ``DaemonSet`` and ``Job`` of release ``db`` have
  ``pod`` (what their Pod says: ``waiting``, ``terminated``, ``last``, ``restarts``, ``init``, ``image``, ``unscheduled``,
  ``phase``, ``reason``, ``claim``, ``gate``), ``events`` and the fields of their kind; everything else is as in the API

``expect`` names the cause, the object at fault, and what the chain leads through.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cozystack.api import yaml
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.diagnosis import Evidence
from support.cases import build, condition, install, put

CASES = Path(__file__).parent.parent / "cases" / "diagnosis"
Obj = dict[str, Any]


def _source(name: str, *depends_on: str) -> Obj:
    short = name.rpartition(".")[2]
    component = {"name": short, "path": f"system/{short}", "install": {"namespace": f"acme-{short}"}}
    return {
        "kind": "PackageSource",
        "name": name,
        "variants": [{"name": "default", "dependsOn": list(depends_on), "components": [component]}],
    }


def _package(name: str) -> Obj:
    status = {"observedGeneration": 1, "conditions": [condition("Ready", "True", "Ready")]}
    return {"kind": "Package", "name": name, "status": status}


_FETCHED = {
    "conditions": [condition("Ready", "True", "Succeeded")],
    "artifact": {"url": "http://artifacts/acme", "revision": "v1@sha256:1"},
}
_WORLD: list[Obj] = [
    {
        "kind": "OCIRepository",
        "metadata": {"name": "acme-charts", "namespace": "cozy-system"},
        "spec": {"url": "oci://registry.example.org/acme", "interval": "5m"},
        "status": _FETCHED,
    },
    _source("acme.net"),
    _source("acme.db", "acme.net"),
    _source("acme.app", "acme.db"),
    _package("acme.net"),
    _package("acme.db"),
    _package("acme.app"),
    {"kind": "ValuesSecret", "namespaces": ["cozy-system", "acme-net", "acme-db", "acme-app"]},
]


def cases() -> Iterator[tuple[str, Obj]]:
    """Every case by file and sentence."""
    for file in sorted(CASES.glob("*.yaml")):
        for document in yaml.load_all(file.read_bytes(), source=file.name):
            case: Any = document.value
            unknown = case.keys() - {"about", "package", "release", "given", "without", "objects", "expect"}
            if unknown or not {"about", "expect"} <= case.keys():
                raise ValueError(f"{file.name}:{document.line}: unknown {sorted(unknown)}, or no about or expect")
            yield f"{file.stem}: {case['about']}", case


def world(case: Obj) -> tuple[Catalogue, Evidence]:
    items = {(item["kind"], item.get("name", item.get("metadata", {}).get("name", ""))): item for item in _WORLD}
    for item in case.get("given", ()):
        items[item["kind"], item.get("name", item.get("metadata", {}).get("name", ""))] = item
    for text in case.get("without", ()):
        kind, _, name = text.partition("/")
        items.pop((kind, name), None)
    view = build({"given": [item for item in items.values() if item["kind"] != "HelmRelease"]})
    said = case.get("release", {})
    for name in ("acme.net", "acme.db"):
        if view.package(name) is not None:
            change: Obj = {}
            if name == "acme.db" and said:
                change = {"acme-db/db": _release(said)}
            install(view, name, "ready", change)
    for item in items.values():
        if item["kind"] in ("HelmRelease", "Namespace"):
            put(view, item)
    return view, Evidence(made for obj in case.get("objects", ()) for made in _objects(obj))


def _release(said: Any) -> Obj | None:
    if said == "absent":
        return None
    if said == "unseen":
        return {"state": "new"}
    ((how, message),) = said.items()
    if how == "failing":
        failed = [condition(kind, "False", "InstallFailed", message) for kind in ("Ready", "Released")]
        return {"state": "failed", "status": {"conditions": failed}}
    running = [condition("Reconciling", "True", "Progressing", message), condition("Ready", "Unknown", "Progressing", message)]
    return {"state": "new", "status": {"observedGeneration": -1, "conditions": running}}


def _objects(obj: Obj) -> Iterator[Obj]:
    kind = obj["kind"]
    if kind not in ("Deployment", "StatefulSet", "DaemonSet", "Job") or "status" in obj:
        yield from _with_events(obj, obj.get("metadata", {}).get("namespace", ""), obj.get("metadata", {}).get("name", ""))
        return
    name, namespace = obj.get("name", "db"), obj.get("namespace", "acme-db")
    release = {"meta.helm.sh/release-name": "db", "meta.helm.sh/release-namespace": namespace} if namespace == "acme-db" else {}
    if obj.get("hook"):
        release = {"helm.sh/hook": obj["hook"]}
    made: Obj = {
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": release},
        "spec": {"replicas": obj.get("replicas", 1), **obj.get("spec", {})},
        "status": _status(kind, obj),
    }
    yield from _with_events({**made, "events": obj.get("events", ())}, namespace, name)
    owner = (kind, name)
    if kind == "Deployment":
        owner = ("ReplicaSet", f"{name}-1")
        controller = {"kind": kind, "name": name, "controller": True}
        replicas: Obj = {
            "kind": "ReplicaSet",
            "metadata": {"name": f"{name}-1", "namespace": namespace, "ownerReferences": [controller]},
            "spec": {"replicas": 1},
            "events": obj.get("replicaSetEvents", ()),
        }
        yield from _with_events(replicas, namespace, f"{name}-1")
    if "pod" in obj:
        yield from _pod(obj["pod"] or {}, namespace, f"{owner[1]}-0", owner)


def _status(kind: str, obj: Obj) -> Obj:
    conditions = obj.get("conditions", [])
    if kind == "DaemonSet":
        return {"desiredNumberScheduled": 1, "numberReady": obj.get("ready", 0), "conditions": conditions}
    if kind == "Job":
        return {"conditions": conditions}
    ready = obj.get("ready", 0)
    return {"readyReplicas": ready, "updatedReplicas": obj.get("replicas", 1), "conditions": conditions}


def _pod(said: Obj, namespace: str, name: str, owner: tuple[str, str]) -> Iterator[Obj]:
    container: Obj = {"name": "db", "image": said.get("image", "registry.example.org/db:v1"), "state": {"running": {}}}
    if "waiting" in said:
        reason, message = said["waiting"]
        container["state"] = {"waiting": {"reason": reason, "message": message}}
    if "terminated" in said:
        container["state"] = {"terminated": said["terminated"]}
    if "last" in said:
        container["lastState"] = {"terminated": said["last"]}
    container["restartCount"] = said.get("restarts", 0)
    status: Obj = {"phase": said.get("phase", "Running"), "conditions": [{"type": "Ready", "status": "False"}]}
    if said.get("unscheduled"):
        status["phase"] = "Pending"
        status["conditions"].append({"type": "PodScheduled", "status": "False", "message": said["unscheduled"]})
    elif "reason" in said:
        status |= {"phase": "Failed", "reason": said["reason"], "message": said.get("message", "")}
    elif said.get("containers", True):
        status["initContainerStatuses" if said.get("init") else "containerStatuses"] = [container]
    spec: Obj = {}
    if "claim" in said:
        spec["volumes"] = [{"persistentVolumeClaim": {"claimName": said["claim"]}}]
    if "gate" in said:
        spec["readinessGates"] = [{"conditionType": said["gate"]}]
    pod: Obj = {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [{"kind": owner[0], "name": owner[1], "controller": True}],
            **said.get("metadata", {}),
        },
        "spec": spec,
        "status": status,
        "events": said.get("events", ()),
    }
    yield from _with_events(pod, namespace, name)


def _with_events(obj: Obj, namespace: str, name: str) -> Iterator[Obj]:
    yield {key: value for key, value in obj.items() if key != "events"}
    for number, (reason, message) in enumerate(obj.get("events", ())):
        about = {"kind": obj["kind"], "namespace": namespace, "name": name}
        yield {
            "kind": "Event",
            "metadata": {"name": f"{name}.{number}", "namespace": namespace},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "involvedObject": about,
            "lastTimestamp": f"2026-01-01T00:00:{number:02}Z",
        }
