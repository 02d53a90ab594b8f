"""The node of the cluster: a kubelet stand-in that runs the operator and the real controllers of Flux as processes.

It is the sandbox's scheduler and kubelet, with three differences: Pods do not wait for their claims, since nobody provisions
volumes; tokens come from the API server; and an image of Flux starts the program that was built, with the arguments of its
Deployment, those apart that name addresses and folders of a Pod. All other Pods are simulated, and so is what stands on them:
an aggregated API counts as available, an admission webhook admits (see ``Surroundings``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from random import Random

import msgspec

from cozystack.api.meta import Key
from cozystack.kube import Client, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import AlreadyExists
from cozystack.runtime import Controller, Log, Result, Service
from cozystack.sandbox import kinds
from cozystack.sandbox.images import image_name
from cozystack.sandbox.kubelet import Credentials, Kubelet
from cozystack.sandbox.kubelet import Running as Pod
from cozystack.sandbox.scheduler import Scheduler
from cozystack.sandbox.workloads.actions import Obj
from cozystack.sandbox.workloads.surroundings import node, node_status
from e2e.build import FLUX, KUBERNETES
from e2e.controlplane import HOST, ControlPlane
from e2e.state import State

_MOVED = ("--storage-addr=", "--storage-path=", "--storage-adv-addr=", "--events-addr=", "--metrics-addr=", "--health-addr=")


class Node:
    """See the module. ``run`` keeps it going; ``stop`` ends the processes of all Pods."""

    def __init__(
        self,
        client: Client,
        control_plane: ControlPlane,
        state: State,
        binaries: Mapping[str, Path],
        ports: Mapping[str, int],
        *,
        clock: Clock,
        log: Log,
    ) -> None:
        self._client = client
        self._control_plane = control_plane
        self._state = state
        self._binaries = binaries
        self._ports = ports
        self._clock = clock
        pods: Informer[Obj] = Informer(client, kinds.PODS)
        self.kubelet = _Kubelet(
            client, pods, clock=clock, log=log, folder=state.pods, issue=self._issue, rewrite=self._rewrite, start_delay=0.05
        )
        self.kubelet.ports = ports
        controller = Controller("pods", self.kubelet.reconcile, clock=clock, random=Random(), workers=8)  # noqa: S311
        self.kubelet.attach(controller)
        nodes: Informer[Obj] = Informer(client, kinds.NODES)
        scheduler = Scheduler(client, pods, nodes, clock=clock, random=Random())  # noqa: S311
        self.services = [
            Service("watch pods", pods.run),
            Service("watch nodes", nodes.run),
            scheduler.service(),
            Service("kubelet", controller.run, controller.stop),
        ]

    async def register(self) -> None:
        """Create the one Node, ready and without the taint that every new one gets."""
        made = node(f"v{KUBERNETES}")
        with contextlib.suppress(AlreadyExists):
            await self._client.create(kinds.NODES, made)
        key = key_of(made)
        await self._client.patch(kinds.NODES, key, {"spec": {"taints": None}})
        status = {"status": node_status(self._clock.now(), f"v{KUBERNETES}")}
        await self._client.patch(kinds.NODES, key, status, subresource="status")

    async def stop(self) -> None:
        await self.kubelet.stop_all()

    async def _issue(self, pod: Obj, home: Path) -> Credentials:
        namespace, account = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName") or "default"
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
        answer = await self._client.transport.request(
            "POST", path, headers={"Content-Type": "application/json"}, body=msgspec.json.encode(asked)
        )
        if answer.status != 201:
            raise RuntimeError(f"no token for {namespace}/{account}: {answer.body.decode()}")
        token: str = msgspec.json.decode(answer.body)["status"]["token"]
        folder = home / "serviceaccount"
        ca = (self._state.certificates / "ca.crt").read_bytes()
        for name, content in (("token", token.encode()), ("ca.crt", ca), ("namespace", namespace.encode())):
            self._state.private(folder / name, content)
        kubeconfig = home / "kubeconfig"
        self._state.private(kubeconfig, self._control_plane.kubeconfig({"token": token}, namespace))
        return Credentials(folder, kubeconfig, HOST, self._ports["api"])

    def _rewrite(self, container: Obj, command: list[str]) -> list[str]:
        """The command of a container on this machine: Flux's is the real program."""
        name = image_name(container.get("image", ""))
        if name not in FLUX:
            return command
        # The sandbox's command is its stand-in (python -m cozystack.flux --controllers=...), then the container's arguments.
        arguments = [word for word in command[4:] if not word.startswith(_MOVED)]
        arguments += ["--metrics-addr=0", "--health-addr=0"]
        if name in self._ports:
            # One volume and one Service for both: source-controller hands out what source-watcher has made.
            self._state.flux.mkdir(parents=True, exist_ok=True)
            arguments += [
                f"--storage-path={self._state.flux}",
                f"--storage-addr={HOST}:{self._ports[name]}",
                f"--storage-adv-addr={HOST}:{self._ports['source-controller']}",
            ]
        return [str(self._binaries[name]), *arguments]


class _Kubelet(Kubelet):
    ports: Mapping[str, int]

    def _environment_of(self, pod: Obj, container: Obj, credentials: Credentials) -> dict[str, str]:
        """Where the controllers of Flux find each other, as everything else that names an address of a Pod."""
        found = super()._environment_of(pod, container, credentials)
        for name in ("source-controller", "source-watcher"):
            variable = f"{name.replace('-', '_').upper()}_LOCALHOST"
            if variable in found:
                found[variable] = f"{HOST}:{self.ports[name]}"
        return found

    async def _after_end(self, key: Key, pod: Obj, running: Pod) -> Result:
        """Tests kill what they please: what ends is started again soon, however often that happens."""
        running.quick_failures = 0
        return await super()._after_end(key, pod, running)
