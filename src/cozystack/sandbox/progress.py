"""How far a platform is: what its objects say, as rows for people, and a summary at the end.

What a Package waits for is what its status says; nothing is worked out here that the operator does not publish. Only
whether everything is ready is computed by the planner from the objects, so that a status of an earlier run deceives nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from cozystack.api import names
from cozystack.api.cozystack import Package
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    GIT_REPOSITORIES,
    HELM_RELEASES,
    NAMESPACES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    untyped,
)
from cozystack.flux.generator import sources_digest
from cozystack.kube import Client
from cozystack.planner import Catalogue, PlatformPlan, plan_platform
from cozystack.planner.settings import settings_of

OPERATOR = untyped("apps", "v1", "Deployment", "deployments")
"""Its Deployment says what the operator was told."""
State: TypeAlias = Literal["ready", "working", "waiting", "failed"]


@dataclass(frozen=True, slots=True)
class Row:
    """One Package. ``releases`` are those that are ready and all that exist; ``because`` is empty for a ready one."""

    name: str
    state: State
    releases: tuple[int, int]
    because: str = ""
    unblock: str = ""


@dataclass(slots=True)
class Step:
    """One step towards the platform; ``seconds`` is how long it took, ``None`` while it goes on."""

    text: str
    began: float
    seconds: float | None = None


class Summary(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """What ``--output json`` prints. Times are in seconds."""

    ready: bool
    seconds: float = 0.0
    packages: int
    packages_ready: int
    releases: int
    releases_ready: int
    package_sources: int = 0
    waves: list[list[str]] = []
    critical_path: list[dict[str, Any]] = []
    critical_path_seconds: float = 0.0
    failed: list[dict[str, str]] = []
    waiting: list[dict[str, str]] = []
    reason: str = ""
    kubeconfig: str = ""
    server: str = ""
    steps: list[dict[str, Any]] = []


@dataclass(slots=True)
class Progress:
    """Fed by informers, read by whoever shows it. ``monotonic`` gives seconds; ``tell`` gets a line about each change."""

    monotonic: Callable[[], float]
    tell: Callable[[str], None] = lambda _: None
    packages: dict[str, Package] = field(default_factory=dict)
    releases: dict[Key, HelmRelease] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    began: dict[Key, float] = field(default_factory=dict)
    took: dict[Key, float] = field(default_factory=dict)
    start: float = 0.0
    changed_at: float = 0.0
    _states: dict[str, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start = self.changed_at = self.monotonic()

    @property
    def elapsed(self) -> float:
        return self.monotonic() - self.start

    def step(self, text: str) -> None:
        """Begin a step; the one before is done."""
        self.end_step()
        self.steps.append(Step(text, self.monotonic()))

    def end_step(self) -> None:
        if self.steps and self.steps[-1].seconds is None:
            last = self.steps[-1]
            last.seconds = self.monotonic() - last.began
            self.tell(f"{last.text}: {last.seconds:.1f} s")

    def on_package(self, _: str, old: Package | None, new: Package | None) -> None:
        """For an informer: a Package has changed."""
        self.changed_at = self.monotonic()
        if new is None:
            if old is not None:
                self.packages.pop(old.metadata.name, None)
                self._states.pop(old.metadata.name, None)
                self.tell(f"package {old.metadata.name} is gone")
            return
        name = new.metadata.name
        self.packages[name] = new
        row = row_of(new)
        if self._states.get(name) != row.state:
            before = self._states.get(name)
            self._states[name] = row.state
            # Every Package begins by being looked at; that is no news.
            if before is not None or row.state != "working":
                self.tell(_line(row, self))

    def on_release(self, _: str, old: HelmRelease | None, new: HelmRelease | None) -> None:
        """For an informer: a HelmRelease has changed."""
        self.changed_at = now = self.monotonic()
        if new is None:
            if old is not None:
                self.releases.pop(old.key, None)
            return
        key = new.key
        self.releases[key] = new
        if is_running(new):
            self.began.setdefault(key, now)
        elif key in self.began and is_released(new):
            self.took[key] = now - self.began.pop(key)

    def rows(self) -> list[Row]:
        return [row_of(self.packages[name]) for name in sorted(self.packages)]

    def ready_releases(self) -> int:
        return sum(is_released(release) for release in self.releases.values())

    def all_say_ready(self) -> bool:
        """Whether every Package says that it is ready, and the platform's own is among them."""
        return names.PLATFORM_PACKAGE in self.packages and all(row.state == "ready" for row in self.rows())

    def stuck(self) -> bool:
        """Whether nothing is left to happen by itself: something has failed, and all that is not ready waits for that."""
        rows = self.rows()
        moving = any(row.state == "working" for row in rows)
        return any(row.state == "failed" for row in rows) and not moving and not any(map(is_running, self.releases.values()))


def row_of(package: Package) -> Row:
    """What a Package says of itself."""
    status = package.status
    ready = sum(release.ready == "True" for release in status.releases)
    counts = (ready, len(status.releases))
    condition = find_condition(status.conditions, "Ready")
    current = status.observed_generation == package.metadata.generation
    if condition is None or not current:
        return Row(package.metadata.name, "working", counts, "the operator has not looked at it yet")
    if condition.status == "True":
        reconciling = find_condition(status.conditions, "Reconciling")
        if reconciling is None or reconciling.status != "True":
            return Row(package.metadata.name, "ready", counts)
        return Row(package.metadata.name, "working", counts, reconciling.message)
    state = _unready_state(package)
    if status.blocked_by:
        first = status.blocked_by[0]
        return Row(package.metadata.name, state, counts, first.message, first.unblock)
    return Row(package.metadata.name, state, counts, condition.message)


def _unready_state(package: Package) -> State:
    """Of a Package that is not ready: failed when nothing but a change (or another attempt) can help it, else on its way."""
    conditions = package.status.conditions
    ready, reconciling = find_condition(conditions, "Ready"), find_condition(conditions, "Reconciling")
    if ready is not None and ready.status == "False":
        if ready.reason == "HelmReleaseFailed" or reconciling is None or reconciling.status != "True":
            return "failed"
        return "waiting"
    return "working"


def is_running(release: HelmRelease) -> bool:
    """Whether Helm works on a release, or its objects are waited for."""
    reconciling = find_condition(release.status.conditions, "Reconciling")
    return reconciling is not None and reconciling.status == "True"


def is_released(release: HelmRelease) -> bool:
    history = release.status.history
    ready = find_condition(release.status.conditions, "Ready")
    return bool(history) and history[0].status == "deployed" and ready is not None and ready.status == "True"


async def read_catalogue(client: Client) -> Catalogue:
    """The planner's view of a cluster as it is now, read once."""
    operator = await client.find(OPERATOR, Key(names.SYSTEM_NAMESPACE, "cozystack-operator"))
    catalogue = Catalogue(settings_of(operator))
    listings = [
        await client.list(resource)
        for resource in (
            NAMESPACES,
            PACKAGE_SOURCES,
            PACKAGES,
            HELM_RELEASES,
            ARTIFACT_GENERATORS,
            EXTERNAL_ARTIFACTS,
            OCI_REPOSITORIES,
            GIT_REPOSITORIES,
        )
    ]
    secrets = await client.list(SECRETS, field_selector=f"metadata.name={names.VALUES_SECRET}")
    with catalogue.batch():
        for listing in listings:
            for obj in listing.items:
                catalogue.put(obj)
        for secret in secrets.items:
            catalogue.set_values_secret(secret.metadata.namespace)
    return catalogue


def is_built(catalogue: Catalogue, digest: str = "") -> bool:
    """Whether both sources of the platform are at that digest, if one is named, and all is built from what the sources hold."""
    if digest:
        for name in (names.PLATFORM_SOURCE, "cozystack-packages"):
            repository = catalogue.repository("OCIRepository", names.SYSTEM_NAMESPACE, name)
            artifact = repository.status.artifact if repository is not None else None
            if repository is not None and (artifact is None or not artifact.revision.endswith(digest)):
                return False
    for name in catalogue.sources:
        generator = catalogue.generator(name)
        if generator is None:
            continue
        found = {}
        for each in generator.spec.sources:
            repository = catalogue.repository(each.kind, each.namespace or generator.metadata.namespace, each.name)
            if repository is None or repository.status.artifact is None:
                return False
            found[each.alias] = repository.status.artifact
        ready = find_condition(generator.status.conditions, "Ready")
        if generator.status.observed_sources_digest != sources_digest(found) or ready is None or ready.status != "True":
            return False
    return True


def unready(plan: PlatformPlan) -> list[str]:
    """The Packages that are not ready by the objects themselves."""
    return [name for name, package in plan.packages.items() if not package.at_rest]


def summarize(
    progress: Progress, plan: PlatformPlan | None, *, ready: bool, reason: str = "", kubeconfig: str = "", server: str = ""
) -> Summary:
    rows = progress.rows()
    path = plan.critical_path if plan is not None else None
    return Summary(
        ready=ready,
        seconds=round(progress.elapsed, 2),
        packages=len(rows),
        packages_ready=sum(row.state == "ready" for row in rows),
        releases=len(progress.releases),
        releases_ready=progress.ready_releases(),
        package_sources=len(plan.sources) if plan is not None else 0,
        waves=[list(wave) for wave in plan.waves] if plan is not None else [],
        critical_path=[
            {"release": str(key), "seconds": round(progress.took.get(key, 0.0), 2)} for key in (path.releases if path else ())
        ],
        critical_path_seconds=round(path.duration, 2) if path is not None and progress.took else 0.0,
        failed=[_told(row) for row in rows if row.state == "failed"],
        waiting=[_told(row) for row in rows if row.state in ("waiting", "working")],
        reason=reason,
        kubeconfig=kubeconfig,
        server=server,
        steps=[{"step": step.text, "seconds": round(step.seconds or 0.0, 2)} for step in progress.steps],
    )


def plan_of(catalogue: Catalogue, durations: Mapping[Key, float]) -> PlatformPlan:
    """The plan with the durations that were measured; releases that were not have none."""
    return plan_platform(catalogue, {**dict.fromkeys(catalogue.releases, 0.0), **durations})


def _told(row: Row) -> dict[str, str]:
    told = {"package": row.name, "message": row.because}
    return {**told, "unblock": row.unblock} if row.unblock else told


def _line(row: Row, progress: Progress) -> str:
    states: Iterable[State] = (row_of(package).state for package in progress.packages.values())
    done = sum(state == "ready" for state in states)
    count = f"({done} of {len(progress.packages)} ready)"
    match row.state:
        case "ready":
            return f"package {row.name} is ready {count}"
        case "failed":
            return f"package {row.name} has FAILED: {row.because}"
        case "waiting":
            return f"package {row.name} waits: {row.because}"
        case _:
            return f"package {row.name}: {row.because}"
