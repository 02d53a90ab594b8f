"""The embedded API server as a process of its own, filled with objects: ``python -m bench.serving OPTIONS``.

Told to be ``guarded``, it is what the sandbox runs: roles are enforced, every request is written to the audit log, and the
client is a service account that a binding lets do everything.

The process prints one line of JSON (where it listens, how big its objects are) and serves until its standard input ends, so it
never outlives whoever started it. Objects go through ``ApiServer.handle`` like those of any client: defaulted, validated, with
``managedFields``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import msgspec

from bench.objects import NAMESPACES, config_map, deployment, package_name, release_json, release_status, source_json
from cozystack.api.cozystack import API_VERSION
from cozystack.api.crds import crds
from cozystack.api.names import PACKAGE_MANAGER
from cozystack.apiserver import pki
from cozystack.apiserver.audit import Audit, AuditFile
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, Response, User
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.rbac import bootstrap
from cozystack.apiserver.storage import open_storage
from cozystack.kube import SystemClock
from cozystack.runtime import tune_gc

TOKEN = "bench"
ADMIN = User("admin", ("system:masters", "system:authenticated"))
Kind = Literal["configmaps", "deployments", "sources", "releases"]
_ACCOUNT = "client"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_FLUX = Path(__file__).parents[1] / "packages" / "core" / "flux-aio" / "crds"
_RELEASE_CRD = _FLUX / "helmreleases.helm.toolkit.fluxcd.io.json"


class Served(msgspec.Struct):
    """Where the server listens; ``ca`` is empty without TLS. ``size`` is the average size of the objects, in bytes of JSON."""

    pid: int
    port: int
    size: int
    ca: str = ""
    token: str = TOKEN

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.port}"


@contextmanager
def served(
    *,
    sqlite: bool = False,
    tls: bool = False,
    guarded: bool = False,
    fill: Kind = "configmaps",
    count: int = 0,
    database: Path | None = None,
) -> Iterator[Served]:
    """A server with ``count`` objects of the kind ``fill``; its state is gone afterwards, unless it has a ``database``."""
    command = [sys.executable, "-m", "bench.serving", "--fill", fill, "--count", str(count)]
    with TemporaryDirectory(prefix="bench-") as folder:
        if sqlite or database is not None:
            command += ["--database", str(database or Path(folder, "state.db"))]
        if guarded:
            command += ["--audit", str(Path(folder, "audit.log"))]
        if tls:
            command += ["--certificates", str(Path(folder, "pki"))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the API server did not start (exit code {process.wait()})")
            try:
                yield msgspec.json.decode(line, type=Served)
            finally:
                process.stdin.close()
                process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.serving", description="The embedded API server, filled with objects."
    )
    parser.add_argument("--database", type=Path, help="keep objects in this SQLite file; in memory alone when not given")
    parser.add_argument("--certificates", type=Path, help="serve TLS with the certificates of this folder")
    parser.add_argument("--audit", type=Path, help="enforce roles, and write every request to this file")
    parser.add_argument("--fill", choices=get_args(Kind), default="configmaps")
    parser.add_argument("--count", type=int, default=0)
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    audit = Audit(AuditFile(options.audit), clock=SystemClock().now) if options.audit else None
    api = ApiServer(open_storage(options.database), tokens={TOKEN: ADMIN}, audit=audit)
    lifecycle = Lifecycle(api.objects)
    lifecycle.start()
    token = await _guarded(api) if options.audit else TOKEN
    size = await _filled(api, options.fill, options.count)
    certificates = pki.ensure(options.certificates, SystemClock().now()) if options.certificates else None
    listener = await serve(api, tls=certificates.server_context() if certificates else None)
    tune_gc()
    background = asyncio.create_task(lifecycle.run())
    ca = certificates.ca.read_text() if certificates else ""
    said = Served(pid=os.getpid(), port=listener.port, size=size, ca=ca, token=token)
    print(msgspec.json.encode(said).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    background.cancel()
    await listener.close()
    api.storage.close()
    if audit is not None:
        audit.close()


async def _guarded(api: ApiServer) -> str:
    """The token of a service account that may do everything because a role says so."""
    bootstrap(api.objects)
    account = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    if api.storage.get("/serviceaccounts", "default", _ACCOUNT) is None:
        await _sent(api, "POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": _ACCOUNT}})
        binding = {"metadata": {"name": _ACCOUNT}, "subjects": [account], "roleRef": role}
        await _sent(api, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    token, _ = api.auth.issue("default", _ACCOUNT)
    return token


async def _filled(api: ApiServer, kind: Kind, count: int) -> int:
    """Create the objects; their average size as the server stores them."""
    if not count:
        return 0
    for crd in (*crds(), msgspec.json.decode(_RELEASE_CRD.read_bytes())):
        await _sent(api, "POST", _CRDS, crd)
    match kind:
        case "configmaps":
            path = "/api/v1/configmaps"
            for number in range(count):
                await _sent(api, "POST", "/api/v1/namespaces/default/configmaps", config_map(number))
        case "deployments":
            path = "/apis/apps/v1/deployments"
            for number in range(count):
                await _applied(api, "/apis/apps/v1/namespaces/default/deployments", deployment(number), manager="applier")
        case "sources":
            path = "/apis/cozystack.io/v1alpha1/packagesources"
            for number in range(count):
                await _applied(api, path, source_json(number), manager="helm")
        case "releases":
            path = "/apis/helm.toolkit.fluxcd.io/v2/helmreleases"
            package = {"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": package_name(0)}}
            made = msgspec.json.decode(await _sent(api, "POST", "/apis/cozystack.io/v1alpha1/packages", package))
            for number in range(min(count, NAMESPACES)):
                await _sent(api, "POST", "/api/v1/namespaces", {"metadata": {"name": f"ns-{number}"}})
            for number in range(count):
                release = release_json(number, owner=made["metadata"]["uid"])
                where = path.replace("helmreleases", f"namespaces/{release['metadata']['namespace']}/helmreleases")
                await _applied(api, where, release, manager=PACKAGE_MANAGER)
                await _applied(api, where, release_status(number), manager="helm-controller", subresource="/status")
    return len(await _sent(api, "GET", path)) // count


async def _applied(api: ApiServer, path: str, obj: Any, *, manager: str, subresource: str = "") -> None:
    await _sent(api, "PATCH", f"{path}/{obj['metadata']['name']}{subresource}", obj, fieldManager=manager, force="true")


async def _sent(api: ApiServer, method: str, path: str, body: Any = None, **query: str) -> bytes:
    content_type = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    content = msgspec.json.encode(body) if body is not None else b""
    answer = await api.handle(Request(method, path, query, {"content-type": content_type}, content, ADMIN))
    if not isinstance(answer, Response) or answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer.body


if __name__ == "__main__":
    main()
