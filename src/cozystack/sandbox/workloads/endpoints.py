"""Where a Service leads: an EndpointSlice and an Endpoints object with the Pods that it selects."""

from __future__ import annotations

from typing import Final

from cozystack.sandbox.workloads.actions import (
    NODE,
    Action,
    Create,
    Obj,
    Patch,
    has_ended,
    is_deleting,
    is_ready,
    owner,
    short_hash,
)

SERVICE_LABEL: Final = "kubernetes.io/service-name"
_HEADLESS: Final = "service.kubernetes.io/headless"
_MANAGED: Final = "endpointslice.kubernetes.io/managed-by"


def reconcile_endpoints(service: Obj, pods: list[Obj], slices: list[Obj], endpoints: Obj | None) -> list[Action]:
    """Actions for a Service, given the Pods, EndpointSlices of its namespace, and the Endpoints of its name."""
    spec, meta = service["spec"], service["metadata"]
    selector = spec.get("selector") or {}
    if is_deleting(service) or not selector or spec.get("type") == "ExternalName":
        return []
    chosen = [
        pod
        for pod in pods
        if selector.items() <= (pod["metadata"].get("labels") or {}).items()
        and not has_ended(pod)
        and pod.get("status", {}).get("podIP")
    ]
    chosen.sort(key=lambda pod: str(pod["metadata"]["name"]))
    everyone = bool(spec.get("publishNotReadyAddresses"))
    return [*_slice(service, chosen, slices, everyone=everyone), *_legacy(meta, spec, chosen, endpoints, everyone=everyone)]


def _slice(service: Obj, pods: list[Obj], slices: list[Obj], *, everyone: bool) -> list[Action]:
    meta, spec = service["metadata"], service["spec"]
    name = f"{meta['name'][:57]}-{short_hash(meta['uid'], 5)}"
    ports = _ports(spec, pods)
    content: Obj = {"endpoints": [_endpoint(pod, everyone=everyone) for pod in pods] or None, "ports": ports or None}
    live = next((item for item in slices if item["metadata"]["name"] == name), None)
    if live is not None:
        changed = {key: value for key, value in content.items() if (live.get(key) or None) != value}
        return [Patch("EndpointSlice", meta["namespace"], name, changed)] if changed else []
    labels = {**(meta.get("labels") or {}), SERVICE_LABEL: meta["name"], _MANAGED: "endpointslice-controller.k8s.io"}
    if spec.get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    metadata = {"name": name, "generateName": f"{meta['name']}-", "namespace": meta["namespace"], "labels": labels}
    metadata["ownerReferences"] = [owner(service)]
    made: Obj = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    return [Create({**made, "addressType": "IPv4", **content})]


def _endpoint(pod: Obj, *, everyone: bool) -> Obj:
    serving, going = is_ready(pod), is_deleting(pod)
    ready = (serving and not going) or everyone
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving or everyone, "terminating": going},
        "nodeName": pod["spec"].get("nodeName", NODE),
        "targetRef": _target(pod),
    }


def _legacy(meta: Obj, spec: Obj, pods: list[Obj], live: Obj | None, *, everyone: bool) -> list[Action]:
    staying = [pod for pod in pods if not is_deleting(pod)]
    ready = [_address(pod) for pod in staying if is_ready(pod) or everyone]
    waiting = [_address(pod) for pod in staying if not (is_ready(pod) or everyone)]
    ports = [{key: value for key, value in port.items() if value} for port in _ports(spec, pods)]
    subset: Obj = {"addresses": ready, "notReadyAddresses": waiting, "ports": ports}
    subsets = [{key: value for key, value in subset.items() if value}] if ready or waiting else []
    if live is not None:
        if (live.get("subsets") or []) == subsets:
            return []
        return [Patch("Endpoints", meta["namespace"], meta["name"], {"subsets": subsets or None})]
    labels = {**(meta.get("labels") or {}), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    if spec.get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    metadata = {"name": meta["name"], "namespace": meta["namespace"], "labels": labels}
    made: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    return [Create({**made, "subsets": subsets} if subsets else made)]


def _ports(spec: Obj, pods: list[Obj]) -> list[Obj]:
    """The ports of Pods that the ports of a Service lead to; a name that no Pod has leads nowhere, and so does no Pod."""
    found: list[Obj] = []
    if not pods:
        return found
    for port in spec.get("ports") or ():
        target = port.get("targetPort", port["port"])
        number = target if isinstance(target, int) else _named(target, pods)
        if number is not None:
            entry: Obj = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            found.append(entry)
    return found


def _named(name: str, pods: list[Obj]) -> int | None:
    for pod in pods:
        for container in pod["spec"].get("containers", ()):
            for port in container.get("ports") or ():
                if port.get("name") == name:
                    return int(port["containerPort"])
    return None


def _address(pod: Obj) -> Obj:
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", NODE), "targetRef": _target(pod)}


def _target(pod: Obj) -> Obj:
    meta = pod["metadata"]
    return {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
