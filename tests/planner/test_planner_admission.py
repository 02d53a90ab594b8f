"""What is refused, what is only told, and what passes, before a Package or PackageSource is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.planner import Catalogue
from cozystack.planner.admission import Finding, Verdict, closed_loop, judge_package, judge_source
from support.cases import build, decode, install

Obj = dict[str, Any]
FINE = Verdict()


def package(name: str = "acme.db", **fields: Any) -> Any:
    return decode({"kind": "Package", "name": name, **fields})


def source(name: str = "acme.db", *components: Obj, **fields: Any) -> Any:
    """A PackageSource with the variant ``default``."""
    variant = {"name": "default", "components": list(components), **fields.pop("variant", {})}
    return decode({"kind": "PackageSource", "name": name, "variants": [variant], **fields})


def component(name: str = "db", **fields: Any) -> Obj:
    """A component that is installed into ``acme``."""
    place = {"namespace": "acme", **fields.pop("install", {})}
    return {"name": name, "path": f"system/{name}", "install": place, **fields}


def view_of(*objects: Any) -> Catalogue:
    view = Catalogue()
    with view.batch():
        for obj in objects:
            view.put(obj)
    return view


def needs(name: str, *others: str) -> Any:
    return source(name, component(name), variant={"dependsOn": list(others)})


def messages(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.message for finding in findings]


# What an object has wrong by itself is refused

ITSELF = "spec.variants[default].components[db]"
WRONG: dict[str, tuple[Any, Finding]] = {
    "an empty path": (
        source("acme.db", component(path="")),
        Finding(
            "InvalidPath",
            f"{ITSELF}.path is empty; correct {ITSELF}.path of PackageSource/acme.db",
            f"{ITSELF}.path",
        ),
    ),
    "a path that leaves its folder": (
        source("acme.db", component(path="../etc")),
        Finding(
            "InvalidPath",
            f'{ITSELF}.path "../etc" leaves its folder; correct {ITSELF}.path of PackageSource/acme.db',
            f"{ITSELF}.path",
        ),
    ),
    "values files that leave their folder": (
        source("acme.db", component(valuesFiles=["../secret.yaml"])),
        Finding(
            "InvalidPath",
            f'{ITSELF}.valuesFiles "../secret.yaml" leaves its folder; correct {ITSELF}.valuesFiles of PackageSource/acme.db',
            f"{ITSELF}.valuesFiles",
        ),
    ),
    "no namespace": (
        source("acme.db", component(install={"namespace": ""})),
        Finding(
            "InvalidName",
            f"{ITSELF}.install.namespace is empty; correct {ITSELF}.install.namespace of PackageSource/acme.db",
            f"{ITSELF}.install.namespace",
        ),
    ),
    "an impossible release name": (
        source("acme.db", component(install={"releaseName": "Acme_DB"})),
        Finding(
            "InvalidName",
            f'{ITSELF}.install.releaseName "Acme_DB" is no name of a Helm release (at most 53 of a-z, 0-9, dashes and dots); '
            f"correct {ITSELF}.install.releaseName of PackageSource/acme.db",
            f"{ITSELF}.install.releaseName",
        ),
    ),
    "a source whose name cannot be an alias": (
        source("acme.db", sourceRef={"kind": "OCIRepository", "name": "acme.charts", "namespace": "cozy-system"}),
        Finding(
            "InvalidName",
            'spec.sourceRef.name "acme.charts" cannot be the alias of a source '
            "(at most 63 of a-z, 0-9 and dashes, no dots); correct spec.sourceRef.name of PackageSource/acme.db",
            "spec.sourceRef.name",
        ),
    ),
    "a sibling that is not there": (
        source("acme.db", component(install={"dependsOn": ["dbb"]})),
        Finding(
            "UnknownSibling",
            "component dbb not found in variant default for dependency db; "
            "correct install.dependsOn of component db in PackageSource/acme.db",
        ),
    ),
    "components in a loop": (
        source(
            "acme.db",
            component("a", install={"dependsOn": ["c"]}),
            component("b", install={"dependsOn": ["a"]}),
            component("c", install={"dependsOn": ["b"]}),
        ),
        Finding(
            "ComponentCycle",
            "components of variant default depend on each other in a loop: a → c → b → a; "
            "remove one of these dependencies from PackageSource/acme.db",
        ),
    ),
    "a package that waits for itself": (
        needs("acme.db", "acme.net", "acme.db"),
        Finding(
            "DependencyCycle",
            "Packages depend on each other in a loop: acme.db → acme.db; "
            "remove acme.db from spec.variants[default].dependsOn of PackageSource/acme.db",
            "spec.variants[default].dependsOn",
        ),
    ),
    "two components of one name": (
        source("acme.db", component("db"), component("db", install={"namespace": "other"})),
        Finding(
            "ArtifactNameCollision",
            "several components make the artifact acme-db-default-db: acme.db/default/db, acme.db/default/db; "
            "rename one of the sources, variants or components",
        ),
    ),
    "two variants whose artifacts are called the same": (
        decode(
            {
                "kind": "PackageSource",
                "name": "acme.db",
                "variants": [
                    {"name": "ha", "components": [component("x-db")]},
                    {"name": "ha-x", "components": [component("db")]},
                ],
            }
        ),
        Finding(
            "ArtifactNameCollision",
            "several components make the artifact acme-db-ha-x-db: acme.db/ha/x-db, acme.db/ha-x/db; "
            "rename one of the sources, variants or components",
        ),
    ),
    "a name that no label holds": (
        source("a" * 64),
        Finding(
            "InvalidName",
            f'metadata.name "{"a" * 64}" does not fit into a label (at most 63 characters); '
            f"correct metadata.name of PackageSource/{'a' * 64}",
            "metadata.name",
        ),
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("view", [None, Catalogue()], ids=["without a view", "with an empty view"])
def test_a_source_that_is_wrong_by_itself_is_refused(wrong: tuple[Any, Finding], view: Catalogue | None) -> None:
    new, finding = wrong
    assert judge_source(view, None, new) == Verdict(refusals=(finding,))


def test_a_package_is_refused_for_its_name_and_for_values_that_are_no_map() -> None:
    new = package("a" * 64, components={"db": {"values": [1]}, "seed": {"values": {"a": 1}}, "web": {"values": None}})
    assert [(finding.reason, finding.field) for finding in judge_package(None, None, new).refusals] == [
        ("InvalidName", "metadata.name"),
        ("InvalidValues", "spec.components[db].values"),
    ]
    assert judge_package(None, None, new).refusals[1].message == (
        "spec.components[db].values is a list, no map of values; "
        f"make spec.components[db].values of Package/{'a' * 64} a map, or remove it"
    )


def test_every_fault_is_said_at_once() -> None:
    new = source("acme.db", component("a", path=""), component("b", install={"namespace": "Acme", "dependsOn": ["z"]}))
    assert [finding.reason for finding in judge_source(None, None, new).refusals] == [
        "InvalidPath",
        "InvalidName",
        "UnknownSibling",
    ]


# What others can cure is told


def test_packages_may_come_before_their_sources() -> None:
    assert judge_package(Catalogue(), None, package()) == Verdict(
        warnings=(Finding("MissingSource", "PackageSource acme.db not found; create PackageSource acme.db"),)
    )


def test_a_variant_that_may_come_is_told_with_those_that_are_there() -> None:
    view = view_of(source())
    assert messages(judge_package(view, None, package(variant="ha")).warnings) == [
        "Variant ha not found in PackageSource acme.db; set spec.variant of Package/acme.db to one of: default"
    ]


def test_dependencies_and_overrides_without_a_counterpart_are_told() -> None:
    view = view_of(needs("acme.db", "acme.net"))
    new = package(components={"dbb": {"enabled": False}})
    assert messages(judge_package(view, None, new).warnings) == [
        "variant default has no component dbb; the override has no effect; "
        "correct or remove spec.components.dbb of Package/acme.db",
        "Package/acme.db depends on Package acme.net, which does not exist; "
        "create PackageSource and Package acme.net, or add it to spec.ignoreDependencies of Package/acme.db",
    ]


def test_a_loop_that_others_help_to_close_is_printed_and_not_refused() -> None:
    view = view_of(
        needs("acme.a", "acme.b"), needs("acme.b", "acme.c"), needs("acme.c", "acme.a"), package("acme.a"), package("acme.b")
    )
    loop = (
        "Packages depend on each other in a loop: acme.a → acme.b → acme.c → acme.a; "
        "add acme.a to spec.ignoreDependencies of Package/acme.c, or break the loop elsewhere"
    )
    assert judge_package(view, None, package("acme.c")) == Verdict(warnings=(Finding("DependencyCycle", loop),))
    assert judge_package(view, None, package("acme.c", ignoreDependencies=["acme.a"])) == FINE


def test_a_source_that_closes_a_loop_through_installed_packages_says_so() -> None:
    view = view_of(needs("acme.a", "acme.b"), needs("acme.b"), package("acme.a"), package("acme.b"))
    verdict = judge_source(view, view.source("acme.b"), needs("acme.b", "acme.a"))
    assert [(finding.reason, finding.message.partition(";")[0]) for finding in verdict.warnings] == [
        ("DependencyCycle", "Packages depend on each other in a loop: acme.a → acme.b → acme.a")
    ]
    assert verdict.refusals == ()


@pytest.mark.parametrize(("first", "new"), [("acme.a", "acme.b"), ("acme.b", "acme.a")])
def test_releases_that_two_packages_want_are_told_whoever_gets_them(first: str, new: str) -> None:
    view = view_of(source("acme.a", component("db")), source("acme.b", component("db")), package(first))
    assert messages(judge_package(view, None, package(new)).warnings) == [
        "several components want HelmRelease/acme/db: acme.a/db, acme.b/db; "
        "give one of them another release name or namespace, or disable it"
    ]


@pytest.mark.parametrize(("first", "new"), [("acme-db", "acme.db"), ("acme.db", "acme-db")])
def test_artifacts_that_two_sources_make_are_told_whoever_may(first: str, new: str) -> None:
    view = view_of(source(first, component()))
    assert messages(judge_source(view, None, source(new, component())).warnings) == [
        "several components make the artifact acme-db-default-db: acme-db/default/db, acme.db/default/db; "
        "rename one of the sources, variants or components"
    ]


def test_a_variant_that_goes_while_it_is_selected_is_told() -> None:
    view = view_of(source(), package())
    new = decode({"kind": "PackageSource", "name": "acme.db", "variants": [{"name": "ha", "components": []}]})
    assert messages(judge_source(view, view.source("acme.db"), new).warnings) == [
        "Variant default not found in PackageSource acme.db; set spec.variant of Package/acme.db to one of: ha"
    ]


def test_a_move_of_a_release_with_data_is_told() -> None:
    view = build({"given": [{"kind": "Package", "name": "acme.db"}]})
    view.put(source("acme.db", component()))
    install(view, "acme.db", "ready", {})
    new = source("acme.db", component(install={"namespace": "elsewhere"}))
    assert messages(judge_source(view, view.source("acme.db"), new).warnings) == [
        "component db would move from HelmRelease/acme/db to HelmRelease/elsewhere/db, and the old release may hold data; "
        "restore the old name, or permit it with the annotation operator.cozystack.io/allow-move on Package acme.db"
    ]


def test_a_repository_that_is_not_there_is_told_once_repositories_are_known() -> None:
    other = decode(
        {"kind": "OCIRepository", "name": "other", "namespace": "cozy-system", "spec": {"url": "oci://a/b", "interval": "5m"}}
    )
    assert judge_source(Catalogue(), None, source()) == FINE
    assert messages(judge_source(view_of(other), None, source()).warnings) == [
        "the charts of PackageSource/acme.db are not built: OCIRepository/cozy-system/acme-charts says "
        "NotFound: OCIRepository/cozy-system/acme-charts does not exist; "
        "create OCIRepository/cozy-system/acme-charts, or correct spec.sourceRef of PackageSource/acme.db"
    ]


def test_how_things_stand_is_no_news() -> None:
    view = view_of(source("acme.db", component()), package())
    install(view, "acme.db", "failed", {})
    assert judge_package(view, view.package("acme.db"), package(components={"db": {"values": {"a": 1}}})) == FINE


# What passes


def test_metadata_and_finalizers_of_a_wrong_object_can_always_be_changed() -> None:
    old = source("acme.db", component(path=""))
    new = source("acme.db", component(path=""), labels={"team": "a"}, metadata={"finalizers": ["acme.io/hold"]})
    assert judge_source(Catalogue(), old, new) == FINE
    wrong = {"db": {"values": "text"}}
    assert judge_package(Catalogue(), package(components=wrong), package(components=wrong, annotations={"a": "b"})) == FINE


def test_an_object_on_its_way_out_can_always_be_changed() -> None:
    assert judge_source(Catalogue(), source(), source("acme.db", component(path=""), deleting=True)) == FINE
    assert judge_package(Catalogue(), package(), package(components={"db": {"values": 1}}, deleting=True)) == FINE


def test_what_was_wrong_before_is_told_so_that_an_object_can_be_mended_bit_by_bit() -> None:
    old = source("acme.db", component("a", path=""), component("b", path=""))
    new = source("acme.db", component("a", path=""), component("b"))
    verdict = judge_source(Catalogue(), old, new)
    assert verdict.refusals == ()
    assert [(finding.reason, finding.field) for finding in verdict.warnings] == [
        ("InvalidPath", "spec.variants[default].components[a].path")
    ]
    worse = source("acme.db", component("a", path=""), component("b", path="x/"))
    assert [finding.field for finding in judge_source(Catalogue(), old, worse).refusals] == [
        "spec.variants[default].components[b].path"
    ]


def test_judging_changes_nothing_in_the_view() -> None:
    view = view_of(needs("acme.a", "acme.b"), needs("acme.b"), package("acme.a"), package("acme.b"))

    def state() -> Any:
        return [
            (
                view.package(name),
                view.source(name),
                view.selection(name),
                view.dependencies(name),
                view.loop(name),
                view.desired(name),
                view.plan(name),
            )
            for name in ("acme.a", "acme.b")
        ]

    before = state()
    judge_package(view, view.package("acme.b"), package("acme.b", variant="other"))
    judge_source(view, view.source("acme.b"), needs("acme.b", "acme.a"))
    assert judge_package(view, None, package("acme.new")).warnings != ()
    assert state() == before
    assert list(view.packages) == ["acme.a", "acme.b"]


# The loop that would be closed


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20), st.sets(st.integers(0, 7), max_size=3))
def test_the_loop_that_is_foretold_is_one_that_the_graph_then_has(edges: list[tuple[int, int]], added: set[int]) -> None:
    names = [f"acme.{number}" for number in range(8)]
    sources = [
        needs(name, *sorted({names[target] for start, target in edges if start == number and target != number}))
        for number, name in enumerate(names)
    ]
    view = view_of(*sources, *(package(name) for name in names))
    name, depends_on = names[0], tuple(names[number] for number in sorted(added))
    foretold = closed_loop(view, name, depends_on)
    view.put(needs(name, *depends_on))
    actual = view.loop(name)
    assert bool(foretold) == bool(actual)
    if foretold:
        assert name in foretold
        assert foretold[0] == min(foretold)
        for member, following in zip(foretold, (*foretold[1:], foretold[0]), strict=True):
            assert following in view.dependencies(member)
        assert len(foretold) == len(set(foretold))
