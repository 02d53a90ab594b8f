"""The interface to Helm: what can be asked, and what comes back. Two back ends implement it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec


class Release(msgspec.Struct, frozen=True):
    """One revision of a release, as Helm stored it.

    A history tells neither ``description``, ``first_deployed``, ``manifest``, ``notes`` nor ``mark``. Times are in UTC and in
    whole seconds, such as ``2026-01-01T00:00:00Z``.
    """

    name: str
    namespace: str
    revision: int
    status: str
    """deployed, failed, superseded, uninstalled, pending-install, pending-upgrade, pending-rollback."""
    chart_name: str = ""
    chart_version: str = ""
    app_version: str = ""
    description: str = ""
    first_deployed: str = ""
    last_deployed: str = ""
    manifest: str = ""
    notes: str = ""
    mark: str = ""
    """What its maker marked it with."""


class Target(msgspec.Struct, frozen=True):
    """Which release, and where. Operations on one release must not overlap."""

    name: str
    namespace: str
    kubeconfig: str
    timeout: float = 300.0
    """Seconds for hooks, and for objects where they are waited for."""


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An install or an upgrade. Hooks are always waited for, objects only with ``wait``.

    ``values`` are laid over those of the chart and nothing else: an upgrade keeps none of the revision before.
    """

    target: Target
    chart: str
    """A chart folder, or its ``.tgz``."""
    values: dict[str, Any] = {}
    create_namespace: bool = False
    skip_crds: bool = False
    wait: bool = False
    max_history: int = 0
    disable_hooks: bool = False
    force_conflicts: bool = True
    take_ownership: bool = False
    replace: bool = False
    description: str = ""
    mark: str = ""
    """A label value by which ``status`` tells this revision from others, such as part of a digest."""


class RenderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Render a chart without a cluster: ``lookup`` finds nothing.

    Whether the chart's own ``kubeVersion`` fits is for an install to say; the program says it here as well.
    """

    chart: str
    name: str
    namespace: str
    values: dict[str, Any] = {}
    kube_version: str = "v1.37.2"
    api_versions: tuple[str, ...] = ()
    upgrade: bool = False


class Rendered(msgspec.Struct, frozen=True):
    """Manifests by template, hooks among them, and the CRDs of the chart's ``crds`` folder.

    Their objects are the same by every back end, the text between them is not. The program tells no notes.
    """

    manifests: dict[str, str]
    notes: str = ""
    crds: tuple[str, ...] = ()


class LintMessage(msgspec.Struct, frozen=True):
    severity: str
    """error, warning or info."""
    path: str
    message: str


class HelmEngine(Protocol):
    """Helm. Every method raises errors of ``cozystack.helm.errors``."""

    async def render(self, request: RenderRequest) -> Rendered: ...

    async def lint(self, chart: Path, values: dict[str, Any]) -> list[LintMessage]:
        """What Helm finds in a chart, errors included; raises ``ChartError`` when there is none."""
        ...

    async def install(self, request: ReleaseRequest) -> Release: ...

    async def upgrade(self, request: ReleaseRequest) -> Release: ...

    async def rollback(self, target: Target, *, revision: int = 0) -> None:
        """Back to ``revision``, or to the one before; hooks are waited for."""
        ...

    async def uninstall(self, target: Target, *, keep_history: bool = False) -> None:
        """Raises ``ReleaseNotFound`` when there is nothing to remove."""
        ...

    async def status(self, target: Target) -> Release | None: ...

    async def history(self, target: Target) -> list[Release]:
        """Oldest first; empty when there is no such release."""
        ...

    async def crds(self, chart: Path) -> list[str]:
        """The manifests in the chart's ``crds`` folder."""
        ...

    async def close(self) -> None: ...
