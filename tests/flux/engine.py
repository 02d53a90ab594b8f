"""A Helm in memory, with the rules of the real one: revisions, what locks a release, what can be upgraded.

Charts are plain: every file below ``templates`` is part of the manifest as it is. With a client it applies what it installs, as
Helm does; without one the manifest is only kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cozystack.api import yaml
from cozystack.helm import (
    ChartError,
    HelmError,
    LintMessage,
    OperationPending,
    Release,
    ReleaseNotFound,
    ReleaseRequest,
    Rendered,
    RenderRequest,
    Target,
)
from cozystack.kube import Client, Discovery
from cozystack.kube.manifests import apply_all


class MemoryHelm:
    """``calls`` holds every operation that changes something, ``requests`` what was asked with it."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client
        self._releases: dict[tuple[str, str], list[Release]] = {}
        self._failures: list[HelmError] = []
        self.calls: list[str] = []
        self.requests: list[ReleaseRequest] = []
        self.targets: list[Target] = []

    def fail(self, *errors: HelmError) -> None:
        """The next operations fail one after the other, once their revision is recorded as failed (a hook, say)."""
        self._failures += errors

    def interrupt(self, target: Target, status: str) -> None:
        """Leave what an operation that was killed leaves: a pending revision."""
        revisions = self._of(target)
        revisions.append(Release(target.name, target.namespace, len(revisions) + 1, status))

    async def render(self, request: RenderRequest) -> Rendered:
        chart = Path(request.chart)
        return Rendered({path.name: path.read_text() for path in sorted(chart.glob("templates/*"))})

    async def lint(self, chart: Path, values: dict[str, Any]) -> list[LintMessage]:
        return []

    async def install(self, request: ReleaseRequest) -> Release:
        last = self._last(request.target)
        self._unlocked(last)
        if last is not None and not (request.replace and last.status in ("uninstalled", "failed")):
            raise HelmError("cannot reuse a name that is still in use")
        return await self._make("install", request)

    async def upgrade(self, request: ReleaseRequest) -> Release:
        last = self._last(request.target)
        self._unlocked(last)
        if last is None or last.status == "uninstalled":
            raise ReleaseNotFound(f'"{request.target.name}" has no deployed releases')
        return await self._make("upgrade", request)

    async def rollback(self, target: Target, *, revision: int = 0) -> None:
        self._call("rollback", target)
        revisions = self._of(target)
        done = [each for each in revisions if revision in (0, each.revision) and each.status in ("deployed", "superseded")]
        if not done:
            raise ReleaseNotFound("release: not found")
        self._supersede(target)
        revisions.append(msgspec.structs.replace(done[-1], revision=len(revisions) + 1, status="deployed"))

    async def uninstall(self, target: Target, *, keep_history: bool = False) -> None:
        self._call("uninstall", target)
        if self._failures:
            raise self._failures.pop(0)
        revisions = self._of(target)
        if not revisions:
            raise ReleaseNotFound("release: not found")
        if keep_history:
            revisions[-1] = msgspec.structs.replace(revisions[-1], status="uninstalled")
        else:
            revisions.clear()

    async def status(self, target: Target) -> Release | None:
        return self._last(target)

    async def history(self, target: Target) -> list[Release]:
        return [msgspec.structs.replace(each, manifest="", notes="", mark="") for each in self._of(target)]

    async def crds(self, chart: Path) -> list[str]:
        return [path.read_text() for path in sorted(chart.glob("crds/*"))]

    async def close(self) -> None:
        pass

    def _of(self, target: Target) -> list[Release]:
        return self._releases.setdefault((target.namespace, target.name), [])

    def _last(self, target: Target) -> Release | None:
        revisions = self._of(target)
        return revisions[-1] if revisions else None

    def _call(self, what: str, target: Target) -> None:
        self.calls.append(f"{what} {target.namespace}/{target.name}")
        self.targets.append(target)

    def _unlocked(self, last: Release | None) -> None:
        if last is not None and last.status.startswith("pending-"):
            raise OperationPending("another operation (install/upgrade/rollback) is in progress")

    def _supersede(self, target: Target) -> None:
        revisions = self._of(target)
        revisions[:] = [
            msgspec.structs.replace(each, status="superseded") if each.status == "deployed" else each for each in revisions
        ]

    async def _make(self, what: str, request: ReleaseRequest) -> Release:
        self._call(what, request.target)
        self.requests.append(request)
        chart = Path(request.chart)
        about = yaml.load((chart / "Chart.yaml").read_text())
        if not isinstance(about, dict):
            raise ChartError("cannot load chart")
        manifest = "\n---\n".join(path.read_text() for path in sorted(chart.glob("templates/*")))
        target, revisions = request.target, self._of(request.target)
        made = Release(
            target.name,
            target.namespace,
            len(revisions) + 1,
            "failed" if self._failures else "deployed",
            chart_name=about["name"],
            chart_version=about["version"],
            app_version=str(about.get("appVersion", "")),
            manifest=manifest,
            mark=request.mark,
        )
        if self._failures:
            revisions.append(made)
            raise self._failures.pop(0)
        if self._client is not None:
            objects = [each.value for each in yaml.load_all(manifest) if isinstance(each.value, dict)]
            await apply_all(self._client, Discovery(self._client), objects, manager="helm", namespace=target.namespace)
        self._supersede(target)
        revisions.append(made)
        return made
