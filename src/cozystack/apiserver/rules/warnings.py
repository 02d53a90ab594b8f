"""What is only said of an object: what will not work any more, and what is not what it seems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from cozystack.apiserver.quantities import quantity

Obj = dict[str, Any]
Texts = Iterator[str]

_GONE: Final = (
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
)
_SECCOMP: Final = "seccomp.security.alpha.kubernetes.io/pod"
_INGRESS_CLASS: Final = "kubernetes.io/ingress.class"


def warnings_of(obj: Obj, *, new: bool) -> list[str]:
    """What is said of an object that is about to be stored; some of it only when it is ``new``."""
    function = _BY_KIND.get((obj["apiVersion"], obj["kind"]))
    return list(function(obj, new)) if function is not None else []


def _of_pod(spec: Obj, metadata: Obj, path: str, place: str) -> Texts:
    """Of a Pod or a template: ``path`` is that of its spec, ``place`` that of its metadata."""
    for index, each in enumerate(spec.get("topologySpreadConstraints") or ()):
        if each.get("labelSelector") is None:
            where = f"{path}.topologySpreadConstraints[{index}].labelSelector"
            yield f"{where}: a null labelSelector results in matching no pod"
    for index, volume in enumerate(spec.get("volumes") or ()):
        for kind, why in _GONE:
            if kind in volume:
                yield f"{path}.volumes[{index}].{'storageOS' if kind == 'storageos' else kind}: {why}"
    yield from _twice(spec, path, "hostAliases", "ip")
    yield from _twice(spec, path, "imagePullSecrets", "name")
    for index, each in enumerate(spec.get("imagePullSecrets") or ()):
        if not each.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
    if "seccompProfile" not in (spec.get("securityContext") or {}) and _SECCOMP in (metadata.get("annotations") or ()):
        yield f'{place}.annotations[{_SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    containers = [
        (f"{path}.{field}[{index}]", container)
        for field in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(field) or ())
    ]
    for where, container in containers:
        yield from _of_container(container, where)
    yield from _of_ports(containers)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"


def _twice(spec: Obj, path: str, field: str, name: str) -> Texts:
    seen: set[str] = set()
    for index, each in enumerate(spec.get(field) or ()):
        value = each.get(name, "")
        if value in seen:
            yield f'{path}.{field}[{index}].{name}: duplicate {name} "{value}"'
        seen.add(value)


def _of_container(container: Obj, path: str) -> Texts:
    resources = container.get("resources") or {}
    for name in ("memory", "ephemeral-storage"):
        for field in ("limits", "requests"):
            text = (resources.get(field) or {}).get(name)
            if text is not None and quantity(text).number.denominator != 1:
                where = f"{path}.resources.{field}[{name}]"
                yield f'{where}: fractional byte value "{text}" is invalid, must be an integer'
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"
        hides = variable.get("valueFrom") is not None or value == reference or reference not in value
        if name in seen and hides:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _of_ports(containers: list[tuple[str, Obj]]) -> Texts:
    ports = [
        (f"{path}.ports[{index}]", port)
        for path, container in containers
        for index, port in enumerate(container.get("ports") or ())
    ]
    known: dict[tuple[int, str], list[tuple[str, Obj]]] = {}
    for where, port in ports:
        others = known.setdefault((port.get("containerPort", 0), port.get("protocol", "TCP")), [])
        for place, other in others:
            host, there = port.get("hostPort", 0), other.get("hostPort", 0)
            if (port.get("hostIP", ""), host) == (other.get("hostIP", ""), there):
                yield f"{where}: duplicate port definition with {place}"
            elif host == 0 or there == 0:
                yield f"{where}: overlapping port definition with {place}"
            elif host == there and bool(port.get("hostIP")) != bool(other.get("hostIP")):
                yield f"{where}: dangerously ambiguous port definition with {place}"
        others.append((where, port))
    names: dict[str, str] = {}
    for where, port in ports:
        name = port.get("name")
        if name and name in names:
            first = names[name]
            said = f"services and probes that select ports by name will use {first}"
            yield f'{where}: duplicate port name "{name}" with {first}, {said}'
        elif name:
            names[name] = where


def _pod(obj: Obj, new: bool) -> Texts:
    yield from _of_pod(obj.get("spec") or {}, obj["metadata"], "spec", "metadata")


def _template(obj: Obj, new: bool) -> Texts:
    template = (obj.get("spec") or {}).get("template") or {}
    path = "spec.template"
    yield from _of_pod(template.get("spec") or {}, template.get("metadata") or {}, f"{path}.spec", f"{path}.metadata")


def _cron_job(obj: Obj, new: bool) -> Texts:
    name = obj["metadata"].get("name", "")
    if new and "." in name:
        why = "this is used in Pod names and hostnames, which can result in surprising behavior"
        yield f"metadata.name: {why}; a DNS label is recommended: [must not contain dots]"
    template = ((obj.get("spec") or {}).get("jobTemplate", {}).get("spec") or {}).get("template") or {}
    path = "spec.jobTemplate.spec.template"
    yield from _of_pod(template.get("spec") or {}, template.get("metadata") or {}, f"{path}.spec", f"{path}.metadata")


def _service(obj: Obj, new: bool) -> Texts:
    spec = obj.get("spec") or {}
    kind, headless = spec.get("type", "ClusterIP"), spec.get("clusterIP") == "None"
    if headless and kind == "ClusterIP":
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.get("externalIPs"):
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    elif spec.get("externalIPs") and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if kind == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _endpoints(obj: Obj, new: bool) -> Texts:
    yield "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


def _ingress(obj: Obj, new: bool) -> Texts:
    if new and _INGRESS_CLASS in (obj["metadata"].get("annotations") or ()):
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


_BY_KIND: Final[dict[tuple[str, str], Callable[[Obj, bool], Texts]]] = {
    ("v1", "Pod"): _pod,
    ("v1", "Service"): _service,
    ("v1", "Endpoints"): _endpoints,
    ("v1", "ReplicationController"): _template,
    ("apps/v1", "DaemonSet"): _template,
    ("apps/v1", "Deployment"): _template,
    ("apps/v1", "ReplicaSet"): _template,
    ("apps/v1", "StatefulSet"): _template,
    ("batch/v1", "CronJob"): _cron_job,
    ("batch/v1", "Job"): _template,
    ("networking.k8s.io/v1", "Ingress"): _ingress,
}
