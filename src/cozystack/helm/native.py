"""Helm by its native library, in worker processes of our own.

A worker is started with the first request and again when it has died; what it was doing then fails with ``HelmCrashed`` and may
be asked again. The worker calls itself ``helm``, so that objects it writes carry the same field manager as those of the binary.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from cozystack.helm.engine import LintMessage, Release, ReleaseRequest, Rendered, RenderRequest, Target
from cozystack.helm.errors import ChartError, HelmCrashed, HelmError, HelmUnavailable, ReleaseNotFound, ValuesError, typed
from cozystack.helm.worker import LENGTH, MARK_LABEL, frame

_KINDS: dict[str, type[HelmError]] = {
    "HelmChartLoadError": ChartError,
    "HelmChartInvalidError": ChartError,
    "HelmRenderError": ChartError,
    "HelmValuesError": ValuesError,
    "HelmNotFoundError": ReleaseNotFound,
}


class NativeHelm:
    """See the module. ``threads`` requests run at once in each of ``workers`` processes."""

    def __init__(self, *, workers: int = 1, threads: int = 4) -> None:
        self._threads = threads
        self._workers: list[_Process | None] = [None] * workers
        self._starting = [asyncio.Lock() for _ in range(workers)]
        self._turn = itertools.count()
        self._closed = False

    async def start(self) -> dict[str, str]:
        """Start the first worker; versions of Helm and of the library; raises ``HelmUnavailable``."""
        return (await self._worker(0)).hello

    async def render(self, request: RenderRequest) -> Rendered:
        return msgspec.convert(await self._call("render", msgspec.to_builtins(request)), Rendered)

    async def lint(self, chart: Path, values: dict[str, Any]) -> list[LintMessage]:
        answer = await self._call("lint", {"chart": str(chart), "values": values})
        found = answer.get("messages", []) if isinstance(answer, dict) else answer
        return [LintMessage(_severity(m.get("severity")), str(m.get("path", "")), _lint_text(m)) for m in found]

    async def install(self, request: ReleaseRequest) -> Release:
        return release_of(await self._call("install", msgspec.to_builtins(request)))

    async def upgrade(self, request: ReleaseRequest) -> Release:
        return release_of(await self._call("upgrade", msgspec.to_builtins(request)))

    async def rollback(self, target: Target, *, revision: int = 0) -> None:
        await self._call("rollback", {"target": msgspec.to_builtins(target), "revision": revision})

    async def uninstall(self, target: Target, *, keep_history: bool = False) -> None:
        await self._call("uninstall", {"target": msgspec.to_builtins(target), "keep_history": keep_history})

    async def status(self, target: Target) -> Release | None:
        try:
            return release_of(await self._call("status", {"target": msgspec.to_builtins(target)}))
        except ReleaseNotFound:
            return None

    async def history(self, target: Target) -> list[Release]:
        try:
            found = await self._call("history", {"target": msgspec.to_builtins(target)})
        except ReleaseNotFound:
            return []
        return sorted((release_of(item) for item in found), key=lambda release: release.revision)

    async def crds(self, chart: Path) -> list[str]:
        return list(await self._call("crds", {"chart": str(chart)}))

    async def close(self) -> None:
        self._closed = True
        for process in self._workers:
            if process is not None:
                await process.stop()
        self._workers = [None] * len(self._workers)

    def pids(self) -> list[int]:
        return [process.pid for process in self._workers if process is not None and process.alive]

    async def _call(self, operation: str, arguments: dict[str, Any]) -> Any:
        worker = await self._worker(next(self._turn) % len(self._workers))
        return await worker.call(operation, arguments)

    async def _worker(self, index: int) -> _Process:
        if self._closed:
            raise HelmUnavailable("the Helm engine is closed")
        async with self._starting[index]:
            process = self._workers[index]
            if process is None or not process.alive:
                process = self._workers[index] = await _Process.start(self._threads)
            return process


class _Process:
    """One worker process and the requests it works on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._hello: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())
        self.hello: dict[str, str] = {}

    @classmethod
    async def start(cls, threads: int) -> _Process:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHOME": sys.base_prefix}
        environment.pop("KUBECONFIG", None)
        # A process group of its own: Ctrl-C in a terminal is for its parent, which closes its input.
        process = await asyncio.create_subprocess_exec(
            "helm",
            "-m",
            "cozystack.helm.worker",
            str(threads),
            executable=str(Path(sys.executable).resolve()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            limit=2**20,
        )
        worker = cls(process)
        try:
            worker.hello = await worker._hello
        except HelmError:
            await worker.stop()
            raise
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._reader.done()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, operation: str, arguments: dict[str, Any]) -> Any:
        stdin = self._process.stdin
        if not self.alive or stdin is None:
            raise HelmCrashed("the Helm worker is not running")
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            stdin.write(frame({"id": number, "operation": operation, "arguments": arguments}))
            await stdin.drain()
            return await future
        except (ConnectionError, BrokenPipeError) as error:
            raise HelmCrashed("the Helm worker died while it was asked") from error
        finally:
            self._pending.pop(number, None)

    async def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 2.0)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        stdout = self._process.stdout
        try:
            while stdout is not None:
                (size,) = LENGTH.unpack(await stdout.readexactly(LENGTH.size))
                self._take(json.loads(await stdout.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            code = await self._process.wait()
            died = HelmCrashed(f"the Helm worker died (exit code {code})")
            for future in [self._hello, *self._pending.values()]:
                if not future.done():
                    future.set_exception(died)
                    future.exception()

    def _take(self, answer: dict[str, Any]) -> None:
        if answer["id"] == 0:
            if "unavailable" in answer:
                reason = answer["unavailable"]
                self._hello.set_exception(
                    HelmUnavailable(
                        f"Helm's native library cannot be loaded here ({reason}); give a helm program of version 4 by --helm"
                    )
                )
            else:
                self._hello.set_result(answer["result"])
            return
        future = self._pending.get(answer["id"])
        if future is None or future.done():
            return
        if "error" in answer:
            future.set_exception(_error(answer["kind"], answer["error"]))
        else:
            future.set_result(answer["result"])


def _severity(value: Any) -> str:
    """The library gives a number, or its name."""
    names = {0: "unknown", 1: "info", 2: "warning", 3: "error"}
    return names.get(int(value), "unknown") if isinstance(value, int) or str(value).isdecimal() else str(value).lower()


def _lint_text(message: dict[str, Any]) -> str:
    return str(message.get("message") or message.get("error") or message.get("err") or message.get("text") or "")


def _error(kind: str, message: str) -> HelmError:
    error = typed(message)
    if type(error) is HelmError and kind in _KINDS:
        return _KINDS[kind](message)
    return error


def release_of(summary: dict[str, Any]) -> Release:
    """A release from the summaries that the library and the binary give."""
    chart = summary.get("chart")
    info = summary.get("info") or {}
    metadata = chart.get("metadata", {}) if isinstance(chart, dict) else {}
    name = metadata.get("name") or summary.get("chart_name") or ""
    version = metadata.get("version") or summary.get("chart_version") or ""
    if isinstance(chart, str) and not name:
        name, _, version = _split_chart(chart, version)
    return Release(
        name=str(summary.get("name", "")),
        namespace=str(summary.get("namespace", "")),
        revision=int(summary.get("version") or summary.get("revision") or 0),
        status=str(info.get("status") or summary.get("status") or ""),
        chart_name=name,
        chart_version=version,
        app_version=str(metadata.get("appVersion") or summary.get("app_version") or ""),
        description=str(info.get("description") or summary.get("description") or ""),
        first_deployed=str(info.get("first_deployed") or summary.get("first_deployed") or ""),
        last_deployed=str(
            info.get("last_deployed")
            or summary.get("last_deployed")
            or summary.get("updated")
            or summary.get("deployed_at")
            or ""
        ),
        manifest=str(summary.get("manifest") or ""),
        notes=str(info.get("notes") or summary.get("notes") or ""),
        mark=str((summary.get("labels") or {}).get(MARK_LABEL, "")),
    )


def _split_chart(chart: str, version: str) -> tuple[str, str, str]:
    """``name-1.2.3`` as name and version."""
    if version and chart.endswith(f"-{version}"):
        return chart.removesuffix(f"-{version}"), "-", version
    for index in range(len(chart) - 1):
        if chart[index] == "-" and chart[index + 1].isdigit():
            return chart[:index], "-", chart[index + 1 :]
    return chart, "-", version
