"""etcd, kube-apiserver and kube-controller-manager as processes of this machine.

A process that ends by itself is started again with the same ports and data, as static Pods are: so a test may kill any of them.
Nodes are looked after by nobody (there is no kubelet that would send heartbeats), hence those controllers are off.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from cozystack.runtime import Log
from cozystack.sandbox.processes import Ended, Process
from e2e import certificates
from e2e.egress import Egress
from e2e.errors import E2eError
from e2e.state import State

HOST = "127.0.0.1"
PATIENCE = 90.0
_LOOK_EVERY = 0.1
_RESTART_AFTER = 0.3
_GRACE = 20.0
_OFF = (
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "node-ipam-controller",
    "horizontal-pod-autoscaler-controller",
)
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(slots=True)
class _Part:
    name: str
    command: list[str]
    process: Process | None = None
    restarts: list[asyncio.Task[None]] = field(default_factory=list)


class ControlPlane:
    """See the module. ``changed`` is told after every start of a process."""

    def __init__(
        self,
        state: State,
        binaries: Mapping[str, Path],
        ports: Mapping[str, int],
        *,
        log: Log,
        audit: bool = True,
        controllers: bool = True,
        token: str = "",
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._binaries = binaries
        self._ports = ports
        self._log = log
        self._audit = audit
        self._controllers = controllers
        self._changed = changed
        self._egress = Egress()
        self._stopping = False
        self._parts: list[_Part] = []
        self.token = token or secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self._ports['api']}"

    @property
    def pids(self) -> dict[str, int]:
        return {part.name: part.process.pid for part in self._parts if part.process is not None}

    async def start(self) -> None:
        """Start everything and wait until it is ready; raises ``E2eError``."""
        files = certificates.ensure(self._state.certificates)
        self._ca = files.ca
        self._write_files(files)
        await self._egress.start(files)
        commands = {
            "etcd": self._etcd(),
            "kube-apiserver": self._api_server(files),
            **({"kube-controller-manager": self._controller_manager(files)} if self._controllers else {}),
        }
        self._parts = [_Part(name, [str(self._binaries[name]), *command]) for name, command in commands.items()]
        for part in self._parts:
            await self._run(part)
            if part.name == "kube-apiserver":
                await self.ready()

    async def ready(self) -> None:
        """Wait until the API server says that it is."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        context = ssl.create_default_context(cafile=str(self._ca))
        said = "nothing"
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            while asyncio.get_running_loop().time() < deadline:
                try:
                    async with session.get(f"{self.url}/readyz", ssl=context) as answer:
                        said = await answer.text()
                        if answer.status == 200:
                            return
                except aiohttp.ClientError as error:
                    said = str(error)
                await asyncio.sleep(_LOOK_EVERY)
        raise E2eError(
            f"the API server was not ready after {PATIENCE:.0f} s and says: {said}; its log is in {self._state.logs}"
        )

    async def stop(self) -> None:
        """Stop everything, the API server before etcd."""
        self._stopping = True
        for part in reversed(self._parts):
            for task in part.restarts:
                task.cancel()
            if part.process is not None:
                await part.process.stop(_GRACE)
        if self._parts:
            await self._egress.stop()

    async def _run(self, part: _Part) -> None:
        part.process = await Process.start(
            part.command,
            environment={"PATH": os.environ.get("PATH", ""), "HOME": str(self._state.folder)},
            directory=self._state.folder,
            log=self._state.logs / f"{part.name}.log",
            on_end=lambda ended: self._ended(part, ended),
        )
        self._log.info("started", process=part.name, pid=part.process.pid)
        self._changed()

    def _ended(self, part: _Part, ended: Ended) -> None:
        self._log.warning("ended by itself", process=part.name, code=ended.code)
        part.process = None
        if not self._stopping:
            part.restarts.append(asyncio.create_task(self._restart(part)))

    async def _restart(self, part: _Part) -> None:
        await asyncio.sleep(_RESTART_AFTER)
        await self._run(part)

    def _write_files(self, files: certificates.Certificates) -> None:
        self._state.private(files.folder / "tokens.csv", f'{self.token},admin,admin,"system:masters"\n'.encode())
        self._state.private(files.folder / "audit.json", msgspec.json.encode(_AUDIT))
        self._state.private(files.folder / "egress.json", self._egress.configuration)
        self._state.private(self._state.kubeconfig, self.kubeconfig({"token": self.token}))
        name = "controller-manager"
        user = {"client-certificate": str(files.certificate(name)), "client-key": str(files.key(name))}
        self._state.private(files.folder / f"{name}.kubeconfig", self.kubeconfig(user))

    def kubeconfig(self, user: Mapping[str, str], namespace: str = "default") -> bytes:
        """A kubeconfig for somebody with these credentials."""
        return msgspec.json.encode(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "e2e", "cluster": {"server": self.url, "certificate-authority": str(self._ca)}}],
                "users": [{"name": "user", "user": user}],
                "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "user", "namespace": namespace}}],
                "current-context": "e2e",
            }
        )

    def _etcd(self) -> list[str]:
        url, peer = (f"http://{HOST}:{self._ports[name]}" for name in ("etcd", "etcd-peer"))
        return [
            "--name=e2e",
            f"--data-dir={self._state.etcd}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=e2e={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _api_server(self, files: certificates.Certificates) -> list[str]:
        audit = [
            f"--audit-policy-file={files.folder / 'audit.json'}",
            f"--audit-log-path={self._state.audit}",
            "--audit-log-mode=blocking",
            "--audit-log-maxsize=10000",
        ]
        return [
            f"--etcd-servers=http://{HOST}:{self._ports['etcd']}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={self._ports['api']}",
            f"--tls-cert-file={files.certificate('server')}",
            f"--tls-private-key-file={files.key('server')}",
            f"--client-ca-file={files.ca}",
            f"--token-auth-file={files.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={files.account_public}",
            f"--service-account-signing-key-file={files.account_key}",
            "--endpoint-reconciler-type=none",
            f"--requestheader-client-ca-file={files.front_proxy_ca}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={files.certificate('front-proxy')}",
            f"--proxy-client-key-file={files.key('front-proxy')}",
            f"--egress-selector-config-file={files.folder / 'egress.json'}",
            "--profiling=false",
            *(audit if self._audit else ()),
        ]

    def _controller_manager(self, files: certificates.Certificates) -> list[str]:
        off = ",".join(f"-{name}" for name in _OFF)
        return [
            f"--kubeconfig={files.folder / 'controller-manager.kubeconfig'}",
            f"--bind-address={HOST}",
            f"--secure-port={self._ports['controller-manager']}",
            f"--controllers=*,{off}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={files.account_key}",
            f"--root-ca-file={files.ca}",
            "--leader-elect=false",
            "--profiling=false",
        ]
