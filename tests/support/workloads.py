"""Workload controllers as pure functions, driven by a small world that carries their actions out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cozystack.api.time import format_time
from cozystack.apiserver.patch import merge_patch
from cozystack.sandbox.controllers import status_patch
from cozystack.sandbox.workloads.actions import Action, Again, Bind, Create, Delete, Note, Obj, Patch, Status, is_deleting
from cozystack.sandbox.workloads.cronjobs import reconcile_cron_job
from cozystack.sandbox.workloads.daemonsets import reconcile_daemon_set
from cozystack.sandbox.workloads.deployments import reconcile_deployment
from cozystack.sandbox.workloads.jobs import reconcile_job
from cozystack.sandbox.workloads.replicas import reconcile_replica_set
from cozystack.sandbox.workloads.scheduling import NODE_LABELS
from cozystack.sandbox.workloads.statefulsets import reconcile_stateful_set

NODE: Obj = {"metadata": {"name": "sandbox", "labels": NODE_LABELS}, "spec": {}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Objects by kind and name; a step lets every controller act once, and Pods become what ``kubelet`` says."""

    def __init__(self, *objects: Obj, kubelet: Callable[[Obj], Obj] | None = None) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.serial = 0
        self.now = NOW
        self.log: list[str] = []
        self.notes: list[str] = []
        self.waits: list[timedelta] = []
        self.versions: set[str] = set()
        """Versions over which a status was written, and no other."""
        self.kubelet = kubelet or running
        for item in objects:
            self.carry_out(Create(item))
        self.log.clear()

    def news(self) -> list[str]:
        """What came and went, ControllerRevisions apart."""
        return [entry for entry in self.log if "ControllerRevision/" not in entry]

    def all(self, kind: str) -> list[Obj]:
        return [item for (k, _), item in self.objects.items() if k == kind]

    def one(self, kind: str, name: str) -> Obj:
        return self.objects[kind, name]

    def carry_out(self, action: Action) -> None:
        match action:
            case Create(object=item, told=told):
                if told is not None:
                    self.carry_out(told)
                self.serial += 1
                item = copy.deepcopy(item)
                stamp = format_time(NOW + timedelta(microseconds=self.serial) if item["kind"] == "CronJob" else self.now)
                item["metadata"] |= {"uid": f"u{self.serial}", "generation": 1, "creationTimestamp": stamp}
                assert (item["kind"], item["metadata"]["name"]) not in self.objects
                self.objects[item["kind"], item["metadata"]["name"]] = item
                self.log.append(f"+{item['kind']}/{item['metadata']['name']}")
            case Patch(kind=kind, name=name, patch=patch):
                live = self.objects[kind, name]
                live |= {key: merge_patch(live.get(key, {}), value) for key, value in patch.items()}
                live["metadata"]["generation"] += "spec" in patch
                if is_deleting(live) and not live["metadata"].get("finalizers"):
                    del self.objects[kind, name]
            case Status(kind=kind, name=name, version=version):
                self.versions |= {version} if version else set()
                live = self.objects[kind, name]
                live |= {key: merge_patch(live.get(key, {}), value) for key, value in status_patch(action).items()}
            case Delete(kind=kind, name=name, uid=uid, told=told):
                live = self.objects[kind, name]
                assert live["metadata"]["uid"] == uid
                if not is_deleting(live):
                    self.log.append(f"-{kind}/{name}")
                    if told is not None:
                        self.carry_out(told)
                live["metadata"]["deletionTimestamp"] = format_time(self.now)
                if not live["metadata"].get("finalizers"):
                    del self.objects[kind, name]
            case Note(object=item, reason=reason, message=message):
                self.notes.append(f"{item['kind']} {reason}: {message}")
            case Again(after=after):
                self.waits.append(after)
            case Bind():
                raise AssertionError("no workload binds a Pod")

    def step(self) -> int:
        actions: list[Action] = []
        pods = self.all("Pod")
        for item in self.all("Deployment"):
            actions += reconcile_deployment(item, self.all("ReplicaSet"), self.now)
        for item in self.all("ReplicaSet"):
            actions += reconcile_replica_set(item, pods, self.now)
        for item in self.all("StatefulSet"):
            actions += reconcile_stateful_set(
                item, pods, self.all("PersistentVolumeClaim"), self.all("ControllerRevision"), self.now
            )
        for item in self.all("DaemonSet"):
            actions += reconcile_daemon_set(item, pods, self.all("ControllerRevision"), [NODE], self.now)
        for item in self.all("Job"):
            actions += reconcile_job(item, pods, self.now)
        for item in self.all("CronJob"):
            actions += reconcile_cron_job(item, self.all("Job"), self.now)
        self.waits.clear()
        for action in actions:
            self.carry_out(action)
        actions = [action for action in actions if not isinstance(action, Again | Note)]
        for pod in self.all("Pod"):
            if not is_deleting(pod):
                pod["status"] = self.kubelet(pod)
        return len(actions)

    def settle(self) -> None:
        for _ in range(50):
            if not self.step():
                return
        raise AssertionError(f"not settled: {self.log}")

    def wait(self) -> None:
        """Let the time pass that somebody waits for."""
        self.now += min(self.waits)
        self.settle()

    def pods(self) -> list[str]:
        """What came and went, Pods alone, by their image."""
        return sorted(pod["spec"]["containers"][0]["image"] for pod in self.all("Pod"))


def running(pod: Obj) -> Obj:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def unready(pod: Obj) -> Obj:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}


def done(pod: Obj) -> Obj:
    return {"phase": "Succeeded", "conditions": []}


def broken(pod: Obj) -> Obj:
    """Failed, when it was made."""
    ended = {"exitCode": 1, "finishedAt": pod["metadata"]["creationTimestamp"]}
    return {"phase": "Failed", "conditions": [], "containerStatuses": [{"name": "c", "state": {"terminated": ended}}]}


def change(world: World, name: str, image: str, kind: str = "Deployment") -> None:
    """Give a workload another template."""
    item = world.one(kind, name)
    template = copy.deepcopy(item["spec"]["template"])
    template["spec"]["containers"][0]["image"] = image
    item["spec"]["template"] = template
    item["metadata"]["generation"] += 1


def progressing(world: World) -> tuple[str, str]:
    """What the Deployment says of its rollout."""
    return next(
        (c["status"], c["reason"]) for c in world.one("Deployment", "web")["status"]["conditions"] if c["type"] == "Progressing"
    )


def workload(kind: str, name: str = "web", **spec: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
    api = "batch/v1" if kind == "Job" else "apps/v1"
    selector = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    if kind == "Deployment":
        spec = {"progressDeadlineSeconds": 600, **spec}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {**selector, "template": template, **spec},
    }
