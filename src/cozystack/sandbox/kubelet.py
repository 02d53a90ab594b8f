"""The kubelet stand-in: simulated Pods get ready, Pods of the project's own images run as processes on this machine.

A real Pod gets the credentials of its service account as a kubeconfig and as the files that every Pod has; where they are is
told by ``KUBECONFIG`` and ``COZYSTACK_SERVICEACCOUNT_DIR``, since the usual path is not writable for all. A container that
ends is started again with a growing delay, as Pods of that restart policy are. Everything else about a Pod is simulated; what
becomes of the Pods that are simulated altogether stands in ``lives``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cozystack.api.meta import Key
from cozystack.kube import Client, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import Conflict, NotFound
from cozystack.runtime import Controller, Done, Log, RequeueAfter, Result
from cozystack.sandbox import kinds
from cozystack.sandbox.images import is_real, real_command
from cozystack.sandbox.lives import KUBELET, Life, advance, killed, remembered, simulated_log
from cozystack.sandbox.pods import Shown, pod_status, same_status
from cozystack.sandbox.processes import Ended, Process
from cozystack.sandbox.workloads.actions import NODE, Note, Obj, has_ended, is_deleting

FIRST_RESTART, LONGEST_RESTART = 0.5, 30.0
STEADY = 60.0
"""Seconds that a container must have run for its restarts to be forgotten."""


@dataclass(slots=True)
class Credentials:
    """What a process needs to reach the API as its service account."""

    directory: Path
    kubeconfig: Path
    host: str
    port: int


@dataclass(slots=True)
class Running:
    """A real Pod on this machine."""

    uid: str
    processes: dict[str, Process] = field(default_factory=dict)
    ended: dict[str, Ended] = field(default_factory=dict)
    restarts: int = 0
    quick_failures: int = 0
    started: datetime | None = None
    started_at: float = 0.0
    restart_at: float | None = None


class Kubelet:
    """Reconciles Pods that have a node. ``issue`` writes the credentials of a Pod into a folder; ``note`` tells of an Event."""

    def __init__(
        self,
        client: Client,
        pods: Informer[Obj],
        *,
        clock: Clock,
        log: Log,
        folder: Path,
        issue: Callable[[Obj, Path], Awaitable[Credentials]],
        rewrite: Callable[[Obj, list[str]], list[str]] = lambda _container, command: command,
        note: Callable[[Note], None] = lambda _note: None,
        environment: Mapping[str, str] | None = None,
        start_delay: float = 0.2,
    ) -> None:
        self._client = client
        self._pods = pods
        self._clock = clock
        self._log = log
        self._folder = folder
        self._issue = issue
        self._rewrite = rewrite
        self._note = note
        self._environment = dict(os.environ if environment is None else environment)
        self._start_delay = start_delay
        self._lives: dict[Key, Life] = {}
        self._running: dict[Key, Running] = {}
        self._controller: Controller | None = None

    def attach(self, controller: Controller) -> None:
        self._controller = controller
        controller.watch(self._pods)

    async def reconcile(self, key: Key) -> Result:
        pod = self._pods.store.get(key)
        running = self._running.get(key)
        if running is not None and (pod is None or pod["metadata"]["uid"] != running.uid):
            await self._stop(key, running, 5.0)
        if pod is None:
            self._lives.pop(key, None)
            return Done()
        if is_deleting(pod):
            return await self._finish(key, pod)
        if has_ended(pod) or not pod["spec"].get("nodeName"):
            self._lives.pop(key, None)
            return Done()
        if is_real(pod):
            return await self._run(key, pod)
        return await self._simulate(key, pod)

    async def _simulate(self, key: Key, pod: Obj) -> Result:
        moment = self._clock.monotonic()
        life = self._lives.get(key)
        if life is None or life.uid != pod["metadata"]["uid"]:
            life = self._lives[key] = remembered(pod, moment)
        turn = advance(pod, life, moment, self._clock.now(), step=self._start_delay)
        for note in turn.notes:
            self._note(note)
        await self._write(key, pod, turn.shown)
        return RequeueAfter(turn.wake) if turn.wake is not None else Done()

    async def _write(self, key: Key, pod: Obj, shown: Shown) -> None:
        status = pod_status(pod, shown)
        if same_status(pod.get("status", {}), status):
            return
        try:
            await self._client.patch(kinds.PODS, key, {"status": status}, subresource="status")
        except NotFound:
            return

    async def _report(self, key: Key, pod: Obj, shown: Shown) -> None:
        """Write the status of a real Pod."""
        running = self._running.get(key)
        if running is not None:
            shown.started, shown.restarts = running.started, running.restarts
        await self._write(key, pod, shown)

    async def _run(self, key: Key, pod: Obj) -> Result:
        running = self._running.get(key)
        if running is None:
            running = Running(pod["metadata"]["uid"])
            running.restarts = max(
                (c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses", ())), default=-1
            )
            running.restarts += 1
            self._running[key] = running
            await self._start(key, pod, running)
        elif running.ended:
            return await self._after_end(key, pod, running)
        elif self._clock.monotonic() - running.started_at > STEADY:
            running.quick_failures = 0
        await self._report(key, pod, Shown("running", self._clock.now()))
        return Done()

    async def _start(self, key: Key, pod: Obj, running: Running) -> None:
        home = self._folder / running.uid
        home.mkdir(parents=True, exist_ok=True)
        credentials = await self._issue(pod, home)
        running.ended.clear()
        running.started = self._clock.now()
        running.started_at = self._clock.monotonic()
        for container in pod["spec"]["containers"]:
            environment = self._environment_of(pod, container, credentials)
            command = real_command(container, environment)
            if command is None or container["name"] in running.processes:
                continue
            name = container["name"]
            process = await Process.start(
                self._rewrite({**container, "podUid": running.uid}, command),
                environment=environment,
                directory=home,
                log=self.log_file(pod, name),
                on_end=lambda ended, name=name: self._ended(key, running, name, ended),  # type: ignore[misc]
            )
            running.processes[name] = process
            self._log.info("process started", pod=str(key), container=name, pid=process.pid)
            self._note(Note(pod, KUBELET, "Created", f"Created container: {name}"))
            self._note(Note(pod, KUBELET, "Started", f"Started container {name} (process {process.pid} on this machine)"))

    def _environment_of(self, pod: Obj, container: Obj, credentials: Credentials) -> dict[str, str]:
        """The container's environment over a bare one; the API server is where it really is, whatever the chart says."""
        keep = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "COZYSTACK_HELM")
        result = {name: self._environment[name] for name in keep if name in self._environment}
        result["PYTHONUNBUFFERED"] = "1"
        result["HOSTNAME"] = pod["metadata"]["name"]
        fields = {
            "metadata.name": pod["metadata"]["name"],
            "metadata.namespace": pod["metadata"]["namespace"],
            "metadata.uid": pod["metadata"]["uid"],
            "spec.nodeName": NODE,
            "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
            "status.podIP": "127.0.0.1",
            "status.hostIP": "127.0.0.1",
        }
        for entry in container.get("env", ()):
            if "value" in entry:
                result[entry["name"]] = entry["value"]
            else:
                path = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
                if path in fields:
                    result[entry["name"]] = fields[path]
        result |= {
            "KUBERNETES_SERVICE_HOST": credentials.host,
            "KUBERNETES_SERVICE_PORT": str(credentials.port),
            "KUBECONFIG": str(credentials.kubeconfig),
            "COZYSTACK_SERVICEACCOUNT_DIR": str(credentials.directory),
            "POD_NAMESPACE": pod["metadata"]["namespace"],
            "POD_NAME": pod["metadata"]["name"],
        }
        return result

    def _ended(self, key: Key, running: Running, container: str, ended: Ended) -> None:
        running.processes.pop(container, None)
        running.ended[container] = ended
        self._log.info("process ended", pod=str(key), container=container, code=ended.code)
        if self._controller is not None:
            self._controller.trigger(key)

    async def _after_end(self, key: Key, pod: Obj, running: Running) -> Result:
        code = next(iter(running.ended.values())).code
        policy = pod["spec"].get("restartPolicy", "Always")
        shown = code if code >= 0 else 128 - code
        if policy != "Always" and (code == 0 or policy == "Never"):
            await self._stop_processes(running, 5.0)
            words = self.last_words(pod)
            last = Shown("succeeded" if code == 0 else "failed", self._clock.now(), exit_code=shown, message=words)
            await self._report(key, pod, last)
            self._running.pop(key, None)
            return Done()
        now = self._clock.monotonic()
        if running.restart_at is None:
            if now - running.started_at > STEADY:
                running.quick_failures = 0
            delay = min(FIRST_RESTART * 2**running.quick_failures, LONGEST_RESTART)
            running.quick_failures += 1
            running.restart_at = now + delay
            name = next(iter(running.ended))
            text = f"Back-off restarting failed container {name} in pod {key.name}_{key.namespace}({running.uid})"
            self._note(Note(pod, KUBELET, "BackOff", text, warning=True))
            waiting = f"back-off {delay:g}s restarting failed container={name} pod={key.name}_{key.namespace}({running.uid})"
            words = self.last_words(pod)
            ended = Shown("crash-loop", self._clock.now(), exit_code=shown, message=words, waiting=waiting)
            await self._report(key, pod, ended)
        if now < running.restart_at:
            return RequeueAfter(running.restart_at - now)
        running.restart_at = None
        running.restarts += 1
        await self._start(key, pod, running)
        await self._report(key, pod, Shown("running", self._clock.now()))
        return Done()

    def last_words(self, pod: Obj) -> str:
        """The end of the first real container's log: what a person would look for first."""
        for container in pod["spec"]["containers"]:
            path = self.log_file(pod, container["name"])
            if path.exists():
                return path.read_bytes()[-400:].decode(errors="replace").strip()
        return ""

    async def _finish(self, key: Key, pod: Obj) -> Result:
        if self._lives.pop(key, None) is not None or key in self._running:
            for note in killed(pod):
                self._note(note)
        running = self._running.get(key)
        if running is not None:
            grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
            await self._stop(key, running, min(float(grace), 30.0))
        if not pod["metadata"].get("finalizers"):
            try:
                await self._client.delete(kinds.PODS, key, uid=pod["metadata"]["uid"], grace=0)
            except (NotFound, Conflict):
                return Done()
        return Done()

    async def _stop(self, key: Key, running: Running, grace: float) -> None:
        self._running.pop(key, None)
        await self._stop_processes(running, grace)

    async def _stop_processes(self, running: Running, grace: float) -> None:
        processes = list(running.processes.values())
        running.processes.clear()
        for process in processes:
            await process.stop(grace)

    async def stop_all(self, grace: float = 10.0) -> None:
        """Stop every process, the youngest first; the Pods stay as they are, to be started again another time."""
        for key, running in reversed(list(self._running.items())):
            await self._stop(key, running, grace)

    def process(self, key: Key, container: str) -> Process | None:
        """The process of a container, if one runs."""
        running = self._running.get(key)
        return running.processes.get(container) if running else None

    def all_running(self) -> bool:
        """Whether every real Pod that should run does."""
        for pod in self._pods.store.objects():
            if is_real(pod) and not is_deleting(pod) and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                running = self._running.get(key_of(pod))
                if running is None or not running.processes or running.ended:
                    return False
        return True

    def pids(self) -> list[int]:
        return [process.pid for running in self._running.values() for process in running.processes.values()]

    def log_file(self, pod: Obj, container: str) -> Path:
        return self._folder / str(pod["metadata"]["uid"]) / f"{container}.log"

    def _log_path(self, pod: Obj, container: str, previous: bool) -> Path:
        path = self.log_file(pod, container)
        return path.with_suffix(".previous.log") if previous else path

    def bytes_before(self, pod: Obj, container: str, lines: int, *, previous: bool = False) -> int:
        """Where the last ``lines`` lines of a container's log begin."""
        path = self._log_path(pod, container, previous)
        content = path.read_bytes() if path.exists() else b""
        kept = content.splitlines(keepends=True)[-lines:] if lines else []
        return len(content) - sum(map(len, kept))

    async def read_log(
        self, pod: Obj, container: str, *, follow: bool = False, previous: bool = False, skip: int = 0
    ) -> AsyncIterator[bytes]:
        """The log of a container from byte ``skip``; with ``follow`` until its process ends."""
        path = self._log_path(pod, container, previous)
        if not path.exists():
            if not is_real(pod):
                yield simulated_log(pod, container).encode()
            return
        key = Key(pod["metadata"]["namespace"], pod["metadata"]["name"])
        with path.open("rb") as source:
            source.seek(skip)
            while True:
                chunk = source.read(65536)
                if chunk:
                    yield chunk
                    continue
                process = self.process(key, container)
                if not follow or process is None or not process.running:
                    return
                await self._clock.sleep(0.2)
