"""A cluster for the command line: the embedded API server on loopback, in a thread of its own, with a kubeconfig.

The program under test runs in the test's thread with an event loop of its own, as it does for people. ``answers`` lets a test
say no in the server's place, ``when`` lets something happen in the cluster at the moment at which a request arrives.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cozystack.api import yaml
from cozystack.api.crds import crds
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, Response, Stream
from cozystack.apiserver.http.server import Listener, serve
from cozystack.apiserver.pki import Pki
from cozystack.apiserver.storage import Storage, open_storage
from support.apiserver import ADMIN, TOKEN, crd

T = TypeVar("T")

PATHS = {
    "Package": "/apis/cozystack.io/v1alpha1/packages",
    "PackageSource": "/apis/cozystack.io/v1alpha1/packagesources",
    "HelmRelease": "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{namespace}/helmreleases",
    "OCIRepository": "/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/ocirepositories",
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class _Server(ApiServer):
    hooks: list[Callable[[Request], Awaitable[Response | None]]]

    async def handle(self, request: Request) -> Response | Stream:
        for hook in list(self.hooks):
            answer = await hook(request)
            if answer is not None:
                return answer
        return await super().handle(request)


class Cluster:
    def __init__(self, loop: asyncio.AbstractEventLoop, server: _Server, address: str, kubeconfig: Path) -> None:
        self.server = server
        self.address = address
        self.kubeconfig = kubeconfig
        self.seen: list[str] = []
        """Method and path of every request that is no read."""
        self._loop = loop
        self._namespaces = {"default"}
        server.hooks.append(self._note)

    def put(self, text: str) -> None:
        """Create every object of a YAML stream, with its status."""
        for document in yaml.load_all(text):
            value: Any = document.value
            self._do(self._create(value))

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """An object without what the server fills in; raises ``LookupError``."""
        value: dict[str, Any] = self._do(self._request("GET", f"{_path(kind, namespace)}/{name}"))
        metadata = value["metadata"]
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            metadata.pop(field, None)
        return value

    def names(self, kind: str, namespace: str = "") -> list[str]:
        return [item["metadata"]["name"] for item in self._do(self._request("GET", _path(kind, namespace)))["items"]]

    def managers(self, kind: str, name: str) -> dict[str, str]:
        """Who manages fields of an object, and by which operation."""
        value = self._do(self._request("GET", f"{_path(kind, '')}/{name}"))
        return {entry["manager"]: entry["operation"] for entry in value["metadata"]["managedFields"]}

    def when(self, method: str, path: str, then: Callable[[], Coroutine[Any, Any, None]], *, watch: bool = False) -> None:
        """Run ``then`` once, when the first such request arrives, before it is answered."""

        async def hook(request: Request) -> None:
            if request.method == method and path in request.path and request.flag("watch") == watch:
                self.server.hooks.remove(hook)
                await then()

        self.server.hooks.append(hook)

    def answers(self, method: str, path: str, code: int, reason: str, message: str) -> None:
        """Answer such requests with an error from now on."""
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}

        async def hook(request: Request) -> Response | None:
            if request.method == method and path in request.path:
                return Response(code, msgspec.json.encode(body))
            return None

        self.server.hooks.append(hook)

    async def patch(self, kind: str, name: str, patch: dict[str, Any], *, subresource: str = "", namespace: str = "") -> None:
        """For ``when``: merge into an object."""
        await self._request("PATCH", f"{_path(kind, namespace)}/{name}{subresource}", patch)

    async def delete(self, kind: str, name: str, *, namespace: str = "") -> None:
        """For ``when``."""
        await self._request("DELETE", f"{_path(kind, namespace)}/{name}")

    async def read(self, kind: str, name: str, *, namespace: str = "") -> dict[str, Any]:
        """For ``when``: an object as it is."""
        value: dict[str, Any] = await self._request("GET", f"{_path(kind, namespace)}/{name}")
        return value

    async def make(self, kind: str, name: str) -> None:
        """For ``when``: create an empty object."""
        api_version = PATHS[kind].removeprefix("/apis/").rpartition("/")[0]
        await self._create({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {}})

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``patch`` or ``delete``, now."""
        return self._do(work)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _create(self, value: dict[str, Any]) -> None:
        metadata = value["metadata"]
        path = _path(value["kind"], metadata.get("namespace", ""))
        status = value.get("status")
        namespace = metadata.get("namespace", "")
        if value["kind"] == "Namespace":
            self._namespaces.add(metadata["name"])
        if namespace and namespace not in self._namespaces:
            self._namespaces.add(namespace)
            await self._request("POST", PATHS["Namespace"], {"metadata": {"name": namespace}})
        await self._request("POST", path, {key: part for key, part in value.items() if key != "status"})
        if status:
            await self._request("PATCH", f"{path}/{metadata['name']}/status", {"status": status})

    async def _request(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"content-type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        request = Request(method, path, {}, headers, msgspec.json.encode(body) if body is not None else b"", ADMIN)
        answer = await ApiServer.handle(self.server, request)
        assert isinstance(answer, Response)
        value = msgspec.json.decode(answer.body)
        if answer.status >= 300:
            raise LookupError(f"{method} {path}: {value.get('message')}")
        return value

    async def _note(self, request: Request) -> None:
        if request.method != "GET":
            self.seen.append(f"{request.method} {request.path}")


@contextmanager
def running_cluster(
    folder: Path, *, installed: bool = True, storage: Storage | None = None, pki: Pki | None = None
) -> Iterator[Cluster]:
    """A cluster with our CRDs and HelmReleases (or bare, if not ``installed``); the kubeconfig is in ``folder``.

    ``storage`` is what there is instead. With ``pki`` the server speaks TLS, and the kubeconfig trusts its authority.
    """
    installed = installed and storage is None
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = _Server(storage or open_storage(None), tokens={TOKEN: ADMIN})
        server.hooks = []
        tls = pki.server_context() if pki is not None else None
        listener = asyncio.run_coroutine_threadsafe(serve(server, tls=tls), loop).result(20)
        address = f"{'https' if tls else 'http'}://127.0.0.1:{listener.port}"
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(kubeconfig_text(address, authority=pki.ca if pki is not None else None))
        cluster = Cluster(loop, server, address, kubeconfig)
        if installed:
            releases = crd("helm.toolkit.fluxcd.io", "helmreleases", "HelmRelease")
            releases["spec"]["versions"][0] |= {"name": "v2", "schema": {"openAPIV3Schema": _OPEN}}
            repositories = crd("source.toolkit.fluxcd.io", "ocirepositories", "OCIRepository")
            repositories["spec"]["versions"][0] |= {"schema": {"openAPIV3Schema": _OPEN}}
            for definition in (*crds(), releases, repositories):
                cluster.do(cluster._request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition))
        try:
            yield cluster
        finally:
            server.end_watches()
            asyncio.run_coroutine_threadsafe(_end(listener), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _end(listener: Listener) -> None:
    """Let whatever has just connected arrive first: asyncio forgets connections that it accepts while it stops listening."""
    await _turns()
    await listener.close()
    await _turns()


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def kubeconfig_text(server: str, token: str = TOKEN, *, authority: Path | None = None) -> str:
    trusted = f", certificate-authority: '{authority}'" if authority is not None else ""
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        f"clusters: [{{name: here, cluster: {{server: '{server}'{trusted}}}}}]\n"
        f"users: [{{name: me, user: {{token: {token}}}}}]\n"
        "contexts: [{name: here, context: {cluster: here, user: me}}]\n"
    )


def _path(kind: str, namespace: str) -> str:
    return PATHS[kind].format(namespace=namespace)
