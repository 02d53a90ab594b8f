"""Whatever is planned and applied, the operator does what the plan said: those releases and namespaces, and nothing else.

The planner, `apply` and the operator are the real ones, the operator on virtual time; Flux does all that there is to do.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cozystack.api import names, yaml
from cozystack.api.resources import HELM_RELEASES, NAMESPACES, PACKAGE_SOURCES, PACKAGES
from cozystack.cozypkg.changing import Changes
from cozystack.cozypkg.commands.apply import _apply
from cozystack.cozypkg.commands.plan import Request, propose
from cozystack.cozypkg.documents import parse
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.planning import edits_of
from cozystack.cozypkg.savedplan import load, save
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import EVERYTHING, read_cluster
from cozystack.planner.comparison import Comparison
from support.cluster import kubeconfig_text
from support.cozypkg import Pipe
from support.operator import Obj, World, component, json_of, package, path_of, plain

NAMES = tuple(f"acme.p{number}" for number in range(4))
GHOST = "acme.ghost"
REF = {"kind": "OCIRepository", "name": "charts", "namespace": names.SYSTEM_NAMESPACE}


@st.composite
def sources(draw: st.DrawFn, name: str, *, sound: bool) -> Obj:
    """A PackageSource. ``sound``: it depends on what comes before it, and its releases are its own."""
    needed = NAMES[: NAMES.index(name)] if sound else (*NAMES, GHOST)
    spaces = (f"{name[5:]}-x", f"{name[5:]}-y") if sound else ("x", "y")
    found = []
    for kind in draw(st.sampled_from((("default",), ("default", "other")))):
        parts = [
            component(each, draw(st.sampled_from(spaces)), **draw(st.sampled_from(({}, {"releaseName": f"{each}-r"}))))
            for each in draw(st.sampled_from(((), ("a",), ("a", "b"))))
        ]
        depends = draw(st.lists(st.sampled_from(needed), max_size=2, unique=True)) if needed else []
        found.append({"name": kind, "dependsOn": depends, "components": parts})
    return plain("cozystack.io/v1alpha1", "PackageSource", name, spec={"sourceRef": REF, "variants": found})


def packages(name: str, *, sound: bool) -> st.SearchStrategy[Obj]:
    """A Package, of a variant that its source may lack unless it is ``sound``."""
    values = st.sampled_from(({}, {"v": 1}, {"v": 2}))
    override = st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "values": values})
    spec: dict[str, Any] = {"components": st.dictionaries(st.sampled_from(("a", "b")), override, max_size=1)}
    optional: dict[str, Any] = {} if sound else {"variant": st.just("other"), "ignoreDependencies": st.just([GHOST])}
    return st.fixed_dictionaries(spec, optional=optional).map(lambda found: package(name, **found))


@dataclass
class Case:
    """What is there, and what is asked for."""

    there: list[Obj]
    files: list[Obj]
    changes: Changes
    deleted: tuple[str, ...]


@st.composite
def cases(draw: st.DrawFn, *, sound: bool) -> Case:
    offered = [draw(sources(name, sound=sound)) for name in NAMES]
    wanted = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    if sound:
        # With all that they need.
        for name in reversed(NAMES):
            depends = {each for variant in offered[NAMES.index(name)]["spec"]["variants"] for each in variant["dependsOn"]}
            wanted += [each for each in depends if name in wanted and each not in wanted]
    there = [*offered, *(draw(packages(name, sound=sound)) for name in wanted)]
    subject = draw(st.sampled_from(NAMES))
    files: list[Obj] = []
    changes = Changes()
    deleted: tuple[str, ...] = ()
    match draw(st.sampled_from(("source", "package", "add", "del", "set", "disable", "variant"))):
        case "source":
            files.append(draw(sources(subject, sound=sound)))
        case "package":
            files.append(draw(packages(subject, sound=sound)))
        case "add":
            changes = Changes(added=[subject])
        case "del":
            deleted = (subject,)
        case "set":
            changes = Changes(assigned=[f"{subject}:a.v=3"])
        case "disable":
            changes = Changes(disabled=[f"{subject}:a"])
        case "variant":
            changes = Changes(variants=[f"{subject}=other"])
    return Case(there, files, changes, deleted)


async def play(case: Case, folder: Path) -> tuple[Comparison, Obj, Obj] | None:
    """What the plan said, and the cluster before and after it was applied; nothing where it cannot be made."""
    world = World()
    await world.furnish()
    world.start()
    try:
        await world.put(*case.there)
        await world.install()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(kubeconfig_text("http://127.0.0.1:1"))
        session = Session(kubeconfig=kubeconfig, env={}, stderr=Pipe())
        given_files = list(parse(yaml.dump_all(case.files), source="files"))
        request = Request(edits=tuple(edits_of(given_files)), changes=case.changes, deleted=case.deleted)
        before = await snapshot(world)
        try:
            proposal = await propose(request, await read_cluster(world.client, EVERYTHING), world.client, session)
        except CommandError:
            return None
        view = proposal.before.catalogue()
        if any(len(view.claimants(key)) > 1 for name in case.deleted for key in view.releases_of(name)):
            # Two Packages want it, and who wants it in vain is not planned as the heir.
            return None
        file = folder / "plan.json"
        save(file, session.server, proposal.before, proposal.edits, proposal.comparison)
        await _apply(load(file), world.client, session)
        await world.install()
        await world.settle(90)
        await world.install()
        return proposal.comparison, before, await snapshot(world)
    finally:
        await world.close()


async def snapshot(world: World) -> Obj:
    """Releases, namespaces, Packages and PackageSources by their names."""
    found: Obj = {}
    for resource in (HELM_RELEASES, NAMESPACES, PACKAGES, PACKAGE_SOURCES):
        items = (await world.client.list(json_of(resource))).items
        found[resource.kind] = {path_of(item): item.get("spec", {}) for item in items}
    return found


def differences(before: Obj, after: Obj) -> tuple[set[str], set[str], set[str]]:
    """What has come, gone and changed."""
    changed = {name for name in before.keys() & after.keys() if _plain(before[name]) != _plain(after[name])}
    return after.keys() - before.keys(), before.keys() - after.keys(), changed


def _plain(spec: Obj) -> Obj:
    """Without the order of dependencies, which says nothing (D9)."""
    found = dict(spec)
    if "dependsOn" in found:
        found["dependsOn"] = sorted({f"{each['namespace']}/{each['name']}" for each in found["dependsOn"]})
    return found


def compare_with_what_was_said(said: Comparison, before: Obj, after: Obj) -> None:
    come, gone, changed = differences(before["HelmRelease"], after["HelmRelease"])
    done = [change for change in said.releases if not change.held_back]
    assert come == {str(each.key) for each in done if each.action == "install"} | {
        each.moves_to for each in done if each.action == "move"
    }
    assert gone == {str(each.key) for each in done if each.action in ("remove", "move")}
    assert changed == {str(each.key) for each in done if each.action in ("upgrade", "update")}
    for kind in ("Package", "PackageSource"):
        objects = {change.name: change.action for change in said.objects if change.kind == kind}
        come, gone, changed = differences(before[kind], after[kind])
        assert objects == dict.fromkeys(come, "add") | dict.fromkeys(gone, "remove") | dict.fromkeys(changed, "change")
    made = {change.name for change in said.objects if change.kind == "Namespace" and change.action == "add"}
    assert differences(before["Namespace"], after["Namespace"])[0] <= made


quick = settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None)


@quick
@given(cases(sound=True))
def test_what_was_planned_and_applied_is_what_the_operator_does(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        played = asyncio.run(play(case, Path(folder)))
    if played is not None:
        compare_with_what_was_said(*played)


@quick
@given(cases(sound=False))
def test_so_it_is_where_packages_clash_miss_each_other_or_go_in_circles(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        played = asyncio.run(play(case, Path(folder)))
    if played is not None:
        compare_with_what_was_said(*played)
