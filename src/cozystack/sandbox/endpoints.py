"""What stands behind the Service of a webhook: a port on this machine, simulated Pods, or nothing.

Pods have no network of their own here. A program that is told to serve a webhook gets a free port of loopback instead of the
one that it asked for, and keeps it for as long as its Pod lives: the port is held by a socket that does not listen, which the
kernel lets another one of the same user listen beside.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence

from cozystack.apiserver.storage import Storage, Stored
from cozystack.sandbox.images import is_real
from cozystack.sandbox.workloads.actions import Obj, is_deleting

HOST = "127.0.0.1"
_ADDRESS = re.compile(r"(--?webhook-bind-address=)(?:.*:)?([0-9]+)")


class Endpoints:
    """A ``Resolver`` of the API server. ``on_simulated`` is told of a Service whose webhook admits without being asked."""

    def __init__(self, storage: Storage, *, on_simulated: Callable[[Obj], None]) -> None:
        self._storage = storage
        self._on_simulated = on_simulated
        self._ports: dict[tuple[str, int], socket.socket] = {}

    def __call__(self, namespace: str, name: str, port: int) -> str | None:
        stored = self._storage.get("/services", namespace, name)
        if not isinstance(stored, Stored):
            raise LookupError(f'service "{name}" not found')
        service = stored.object
        number = _port_of(service, port)
        if number is None:
            raise LookupError(f'no service port {port} found for service "{name}"')
        pods = self._pods_of(service)
        if not pods:
            raise LookupError(f'no endpoints available for service "{name}"')
        real = [pod for pod in pods if is_real(pod)]
        for pod in real:
            held = self._ports.get((pod["metadata"]["uid"], _target(service, number, pod)))
            if held is not None:
                return f"{HOST}:{held.getsockname()[1]}"
        if real:
            raise LookupError(f'no endpoints available for service "{name}": nothing serves a webhook there')
        self._on_simulated(service)
        return None

    def move(self, uid: str, command: Sequence[str]) -> list[str]:
        """A container's command, with the address of its webhook on loopback."""
        moved: list[str] = []
        for word in command:
            found = _ADDRESS.fullmatch(word)
            if found is not None and int(found[2]):
                word = f"{found[1]}{HOST}:{self._reserve(uid, int(found[2]))}"
            moved.append(word)
        return moved

    def close(self) -> None:
        """Let go of every port."""
        for held in self._ports.values():
            held.close()
        self._ports.clear()

    def _reserve(self, uid: str, port: int) -> int:
        alive = {pod.object["metadata"]["uid"] for pod in self._storage.objects("/pods")} | {uid}
        for place in [place for place in self._ports if place[0] not in alive]:
            self._ports.pop(place).close()
        held = self._ports.get((uid, port))
        if held is None:
            held = self._ports[uid, port] = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((HOST, 0))
        number: int = held.getsockname()[1]
        return number

    def _pods_of(self, service: Obj) -> list[Obj]:
        """The Pods that a Service selects and that have not ended, the newest last."""
        selector = service["spec"].get("selector") or {}
        if not selector:
            return []
        found = []
        for stored in self._storage.objects("/pods", service["metadata"]["namespace"]):
            pod = stored.object
            labels = pod["metadata"].get("labels") or {}
            ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
            if not ended and not is_deleting(pod) and selector.items() <= labels.items():
                found.append(pod)
        return found


def _port_of(service: Obj, port: int) -> Obj | None:
    return next((each for each in service["spec"].get("ports") or () if each.get("port") == port), None)


def _target(service: Obj, port: Obj, pod: Obj) -> int:
    """The port of a Pod that a port of a Service leads to; 0 when the Pod has none of that name."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or ():
            if each.get("name") == target:
                return int(each["containerPort"])
    return 0
