"""From a world and what is to be changed to a plan: the world after, the comparison, values with their origin, manifests.

On a cluster the API server itself says what an object will look like (a dry run of the same server-side apply); whoever may not
write gets the object as the file has it. Rendering is asked for: it needs the charts, which are in a package repository.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cozystack.api import names, yaml
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease, values_of
from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES
from cozystack.cozypkg.documents import Found, misfit
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.session import MANAGER
from cozystack.cozypkg.world import World
from cozystack.planner import graph
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.comparison import Comparison, ReleaseChange, compare, measured_durations, replace_objects
from cozystack.planner.migrationplan import MigrationPlan
from cozystack.planner.provenance import Layer, ValueChange, value_changes
from cozystack.planner.selection import Selection
from cozystack.planner.sentences import did_you_mean
from cozystack.planner.snapshot import Snapshot

if TYPE_CHECKING:
    from cozystack.cozypkg.repository import Renderer, Repository
    from cozystack.cozypkg.rollout import Rollout
    from cozystack.kube import Client

Kind = Literal["Package", "PackageSource"]
_RESOURCES: dict[Kind, Any] = {"Package": PACKAGES, "PackageSource": PACKAGE_SOURCES}
_TYPES: dict[Kind, Any] = {"Package": Package, "PackageSource": PackageSource}


class Edit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object to be written (``value`` is its manifest), changed in place or deleted (``uid`` of the one that is meant).

    ``patch`` is a JSON patch of what is there, and ``value`` what becomes of it: whoever applies a manifest owns all that is in
    it and gives up all that is not, which is not what changing one value means.
    """

    action: Literal["apply", "patch", "delete"]
    kind: Kind
    name: str
    value: dict[str, Any] = {}
    uid: str = ""
    patch: tuple[dict[str, Any], ...] = ()


class ObjectDiff(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rendered object; ``lines`` are those of a unified diff, with the data of Secrets hidden."""

    object: str
    action: Literal["add", "change", "remove"]
    lines: tuple[str, ...]


class ReleaseDetail(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What is behind one change of a release. ``error``: why it could not be rendered."""

    release: str
    values: tuple[ValueChange, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    error: str = ""


@dataclass(slots=True)
class Proposal:
    before: World
    after: World
    edits: tuple[Edit, ...]
    comparison: Comparison
    details: dict[Key, ReleaseDetail] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    migrations: MigrationPlan | None = None
    """Where another version of the package repository is planned."""
    rollout: Rollout | None = None
    """Where such a plan is saved."""

    @property
    def empty(self) -> bool:
        return self.comparison.empty and (self.migrations is None or self.migrations.empty)


@dataclass(slots=True)
class Side:
    """One side of the rendering: its view, its repository and the data of the platform's values Secret."""

    view: Catalogue | Snapshot
    repository: Repository
    secret: Mapping[str, str] | None


def edits_of(found: Iterable[Found]) -> list[Edit]:
    """Every object of files, to be written; raises ``CommandError`` for one that is there twice."""
    edits: dict[tuple[str, str], Edit] = {}
    places: dict[tuple[str, str], str] = {}
    for each in found:
        kind: Kind = "Package" if isinstance(each.object, Package) else "PackageSource"
        name = each.object.metadata.name
        if (kind, name) in edits:
            raise CommandError(f"{each.place}: {kind} {name} is in {places[kind, name]} too")
        places[kind, name] = str(each.place)
        value = {key: part for key, part in each.value.items() if key != "status"}
        edits[kind, name] = Edit("apply", kind, name, value)
    return list(edits.values())


async def apply_edits(before: World, edits: Iterable[Edit], client: Client | None = None) -> World:
    """The world after the edits; raises ``CommandError``, and ``KubeError`` for what the API server refuses."""
    after = copied(before)
    for edit in edits:
        table: dict[str, Any] = after.packages if edit.kind == "Package" else after.sources
        old = table.get(edit.name)
        if edit.action == "delete":
            if old is None:
                raise CommandError(f"there is no {edit.kind} {edit.name}{did_you_mean(edit.name, table)}")
            del table[edit.name]
            continue
        table[edit.name] = _kept(await _written(edit, client, after), old)
    return after


def copied(world: World) -> World:
    """Another world of the same objects."""
    return World(
        world.origin,
        world.live,
        dict(world.sources),
        dict(world.packages),
        dict(world.releases),
        list(world.generators),
        list(world.artifacts),
        list(world.repositories),
        dict(world.namespaces),
        list(world.value_secrets),
        dict(world.places),
        list(world.warnings),
        world.settings,
    )


def replace_platform(before: World, rendered: World) -> World:
    """``before`` with what a new version of the platform's chart brings.

    PackageSources of the platform that are no longer there go; Packages stay, as their resource policy says. What others
    brought stays too. A Package that somebody has edited keeps what the chart does not set only as far as Helm would: the plan
    takes the chart's word.
    """
    after = copied(before)
    if before.live:
        # The operator makes these two, from its flags.
        rendered = copied(rendered)
        rendered.sources.pop(names.PLATFORM_PACKAGE, None)
        rendered.packages.pop(names.PLATFORM_PACKAGE, None)
    for name, source in before.sources.items():
        if name not in rendered.sources and (is_of_platform(source) or not before.live) and name != names.PLATFORM_PACKAGE:
            del after.sources[name]
    for name, source in rendered.sources.items():
        after.sources[name] = _kept(source, before.sources.get(name))
    for name, package in before.packages.items():
        keeps = package.metadata.annotations.get(names.RESOURCE_POLICY_ANNOTATION) == "keep"
        if name not in rendered.packages and is_of_platform(package) and not keeps:
            del after.packages[name]
    for name, package in rendered.packages.items():
        after.packages[name] = _kept(package, before.packages.get(name))
    return after


def carried(
    live: Mapping[str, str] | None, old: Mapping[str, str] | None, new: Mapping[str, str] | None
) -> Mapping[str, str] | None:
    """The data of the values Secret that is there, changed as its rendering changes.

    What the chart looks up in the cluster is in neither rendering, and stays.
    """
    if live is None or old is None or new is None:
        return new
    after = secret_values(live)
    for change in value_changes((Layer("", secret_values(old)),), (Layer("", secret_values(new)),)):
        set_at(after, change.steps, change.new)
    return {**live, "values.yaml": base64.b64encode(yaml.dump(after).encode()).decode()}


def set_at(values: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    """Set the value at a path, or take it away where it is ``UNSET``."""
    *above, last = steps
    for step in above:
        found = values.setdefault(step, {})
        if not isinstance(found, dict):
            found = values[step] = {}
        values = found
    if value is msgspec.UNSET:
        values.pop(last, None)
    else:
        values[last] = value


def compared(before: World, after: World, changed_charts: Iterable[str] = ()) -> tuple[Snapshot, Catalogue, Comparison]:
    """What a view says of ``before``, the view of ``after``, and what leads from one to the other.

    It is the same view: filling one takes longer and holds more than anything else, and ``after`` differs in a few objects.
    """
    view = before.catalogue(installed=not before.live)
    old = Snapshot(view)
    affected = replace_objects(view, after.sources, after.packages)
    comparison = compare(
        old,
        view,
        affected,
        live=before.live,
        changed_charts=frozenset(changed_charts),
        durations=measured_durations(before.releases.values()),
    )
    return old, view, comparison


def changed_charts(old: Repository, new: Repository, sources: Iterable[PackageSource]) -> set[str]:
    """The artifacts whose content differs between two repositories."""
    sources = list(sources)
    before, after = old.digests(sources), new.digests(sources)
    return {name for name, digest in after.items() if before.get(name) not in (None, digest)}


async def detail(
    change: ReleaseChange,
    old: Side | None,
    new: Side | None,
    renderer: Renderer,
    *,
    manifests: bool,
) -> ReleaseDetail:
    """The values and objects of one release on both sides; a side is ``None`` where the release is not."""
    try:
        before = _layers(old, change) if old is not None else ()
        after = _layers(new, change) if new is not None else ()
        values = tuple(value_changes(before, after)) if change.action not in ("install", "remove") else ()
        objects: tuple[ObjectDiff, ...] = ()
        if manifests:
            left = await _rendered(old, change, renderer) if old is not None else {}
            right = await _rendered(new, change, renderer) if new is not None else {}
            objects = tuple(object_diffs(left, right))
    except CommandError as error:
        return ReleaseDetail(release=str(change.key), error=str(error))
    return ReleaseDetail(release=str(change.key), values=values, objects=objects)


def object_diffs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ObjectDiff]:
    """Rendered objects by identity, both sides; equal ones are left out."""
    for identity in sorted(old.keys() | new.keys()):
        left, right = old.get(identity), new.get(identity)
        if left == right:
            continue
        before, after = ([] if side is None else yaml.dump(masked(side)).splitlines() for side in (left, right))
        lines = [line for line in difflib.unified_diff(before, after, lineterm="", n=3) if not line.startswith(("---", "+++"))]
        action: Literal["add", "change", "remove"] = "add" if left is None else "remove" if right is None else "change"
        yield ObjectDiff(identity, action, tuple(lines))


def masked(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object to be shown: the data of a Secret only tells whether it is the same."""
    if item.get("kind") != "Secret":
        return dict(item)
    shown = dict(item)
    for part in ("data", "stringData"):
        if isinstance(shown.get(part), dict):
            shown[part] = {key: _mark(value) for key, value in shown[part].items()}
    return shown


def _mark(value: Any) -> str:
    # A keyless digest of a short secret could be guessed; eight bits of it tell that something changed and nothing else.
    return f"(hidden, {hashlib.sha256(str(value).encode()).hexdigest()[:2]})"


async def _written(edit: Edit, client: Client | None, world: World) -> Any:
    """The object as it will be stored."""
    if client is not None and world.live:
        from cozystack.kube.errors import Forbidden

        try:
            if edit.action == "patch":
                operations: Any = list(edit.patch)
                return await client.patch(PACKAGES, Key("", edit.name), operations, kind="json", manager=MANAGER, dry_run=True)
            return await client.apply(_RESOURCES[edit.kind], edit.value, manager=MANAGER, force=True, dry_run=True)
        except Forbidden as error:
            world.warnings.append(f"{edit.kind} {edit.name} is planned as its file has it: {error.message}")
    try:
        return msgspec.convert(edit.value, _TYPES[edit.kind])
    except msgspec.ValidationError as error:
        raise CommandError(f"{edit.kind} {edit.name}: {misfit(error)}") from error


def _kept(new: Any, old: Any) -> Any:
    """``new`` as the object that ``old`` is: the same identity, the status that it has now."""
    if old is None:
        return new
    metadata = msgspec.structs.replace(
        new.metadata,
        uid=old.metadata.uid,
        resource_version=old.metadata.resource_version,
        generation=old.metadata.generation + (old.spec != new.spec),
        creation_timestamp=old.metadata.creation_timestamp,
        deletion_timestamp=old.metadata.deletion_timestamp,
        annotations={**old.metadata.annotations, **new.metadata.annotations},
    )
    return msgspec.structs.replace(new, metadata=metadata, status=old.status)


def is_of_platform(obj: Package | PackageSource) -> bool:
    """Whether the platform's release brought it."""
    return obj.metadata.annotations.get("meta.helm.sh/release-name") == names.PLATFORM_PACKAGE.partition(".")[2]


def _desired(side: Side, change: ReleaseChange) -> tuple[PackageSource, HelmRelease, Selection]:
    selection = side.view.selection(change.package)
    keys = (change.key, Key(*change.moves_to.split("/"))) if change.moves_to else (change.key,)
    release = next((each for each in side.view.desired(change.package) if each.key in keys), None)
    if not isinstance(selection, Selection) or release is None:
        raise CommandError(f"HelmRelease {change.key} is not among those that Package {change.package} asks for")
    return selection.source, release, selection


def _layers(side: Side, change: ReleaseChange) -> tuple[Layer, ...]:
    """The values of a release, from the chart up."""
    _, release, selection = _desired(side, change)
    component = next(each.component for each in selection.installs if each.key == release.key)
    layers = []
    for file in component.values_files or ("values.yaml",):
        path = f"{component.path.strip('/')}/{file}"
        content = side.repository.files.get(path)
        if content is None:
            continue
        value = yaml.load(content, source=side.repository.place(path))
        if isinstance(value, dict):
            layers.append(Layer(file, value))
    if release.spec.values_from:
        layers.append(Layer(names.VALUES_SECRET, secret_values(side.secret), secret=True))
    own = values_of(release.spec)
    if own:
        layers.append(Layer(f"Package {change.package}", own))
    return tuple(layers)


def secret_values(data: Mapping[str, str] | None) -> dict[str, Any]:
    """The values in the data of the platform's values Secret; none where there is no Secret."""
    text = (data or {}).get("values.yaml", "")
    value = yaml.load(base64.b64decode(text)) if text else {}
    return value if isinstance(value, dict) else {}


async def _rendered(side: Side, change: ReleaseChange, renderer: Renderer) -> dict[str, Any]:
    from cozystack.cozypkg.repository import reader

    source, release, _ = _desired(side, change)
    found = await renderer.release(side.repository, source, release, reader(side.secret))
    return {identity_of(item): item for item in found.everything}


def identity_of(item: Mapping[str, Any]) -> str:
    """``apps/v1 Deployment acme-db/operator``"""
    metadata = item.get("metadata") or {}
    place = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
    return f"{item.get('apiVersion')} {item.get('kind')} {place}"


def ordered(edits: Sequence[Edit], before: Snapshot, after: Catalogue) -> list[Edit]:
    """The edits in an order that works: sources, then Packages with dependencies first, then removals with dependents first."""

    def ranks(view: Catalogue | Snapshot) -> dict[str, int]:
        waves = graph.waves({name: view.dependencies(name) for name in view.packages})
        return {name: number for number, wave in enumerate(waves) for name in wave}

    if len(edits) < 2:
        return list(edits)

    up, down = ranks(after), ranks(before)
    last = len(up) + len(down)

    def place(edit: Edit) -> tuple[int, int, str]:
        if edit.action != "delete":
            return (0, 0, edit.name) if edit.kind == "PackageSource" else (1, up.get(edit.name, last), edit.name)
        return (2, -down.get(edit.name, last), edit.name) if edit.kind == "Package" else (3, 0, edit.name)

    return sorted(edits, key=place)
