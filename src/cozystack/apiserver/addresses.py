"""Addresses and ports that Services get.

The first choice depends on the name alone, so that a service that is made again usually gets its old address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

Obj = dict[str, Any]

_PREFIX: Final = "10.96."
_HOSTS: Final = range(2, 65_535)
_NODE_PORTS: Final = range(30_000, 32_768)
_FIRST: Final = ("default", "kubernetes")


def allocate(service: Obj, others: Iterable[Obj]) -> None:
    """Give a service the cluster address and the node ports that it lacks, none that ``others`` have; changes ``service``."""
    spec = service["spec"]
    kind = spec.get("type")
    wants_address = kind != "ExternalName" and not spec.get("clusterIP")
    ports = [port for port in spec.get("ports") or () if not port.get("nodePort")]
    wants_ports = bool(ports) and (
        kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))
    )
    wants_check = (
        kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local" and not spec.get("healthCheckNodePort")
    )
    if not wants_address and not wants_ports and not wants_check:
        return
    addresses, taken = _taken(others)
    name = (service["metadata"].get("namespace", ""), service["metadata"]["name"])
    if wants_address:
        spec["clusterIP"] = _address(name, addresses)
        spec["clusterIPs"] = [spec["clusterIP"]]
    if wants_ports:
        taken |= {port["nodePort"] for port in spec["ports"] if port.get("nodePort")}
        for port in ports:
            port["nodePort"] = _free(_seed(*name, str(port.get("port"))), _NODE_PORTS, taken)
            taken.add(port["nodePort"])
    if wants_check:
        taken |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
        spec["healthCheckNodePort"] = _free(_seed(*name, "health"), _NODE_PORTS, taken)


def _taken(services: Iterable[Obj]) -> tuple[set[str], set[int]]:
    addresses: set[str] = set()
    ports: set[int] = set()
    for service in services:
        spec = service.get("spec") or {}
        addresses.add(spec.get("clusterIP", ""))
        ports |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
        ports.add(spec.get("healthCheckNodePort", 0))
    return addresses, ports


def _address(name: tuple[str, str], taken: set[str]) -> str:
    if name == _FIRST:
        return f"{_PREFIX}0.1"
    numbers = {_number(address) for address in taken if address.startswith(_PREFIX)}
    host = _free(_seed(*name), _HOSTS, numbers)
    return f"{_PREFIX}{host // 256}.{host % 256}"


def _number(address: str) -> int:
    high, _, low = address.removeprefix(_PREFIX).partition(".")
    return int(high) * 256 + int(low) if high.isdecimal() and low.isdecimal() else 0


def _free(seed: int, among: range, taken: set[int]) -> int:
    """The first number from ``seed`` on that is not taken; the seed's own when all are."""
    for step in range(len(among)):
        number = among[(seed + step) % len(among)]
        if number not in taken:
            return number
    return among[seed % len(among)]


def _seed(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join(parts).encode()).digest()[:8], "big")
