"""The catalogue: what its PackageSources say, before anything is rendered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cozystack.api import names, yaml
from cozystack.api.cozystack import PackageSource
from cozystack.apiserver.schema import from_crd, unknown_fields, validate
from cozystack.planner import Catalogue, describe, payload, plan_source
from support.packages import PACKAGES, PLATFORM, bootstrap_crds, chart_folders, source_objects, sources, uses


@pytest.mark.parametrize("item", source_objects(), ids=lambda item: item["metadata"]["name"])
def test_every_source_is_valid_and_loses_nothing_when_it_is_decoded(item: dict[str, Any]) -> None:
    crd = next(crd for crd in bootstrap_crds() if crd["metadata"]["name"] == "packagesources.cozystack.io")
    schema = from_crd(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    assert (validate(schema, item), unknown_fields(schema, item)) == ([], [])
    assert payload(msgspec.convert(item, PackageSource)) == item


def test_a_source_is_in_the_file_of_its_name() -> None:
    files = [path.stem for path in sorted((PLATFORM / "sources").glob("*.yaml"))]
    assert [source.removeprefix("cozystack.") for source in sources()] == files


def test_all_sources_take_their_charts_from_the_copy_of_the_platforms_source() -> None:
    references = {msgspec.json.encode(source.spec.source_ref) for source in sources().values()}
    assert references == {b'{"kind":"OCIRepository","name":"cozystack-packages","namespace":"cozy-system","path":"/"}'}


def test_the_planner_finds_no_problem_in_any_source() -> None:
    view = Catalogue()
    with view.batch():
        for source in sources().values():
            view.set_source(source)
    problems = [problem for name in sources() for problem in plan_source(view, name).problems]
    assert [describe(problem) for problem in problems] == []


def test_every_dependency_is_in_the_catalogue() -> None:
    needed = {name for source in sources().values() for variant in source.spec.variants for name in variant.depends_on}
    assert needed <= sources().keys()


def test_every_path_is_there() -> None:
    missing = []
    for use in uses():
        folder = PACKAGES / use.component.path
        files = [folder / "Chart.yaml", *(folder / file for file in use.component.values_files)]
        files += [PACKAGES / library.path / "Chart.yaml" for library in use.variant.libraries]
        missing += [f"{use}: {file.relative_to(PACKAGES)}" for file in files if not file.is_file()]
    assert missing == []


def test_every_chart_is_used_or_stands_on_its_own() -> None:
    used = {use.component.path for use in uses()} | {library.path for use in uses() for library in use.variant.libraries}
    charts = {str(folder.relative_to(PACKAGES)) for folder in chart_folders()}
    assert charts - used == {"core/flux-aio", "core/installer", "core/platform", "core/talos"}


def test_charts_say_what_they_are() -> None:
    for folder in chart_folders():
        chart = yaml.load((folder / "Chart.yaml").read_text(), source=str(folder))
        expected = {
            "apiVersion": "v2",
            "name": chart["name"],
            "type": "library" if folder.parent.name == "library" else "application",
            "version": "0.0.0",
        }
        assert {key: chart.get(key) for key in expected} == expected
        assert chart["description"].strip()
        assert chart["name"].removeprefix("cozy-") == folder.name.removeprefix("cozy-")


def test_a_library_is_declared_only_where_a_component_uses_it() -> None:
    unused = [
        f"{source.metadata.name}/{variant.name}: {name}"
        for source in sources().values()
        for variant in source.spec.variants
        for name in {library.name for library in variant.libraries}
        - {name for component in variant.components for name in component.libraries}
    ]
    assert unused == []


def test_a_chart_declares_the_libraries_that_its_components_are_given() -> None:
    """Helm wants what is in ``charts/`` declared, and finds it in a checkout by what is declared."""
    for use in uses():
        chart = yaml.load((PACKAGES / use.component.path / "Chart.yaml").read_text(), source=use.component.path)
        declared = {each["name"]: each["repository"] for each in chart.get("dependencies", ())}
        assert declared == {name: f"file://../../library/{name}" for name in use.component.libraries}, str(use)


def test_crds_of_a_folder_are_upgraded_and_nothing_else_is() -> None:
    """Helm itself installs CRDs of the folder ``crds`` once and never looks at them again."""
    installed = [use for use in uses() if use.component.install is not None]
    with_folder = {str(use) for use in installed if (PACKAGES / use.component.path / "crds").is_dir()}
    upgraded = {str(use) for use in installed if use.component.install and use.component.install.upgrade_crds}
    assert upgraded == with_folder


def test_releases_of_different_packages_have_different_names() -> None:
    owners: dict[Any, set[str]] = {}
    for use in uses():
        if use.component.install is not None:
            owners.setdefault(use.key, set()).add(use.source.metadata.name)
    assert {str(key): owner for key, owner in owners.items() if len(owner) > 1} == {}


def test_a_package_has_namespaces_of_its_own_unless_it_extends_another() -> None:
    """Packages share only namespaces of the platform, and those of a service that several packages make up."""
    users: dict[str, set[str]] = {}
    for use in uses():
        if use.component.install is not None:
            users.setdefault(use.key.namespace, set()).add(use.source.metadata.name.removeprefix("cozystack."))
    assert {namespace: found for namespace, found in users.items() if len(found) > 1} == {
        "cozy-keycloak": {"cozystack-engine", "keycloak", "keycloak-operator"},
        "cozy-linstor": {"linstor", "linstor-scheduler"},
        "cozy-monitoring": {"metrics-server", "monitoring", "monitoring-agents"},
        "cozy-system": {"cozystack-basics", "cozystack-engine"},
        "cozy-victoria-metrics-operator": {"prometheus-operator-crds", "victoria-metrics-operator"},
    }
    assert all(namespace.startswith("cozy-") or namespace == "kube-system" for namespace in users)


def test_the_catalogue_uses_what_a_source_can_say() -> None:
    """It is also the example that others copy from."""
    variants = [variant for source in sources().values() for variant in source.spec.variants]
    components = [component for variant in variants for component in variant.components]
    installs = [component.install for component in components if component.install is not None]
    used = {
        "several variants": any(len(source.spec.variants) > 1 for source in sources().values()),
        "a variant without components": any(not variant.components for variant in variants),
        "dependencies of variants": any(variant.depends_on for variant in variants),
        "libraries": any(component.libraries for component in components),
        "several values files": any(len(component.values_files) > 1 for component in components),
        "artifacts that are not installed": any(component.install is None for component in components),
        "dependencies of components": any(install.depends_on for install in installs),
        "privileged": any(install.privileged for install in installs),
        "upgradeCRDs": any(install.upgrade_crds for install in installs),
        "both wait strategies": {install.wait_strategy for install in installs} == {"", "poller", "legacy"},
        "health expressions": any(install.health_check_exprs for install in installs),
        "the annotation that skips shared values": any(
            names.SKIP_VALUES_ANNOTATION in source.metadata.annotations for source in sources().values()
        ),
    }
    assert [feature for feature, found in used.items() if not found] == []
