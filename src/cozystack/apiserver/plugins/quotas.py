"""ResourceQuotas: how much a namespace may have of anything.

What is used is counted when somebody wants more, so it is never out of date: the status of a quota only tells it. A quota is
about Pods (what they ask for, and how many), claims (sizes, also by class), Services (those with ports of nodes or balancers)
and the number of objects of any kind, ``count/deployments.apps``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cozystack.apiserver.plugins.amounts import Amounts, add, of_pod, read
from cozystack.apiserver.plugins.write import Write
from cozystack.apiserver.preparing import qos_class
from cozystack.apiserver.quantities import NOTHING, Quantity, minus, plus, quantity, rounded_up
from cozystack.apiserver.storage import Storage

Obj = dict[str, Any]

QUOTAS: Final = "/resourcequotas"
_ONE: Final = quantity("1")
_BY_CLASS: Final = ".storageclass.storage.k8s.io/"
_COMPUTED: Final = ("cpu", "memory", "ephemeral-storage")
_CHECKED: Final = ("cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory")
_NAMED: Final = frozenset(
    ("configmaps", "pods", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets")
)
_UNCOUNTED: Final = frozenset(("/events",))


def judge(write: Write) -> None:
    """Raises ``ApiError`` when a write would take more than a quota of its namespace leaves."""
    found = write.storage.objects(QUOTAS, write.namespace)
    if not found:
        return
    resource = write.info.storage_key
    if resource in _UNCOUNTED or not _is_counted(write, resource):
        return
    usage = _usage(resource, write.obj)
    for stored in found:
        _judge_by(write, stored.object, resource, usage)


def _is_counted(write: Write, resource: str) -> bool:
    if write.subresource:
        return write.subresource == "resize"
    if write.is_new:
        return True
    if resource == "/pods":
        before = (write.old or {}).get("spec") or {}
        return ("activeDeadlineSeconds" in before) != ("activeDeadlineSeconds" in write.obj["spec"])
    return resource in ("/services", "/persistentvolumeclaims")


def _judge_by(write: Write, quota: Obj, resource: str, usage: Amounts) -> None:
    hard = read((quota.get("spec") or {}).get("hard"))
    concerned = [name for name in hard if _resource(name) == resource]
    if not concerned or not _in_scope(quota, resource, write.obj):
        return
    name = quota["metadata"]["name"]
    if resource == "/pods":
        missing = _unsaid(write.obj["spec"], [each for each in _CHECKED if each in hard])
        if missing:
            raise write.forbidden(f"failed quota: {name}: must specify {missing}")
    delta = {each: usage[each] for each in concerned if each in usage}
    if write.old is not None and _in_scope(quota, resource, write.old):
        before = _usage(resource, write.old)
        delta = {each: minus(amount, before.get(each, NOTHING)) for each, amount in delta.items()}
    delta = {each: amount for each, amount in delta.items() if amount.number > 0}
    if not delta:
        return
    used = _used(write.storage, quota, write.namespace, list(delta))
    exceeded = [each for each in delta if plus(used[each], delta[each]).number > hard[each].number]
    if exceeded:
        parts = (("requested", delta), ("used", used), ("limited", hard))
        shown = ", ".join(
            f"{word}: {','.join(f'{each}={amounts[each].text}' for each in sorted(exceeded))}" for word, amounts in parts
        )
        raise write.forbidden(f"exceeded quota: {name}, {shown}")


def status_of(storage: Storage, quota: Obj) -> Obj:
    """What a quota allows and what is used of it, as its status tells."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    used = _used(storage, quota, quota["metadata"]["namespace"], list(hard))
    return {"hard": dict(hard), "used": {name: used[name].text for name in hard}}


def _used(storage: Storage, quota: Obj, namespace: str, names: list[str]) -> Amounts:
    total: Amounts = dict.fromkeys(names, NOTHING)
    for resource in {_resource(name) for name in names}:
        for stored in storage.objects(resource, namespace):
            if _in_scope(quota, resource, stored.object):
                add(total, {name: amount for name, amount in _usage(resource, stored.object).items() if name in total})
    return total


def _resource(name: str) -> str:
    """The resource whose objects a name of a quota counts."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return f"{group}/{plural}"
    if name.startswith("services"):
        return "/services"
    if name == "requests.storage" or _BY_CLASS in name:
        return "/persistentvolumeclaims"
    return f"/{name}" if name in _NAMED else "/pods"


def _usage(resource: str, obj: Obj) -> Amounts:
    """What one object uses, by the names that quotas have for it."""
    group, _, plural = resource.partition("/")
    usage: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": _ONE}
    if not group and plural in _NAMED and plural != "pods":
        usage[plural] = _ONE
    spec = obj.get("spec") or {}
    match resource:
        case "/pods":
            if (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                usage["pods"] = _ONE
                usage |= _computed(of_pod(spec, "requests"), of_pod(spec, "limits"))
        case "/services":
            usage |= _of_service(spec)
        case "/persistentvolumeclaims":
            usage |= _of_claim(spec)
    return usage


def _computed(requests: Amounts, limits: Amounts) -> Amounts:
    usage: Amounts = {}
    for name in _COMPUTED:
        if name in requests:
            usage[name] = usage[f"requests.{name}"] = requests[name]
        if name in limits:
            usage[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            usage[name] = usage[f"requests.{name}"] = amount
        elif "/" in name:
            usage[f"requests.{name}"] = amount
    return usage


def _of_service(spec: Obj) -> Amounts:
    kind, ports = spec.get("type"), spec.get("ports") or []
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    count = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    return {
        "services": _ONE,
        "services.nodeports": quantity(str(count)),
        "services.loadbalancers": _ONE if kind == "LoadBalancer" else NOTHING,
    }


def _of_claim(spec: Obj) -> Amounts:
    usage: Amounts = {}
    text = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    size: Quantity | None = None
    if text is not None:
        size = quantity(text) if quantity(text).number.denominator == 1 else quantity(rounded_up(text, 0))
        usage["requests.storage"] = size
    name = spec.get("storageClassName")
    if name:
        usage[f"{name}{_BY_CLASS}persistentvolumeclaims"] = _ONE
        if size is not None:
            usage[f"{name}{_BY_CLASS}requests.storage"] = size
    return usage


def _unsaid(spec: Obj, wanted: list[str]) -> str:
    """What a quota needs to know of each container and is not told."""
    if spec.get("resources"):
        return ""
    missing: dict[str, list[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        told = _computed(read(resources.get("requests")), read(resources.get("limits")))
        for name in wanted:
            if name not in told:
                missing.setdefault(name, []).append(container.get("name", ""))
    return "; ".join(f"{name} for: {','.join(sorted(set(names)))}" for name, names in sorted(missing.items()))


# Scopes


def _in_scope(quota: Obj, resource: str, obj: Obj) -> bool:
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    if not wanted:
        return True
    return resource == "/pods" and all(_matches(each, obj.get("spec") or {}) for each in wanted)


def _matches(scope: Obj, spec: Obj) -> bool:
    match scope.get("scopeName"):
        case "Terminating":
            return "activeDeadlineSeconds" in spec
        case "NotTerminating":
            return "activeDeadlineSeconds" not in spec
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "PriorityClass":
            name, values = spec.get("priorityClassName"), scope.get("values") or ()
            return {
                "In": name in values,
                "NotIn": name not in values,
                "Exists": bool(name),
                "DoesNotExist": not name,
            }.get(scope.get("operator", ""), False)
        case "CrossNamespacePodAffinity":
            return any(_reaches_out(term) for term in _terms(spec.get("affinity") or {}))
    return False


def _terms(affinity: Obj) -> Iterator[Obj]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted.get("podAffinityTerm") or {}


def _reaches_out(term: Obj) -> bool:
    return bool(term.get("namespaces")) or "namespaceSelector" in term
