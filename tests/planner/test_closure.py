"""What has to be installed with what, and what has to go with what."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.planner import Catalogue
from cozystack.planner.closure import (
    AS_DEPENDENCY,
    INSTALLED_AS_ANNOTATION,
    Closure,
    Deletion,
    Obstacle,
    Step,
    closure,
    needs,
    plan_deletion,
    unneeded,
)

Variants = dict[str, list[str]]


def source(name: str, variants: Variants, *, ready: str = "True") -> PackageSource:
    value: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "PackageSource",
        "metadata": {"name": name},
        "spec": {"variants": [{"name": variant, "dependsOn": needs} for variant, needs in variants.items()]},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "as it is"}]},
    }
    return msgspec.convert(value, PackageSource)


def package(name: str, variant: str = "", *, ignored: tuple[str, ...] = (), ready: str = "True", **metadata: Any) -> Package:
    value: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Package",
        "metadata": {"name": name, "uid": f"uid-{name}", **metadata},
        "spec": {"variant": variant, "ignoreDependencies": list(ignored)},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "as it is"}]},
    }
    return msgspec.convert(value, Package)


def pulled_in(name: str, variant: str = "") -> Package:
    return package(name, variant, annotations={"operator.cozystack.io/installed-as": "dependency"})


def view(*objects: PackageSource | Package) -> Catalogue:
    found = Catalogue()
    with found.batch():
        for obj in objects:
            found.put(obj)
    return found


ACME = (
    source("crds", {"default": []}),
    source("net", {"none": [], "flannel": ["crds"]}),
    source("db", {"default": ["crds"], "ha": ["net", "crds"]}),
    source("app", {"default": ["db", "net"]}),
)


def names(found: Closure) -> list[str]:
    return [step.name for step in found.steps]


def test_the_chosen_variant_decides_what_is_needed() -> None:
    """cozypkg-A1"""
    plain = closure(view(*ACME), ["db"], {})
    assert plain == Closure(
        steps=(
            Step(name="crds", variant="default", why="only", required_by=("db",)),
            Step(name="db", variant="default", why="default", asked=True, depends_on=("crds",)),
        ),
        obstacles=(),
    )
    with_net = closure(view(*ACME), ["db"], {"db": "ha", "net": "none"})
    assert [(step.name, step.variant, step.why) for step in with_net.steps] == [
        ("crds", "default", "only"),
        ("net", "none", "asked"),
        ("db", "ha", "asked"),
    ]


def test_all_variants_give_the_closure_of_the_original() -> None:
    assert names(closure(view(*ACME), ["db"], {"net": "none"}, all_variants=True)) == ["crds", "net", "db"]


def test_no_deps_gives_the_roots_alone_in_the_order_of_the_arguments() -> None:
    """cozypkg-A7"""
    assert names(closure(view(*ACME), ["db", "crds", "db"], {}, no_deps=True)) == ["db", "crds"]


def test_roots_keep_their_order_where_dependencies_leave_it_open() -> None:
    """cozypkg-A7"""
    assert names(closure(view(*ACME), ["net", "crds"], {"net": "none"})) == ["net", "crds"]
    assert names(closure(view(*ACME), ["net", "crds"], {"net": "flannel"})) == ["crds", "net"]


def test_an_installed_package_keeps_its_variant_and_what_it_ignores() -> None:
    """cozypkg-A1"""
    found = closure(view(*ACME, package("db", "ha", ignored=("net",))), ["app"], {"net": "none"})
    assert [(step.name, step.variant, step.why, step.installed) for step in found.steps] == [
        ("crds", "default", "only", False),
        ("db", "ha", "installed", True),
        ("net", "none", "asked", False),
        ("app", "default", "only", False),
    ]
    assert [step.name for step in found.additions] == ["crds", "net", "app"]


def test_what_an_installed_package_still_lacks_is_pulled_in() -> None:
    assert [step.name for step in closure(view(*ACME, package("db")), ["db"], {}).additions] == ["crds"]


def test_a_whole_package_that_is_given_says_its_variant_and_what_it_ignores() -> None:
    """cozypkg-A6"""
    given = {"db": package("db", "ha", ignored=("crds",))}
    assert names(closure(view(*ACME), ["db"], {"net": "none"}, given=given)) == ["net", "db"]


def test_several_variants_and_no_default_have_to_be_decided() -> None:
    found = closure(view(*ACME), ["app"], {})
    assert found.undecided == "net"
    assert [obstacle.sentence for obstacle in found.blocking] == [
        "net has several variants (required by app), none of them called default: none, flannel"
    ]
    first = closure(view(*ACME), ["app"], {}, take_first=True)
    assert [(step.name, step.variant, step.why) for step in first.steps if step.name == "net"] == [("net", "none", "first")]
    assert first.obstacles == ()


def test_a_missing_source_is_named_with_who_needs_it_and_what_was_meant() -> None:
    needy = source("needy", {"default": ["ghost"]})
    assert [each.sentence for each in closure(view(needy), ["needy"], {}).obstacles] == [
        "there is no PackageSource ghost (required by needy)"
    ]
    assert [each.sentence for each in closure(view(source("acme.db", {"default": []})), ["db"], {}).obstacles] == [
        "there is no PackageSource db; is it acme.db?"
    ]


def test_a_missing_variant_is_named_with_those_there_are() -> None:
    assert [each.sentence for each in closure(view(*ACME), ["db"], {"db": "tiny"}).obstacles] == [
        "db has no variant tiny; it has default, ha"
    ]
    assert [each.sentence for each in closure(view(source("bare", {})), ["bare"], {}).obstacles] == [
        "bare has no variant default; it has none"
    ]


def test_a_cycle_is_printed() -> None:
    """cozypkg-A12"""
    loop = (source("a", {"default": ["b"]}), source("b", {"default": ["c"]}), source("c", {"default": ["a"]}))
    assert [each.sentence for each in closure(view(*loop), ["c"], {}).obstacles] == ["Packages need each other: a → b → c → a"]


def test_variants_that_exclude_each_other_make_no_cycle() -> None:
    """cozypkg-A12"""
    either = (source("a", {"default": ["b"], "alone": []}), source("b", {"default": [], "other": ["a"]}))
    assert closure(view(*either), ["a"], {}).obstacles == ()
    assert [each.kind for each in closure(view(*either), ["a"], {}, all_variants=True).obstacles] == ["cycle"]


def test_installed_packages_are_looked_at() -> None:
    """cozypkg-A13"""
    found = closure(
        view(
            *ACME,
            package("crds", deletionTimestamp="2026-01-01T00:00:00Z"),
            package("net", "flannel", ready="False"),
            package("db"),
            package("gone"),
        ),
        ["app", "gone"],
        {"db": "ha"},
    )
    assert [(each.blocking, each.sentence) for each in found.obstacles] == [
        (True, "Package crds is being deleted (required by db)"),
        (True, "Package db is installed with variant default, not ha"),
        (False, "Package net is installed but not ready (required by app): as it is"),
        (False, "Package gone is installed, but its PackageSource is gone"),
    ]


def test_an_update_may_change_the_variant() -> None:
    found = closure(view(*ACME, package("db"), package("net", "none")), ["db"], {"db": "ha"}, update=True)
    assert (names(found), found.obstacles) == (["crds", "net", "db"], ())
    assert found.steps[-1] == Step(name="db", variant="ha", why="asked", installed=True, asked=True, depends_on=("net", "crds"))


def test_a_source_that_is_not_ready_is_a_warning() -> None:
    """cozypkg-A14"""
    found = closure(view(source("a", {"default": []}, ready="False")), ["a"], {})
    assert found.obstacles == (Obstacle(kind="source-not-ready", package="a", text="as it is"),)
    assert found.blocking == ()


def test_dependents_go_first_and_say_what_they_need() -> None:
    """cozypkg-R9"""
    world = view(*ACME, package("crds"), package("net", "none"), package("db"), package("app"))
    assert plan_deletion(world, ["crds", "ghost"]).absent == ("ghost",)
    assert plan_deletion(world, ["crds"]).layers == (
        (Deletion(name="app", variant="default", because="dependent", needs=("db",), uid="uid-app"),),
        (Deletion(name="db", variant="default", because="dependent", needs=("crds",), uid="uid-db"),),
        (Deletion(name="crds", variant="default", because="asked", uid="uid-crds"),),
    )


def test_a_variant_that_does_not_need_it_stays() -> None:
    """cozypkg-R1"""
    world = view(*ACME, package("crds"), package("net", "none"), package("db", ignored=("crds",)))
    assert [deletion.name for deletion in plan_deletion(world, ["crds"]).deletions] == ["crds"]


def test_without_cascade_what_others_need_is_held() -> None:
    """cozypkg-R8"""
    world = view(*ACME, package("crds"), package("db"), package("app"))
    held = plan_deletion(world, ["crds", "db"], cascade=False)
    assert (held.layers, held.held) == ((), {"db": ("app",)})
    assert [d.name for d in plan_deletion(world, ["app"], cascade=False).deletions] == ["app"]


def test_packages_that_need_each_other_go_together() -> None:
    """cozypkg-R6"""
    loop = (source("a", {"default": ["b"]}), source("b", {"default": ["a"]}), package("a"), package("b"))
    assert [[d.name for d in layer] for layer in plan_deletion(view(*loop), ["a"]).layers] == [["a", "b"]]


def test_autoremove_takes_what_was_only_pulled_in_and_is_not_needed_any_more() -> None:
    """cozypkg-R8"""
    world = view(*ACME, pulled_in("crds"), pulled_in("net", "flannel"), package("db"), package("app"))
    assert unneeded(world) == set()
    assert unneeded(world, without={"app"}) == {"net"}
    assert [(d.name, d.because) for d in plan_deletion(world, ["app"], autoremove=True).deletions] == [
        ("app", "asked"),
        ("net", "unneeded"),
    ]
    assert [d.name for d in plan_deletion(world, ["app", "db"], autoremove=True).deletions] == ["app", "db", "net", "crds"]


def test_the_platform_what_must_stay_and_what_a_bundle_made_say_so() -> None:
    """cozypkg-R4 cozypkg-R5"""
    helm: dict[str, Any] = {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "cozystack-platform"},
    }
    world = view(
        package("cozystack.cozystack-platform"),
        package("kept", labels={"platform.cozystack.io/no-delete": "true"}),
        package("bundled", **helm),
    )
    found = plan_deletion(world, ["cozystack.cozystack-platform", "kept", "bundled"]).deletions
    assert [(d.name, d.protected, d.bundle) for d in found] == [
        ("bundled", "", "cozystack-platform"),
        ("cozystack.cozystack-platform", "it is the platform itself, which holds all PackageSources", ""),
        ("kept", "it carries the label platform.cozystack.io/no-delete", ""),
    ]


def test_chains_say_why_something_is_installed() -> None:
    world = view(*ACME, package("crds"), package("net", "flannel"), package("db"), package("app"))
    assert needs(world, "crds") == (("app", "db", "crds"),)
    assert needs(world, "app") == ()
    loop = view(source("a", {"default": ["b"]}), source("b", {"default": ["a"]}), package("a"), package("b"))
    assert needs(loop, "a") == (("b", "a"),)


NAMES = ("a", "b", "c", "d", "e", "f")


@st.composite
def worlds(draw: st.DrawFn) -> list[PackageSource | Package]:
    """Sources whose variants depend on any others, also on none that exist, and some Packages of them."""
    objects: list[PackageSource | Package] = []
    needs = st.lists(st.sampled_from((*NAMES, "ghost")), max_size=3, unique=True)
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
        variants = {variant: draw(needs) for variant in draw(st.sampled_from((("default",), ("default", "x"), ("x", "y"))))}
        objects.append(source(name, variants))
        if draw(st.booleans()):
            make = pulled_in if draw(st.booleans()) else package
            objects.append(make(name, draw(st.sampled_from(tuple(variants)))))
    return objects


roots = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)


def with_additions(world: list[PackageSource | Package], found: Closure) -> Catalogue:
    return view(*world, *(package(step.name, step.variant) for step in found.additions if step.variant))


@given(worlds(), roots)
def test_a_closure_is_sufficient(world: list[PackageSource | Package], asked: list[str]) -> None:
    """With the additions installed, whoever is in the closure finds all that it depends on, unless an obstacle says why not."""
    found = closure(view(*world), asked, {}, take_first=True)
    after = with_additions(world, found)
    missing = {obstacle.package for obstacle in found.obstacles if obstacle.kind == "missing-source"}
    for step in found.steps:
        if step.name not in missing:
            assert after.package(step.name) is not None
            assert set(after.dependencies(step.name)) <= after.packages.keys() | missing


@given(worlds(), roots)
def test_a_closure_is_minimal(world: list[PackageSource | Package], asked: list[str]) -> None:
    """Take away any addition that was not asked for, and somebody in the closure lacks it."""
    found = closure(view(*world), asked, {}, take_first=True)
    after = with_additions(world, found)
    steps = {step.name for step in found.steps}
    for step in found.additions:
        if not step.asked:
            assert step.required_by
            for other in step.required_by:
                assert other in steps - {step.name}
                assert step.name in after.dependencies(other)
    reached = set(asked)
    for _ in found.steps:
        reached |= {needed for step in found.steps if step.name in reached for needed in step.depends_on}
    assert {step.name for step in found.steps} == reached


@given(worlds(), roots, st.randoms(use_true_random=False))
def test_a_closure_does_not_depend_on_the_order_of_objects(world: list[Any], asked: list[str], random: Any) -> None:
    shuffled = list(world)
    random.shuffle(shuffled)
    assert closure(view(*world), asked, {}) == closure(view(*shuffled), asked, {})
    for autoremove in (False, True):
        before = plan_deletion(view(*world), asked, autoremove=autoremove)
        assert before == plan_deletion(view(*shuffled), asked, autoremove=autoremove)


@given(worlds(), roots)
def test_dependencies_come_first_outside_cycles(world: list[PackageSource | Package], asked: list[str]) -> None:
    found = closure(view(*world), asked, {}, take_first=True)
    if not any(obstacle.kind == "cycle" for obstacle in found.obstacles):
        seen: set[str] = set()
        for step in found.steps:
            assert set(step.depends_on) <= seen
            seen.add(step.name)


@given(worlds(), roots)
def test_nothing_is_written_twice_and_adding_again_adds_nothing(world: list[PackageSource | Package], asked: list[str]) -> None:
    found = closure(view(*world), asked, {}, take_first=True)
    names = [step.name for step in found.steps]
    assert len(set(names)) == len(names)
    if not found.blocking:
        again = closure(with_additions(world, found), asked, {}, take_first=True)
        assert (again.additions, again.blocking) == ((), ())


@given(worlds(), roots)
def test_autoremove_takes_what_was_pulled_in_and_is_needed_no_more_all_of_it_and_nothing_else(
    world: list[PackageSource | Package], asked: list[str]
) -> None:
    before = view(*world)
    plain = {deletion.name for deletion in plan_deletion(before, asked).deletions}
    found = plan_deletion(before, asked, autoremove=True).deletions
    spare = {deletion.name for deletion in found if deletion.because == "unneeded"}
    assert {deletion.name for deletion in found} == plain | spare
    assert not spare & plain
    after = view(*(each for each in world if isinstance(each, PackageSource) or each.metadata.name not in plain | spare))
    for name in spare:
        assert before.packages[name].metadata.annotations == {INSTALLED_AS_ANNOTATION: AS_DEPENDENCY}
        assert not after.dependents(name)
    # Nobody who stays and was asked for is reached from what is left over: a second time there is nothing to take.
    assert unneeded(after) == set()


@given(worlds(), roots, st.booleans(), st.booleans())
def test_a_deletion_never_takes_what_something_else_needs(
    world: list[PackageSource | Package], asked: list[str], cascade: bool, autoremove: bool
) -> None:
    before = view(*world)
    gone = {deletion.name for deletion in plan_deletion(before, asked, cascade=cascade, autoremove=autoremove).deletions}
    for name in before.packages.keys() - gone:
        assert not gone & set(before.dependencies(name))
    layers = plan_deletion(before, asked, cascade=cascade, autoremove=autoremove).layers
    later: set[str] = set()
    for layer in reversed(layers):
        later |= {deletion.name for deletion in layer}
        for deletion in layer:
            assert set(deletion.needs) <= later
