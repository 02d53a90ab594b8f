"""LimitRanges: what a container gets when it says nothing, and between which bounds everything has to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cozystack.apiserver.plugins.amounts import Amounts, of_pod, read
from cozystack.apiserver.plugins.write import Write
from cozystack.apiserver.quantities import NOTHING, quantity

Obj = dict[str, Any]

_SAID: Final = "kubernetes.io/limit-ranger"
_CONTAINERS: Final = (("containers", "container"), ("initContainers", "init container"))


def default(write: Write) -> None:
    """Containers of a new Pod get the defaults of each LimitRange."""
    if not write.is_new or write.subresource:
        return
    for limit_range in _ranges(write):
        requests: Obj = {}
        limits: Obj = {}
        for item in limit_range["spec"].get("limits") or ():
            if item.get("type") == "Container":
                requests |= item.get("defaultRequest") or {}
                limits |= item.get("default") or {}
        said = [
            text
            for field, shown in _CONTAINERS
            for container in write.obj["spec"].get(field) or ()
            for text in _filled(container, shown, requests, limits)
        ]
        if said:
            annotations = write.obj["metadata"].setdefault("annotations", {})
            annotations[_SAID] = "LimitRanger plugin set: " + "; ".join(said)


def _filled(container: Obj, shown: str, requests: Obj, limits: Obj) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for field, word, defaults in (("requests", "request", requests), ("limits", "limit", limits)):
        missing = sorted(name for name in defaults if name not in (resources.get(field) or {}))
        if missing:
            resources[field] = {**(resources.get(field) or {}), **{name: defaults[name] for name in missing}}
            yield f"{', '.join(missing)} {word} for {shown} {container.get('name', '')}"


def judge(write: Write) -> None:
    """Raises ``ApiError`` when a Pod or a claim is out of bounds."""
    changed = write.old is not None and write.info.kind == "Pod" and write.subresource != "resize"
    if changed or write.subresource not in ("", "resize"):
        return
    if write.old is not None and "deletionTimestamp" in write.old["metadata"]:
        return
    for limit_range in _ranges(write):
        faults = [fault for item in limit_range["spec"].get("limits") or () for fault in _faults(write, item)]
        if faults:
            raise write.forbidden(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _ranges(write: Write) -> Iterator[Obj]:
    for stored in write.storage.objects("/limitranges", write.namespace):
        yield stored.object


def _faults(write: Write, item: Obj) -> Iterator[str]:
    kind, spec = item.get("type", ""), write.obj["spec"]
    if write.info.kind == "PersistentVolumeClaim":
        if kind == "PersistentVolumeClaim":
            requests = read((spec.get("resources") or {}).get("requests"))
            for name, amount in (item.get("min") or {}).items():
                yield from _below(kind, name, amount, requests, {})
            for name, amount in (item.get("max") or {}).items():
                yield from _above(kind, name, amount, requests, None)
    elif kind == "Pod":
        yield from _out_of(item, kind, of_pod(spec, "requests"), of_pod(spec, "limits"))
    elif kind == "Container":
        for field, _ in _CONTAINERS:
            for container in spec.get(field) or ():
                resources = container.get("resources") or {}
                yield from _out_of(item, kind, read(resources.get("requests")), read(resources.get("limits")))


def _out_of(item: Obj, kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, amount in (item.get("min") or {}).items():
        yield from _below(kind, name, amount, requests, limits)
    for name, amount in (item.get("max") or {}).items():
        yield from _above(kind, name, amount, requests, limits)
    for name, amount in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _apart(kind, name, amount, requests, limits)


def _below(kind: str, name: str, least: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    bound, rule = quantity(least), f"minimum {name} usage per {kind} is {least}"
    if name not in requests:
        yield f"{rule}.  No request is specified"
    elif requests[name].number < bound.number:
        yield f"{rule}, but request is {requests[name].text}"
    elif limits.get(name, bound).number < bound.number:
        yield f"{rule}, but limit is {limits[name].text}"


def _above(kind: str, name: str, most: str, requests: Amounts, limits: Amounts | None) -> Iterator[str]:
    """``limits`` are absent where there are none to be had."""
    bound, rule = quantity(most), f"maximum {name} usage per {kind} is {most}"
    if limits is None:
        if name not in requests:
            yield f"{rule}.  No request is specified"
            return
    elif name not in limits:
        yield f"{rule}.  No limit is specified"
        return
    elif limits[name].number > bound.number:
        yield f"{rule}, but limit is {limits[name].text}"
        return
    if requests.get(name, bound).number > bound.number:
        yield f"{rule}, but request is {requests[name].text}"


def _apart(kind: str, name: str, most: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    rule = f"{name} max limit to request ratio per {kind} is {most}, but"
    request, limit = requests.get(name, NOTHING).number, limits.get(name, NOTHING).number
    if not request:
        yield f"{rule} no request is specified or request is 0"
    elif not limit:
        yield f"{rule} no limit is specified or limit is 0"
    elif limit / request > quantity(most).number:
        yield f"{rule} provided ratio is {float(limit / request):f}"
