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
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cozystack.helm.engine import LintMessage, Release, ReleaseRequest, Rendered, RenderRequest, Target
from cozystack.helm.errors import (
    HOW_TO_GET_ONE,
    ChartError,
    HelmCrashed,
    HelmError,
    HelmUnavailable,
    ReleaseNotFound,
    ValuesError,
    typed,
)
from cozystack.helm.worker import LENGTH, MARK_LABEL, frame

_KINDS: dict[str, type[HelmError]] = {
    "HelmChartLoadError": ChartError,
    "HelmChartInvalidError": ChartError,
    "HelmRenderError": ChartError,
    "HelmValuesError": ValuesError,
    "HelmNotFoundError": ReleaseNotFound,
}


_SEVERITIES = ("unknown", "info", "warning", "error")


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
        if not answer["total_charts_linted"]:
            raise ChartError("; ".join(answer["errors"]) or f"there is no chart at {chart}")
        return [LintMessage(_SEVERITIES[m["severity"]], m["path"], m["error"]) for m in answer["messages"]]

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
        return history_of(found)

    async def crds(self, chart: Path) -> list[str]:
        return list(await self._call("crds", {"chart": str(chart)}))

    async def close(self) -> None:
        """End the workers; what they are doing fails with ``HelmCrashed``."""
        self._closed = True
        for index, lock in enumerate(self._starting):
            async with lock:
                process, self._workers[index] = self._workers[index], None
            if process is not None:
                await process.stop()

    def pids(self) -> list[int]:
        return [process.pid for process in self._workers if process is not None and process.alive]

    async def _call(self, operation: str, arguments: dict[str, Any]) -> Any:
        worker = await self._worker(next(self._turn) % len(self._workers))
        return await worker.call(operation, arguments)

    async def _worker(self, index: int) -> _Process:
        async with self._starting[index]:
            if self._closed:
                raise HelmUnavailable("the Helm engine is closed")
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
        # Helm's own variables name clusters, namespaces and storage as well; what we want is in each request.
        kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG" and not name.startswith("HELM_")}
        environment = {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHOME": sys.base_prefix}
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
        except BaseException:
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
            if self._process.returncode is None and stdout is not None and not stdout.at_eof():
                # Nobody reads the answers any more: the loop ends, or they make no sense. Waiting would be for ever.
                self._process.kill()
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
                    HelmUnavailable(f"Helm's native library cannot be loaded here ({reason}); {HOW_TO_GET_ONE}")
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
        first_deployed=_time(info.get("first_deployed")),
        last_deployed=_time(info.get("last_deployed") or summary.get("updated") or summary.get("deployed_at")),
        manifest=str(summary.get("manifest") or ""),
        notes=str(info.get("notes") or summary.get("notes") or ""),
        mark=str((summary.get("labels") or {}).get(MARK_LABEL, "")),
    )


def history_of(summaries: Iterable[dict[str, Any]]) -> list[Release]:
    """The history from summaries of its revisions: what both back ends know of them, oldest first."""
    releases = (
        msgspec.structs.replace(release_of(summary), description="", first_deployed="", manifest="", notes="", mark="")
        for summary in summaries
    )
    return sorted(releases, key=lambda release: release.revision)


def _time(text: str | None) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if text else ""


def _split_chart(chart: str, version: str) -> tuple[str, str, str]:
    """``name-1.2.3`` as name and version."""
    if version and chart.endswith(f"-{version}"):
        return chart.removesuffix(f"-{version}"), "-", version
    for index in range(len(chart) - 1):
        if chart[index] == "-" and chart[index + 1].isdigit():
            return chart[:index], "-", chart[index + 1 :]
    return chart, "-", version
