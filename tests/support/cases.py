"""Planner cases as data: objects in compact form in, whole values out.

A case is a YAML file with ``about``, ``given`` and ``expect`` (and, rarely, ``settings``). ``base`` names a case whose objects
it starts from: one of the same kind and name is merged over it field by field, ``without`` drops some. Objects are those of
the API; short forms spare what every case would repeat:

* ``name``, ``labels``, ``annotations``, ``generation``, ``deleting`` and so on stand at the top instead of in ``metadata``;
* the fields of a PackageSource's or Package's ``spec`` stand at the top; a source comes from ``acme-charts`` unless it says so;
* a HelmRelease has ``package`` (its label and owner), ``owner`` and ``label`` when these differ, ``chart`` and ``dependsOn``
  (``namespace/name``), and ``state``: one of those in ``STATES``;
* a variant has ``many``: so many components c0, c1 and so on, installed into ``ns``;
* ``kind: ValuesSecret`` and ``kind: Data`` say where the values Secret is (``hasKey: false``: without what releases read of
  it), and what a release holds;
* ``kind: Running`` puts the releases of some Packages there as they are planned, ready, with their artifacts, namespaces and
  Secrets; ``Installed`` does the same without a status; ``but`` says what is different about some.

Each key of ``expect`` names something that ``actual`` computes; what it gives is compared whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cozystack.api import flux, yaml
from cozystack.api.core import Namespace
from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.api.flux import ExternalArtifact, HelmRelease
from cozystack.api.meta import Condition, Key
from cozystack.planner import (
    Catalogue,
    Settings,
    payload,
    plan_namespace,
    plan_package,
    plan_platform,
    plan_removal,
    plan_source,
)
from cozystack.planner.problems import DependencyNotReady, Problem
from cozystack.planner.releases import APPLIED_ANNOTATION

CASES = Path(__file__).parent.parent / "cases" / "planner"
SHA = "0123456789abcdef" * 4
OLD = "fedcba9876543210" * 4
_METADATA = ("name", "namespace", "labels", "annotations", "generation", "uid", "creationTimestamp")
_TYPES: dict[str, Any] = {
    "Namespace": Namespace,
    "ExternalArtifact": flux.ExternalArtifact,
    "ArtifactGenerator": flux.ArtifactGenerator,
    "OCIRepository": flux.OCIRepository,
    "GitRepository": flux.GitRepository,
}


def condition(kind: str, status: str, reason: str, message: str = "", *, generation: int = 1) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": generation,
    }


def release_status(state: str, digest: str = SHA) -> dict[str, Any]:
    """What helm-controller says of a release of generation 1."""
    history = [{"chartVersion": f"1.0.0+{digest[:12]}", "status": "deployed", "version": 1}]
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "lastAttemptedRevisionDigest": f"sha256:{digest}",
        "history": history,
        "conditions": [condition("Ready", "True", "InstallSucceeded", "Helm install succeeded")],
    }
    match state:
        case "ready":
            pass
        case "outdated":
            status = release_status("ready", OLD)
        case "reconciling":
            status["conditions"] = [condition("Reconciling", "True", "Progressing"), *status["conditions"]]
        case "unknown":
            status["conditions"] = [condition("Ready", "Unknown", "Progressing")]
        case "unsettled":
            status["observedGeneration"] = 0
        case "waiting-deployed":
            status["conditions"] = [condition("Ready", "False", "DependencyNotReady", "dependency is not ready")]
        case "waiting":
            status = {"conditions": [condition("Ready", "False", "DependencyNotReady", "dependency is not ready")]}
        case "failed":
            failed = [condition(kind, "False", "InstallFailed", "timed out") for kind in ("Ready", "Released")]
            status |= {"history": [history[0] | {"status": "failed"}], "conditions": failed}
        case "retrying":
            again = [condition("Ready", "Unknown", "Progressing"), condition("Released", "False", "InstallFailed", "timed out")]
            status |= {"history": [history[0] | {"status": "failed"}], "conditions": again}
        case "new":
            status = {}
        case _:
            raise ValueError(f"no such state: {state}")
    return status


def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = dict(yaml.load(path.read_bytes(), source=path.name))
    unknown = case.keys() - {"about", "base", "without", "given", "expect", "settings"}
    if unknown or not case.get("about"):
        raise ValueError(f"{path.name}: a case has about, given, expect and settings, not {sorted(unknown)}")
    if "base" in case:
        items = {_name(item): item for item in load(path.with_name(f"{case['base']}.yaml"))["given"]}
        for item in case.get("given", []):
            items[_name(item)] = items.get(_name(item), {}) | item
        case["given"] = [item for name, item in items.items() if name not in case.get("without", [])]
    return case


def _name(item: dict[str, Any]) -> str:
    return "/".join((item["kind"], item.get("name", ""))).rstrip("/")


def build(case: dict[str, Any]) -> Catalogue:
    settings = msgspec.convert(case.get("settings", {}), Settings)
    view = Catalogue(settings)
    with view.batch():
        for item in case["given"]:
            if item["kind"] not in ("Running", "Installed"):
                put(view, item)
    for item in case["given"]:
        if item["kind"] in ("Running", "Installed"):
            for name in item["packages"]:
                install(view, name, "ready" if item["kind"] == "Running" else "new", item.get("but", {}))
    return view


def put(view: Catalogue, item: dict[str, Any]) -> None:
    item = dict(item)
    kind = item["kind"]
    if kind == "ValuesSecret":
        for namespace in item["namespaces"]:
            view.set_values_secret(namespace, has_key=item.get("hasKey", True))
    elif kind == "Data":
        view.set_release_data(key(item["release"]), item["holds"])
    elif kind == "HelmRelease":
        view.put(release(item))
    else:
        view.put(decode(item))


def decode(item: dict[str, Any]) -> Any:
    item = dict(item)
    kind = item.pop("kind")
    metadata = item.pop("metadata", {}) | {field: item.pop(field) for field in _METADATA if field in item}
    metadata.setdefault("generation", 1)
    metadata.setdefault("uid", f"uid-{metadata['name']}")
    if item.pop("deleting", False):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    value: dict[str, Any] = {"metadata": metadata}
    if "status" in item:
        value["status"] = item.pop("status")
    if kind == "Package":
        return strict(value | {"spec": item}, Package)
    if kind == "PackageSource":
        if "sourceRef" not in item:
            item["sourceRef"] = {"kind": "OCIRepository", "name": "acme-charts", "namespace": "cozy-system"}
        item["variants"] = [_with_many(variant) for variant in item.get("variants", ())]
        return strict(value | {"spec": item}, PackageSource)
    return msgspec.convert(value | item, _TYPES[kind])


def _with_many(variant: dict[str, Any]) -> dict[str, Any]:
    variant = dict(variant)
    for number in range(variant.pop("many", 0)):
        made = {"name": f"c{number}", "path": f"c{number}", "install": {"namespace": "ns"}}
        variant["components"] = [*variant.get("components", []), made]
    return variant


def strict(value: dict[str, Any], kind: type[Any]) -> Any:
    """Decode, and refuse fields that would be passed over: a case with a typo would prove nothing."""
    decoded = msgspec.convert(value, kind)
    again = msgspec.to_builtins(decoded)
    lost = set(value["spec"]) - set(again.get("spec", {}))
    lost = {field for field in lost if value["spec"][field]}
    if lost:
        raise ValueError(f"unknown fields: {sorted(lost)}")
    return decoded


def release(item: dict[str, Any]) -> HelmRelease:
    package = item.get("package", "")
    owner, label = item.get("owner", package), item.get("label", package)
    owner_kind, _, owner_name = owner.rpartition("/")
    namespace, _, name = item["name"].partition("/")
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "generation": 1,
        "labels": ({"cozystack.io/package": label} if label else {}) | item.get("labels", {}),
        "annotations": item.get("annotations", {}),
        "finalizers": item.get("finalizers", []),
    }
    if owner:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": owner_kind or "Package",
                "name": owner_name,
                "uid": item.get("ownerUid", f"uid-{owner_name}"),
                "controller": True,
            }
        ]
    if item.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec: dict[str, Any] = {"interval": "5m0s", "suspend": item.get("suspend", False)}
    if "chart" in item:
        spec["chartRef"] = {"kind": "ExternalArtifact", "name": item["chart"], "namespace": "cozy-system"}
    spec["dependsOn"] = [{"namespace": key(text).namespace, "name": key(text).name} for text in item.get("dependsOn", [])]
    status = release_status(item.get("state", "ready")) | item.get("status", {})
    return msgspec.convert({"metadata": metadata, "spec": spec | item.get("spec", {}), "status": status}, HelmRelease)


def install(view: Catalogue, name: str, state: str, but: dict[str, Any]) -> None:
    """Put what Package ``name`` plans into the view, as if it had been applied and Flux had done its work.

    ``but`` gives what is different about some releases: a state, ``suspend``, fields of ``metadata`` or ``spec``; null leaves
    the release out.
    """
    plan = plan_package(view, name)
    for namespace in plan.namespaces:
        if namespace.desired is not None:
            view.set_namespace(namespace.desired)
        view.set_values_secret(namespace.name)
    for planned in plan.releases:
        changes = but.get(str(planned.key), {})
        if changes is not None:
            install_release(view, planned.desired, changes.get("state", state), changes)


def install_release(view: Catalogue, desired: HelmRelease, state: str, changes: dict[str, Any]) -> None:
    chart = desired.spec.chart_ref
    assert chart is not None
    view.set_artifact(artifact(chart.name))
    live = payload(desired)
    live["metadata"]["generation"] = 1
    for part in ("labels", "annotations"):
        live["metadata"].setdefault(part, {}).update(changes.get(part, {}))
    if changes.get("deleting"):
        live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    live["spec"] |= changes.get("spec", {}) | {"suspend": changes.get("suspend", False)}
    live["status"] = release_status(state) | changes.get("status", {})
    view.set_release(msgspec.convert(live, HelmRelease))


def artifact(name: str, *, source: str = "", digest: str = SHA) -> ExternalArtifact:
    value: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "cozy-system"},
        "status": {"artifact": {"url": f"http://artifacts/{name}", "revision": f"latest@sha256:{digest}"}},
    }
    if source:
        value["spec"] = {"sourceRef": {"kind": "ArtifactGenerator", "name": source, "namespace": "cozy-system"}}
    return msgspec.convert(value, ExternalArtifact)


def key(text: str) -> Key:
    namespace, _, name = text.partition("/")
    return Key(namespace, name)


def actual(view: Catalogue, wanted: dict[str, Any]) -> dict[str, Any]:
    """For each key of ``wanted`` what the plans say."""
    plans = {name: plan_package(view, name) for name in sorted(view.packages)}
    sources = {name: plan_source(view, name) for name in sorted(view.sources)}
    namespaces = {name: plan_namespace(view, name) for name in sorted({*view.target_namespaces, *view.namespaces})}
    result: dict[str, Any] = {}
    for what, expected in wanted.items():
        value: Any
        match what:
            case "objects":
                desired = [source.generator for source in sources.values() if source.generator is not None]
                desired += [namespace.desired for namespace in namespaces.values() if namespace.desired is not None]  # type: ignore[misc]
                desired += [planned.desired for plan in plans.values() for planned in plan.releases]  # type: ignore[misc]
                value = sorted((plain(item) for item in desired), key=_identity)
                result[what] = value
                wanted[what] = sorted(expected, key=_identity)
                continue
            case "releases":
                value = {
                    str(planned.key): _release(planned, expected.get(str(planned.key)) or {})
                    for plan in plans.values()
                    for planned in plan.releases
                }
            case "removals":
                value = {
                    str(removal.key): " ".join(filter(None, (removal.reason, removal.waits_for)))
                    for plan in plans.values()
                    for removal in plan.removals
                }
            case "moves":
                value = [
                    {
                        "component": move.component,
                        "old": str(move.old),
                        "new": str(move.new),
                        "holds": None if move.holds is None else list(move.holds),
                        "permitted": move.permitted,
                    }
                    for plan in plans.values()
                    for move in plan.moves
                ]
            case "wakeUps":
                wakes = [wake for plan in plans.values() for wake in plan.wake_ups]
                value = [f"{wake.key}{' again' if wake.again else ''}" for wake in wakes]
            case "problems":
                every = [problem for source in sources.values() for problem in source.problems]
                every += [problem for namespace in namespaces.values() for problem in namespace.problems]
                every += [problem for plan in plans.values() for problem in plan.problems]
                value = [compact(problem) for problem in dict.fromkeys(every)]
            case "namespaces":
                value = {
                    name: {
                        "action": plan.action,
                        "labels": None if plan.desired is None else plan.desired.metadata.labels,
                    }
                    for name, plan in namespaces.items()
                }
            case "sources":
                value = {
                    name: {
                        "action": plan.action,
                        "deleteStale": plan.delete_stale,
                        "artifacts": [item.name for item in plan.generator.spec.artifacts] if plan.generator else None,
                    }
                    for name, plan in sources.items()
                }
            case "variants":
                value = {name: plan.status.variants for name, plan in sources.items()}
            case "sourceConditions":
                value = {name: conditions(plan.status.conditions) for name, plan in sources.items() if name in expected}
            case "conditions":
                value = {name: conditions(plan.status.conditions) for name, plan in plans.items() if name in expected}
            case "dependencies":
                value = {
                    name: {other: state.ready for other, state in plan.status.dependencies.items()}
                    for name, plan in plans.items()
                    if name in expected
                }
            case "blockedBy":
                value = {
                    name: [{"reason": b.reason, "object": b.object, "chain": list(b.chain)} for b in plan.status.blocked_by]
                    for name, plan in plans.items()
                    if name in expected
                }
            case "gates":
                value = {name: list(plan.gate.waiting_for) for name, plan in plans.items() if name in expected}
            case "running":
                value = {
                    name: {f"{r.namespace}/{r.name}": f"{r.ready} {r.revision}".strip() for r in plan.status.releases}
                    for name, plan in plans.items()
                    if name in expected
                }
            case "cycles":
                value = [list(members) for members in view.loops()]
            case "waves":
                value = [list(wave) for wave in plan_platform(view).waves]
            case "going":
                value = {}
                for name in expected:
                    gone = plan_removal(view, name)
                    value[name] = {
                        "releases": [str(k) for k in gone.releases],
                        "waitsFor": [*gone.waiting_for_packages, *(str(k) for k in gone.waiting_for_releases)],
                        "done": gone.done,
                    }
            case _:
                raise ValueError(f"a case cannot expect {what}")
        result[what] = value
    return result


def conditions(found: tuple[Condition, ...]) -> dict[str, str]:
    return {c.type: f"{c.status} {c.reason}" for c in found}


def compact(problem: Problem) -> dict[str, Any]:
    """A problem as a case writes it: references as text, a cause by its type and subject."""
    value: dict[str, Any] = {"type": type(problem).__name__, "subject": str(problem.subject)}
    for field in problem.__struct_fields__:
        found = getattr(problem, field)
        if field == "subject":
            continue
        if isinstance(problem, DependencyNotReady) and field == "cause":
            found = f"{type(found).__name__} {found.subject}" if found is not None else None
        elif hasattr(found, "kind"):
            found = str(found)
        elif isinstance(found, tuple):
            found = list(found)
        if found not in (None, "", []):
            head, *rest = field.split("_")
            value[head + "".join(part.capitalize() for part in rest)] = found
    return value


def plain(item: Any) -> dict[str, Any]:
    """An object as JSON values, without what we add under our own prefix."""
    value = payload(item)
    annotations = dict(value["metadata"].get("annotations", {}))
    annotations.pop(APPLIED_ANNOTATION, None)
    value["metadata"]["annotations"] = annotations
    if not annotations:
        del value["metadata"]["annotations"]
    return value


def _release(planned: Any, fields: dict[str, Any]) -> dict[str, Any]:
    spec = planned.desired.spec
    value: dict[str, Any] = {}
    for field in fields:
        match field:
            case "dependsOn":
                value[field] = [f"{reference.namespace}/{reference.name}" for reference in spec.depends_on]
            case "action" | "foreign" | "changes":
                found = getattr(planned, field)
                value[field] = list(found) if isinstance(found, tuple) else found
            case "waitsFor":
                value[field] = planned.waits_for
            case "state":
                value[field] = planned.state.phase
            case "chart":
                value[field] = spec.chart_ref.name
            case _:
                value[field] = plain(planned.desired)["spec"].get(field, plain(planned.desired)["metadata"].get(field))
    return value


def _identity(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]
