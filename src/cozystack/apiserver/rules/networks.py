"""What Services and Ingresses demand."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from cozystack.apiserver.rules.faults import duplicate, forbidden, invalid, unsupported
from cozystack.apiserver.rules.names import label_faults, qualified_faults, subdomain_faults
from cozystack.apiserver.rules.ports import name_faults, number_errors, port_errors
from cozystack.apiserver.rules.selectors import label_errors, selector_errors
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]
Errors = Iterator[FieldError]

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_ADDRESS_RULE: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_WILDCARD: Final = re.compile(r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WILDCARD_RULE: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case "
    "alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for "
    "validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def _service(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type", "ClusterIP"), spec.get("ports") or []
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        yield required("spec.ports")
    if kind in ("LoadBalancer", "NodePort") and spec.get("clusterIP") == "None":
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        yield from _name_errors(spec)
    names: set[str] = set()
    for index, port in enumerate(ports):
        yield from _port_errors(port, f"spec.ports[{index}]", names, several=len(ports) > 1)
    yield from label_errors(spec.get("selector") or {}, "spec.selector")
    affinity = spec.get("sessionAffinity", "None")
    if affinity not in ("ClientIP", "None"):
        yield unsupported("spec.sessionAffinity", affinity, "ClientIP", "None")
    if kind != "ExternalName":
        yield from _address_errors(spec)
    if kind not in _TYPES:
        yield unsupported("spec.type", kind, *_TYPES)
    yield from _node_port_errors(spec, kind)
    if "allocateLoadBalancerNodePorts" in spec and kind != "LoadBalancer":
        why = "may only be used when `type` is 'LoadBalancer'"
        yield forbidden("spec.allocateLoadBalancerNodePorts", why)
    if "loadBalancerClass" in spec and kind != "LoadBalancer":
        yield forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'")
    yield from _traffic_errors(spec, kind)


def _name_errors(spec: Obj) -> Errors:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    else:
        yield from (invalid("spec.externalName", name, fault) for fault in subdomain_faults(name))


def _port_errors(port: Obj, path: str, names: set[str], *, several: bool) -> Errors:
    name = port.get("name", "")
    if several and not name:
        yield required(f"{path}.name")
    elif name:
        yield from (invalid(f"{path}.name", name, fault) for fault in label_faults(name))
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
    yield from number_errors(f"{path}.port", port.get("port", 0))
    protocol = port.get("protocol", "TCP")
    if protocol not in _PROTOCOLS:
        yield unsupported(f"{path}.protocol", protocol, *_PROTOCOLS)
    yield from port_errors(f"{path}.targetPort", port.get("targetPort", 0))
    if port.get("appProtocol") is not None:
        said = port["appProtocol"]
        yield from (invalid(f"{path}.appProtocol", said, fault) for fault in qualified_faults(said))


def _address_errors(spec: Obj) -> Errors:
    ips = spec.get("clusterIPs") or []
    if ips and spec.get("clusterIP") != ips[0]:
        if spec.get("clusterIP"):
            yield invalid("spec.clusterIPs", ips, "first value must match `clusterIP`")
        else:
            yield invalid("spec.clusterIPs", ips, "must be empty when `clusterIP` is not specified")
    for index, text in enumerate(ips):
        if text != "None" and not _is_address(text):
            yield invalid(f"spec.clusterIPs[{index}]", text, _ADDRESS_RULE)
    for index, text in enumerate(spec.get("externalIPs") or ()):
        if not _is_address(text):
            yield invalid(f"spec.externalIPs[{index}]", text, _ADDRESS_RULE)
    headless = spec.get("clusterIP") == "None" and not spec.get("selector")
    if spec.get("ipFamilyPolicy") == "RequireDualStack" and not headless:
        why = "this cluster is not configured for dual-stack services"
        yield invalid("spec.ipFamilyPolicy", "RequireDualStack", why)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _node_port_errors(spec: Obj, kind: str) -> Errors:
    given: set[tuple[str, int]] = set()
    known: set[tuple[str, int]] = set()
    later: list[FieldError] = []
    for index, port in enumerate(spec.get("ports") or ()):
        where, number, protocol = f"spec.ports[{index}]", port.get("nodePort", 0), port.get("protocol", "TCP")
        if number and kind == "ClusterIP":
            yield forbidden(f"{where}.nodePort", "may not be used when `type` is 'ClusterIP'")
        if number and (protocol, number) in given:
            later.append(duplicate(f"{where}.nodePort", number))
        given.add((protocol, number))
        if (protocol, port.get("port", 0)) in known:
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": port.get("port", 0)}
            later.append(duplicate(where, {**shown, "TargetPort": 0, "NodePort": 0}))
        known.add((protocol, port.get("port", 0)))
    yield from later


def _traffic_errors(spec: Obj, kind: str) -> Errors:
    outside = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    policy = spec.get("externalTrafficPolicy")
    if policy and not outside:
        yield invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    elif policy and policy not in ("Cluster", "Local"):
        yield unsupported("spec.externalTrafficPolicy", policy, "Cluster", "Local")
    if spec.get("healthCheckNodePort") and not (kind == "LoadBalancer" and policy == "Local"):
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], why)
    policy = spec.get("internalTrafficPolicy", "Cluster")
    if policy not in ("Cluster", "Local"):
        yield unsupported("spec.internalTrafficPolicy", policy, "Cluster", "Local")
    wanted = spec.get("trafficDistribution", "PreferClose")
    if wanted not in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        yield unsupported("spec.trafficDistribution", wanted, "PreferClose", "PreferSameZone", "PreferSameNode")


# Ingresses


def _ingress(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        yield from _backend_errors(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        where, host = f"spec.rules[{index}]", rule.get("host", "")
        if host:
            if _is_address(host):
                yield invalid(f"{where}.host", host, "must be a DNS name, not an IP address")
            yield from _host_errors(host, f"{where}.host")
        http = rule.get("http")
        if http is not None:
            if not http.get("paths"):
                yield required(f"{where}.http.paths")
            for place, each in enumerate(http.get("paths") or ()):
                yield from _path_errors(each, f"{where}.http.paths[{place}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for place, host in enumerate(tls.get("hosts") or ()):
            yield from _host_errors(host, f"spec.tls[{index}].hosts[{place}]")
        name = tls.get("secretName", "")
        if name:
            yield from (invalid(f"spec.tls[{index}].secretName", name, fault) for fault in subdomain_faults(name))
    name = spec.get("ingressClassName")
    if name is not None:
        yield from (invalid("spec.ingressClassName", name, fault) for fault in subdomain_faults(name))


def _host_errors(host: str, path: str) -> Errors:
    if "*" not in host:
        yield from (invalid(path, host, fault) for fault in subdomain_faults(host))
    elif _WILDCARD.fullmatch(host) is None:
        yield invalid(path, host, _WILDCARD_RULE)


def _path_errors(each: Obj, path: str) -> Errors:
    kind, text = each.get("pathType"), each.get("path", "")
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            yield invalid(f"{path}.path", text, "must be an absolute path")
        for part in ("//", "/./", "/../", "%2f", "%2F"):
            if part in text:
                yield invalid(f"{path}.path", text, f"must not contain '{part}'")
        for end in ("/..", "/."):
            if text.endswith(end):
                yield invalid(f"{path}.path", text, f"cannot end with '{end}'")
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield invalid(f"{path}.path", text, "must be an absolute path")
    else:
        yield unsupported(f"{path}.pathType", kind, "Exact", "ImplementationSpecific", "Prefix")
    yield from _backend_errors(each.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: Obj, path: str) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif service is not None:
        name = service.get("name", "")
        if not name:
            yield required(f"{path}.service.name")
        else:
            yield from (invalid(f"{path}.service.name", name, fault) for fault in label_faults(name))
        port = service.get("port") or {}
        if port.get("name") and port.get("number"):
            yield invalid(path, "", "cannot set both port name & port number")
        elif port.get("name"):
            yield from (invalid(f"{path}.service.port.name", port["name"], fault) for fault in name_faults(port["name"]))
        elif port.get("number"):
            yield from number_errors(f"{path}.service.port.number", port["number"])
        else:
            yield required(path, "port name or number is required")
    elif resource is None:
        yield invalid(path, "", "resource or service backend is required")


def _network_policy(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from selector_errors(spec.get("podSelector") or {}, "spec.podSelector")
    for direction in ("ingress", "egress"):
        for index, rule in enumerate(spec.get(direction) or ()):
            for place, port in enumerate(rule.get("ports") or ()):
                if port.get("port") is not None:
                    yield from port_errors(f"spec.{direction}[{index}].ports[{place}].port", port["port"])
    kinds = spec.get("policyTypes") or ()
    for index, kind in enumerate(kinds):
        if kind not in ("Ingress", "Egress"):
            yield unsupported(f"spec.policyTypes[{index}]", kind, "Egress", "Ingress")


BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], Errors]]] = {
    ("v1", "Service"): _service,
    ("networking.k8s.io/v1", "Ingress"): _ingress,
    ("networking.k8s.io/v1", "NetworkPolicy"): _network_policy,
}
