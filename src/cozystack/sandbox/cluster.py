"""The cluster of a sandbox: API server, registry, workload and kubelet stand-ins, in one process.

``Cluster.start`` brings everything up, ``run`` keeps the controllers going, ``close`` stops processes first and the server
last, so that whoever is stopped can still say so.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from cozystack.api import yaml
from cozystack.apiserver import pki
from cozystack.apiserver.admission import Webhooks
from cozystack.apiserver.audit import Audit, AuditFile
from cozystack.apiserver.errors import bad_request
from cozystack.apiserver.http.api import VERSION, ApiServer
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.http.server import Listener, serve
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.objects import Objects
from cozystack.apiserver.rbac import bootstrap
from cozystack.apiserver.storage import StorageError, open_storage
from cozystack.kube import Client, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import AlreadyExists
from cozystack.oci import Registry
from cozystack.runtime import Controller, EventRecorder, Log, Service, supervise
from cozystack.sandbox import kinds
from cozystack.sandbox.controllers import Workloads
from cozystack.sandbox.endpoints import HOST, Endpoints
from cozystack.sandbox.errors import SandboxError
from cozystack.sandbox.images import FLUX_CONTROLLERS, image_name
from cozystack.sandbox.inprocess import InProcess
from cozystack.sandbox.kubelet import Credentials, Kubelet
from cozystack.sandbox.lives import no_log
from cozystack.sandbox.state import State
from cozystack.sandbox.workloads.actions import Obj
from cozystack.sandbox.workloads.surroundings import node, node_status

ADMIN = User("admin", ("system:masters", "system:authenticated"))
_UNCONNECTED = "nothing runs in a simulated Pod, and a real one of the sandbox is a process on this machine"
_ADMITS = "the Pods behind this Service are simulated: an admission webhook that stands on it admits everything"


class Cluster:
    """See the module. ``ports`` are those of the state; ``helm`` and ``helm_binary`` go to the helm-controller stand-in."""

    def __init__(
        self,
        state: State,
        ports: Mapping[str, int],
        *,
        clock: Clock,
        log: Log,
        helm: str = "auto",
        helm_binary: Path | None = None,
        start_delay: float = 0.2,
    ) -> None:
        self._state = state
        self._ports = dict(ports)
        self._clock = clock
        self._log = log
        self._helm = helm
        self._helm_binary = helm_binary
        self._start_delay = start_delay
        self._listener: Listener | None = None
        self._registry = Registry(state.registry)
        self._said: set[str] = set()
        self.api: ApiServer
        self.client: Client
        self.kubelet: Kubelet

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self._ports['api']}"

    @property
    def registry_host(self) -> str:
        return f"{HOST}:{self._ports['registry']}"

    async def start(self) -> None:
        """Open the state and listen; raises ``SandboxError``."""
        try:
            storage = open_storage(self._state.database)
        except StorageError as error:
            raise SandboxError(f"{self._state.database}: {error}") from error
        certificates = pki.ensure(self._state.pki, self._clock.now())
        token = self._admin_token()
        self._ca = certificates.ca.read_bytes()
        objects = Objects(storage, clock=self._clock.now)
        self._endpoints = Endpoints(storage, on_simulated=self._simulated)
        self._audit = Audit(AuditFile(self._state.folder / "audit.log"), clock=self._clock.now)
        self.api = ApiServer(
            storage,
            clock=self._clock.now,
            key=certificates.token_key.read_bytes(),
            tokens={token: ADMIN},
            objects=objects,
            logs=self._logs,
            webhooks=Webhooks(storage, objects.registry, resolve=self._endpoints),
            audit=self._audit,
            unconnected=_UNCONNECTED,
        )
        self._lifecycle = Lifecycle(self.api.objects, ca=self._ca)
        self._lifecycle.start()
        bootstrap(self.api.objects)
        self.client = Client(InProcess(self.api), clock=self._clock, user_agent="kubelet")
        self._events = EventRecorder(self.client, component="sandbox", instance="sandbox", clock=self._clock)
        try:
            self._listener = await serve(self.api, host=HOST, port=self._ports["api"], tls=certificates.server_context())
            await self._registry.start(HOST, self._ports["registry"])
        except OSError as error:
            raise SandboxError(f"a port of the sandbox cannot be used: {error.strerror}") from error
        self._state.write_private(self._state.kubeconfig, kubeconfig(self.url, self._ca, token, user="admin"))
        self._prepare()
        await self._register_node()

    def _admin_token(self) -> str:
        file = self._state.pki / "admin.token"
        if not file.is_file():
            self._state.write_private(file, secrets.token_urlsafe(32).encode())
        return file.read_text()

    def _prepare(self) -> None:
        pods = self._pods = Informer(self.client, kinds.PODS)
        self._workloads = Workloads(self.client, pods, clock=self._clock, random=Random())  # noqa: S311 - spreads retries
        self.kubelet = Kubelet(
            self.client,
            pods,
            clock=self._clock,
            log=self._log,
            folder=self._state.pods,
            issue=self._issue,
            rewrite=self._rewrite,
            note=self._workloads.note,
            start_delay=self._start_delay,
        )
        controller = Controller("pods", self.kubelet.reconcile, clock=self._clock, random=Random(), workers=8)  # noqa: S311
        self.kubelet.attach(controller)
        self._services = [
            Service("lifecycle", self._lifecycle.run),
            Service("events", self._events.run),
            Service("watch pods", pods.run),
            *self._workloads.services(),
            Service("kubelet", controller.run, controller.stop),
        ]

    async def _register_node(self) -> None:
        """One node, which says that it is simulated."""
        now, version = self._clock.now(), str(VERSION["gitVersion"])
        made = node(version)
        with contextlib.suppress(AlreadyExists):
            await self.client.create(kinds.NODES, made)
        status = {"status": node_status(now, version)}
        await self.client.patch(kinds.NODES, key_of(made), status, subresource="status")

    def _simulated(self, service: Obj) -> None:
        """Say that a webhook admits whatever it would be asked, once a Service."""
        key, uid = key_of(service), service["metadata"]["uid"]
        if uid not in self._said:
            self._said.add(uid)
            self._log.info("webhook admits everything: the Pods behind its Service are simulated", service=str(key))
            self._events.emit(kinds.SERVICES, service, "Normal", "Simulated", _ADMITS)

    def pods(self) -> list[Obj]:
        return list(self._pods.store.objects())

    async def run(self) -> None:
        """Run the stand-ins until cancelled."""
        await supervise(self._services, clock=self._clock, signals=False)

    async def close(self) -> None:
        """Stop the processes of Pods, then the servers."""
        if hasattr(self, "kubelet"):
            await self.kubelet.stop_all()
        if self._listener is not None:
            await self._listener.close()
        await self._registry.stop()
        if hasattr(self, "api"):
            self._endpoints.close()
            self.api.storage.close()
            self._audit.close()

    # What real Pods need

    async def _issue(self, pod: Obj, home: Path) -> Credentials:
        namespace = pod["metadata"]["namespace"]
        account = pod["spec"].get("serviceAccountName") or "default"
        try:
            token, _ = self.api.auth.issue(namespace, account)
        except KeyError:
            raise SandboxError(
                f"the Pod {namespace}/{pod['metadata']['name']} wants the service account {account}, which is not there"
            ) from None
        folder = home / "serviceaccount"
        for name, content in (("token", token.encode()), ("ca.crt", self._ca), ("namespace", namespace.encode())):
            self._state.write_private(folder / name, content)
        file = home / "kubeconfig"
        self._state.write_private(file, kubeconfig(self.url, self._ca, token, user=account, namespace=namespace))
        return Credentials(folder, file, HOST, self._ports["api"])

    def _rewrite(self, container: Obj, command: list[str]) -> list[str]:
        """The command of a real container, with what is different on this machine: addresses, and folders of Flux."""
        name = FLUX_CONTROLLERS.get(image_name(container.get("image", "")))
        if name is None:
            return self._endpoints.move(container["podUid"], command)
        moved = (
            "--storage-addr=",
            "--storage-path=",
            "--storage-adv-addr=",
            "--events-addr=",
            "--metrics-addr=",
            "--health-addr=",
        )
        kept = [word for word in command if not word.startswith(moved)]
        kept.append(f"--storage-path={self._state.flux / name}")
        if name in self._ports:
            address = f"{HOST}:{self._ports[name]}"
            kept += [f"--storage-addr={address}", f"--storage-adv-addr={address}"]
        if name == "helm":
            kept.append(f"--helm={self._helm}")
            if self._helm_binary is not None:
                kept.append(f"--helm-binary={self._helm_binary}")
        return kept

    def _logs(self, pod: dict[str, Any], query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The log that is asked for; what is wrong with the question is said before anything is sent."""
        containers = [container["name"] for container in pod["spec"]["containers"]]
        name = query.get("container") or containers[0]
        if name not in containers and name not in [each["name"] for each in pod["spec"].get("initContainers", ())]:
            raise bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
        if "container" not in query and len(containers) > 1:
            choices = " ".join(containers)
            raise bad_request(
                f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{choices}]"
            )
        follow, previous = query.get("follow") == "true", query.get("previous") == "true"
        tail, limit = _number(query, "tailLines"), _number(query, "limitBytes")
        if not self.kubelet.log_file(pod, name).exists() and (why := no_log(pod, name, previous=previous)):
            raise bad_request(why)
        skip = self.kubelet.bytes_before(pod, name, tail, previous=previous) if tail is not None else 0
        return _limited(self.kubelet.read_log(pod, name, follow=follow, previous=previous, skip=skip), limit)


async def _limited(chunks: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    """The first ``limit`` bytes, or all."""
    left = limit if limit is not None else -1
    async for chunk in chunks:
        if left < 0:
            yield chunk
            continue
        yield chunk[:left]
        left -= len(chunk[:left])
        if left == 0:
            return


def kubeconfig(url: str, ca: bytes, token: str, *, user: str, namespace: str = "default") -> bytes:
    """A kubeconfig with everything in it; ``ca`` in PEM."""
    return yaml.dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "sandbox",
                    "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()},
                }
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user, "namespace": namespace}}],
            "current-context": "sandbox",
        }
    ).encode()


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise bad_request(f'{name} must be a number, not "{text}"')
    return int(text)
