"""Each preset of the platform: what is planned, and whether its releases fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from cozystack.api.flux import ArtifactGenerator
from cozystack.api.meta import Key, find_condition
from cozystack.planner import Catalogue, describe, payload, plan_platform, plan_source
from cozystack.planner.problems import DependencyNotReady
from support.cases import condition, install
from support.packages import (
    PRESETS,
    Object,
    Platform,
    Schemas,
    bootstrap_crds,
    built_in_scopes,
    identity,
    served_kinds,
)

# Namespaces that are there before any package.
EXISTING = {"cozy-system", "default", "kube-system"}

every_preset = pytest.mark.parametrize("name", [*PRESETS, "everything"])
every_installed_preset = pytest.mark.parametrize("name", [*(preset for preset in PRESETS if preset != "default"), "everything"])


@every_preset
def test_nothing_but_the_order_holds_a_package_back(name: str, platform: Callable[[str], Platform]) -> None:
    plan = platform(name).plan
    problems = [problem for source in plan.sources.values() for problem in source.problems]
    problems += [problem for namespace in plan.namespaces.values() for problem in namespace.problems]
    problems += [problem for package in plan.packages.values() for problem in package.problems]
    waiting = [problem for problem in problems if isinstance(problem, DependencyNotReady) and problem.cause is None]
    assert [describe(problem) for problem in problems if problem not in waiting] == []
    assert plan.cycles == ()


@every_preset
def test_the_installed_platform_is_settled_and_has_no_problem(name: str, platform: Callable[[str], Platform]) -> None:
    view = platform(name).catalogue()
    for source in view.sources:
        view.set_generator(built(view, source))
    for wave in plan_platform(view).waves:
        for package in wave:
            install(view, package, "ready", {})
    plan = plan_platform(view)
    assert [describe(problem) for package in plan.packages.values() for problem in package.problems] == []
    assert plan.summary.settled == plan.summary.packages
    ready = {package: find_condition(found.status.conditions, "Ready") for package, found in plan.packages.items()}
    assert [package for package, found in ready.items() if found is None or found.status != "True"] == []


@every_installed_preset
def test_packages_go_in_several_waves_and_every_one_is_in_one(name: str, platform: Callable[[str], Platform]) -> None:
    plan = platform(name).plan
    assert sorted(package for wave in plan.waves for package in wave) == sorted(plan.packages)
    assert len(plan.waves) >= 4


def test_the_order_of_a_full_platform_is_known(platform: Callable[[str], Platform]) -> None:
    """The network needs the Gateway API, nearly everything needs the network, and the most waits for certificates."""
    assert [" ".join(name.removeprefix("cozystack.") for name in wave) for wave in platform("isp-full").plan.waves] == [
        "gateway-api-crds prometheus-operator-crds",
        "networking",
        "cert-manager goldpinger grafana-operator kafka-operator kubevirt metallb metrics-server multus redis-operator "
        "reloader",
        "cozystack-engine ingress-nginx mariadb-operator postgres-operator rabbitmq-operator snapshot-controller "
        "vertical-pod-autoscaler victoria-metrics-operator",
        "cozystack-basics etcd-operator linstor monitoring-agents",
        "kubevirt-cdi linstor-scheduler velero",
        "cozystack-scheduler",
    ]


@every_preset
def test_no_two_releases_bring_the_same_object(name: str, platform: Callable[[str], Platform]) -> None:
    owners: dict[str, list[str]] = {}
    for key, found in platform(name).releases.items():
        for item in found.everything:
            owners.setdefault(identity(item), []).append(str(key))
    for item in platform(name).rendered.everything:
        owners.setdefault(identity(item), []).append("platform")
    assert {item: keys for item, keys in owners.items() if len(keys) > 1} == {}


@every_preset
def test_every_object_of_the_platform_and_its_releases_is_one_that_the_api_server_takes(
    name: str, platform: Callable[[str], Platform], schemas: Schemas
) -> None:
    objects = list(platform(name).rendered.everything)
    objects += [item for found in platform(name).releases.values() for item in found.everything]
    assert [f"{identity(item)}: {fault}" for item in objects for fault in schemas.faults(item)] == []


@every_preset
def test_a_kind_is_defined_before_the_first_object_of_it_is_installed(name: str, platform: Callable[[str], Platform]) -> None:
    """By its own folder ``crds``, or by a release that it waits for: Helm looks kinds up before it writes anything."""
    releases = platform(name).releases
    waits = dependencies(platform(name))
    known = built_in_scopes().keys() | served_kinds(bootstrap_crds())
    undefined = []
    for key, found in releases.items():
        served = known | served_kinds(found.crds)
        for other in closure(key, waits):
            served |= served_kinds(releases[other].definitions)
        undefined += [f"{key}: {identity(item)}" for item in found.objects if kind_of(item) not in served]
    assert undefined == []


@every_preset
def test_a_namespace_is_there_before_the_first_object_in_it(name: str, platform: Callable[[str], Platform]) -> None:
    """Namespaces of releases are made by the operator, others by a chart."""
    releases = platform(name).releases
    waits = dependencies(platform(name))
    made = EXISTING | {key.namespace for key in releases}
    missing = []
    for key, found in releases.items():
        before = [found, *(releases[other] for other in closure(key, waits))]
        there = made | {namespace for each in before for namespace in each.of_kind("Namespace")}
        missing += [identity(item) for item in found.objects if item["metadata"].get("namespace", "default") not in there]
    assert missing == []


@every_preset
def test_webhooks_that_must_answer_are_waited_for(name: str, platform: Callable[[str], Platform]) -> None:
    """Objects that a webhook with ``failurePolicy: Fail`` looks at come after the release that answers it."""
    releases = platform(name).releases
    waits = dependencies(platform(name))
    groups: dict[str, set[Key]] = {}
    for key, found in releases.items():
        for item in found.objects:
            if item["kind"].endswith("WebhookConfiguration"):
                for webhook in item["webhooks"]:
                    if webhook.get("failurePolicy", "Fail") == "Fail":
                        for rule in webhook["rules"]:
                            for group in rule["apiGroups"]:
                                groups.setdefault(group, set()).add(key)
    early = []
    for key, found in releases.items():
        before = closure(key, waits)
        for item in found.objects:
            answering = groups.get(item["apiVersion"].rpartition("/")[0], set())
            early += [f"{key}: {identity(item)}, {other}" for other in answering if other not in before]
    assert early == []


def built(view: Catalogue, source: str) -> ArtifactGenerator:
    """The generator of a source, after Flux has built its artifacts."""
    generator = plan_source(view, source).generator
    assert generator is not None
    done = {"conditions": [condition("Ready", "True", "Succeeded")], "observedGeneration": 1}
    live = payload(generator)
    live["metadata"]["generation"] = 1
    return msgspec.convert({**live, "status": done}, ArtifactGenerator)


def dependencies(platform: Platform) -> dict[Key, list[Key]]:
    """What each release waits for."""
    return {
        release.key: [Key(reference.namespace, reference.name) for reference in release.spec.depends_on]
        for package in platform.view.packages
        for release in platform.view.desired(package)
    }


def closure(key: Key, waits: Mapping[Key, list[Key]]) -> set[Key]:
    """Everything that ``key`` waits for, directly or not."""
    found: set[Key] = set()
    rest = [key]
    while rest:
        for other in waits[rest.pop()]:
            if other not in found:
                found.add(other)
                rest.append(other)
    return found


def kind_of(item: Object) -> tuple[str, str]:
    return item["apiVersion"], item["kind"]
