"""What is wrong with objects as they are written."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from cozystack.api import yaml
from cozystack.api.cozystack import Package, PackageSource
from cozystack.planner import Catalogue
from cozystack.planner.comparison import _STATE
from cozystack.planner.linting import RULES, lint, unreachable
from cozystack.planner.problems import AnyProblem, kind_name


def view(text: str) -> Catalogue:
    found = Catalogue()
    with found.batch():
        for document in yaml.load_all(text):
            value: Any = document.value
            kind: Any = {"Package": Package, "PackageSource": PackageSource}[value["kind"]]
            found.put(msgspec.convert({"apiVersion": "cozystack.io/v1alpha1", **value}, kind))
    return found


def found(text: str) -> list[tuple[str, str, str]]:
    return [(finding.rule.name, str(finding.subject), finding.message) for finding in lint(view(text))]


def source(name: str, *variants: str) -> str:
    return f"""---
kind: PackageSource
metadata: {{name: {name}}}
spec:
  sourceRef: {{kind: OCIRepository, name: acme, namespace: cozy-system}}
  variants: [{", ".join(variants) or "{name: default}"}]
"""


def test_sound_objects_have_no_findings() -> None:
    text = source("acme.net") + source("acme.db", "{name: default, dependsOn: [acme.net]}")
    assert found(text + "---\nkind: Package\nmetadata: {name: acme.db}\n---\nkind: Package\nmetadata: {name: acme.net}\n") == []


def test_a_dependency_that_no_source_provides_is_found_without_any_package() -> None:
    assert found(source("acme.db", "{name: ha, dependsOn: [acme.ghost]}")) == [
        (
            "missing-dependency",
            "PackageSource/acme.db",
            "variant ha depends on acme.ghost, which no PackageSource provides",
        )
    ]


def test_a_loop_that_every_variant_closes_is_an_error_once() -> None:
    text = source("acme.a", "{name: default, dependsOn: [acme.b]}") + source("acme.b", "{name: x, dependsOn: [acme.a]}")
    assert found(text) == [
        ("dependency-cycle", "PackageSource/acme.a", "packages depend on each other in a loop: acme.a → acme.b → acme.a")
    ]


def test_a_loop_through_certain_variants_is_a_warning_that_names_them() -> None:
    text = source("acme.a", "{name: default, dependsOn: [acme.b]}") + source(
        "acme.b", "{name: plain}", "{name: full, dependsOn: [acme.a]}"
    )
    (finding,) = lint(view(text))
    assert (finding.rule.name, finding.rule.severity) == ("possible-cycle", "warning")
    assert finding.fix == "look at the variants acme.b/full"


def test_a_release_that_two_packages_name_is_found_before_they_are_installed() -> None:
    component = "{name: db, path: system/db, install: {namespace: acme}}"
    text = source("acme.a", f"{{name: default, components: [{component}]}}") + source(
        "acme.b", f"{{name: default, components: [{component}]}}"
    )
    assert found(text) == [
        (
            "shared-release",
            "PackageSource/acme.a",
            "several packages want HelmRelease/acme/db: acme.a/default/db, acme.b/default/db",
        )
    ]


def test_faults_of_packages_name_the_field() -> None:
    text = (
        source("acme.net")
        + "---\nkind: Package\nmetadata: {name: acme.net}\nspec: {variant: cilium, ignoreDependencies: [x]}\n"
    )
    (finding,) = lint(view(text))
    assert (finding.rule.id, finding.field) == ("CZ302", "spec.variant")
    text = text.replace("variant: cilium, ", "")
    (finding,) = lint(view(text))
    assert (finding.rule.id, finding.field) == ("CZ307", "spec.ignoreDependencies")


def test_a_source_without_variants_offers_nothing() -> None:
    assert [name for name, _, _ in found("kind: PackageSource\nmetadata: {name: acme.empty}\n")] == ["no-variants"]


def test_what_nothing_leads_to_is_unreachable() -> None:
    text = source("acme.net") + source("acme.db", "{name: default, dependsOn: [acme.net]}") + source("acme.odd")
    assert [str(finding.subject) for finding in unreachable(view(text), ["acme.db"])] == ["PackageSource/acme.odd"]


def test_every_problem_that_objects_can_have_by_themselves_has_a_rule() -> None:
    """The two others need a release that is there."""
    kinds = [kind for kind in get_args(AnyProblem) if kind not in _STATE]
    assert {kind_name(kind) for kind in kinds} - RULES.keys() == {"unowned-release", "move-refused"}


def test_ids_are_unique_and_in_order() -> None:
    ids = [rule.id for rule in RULES.values()]
    assert ids == sorted(set(ids))
