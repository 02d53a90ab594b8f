"""What else a workload finds in a cluster: addresses of load balancers, aggregated APIs that answer, a node.

All of it is simulated, and says so in its messages.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from cozystack.api.time import format_time
from cozystack.sandbox.workloads.actions import Action, Note, Obj, is_deleting, status_action
from cozystack.sandbox.workloads.scheduling import NODE_LABELS

_COMPONENT: Final = "service-controller"


def addresses_of(service: Obj) -> list[str]:
    """The addresses that a Service has as a load balancer."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    return [entry["ip"] for entry in ingress if "ip" in entry]


def reconcile_load_balancer(service: Obj, taken: set[str]) -> list[Action]:
    """A load balancer gets an address of its own out of the range that is kept for documentation (RFC 5737).

    ``taken`` are the addresses of the others. A Service that is none any more loses it.
    """
    if is_deleting(service):
        return []
    live = service.get("status", {}).get("loadBalancer", {}).get("ingress")
    if service["spec"].get("type") != "LoadBalancer":
        return status_action(service, {"loadBalancer": {"ingress": None}}) if live else []
    if live:
        return []
    first = hashlib.sha256(service["metadata"]["uid"].encode()).digest()[0]
    free = (ip for step in range(254) if (ip := f"203.0.113.{(first + step) % 254 + 1}") not in taken)
    address = service["spec"].get("loadBalancerIP") or next(free, f"203.0.113.{first % 254 + 1}")
    return [
        Note(service, _COMPONENT, "EnsuringLoadBalancer", "Ensuring load balancer"),
        *status_action(service, {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}),
        Note(service, _COMPONENT, "EnsuredLoadBalancer", "Ensured load balancer (simulated: nothing listens there)"),
    ]


def reconcile_api_service(item: Obj, now: datetime) -> list[Action]:
    """An aggregated API whose Pods are simulated counts as available."""
    if is_deleting(item):
        return []
    conditions = item.get("status", {}).get("conditions", ())
    if any(c["type"] == "Available" and c["status"] == "True" for c in conditions):
        return []
    available: Obj = {
        "type": "Available",
        "status": "True",
        "reason": "Simulated",
        "message": "the Pods behind this API are simulated; it counts as available",
        "lastTransitionTime": format_time(now),
    }
    return status_action(item, {"conditions": [available]})


def node(version: str) -> Obj:
    """The one node of the sandbox, without its status."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE_LABELS["kubernetes.io/hostname"],
            "labels": dict(NODE_LABELS),
            "annotations": {"sandbox.cozystack.io/kubelet": f"stand-in, {version}"},
        },
    }


def node_status(now: datetime, version: str) -> Obj:
    stamp = format_time(now)
    resources = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
    return {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": "sandbox"}],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Simulated",
                "message": "the sandbox runs on this machine; most Pods are simulated",
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": stamp,
            }
        ],
        "nodeInfo": {
            "kubeletVersion": version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "osImage": "Cozystack sandbox",
            "kernelVersion": "",
            "containerRuntimeVersion": "sandbox://1",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }
