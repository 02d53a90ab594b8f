"""Defaults of Services, of what is behind and before them, and of policies of networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cozystack.apiserver.defaults.maps import Obj, at, fill

_STICKY_SECONDS: Final = 10800


def _service(obj: Obj) -> None:
    spec = at(obj, "spec")
    kind = spec.setdefault("type", "ClusterIP")
    affinity = spec.setdefault("sessionAffinity", "None")
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        at(at(spec, "sessionAffinityConfig"), "clientIP").setdefault("timeoutSeconds", _STICKY_SECONDS)
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort", 0) in (0, ""):
            port["targetPort"] = port.get("port", 0)
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def _endpoints(obj: Obj) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _endpoint_slice(obj: Obj) -> None:
    for port in obj.get("ports") or ():
        fill(port, name="", protocol="TCP")


def _network_policy(obj: Obj) -> None:
    spec = at(obj, "spec")
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _ingress_class(obj: Obj) -> None:
    parameters = at(obj, "spec").get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], None]]] = {
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
}
