"""A busy sandbox on a clock that jumps: hours of churn in a minute, and what is left of them: ``python -m bench.churning``.

Everything of a sandbox's cluster is there and real: API server, SQLite file, audit log, garbage collector, workload
controllers, scheduler and kubelet stand-in. What a platform and its users do is played, at the pace at which they do it: leases
are renewed, releases reconciled and upgraded, with a Secret for each revision, CronJobs run, Deployments roll out, namespaces
come and go, and watches fall behind. One line of JSON is printed for each hour: what there is, and how much memory and disk it
takes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.objects import otherwise, package_name, release_json, release_status
from bench.processes import cpu_seconds, held_megabytes
from bench.serving import _sent
from cozystack.api.cozystack import API_VERSION
from cozystack.api.crds import crds
from cozystack.apiserver.audit import Audit, AuditFile
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, Stream, User
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.rbac import bootstrap
from cozystack.apiserver.storage import SqliteStorage
from cozystack.kube import Client, Informer
from cozystack.runtime import Controller, Log
from cozystack.runtime.clock import VirtualClock
from cozystack.sandbox import kinds
from cozystack.sandbox.controllers import Workloads
from cozystack.sandbox.inprocess import InProcess
from cozystack.sandbox.kubelet import Credentials, Kubelet
from cozystack.sandbox.lives import FAIL
from cozystack.sandbox.workloads.actions import Obj
from cozystack.sandbox.workloads.surroundings import node

HOUR = 3600.0
# Somebody who may do everything because a role says so.
_USER = User("churn", ("system:authenticated",))
_BINDING = {
    "metadata": {"name": "churn"},
    "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": _USER.name}],
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
}
_FLUX = Path(__file__).parents[1] / "packages" / "core" / "flux-aio" / "crds"
_RELEASES = "/apis/helm.toolkit.fluxcd.io/v2/namespaces"
_APPS = "/apis/apps/v1/namespaces"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Size(msgspec.Struct, frozen=True):
    """How much of everything there is."""

    leases: int = 12
    releases: int = 40
    upgraded: int = 10
    """Releases that get a new revision each hour."""
    crons: int = 4
    deployments: int = 6


class Hour(msgspec.Struct):
    """What there is after an hour. Sizes are in bytes, memory in MB."""

    hour: float
    requests: int
    objects: dict[str, int]
    rows: int
    kept_events: int
    """Events of all resources that watches may go on from."""
    database: int
    log: int
    """The write-ahead log of the database."""
    audit: int
    managers: int
    """The most entries that the ``managedFields`` of an object have."""
    memory: float = 0.0
    processor: float = 0.0


class Churn:
    """The cluster in ``folder`` and those who use it; ``play`` goes on for some hours."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.clock = VirtualClock()
        self.size = size
        self.folder = folder
        self.requests = 0
        self._random = Random(0)
        self._numbers = itertools.count()
        self._upgrades = itertools.count()
        self.storage = SqliteStorage(folder / "api.sqlite")
        self._audit = Audit(AuditFile(folder / "audit.log"), clock=self.clock.now)
        self.api = ApiServer(self.storage, clock=self.clock.now, key=b"k" * 32, audit=self._audit)
        self._lifecycle = Lifecycle(self.api.objects, ca=b"an authority", sleep=self.clock.sleep)
        client = Client(InProcess(self.api), clock=self.clock, user_agent="churn")
        pods: Informer[Obj] = Informer(client, kinds.PODS)
        self._workloads = Workloads(client, pods, clock=self.clock, random=self._random)
        self._kubelet = Kubelet(
            client, pods, clock=self.clock, log=Log("churn"), folder=folder, issue=_no_real_pod, note=self._workloads.note
        )
        controller = Controller("pods", self._kubelet.reconcile, clock=self.clock, random=self._random, workers=8)
        self._kubelet.attach(controller)
        self._runs = [
            self._lifecycle.run,
            pods.run,
            controller.run,
            *(service.run for service in self._workloads.services()),
        ]
        self._owner = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._watches: list[Stream] = []

    async def begin(self) -> None:
        """Furnish the cluster, and let everybody begin."""
        self._lifecycle.start()
        bootstrap(self.api.objects)
        await _sent(self.api, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _BINDING)
        release_crd = msgspec.json.decode((_FLUX / "helmreleases.helm.toolkit.fluxcd.io.json").read_bytes())
        for crd in (*crds(), release_crd):
            await self._send("POST", _DEFINITIONS, crd)
        await self._send("POST", "/api/v1/nodes", node("churn"))
        for number in range(self.size.releases):
            await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": _place(number)}})
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": "apps"}})
        package = {"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": package_name(0)}}
        await self._send("POST", "/apis/cozystack.io/v1alpha1/packages", package)
        self._owner = self.storage.objects("cozystack.io/packages")[0].object["metadata"]["uid"]
        for number in range(self.size.releases):
            path = f"{_RELEASES}/{_place(number)}/helmreleases/release-{number}"
            await self._apply(path, release_json(number, owner=self._owner), "cozystack-package")
        for number in range(self.size.crons):
            await self._send("POST", "/apis/batch/v1/namespaces/apps/cronjobs", _cron_job(number))
        for number in range(self.size.deployments):
            await self._send("POST", f"{_APPS}/apps/deployments", _deployment(number))
        actors: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (5 * 60, self._reconcile),
            (HOUR / max(1, self.size.upgraded), self._upgrade),
            (10 * 60, self._roll_out),
            (10 * 60, self._namespace),
            (15 * 60, self._edit),
            (20 * 60, self._watch),
            (30 * 60, self._stateful),
            (HOUR, self._define_again),
        ]
        actors += [(2.0 if number % 3 == 0 else 10.0, self._renewal(number)) for number in range(self.size.leases)]
        self._tasks = [asyncio.create_task(_coroutine(run)) for run in self._runs]
        self._tasks += [asyncio.create_task(self._each(seconds, act)) for seconds, act in actors]
        await self.clock.advance(60)

    async def play(self, hours: float) -> None:
        await self.clock.advance(hours * HOUR)
        for task in self._tasks:
            if task.done():
                task.result()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.api.end_watches()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.storage.close()
        self._audit.close()

    def measure(self) -> Hour:
        """What there is now, but for memory and processor time."""
        objects = {resource: len(self.storage.objects(resource)) for resource in sorted(self.storage.resources())}
        (rows,) = self.storage._database.execute("SELECT count(*) FROM objects").fetchone()
        managers = max(
            len(stored.object["metadata"].get("managedFields") or ())
            for resource in self.storage.resources()
            for stored in self.storage.objects(resource)
        )
        return Hour(
            hour=round(self.clock.monotonic() / HOUR, 2),
            requests=self.requests,
            objects=objects,
            rows=rows,
            kept_events=sum(len(shelf.events) for shelf in self.storage._shelves.values()),
            database=_bytes(self.folder, "api.sqlite"),
            log=_bytes(self.folder, "api.sqlite-wal"),
            audit=_bytes(self.folder, "audit.log*"),
            managers=managers,
        )

    # Those who use the cluster

    async def _each(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Act again and again, not all at the same moment."""
        await self.clock.sleep(self._random.random() * seconds)
        while True:
            await act()
            await self.clock.sleep(seconds)

    def _renewal(self, number: int) -> Callable[[], Awaitable[None]]:
        name = f"controller-{number}"

        async def renew() -> None:
            stamp = self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            spec = {"holderIdentity": name, "leaseDurationSeconds": 15, "renewTime": stamp}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            await self._send("PUT", f"{_LEASES}/{name}", {**lease, "metadata": {"name": name, "namespace": "kube-system"}})

        return renew

    async def _reconcile(self) -> None:
        """Flux looks at every release: it says that it does, and that nothing was to do."""
        for number in range(self.size.releases):
            path = f"{_RELEASES}/{_place(number)}/helmreleases/release-{number}"
            status = release_status(number)
            conditions = status["status"]["conditions"]
            busy = {"type": "Reconciling", "status": "True", "reason": "Progressing", "message": "", **_moment(self.clock)}
            for told in ([*conditions, busy], conditions):
                said = {**status, "status": {**status["status"], "conditions": told}}
                await self._apply(f"{path}/status", said, "helm-controller")
            await self._apply(path, release_json(number, owner=self._owner), "cozystack-package")

    async def _upgrade(self) -> None:
        """Helm keeps a Secret for each revision, and the last five of them."""
        turn = next(self._upgrades)
        number, revision = turn % max(1, self.size.upgraded), turn // max(1, self.size.upgraded) + 1
        path = f"/api/v1/namespaces/{_place(number)}/secrets"
        name = f"sh.helm.release.v1.release-{number}.v"
        release = base64.b64encode(self._random.randbytes(40_000)).decode()
        secret = {"metadata": {"name": f"{name}{revision}"}, "type": "helm.sh/release.v1", "data": {"release": release}}
        await self._send("POST", path, secret)
        if revision > 5:
            await self._send("DELETE", f"{path}/{name}{revision - 5}")

    async def _roll_out(self) -> None:
        number, turn = self._random.randrange(self.size.deployments), next(self._numbers)
        template = {"metadata": {"annotations": {"turn": str(turn)}}}
        await self._patch(f"{_APPS}/apps/deployments/app-{number}", {"spec": {"template": template}})

    async def _namespace(self) -> None:
        """Somebody tries something out, and cleans up."""
        name = f"try-{next(self._numbers)}"
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        await self._send("POST", f"{_APPS}/{name}/deployments", _deployment(0))
        await self._send("POST", f"/api/v1/namespaces/{name}/services", _service(0))
        await self.clock.sleep(120)
        await self._send("DELETE", f"/api/v1/namespaces/{name}")

    async def _edit(self) -> None:
        """People edit the same object, each under a name of their own, and apply it in other bytes."""
        path = "/api/v1/namespaces/apps/configmaps"
        turn = next(self._numbers)
        with contextlib.suppress(RuntimeError):
            await self._send("POST", path, {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        await self._patch(f"{path}/settings", {"data": {f"key-{turn % 20}": str(turn)}}, manager=f"editor-{turn}")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"b": str(turn)}}
        await self._apply(f"{path}/settings", otherwise(body, self._random), f"applier-{turn % 3}")

    async def _watch(self) -> None:
        """A watch is opened and never read, as that of a client that hangs; the oldest is closed."""
        query = {"watch": "true"}
        for path in ("/api/v1/events", "/apis/coordination.k8s.io/v1/leases", "/api/v1/pods"):
            answer = await self.api.handle(Request("GET", path, query, {}, b"", _USER))
            if isinstance(answer, Stream):
                self._watches.append(answer)
        while len(self._watches) > 9:
            self._watches.pop(0).close()

    async def _stateful(self) -> None:
        """A database with its claims comes and goes."""
        name = f"db-{next(self._numbers)}"
        await self._send("POST", f"{_APPS}/apps/statefulsets", _stateful_set(name))
        await self.clock.sleep(300)
        await self._send("DELETE", f"{_APPS}/apps/statefulsets/{name}")

    async def _define_again(self) -> None:
        """A chart with CRDs is upgraded."""
        for crd in crds():
            crd["metadata"].setdefault("annotations", {})["turn"] = str(next(self._numbers))
            await self._apply(f"{_DEFINITIONS}/{crd['metadata']['name']}", crd, "helm")

    # How they speak to it

    async def _send(self, method: str, path: str, body: object = None) -> None:
        content = msgspec.json.encode(body) if body is not None else b""
        await self._handled(method, path, content, "application/json", {})

    async def _apply(self, path: str, body: object, manager: str) -> None:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        query = {"fieldManager": manager, "force": "true"}
        await self._handled("PATCH", path, content, "application/apply-patch+yaml", query)

    async def _patch(self, path: str, body: object, *, manager: str = "kubectl") -> None:
        content = msgspec.json.encode(body)
        await self._handled("PATCH", path, content, "application/merge-patch+json", {"fieldManager": manager})

    async def _handled(self, method: str, path: str, content: bytes, kind: str, query: dict[str, str]) -> None:
        self.requests += 1
        answer = await self.api.handle(Request(method, path, query, {"content-type": kind}, content, _USER))
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer}")


async def _coroutine(run: Callable[[], Awaitable[None]]) -> None:
    await run()


async def _no_real_pod(_pod: Obj, _folder: Path) -> Credentials:
    raise RuntimeError("no Pod of the churn runs for real")


def _place(number: int) -> str:
    return f"ns-{number % 100}"


def _moment(clock: VirtualClock) -> dict[str, Any]:
    return {"lastTransitionTime": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"), "observedGeneration": 1}


def _template(labels: dict[str, str], *, fail: str = "", **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"labels": labels, **({"annotations": {FAIL: fail}} if fail else {})}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": "registry.example.org/main:v1"}], **spec}}


def _deployment(number: int) -> dict[str, Any]:
    """Some of them have Pods that fail in one way or another."""
    labels = {"app": f"app-{number}"}
    fail = {1: "crash-loop", 2: "image-pull", 3: "not-ready"}.get(number, "")
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": _template(labels, fail=fail)}
    return {"metadata": {"name": f"app-{number}"}, "spec": spec}


def _service(number: int) -> dict[str, Any]:
    return {"metadata": {"name": f"app-{number}"}, "spec": {"selector": {"app": f"app-{number}"}, "ports": [{"port": 80}]}}


def _stateful_set(name: str) -> dict[str, Any]:
    labels = {"app": name}
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": _template(labels),
            "serviceName": name,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": asked}],
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
        },
    }


def _cron_job(number: int) -> dict[str, Any]:
    """Every minute, or every five; one of them fails."""
    fail = "exit" if number == 1 else ""
    job = {"backoffLimit": 0, "template": _template({"job": str(number)}, fail=fail, restartPolicy="Never")}
    schedule = "* * * * *" if number % 2 == 0 else "*/5 * * * *"
    return {"metadata": {"name": f"tick-{number}"}, "spec": {"schedule": schedule, "jobTemplate": {"spec": job}}}


def _bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


async def churned(hours: float, size: Size, *, every: float = 1.0, tell: Callable[[Hour], None]) -> None:
    """Play, and tell what there is at the beginning and after each ``every`` hours."""
    with TemporaryDirectory(prefix="bench-") as folder:
        churn = Churn(Path(folder), size)
        await churn.begin()
        try:
            tell(churn.measure())
            played = 0.0
            while played < hours:
                await churn.play(every)
                played += every
                tell(churn.measure())
        finally:
            await churn.end()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.churning", description="Hours of a busy sandbox, on a clock that jumps."
    )
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--every", type=float, default=1.0, help="hours between two measurements")
    parser.add_argument("--small", action="store_true", help="a little of everything")
    options = parser.parse_args()
    size = Size(leases=2, releases=2, upgraded=2, crons=2, deployments=4) if options.small else Size()

    def tell(hour: Hour) -> None:
        hour.memory, hour.processor = round(held_megabytes(), 1), round(cpu_seconds(os.getpid()), 2)
        print(msgspec.json.encode(hour).decode(), flush=True)

    asyncio.run(churned(options.hours, size, every=options.every, tell=tell))


if __name__ == "__main__":
    main()
