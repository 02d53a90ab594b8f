"""What the installer refuses before anything starts, and how it is set for clusters that differ."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from cozystack.api import names, yaml
from cozystack.api.meta import Key
from cozystack.operator.flags import read_options
from support.packages import PACKAGES, Helm, Object, Rendered, identity, pods

CHART = PACKAGES / "core" / "installer"
RELEASE = Key(names.SYSTEM_NAMESPACE, "cozystack")
GENERATOR = runpy.run_path(str(PACKAGES.parent / "scripts/known_values.py"))
VARIANTS: dict[str, dict[str, Any]] = {
    "talos": {},
    "generic": {"cozystackOperator": {"variant": "generic"}, "cozystack": {"apiServerHost": "10.0.0.1"}},
    "hosted": {"cozystackOperator": {"variant": "hosted"}},
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def test_the_names_that_the_chart_knows_are_those_of_its_schema_and_values() -> None:
    files: dict[Path, str] = GENERATOR["files"]()
    assert {path: (PACKAGES / "core" / path).read_text() for path in files} == files, "run `make generate`"
    known = yaml.load((CHART / "known.yaml").read_text())["keys"]
    assert unknown(yaml.load((CHART / "values.yaml").read_text()), known) == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"imageRegistry": "mirror"}, "imageRegistry is not a value of the installer; did you mean imagesRegistry?"),
        (
            {"cozystackOperator": {"metrics": {"enable": True}}},
            "cozystackOperator.metrics.enable is not a value of the installer; did you mean cozystackOperator.metrics.enabled?",
        ),
        ({"cozystackOperator": {"q": 1}}, "cozystackOperator.q is not a value of the installer"),
        ({"apiServerHost": "10.0.0.1"}, "apiServerHost is not a value of the installer; did you mean cozystack.apiServerHost?"),
        ({"imagesRegistry": "https://mirror.acme.test"}, "imagesRegistry"),
        ({"cozystackOperator": {"disableTelemetry": "yes"}}, "disableTelemetry"),
    ],
)
def test_a_typo_is_refused_with_the_nearest_name(values: dict[str, Any], reason: str, helm: Helm) -> None:
    """packages-P4, for the installer."""
    assert reason in helm.refusal(CHART, RELEASE, values)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"cozystackOperator": {"image": "registry.acme.test/REPLACE_ME:1"}}, "cozystackOperator.image"),
        ({"cozystackOperator": {"image": "<registry>/cozystack:1"}}, "cozystackOperator.image"),
        ({"cozystackOperator": {"image": f"acme.test/cozystack@sha256:{'0' * 64}"}}, "cozystackOperator.image"),
        ({"cozystackOperator": {"platformSourceUrl": "oci://change-me/packages"}}, "cozystackOperator.platformSourceUrl"),
        ({"cozystackOperator": {"platformSourceRef": "tag=<tag>"}}, "cozystackOperator.platformSourceRef"),
        (
            {"cozystackOperator": {"variant": "generic"}, "cozystack": {"apiServerHost": "REPLACE_ME"}},
            "cozystack.apiServerHost",
        ),
    ],
)
def test_a_placeholder_does_not_render(values: dict[str, Any], what: str, helm: Helm) -> None:
    """packages-I5"""
    said = helm.refusal(CHART, RELEASE, values)
    assert f"{what} is " in said
    assert "a placeholder; name the real one" in said


@every_variant
def test_a_site_without_the_internet_gets_all_images_from_its_own_registry(variant: str, helm: Helm) -> None:
    """packages-I3"""
    found = helm.render(CHART, RELEASE, {**VARIANTS[variant], "imagesRegistry": "mirror.acme.test:5000/all"})
    assert {container["image"] for container in containers(found)} == {
        "mirror.acme.test:5000/all/cozystack-python/cozystack:0.1.0"
    }
    assert flux_registry(found) == "mirror.acme.test:5000/all/fluxcd"


def test_the_registry_of_flux_can_be_another_one(helm: Helm) -> None:
    assert flux_registry(helm.render(CHART, RELEASE)) == "ghcr.io/fluxcd"
    values = {"imagesRegistry": "mirror.acme.test", "cozystackOperator": {"fluxRegistry": "flux.acme.test/controllers"}}
    assert flux_registry(helm.render(CHART, RELEASE, values)) == "flux.acme.test/controllers"


@every_variant
def test_pods_keep_the_restricted_level_but_for_the_network_that_they_need(variant: str, helm: Helm) -> None:
    """packages-I1"""
    found = helm.render(CHART, RELEASE, VARIANTS[variant])
    expected = [] if variant == "hosted" else ["hostNetwork"]
    assert {identity(owner): violations(pod["spec"]) for owner, pod in pods(found.objects)} == {
        "apps/v1 Deployment cozy-system/cozystack-operator": expected,
        "batch/v1 Job cozy-system/cozystack-hand-back": expected,
        "batch/v1 Job kube-system/cozy-system-labeler": expected,
    }


@every_variant
def test_nodes_that_are_chosen_or_tolerated_are_so_for_hooks_too(variant: str, helm: Helm) -> None:
    """packages-I2"""
    own = {
        "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
    }
    given = VARIANTS[variant]
    values = {**given, "cozystackOperator": {**given.get("cozystackOperator", {}), **own}}
    for _, pod in pods(helm.render(CHART, RELEASE, values).objects):
        assert pod["spec"]["nodeSelector"] == own["nodeSelector"]
        assert pod["spec"]["tolerations"][-1:] == own["tolerations"]


def unknown(values: dict[str, Any], keys: dict[str, Any], prefix: str = "") -> list[str]:
    """Paths of values that the chart would refuse."""
    found = []
    for name, value in values.items():
        if name not in keys:
            found.append(prefix + name)
        elif keys[name] is not None:
            found += unknown(value, keys[name], f"{prefix}{name}.")
    return found


def containers(found: Rendered) -> list[Object]:
    return [container for _, pod in pods(found.objects) for container in pod["spec"]["containers"]]


def flux_registry(found: Rendered) -> str:
    (container,) = found.of_kind("Deployment")["cozystack-operator"]["spec"]["template"]["spec"]["containers"]
    return read_options(container["args"], {}).flux_registry


def violations(spec: Object) -> list[str]:
    """What the Pod Security Standard *restricted* has against a Pod."""
    pod, found = spec.get("securityContext", {}), []
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [
        f"volume {each['name']}" for each in spec.get("volumes", ()) if not each.keys() & {"secret", "configMap", "emptyDir"}
    ]
    if not pod.get("runAsNonRoot"):
        found.append("runAsNonRoot")
    if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("seccompProfile")
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append("capabilities")
    return found
