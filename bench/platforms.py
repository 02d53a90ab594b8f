"""Platforms of any size as an operator and Flux leave them: what is wanted, and all that there is when it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from bench.objects import NAMESPACES, NOW, external_artifact, installed, platform
from cozystack.api import names
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import JSON, Condition, Object
from cozystack.api.resources import Resource
from cozystack.planner import Catalogue, plan_platform, plan_source
from cozystack.planner.platform import PlatformPlan


def new_and_running(count: int) -> tuple[list[Object], list[Object]]:
    """The objects of a new platform, and of one that is installed."""
    wanted: list[Object] = list(platform(count))
    return wanted, [*wanted, *_flux(wanted)]


def planned(view: Catalogue, objects: Iterable[Object]) -> PlatformPlan:
    """The plan of ``objects``, which are put into ``view``; the values Secret is in every namespace."""
    with view.batch():
        for obj in objects:
            view.put(obj)
        for number in range(NAMESPACES):
            view.set_values_secret(f"ns-{number}")
        view.set_values_secret(names.SYSTEM_NAMESPACE)
    return plan_platform(view)


def with_status(objects: Iterable[Object]) -> Iterator[Object]:
    """``objects`` with the status of Packages and PackageSources, as the operator publishes it."""
    objects = list(objects)
    view = Catalogue()
    planned(view, objects)
    for obj in objects:
        match obj:
            case Package():
                yield msgspec.structs.replace(obj, status=_stamped(view.plan(obj.metadata.name).status))
            case PackageSource():
                yield msgspec.structs.replace(obj, status=_stamped(plan_source(view, obj.metadata.name).status))
            case _:
                yield obj


def as_stored(obj: Object, resource: Resource[Any]) -> dict[str, JSON]:
    """``obj`` as an API server hands it out: with what it fills in, and with who set which field, a third of it all."""
    value: dict[str, Any] = {**msgspec.to_builtins(obj), "apiVersion": resource.api_version, "kind": resource.kind}
    metadata = {"uid": f"uid-{obj.metadata.name}", "resourceVersion": "1", **value["metadata"], "creationTimestamp": NOW}
    marks = {name: part for name, part in metadata.items() if name in ("labels", "annotations", "ownerReferences")}
    wanted = {"f:metadata": _fields(marks), "f:spec": _fields(value.get("spec", {}))}
    entry = {"operation": "Apply", "apiVersion": resource.api_version, "time": NOW, "fieldsType": "FieldsV1"}
    written = [{**entry, "manager": names.PACKAGE_MANAGER, "fieldsV1": wanted}]
    if value.get("status"):
        told = {"operation": "Update", "manager": _reporter(obj), "subresource": "status"}
        written.append({**entry, **told, "fieldsV1": {"f:status": _fields(value["status"])}})
    return {**value, "metadata": {**metadata, "managedFields": written}}


def _fields(value: JSON) -> JSON:
    """The fields of a value, as ``managedFields`` lists them."""
    if isinstance(value, dict):
        return {f"f:{name}": _fields(part) for name, part in value.items()}
    if isinstance(value, list | tuple) and value and all(isinstance(item, dict) and "type" in item for item in value):
        keys = (msgspec.json.encode({"type": item["type"]}).decode() for item in value)
        return {f"k:{key}": {".": {}, **_fields(item)} for key, item in zip(keys, value, strict=True)}
    return {}


def _reporter(obj: Object) -> str:
    if isinstance(obj, Package | PackageSource):
        return "cozystack-operator"
    return "helm-controller" if isinstance(obj, HelmRelease) else "source-controller"


def _stamped(status: Any) -> Any:
    """A status as it is published: the planner leaves times to who publishes."""
    conditions: tuple[Condition, ...] = status.conditions
    stamped = tuple(msgspec.structs.replace(each, last_transition_time=NOW) for each in conditions)
    return msgspec.structs.replace(status, conditions=stamped)


def _flux(wanted: Iterable[Object]) -> Iterator[Object]:
    """All that exists when the platform runs, made of what its plan wants."""
    view = Catalogue()
    plan = planned(view, wanted)
    for source in plan.sources.values():
        if source.generator is None:
            continue
        ready = Condition("Ready", "True", "Succeeded", "", "", 1)
        generator = msgspec.structs.replace(source.generator)
        generator.metadata = msgspec.structs.replace(generator.metadata, generation=1)
        generator.status = msgspec.structs.replace(generator.status, conditions=(ready,), observed_sources_digest="sha256:0")
        yield generator
        for artifact in generator.spec.artifacts:
            yield external_artifact(artifact.name, source.name)
    for namespace in plan.namespaces.values():
        if namespace.desired is not None:
            yield namespace.desired
    for package in plan.packages.values():
        for release in package.releases:
            yield installed(release.desired)
