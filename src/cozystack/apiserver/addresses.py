"""Addresses and ports that Services get.

The first choice depends on the name alone, so that a service that is made again usually gets its old address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_address
from typing import Any, Final

from cozystack.apiserver.rules.faults import invalid
from cozystack.apiserver.schema import FieldError

Obj = dict[str, Any]

_PREFIX: Final = "10.96."
_NETWORK: Final = IPv4Network(f"{_PREFIX}0.0/16")
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


def faults(service: Obj, old: Obj | None, others: Iterable[Obj], *, dry_run: bool) -> Iterator[FieldError]:
    """What cannot be given to a service, the first of it: an address or a port that is none of ours, or that another has.

    A dry run does not find a port that is none of ours.
    """
    spec, before = service["spec"], (old or {}).get("spec") or {}
    name = (service["metadata"].get("namespace"), service["metadata"]["name"])
    addresses, ports = _taken(
        other for other in others if (other["metadata"].get("namespace"), other["metadata"]["name"]) != name
    )
    address = spec.get("clusterIP") or "None"
    if address not in ("None", before.get("clusterIP")):
        why = "provided IP is already allocated" if address in addresses else ""
        if ip_address(address) not in _NETWORK:
            why = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {_NETWORK}"
        if why:
            yield invalid("spec.clusterIPs", spec.get("clusterIPs"), f"failed to allocate IP {address}: {why}")
            return
    had = {port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
    for index, port in enumerate(spec.get("ports") or ()):
        number = port.get("nodePort")
        if not number or number in had:
            continue
        where = f"spec.ports[{index}].nodePort"
        if number not in _NODE_PORTS and not dry_run:
            why = f"provided port is not in the valid range. The range of valid ports is {_NODE_PORTS[0]}-{_NODE_PORTS[-1]}"
            yield invalid(where, number, why)
            return
        if number in ports:
            yield invalid(where, number, "provided port is already allocated")
            return


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
