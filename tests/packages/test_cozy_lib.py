"""The library of helpers: what each gives for what it is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cozystack.api import yaml
from cozystack.api.meta import Key
from cozystack.helm import ChartError
from support.packages import PACKAGES, Helm

LIBRARY = PACKAGES / "library" / "cozy-lib"
Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(helm: Helm, tmp_path: Path) -> Evaluate:
    """The value of a template expression in a chart that has the library."""
    chart = tmp_path / "probe"
    (chart / "templates").mkdir(parents=True)
    shutil.copytree(LIBRARY, chart / "charts" / "cozy-lib")
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 0.0.0\n")

    def value(expression: str, cluster: dict[str, Any] | None = None, **values: Any) -> Any:
        head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: probe}\ndata:\n"
        (chart / "templates" / "probe.yaml").write_text(f"{head}  value: {{{{ {expression} | toJson }}}}\n")
        values = {**values, **({"_cluster": cluster} if cluster is not None else {})}
        (found,) = helm.render(chart, Key("acme", "probe"), values).objects
        return found["data"]["value"]

    return value


@pytest.mark.parametrize(
    ("helper", "default", "key"),
    [
        ("root-host", "example.org", "root-host"),
        ("bundle-name", "isp-full", "bundle-name"),
        ("cluster-domain", "cozy.local", "cluster-domain"),
        ("images-registry", "", "images-registry"),
    ],
)
def test_a_setting_of_the_platform_has_a_default(helper: str, default: str, key: str, evaluate: Evaluate) -> None:
    expression = f'include "cozy-lib.{helper}" .'
    assert (evaluate(expression), evaluate(expression, {key: "acme"})) == (default, "acme")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("quay.io/acme/anvil:1", "mirror.test/all/acme/anvil:1"),
        ("registry:5000/acme/anvil:1", "mirror.test/all/acme/anvil:1"),
        ("localhost/anvil:1", "mirror.test/all/anvil:1"),
        ("acme/anvil:1", "mirror.test/all/acme/anvil:1"),
        ("anvil:1", "mirror.test/all/anvil:1"),
    ],
)
def test_an_image_moves_to_the_platforms_registry(image: str, expected: str, evaluate: Evaluate) -> None:
    expression = f'include "cozy-lib.image" (list "{image}" .)'
    assert evaluate(expression) == image
    assert evaluate(expression, {"images-registry": "mirror.test/all/"}) == expected


def resources(evaluate: Evaluate, given: Any, cluster: dict[str, Any] | None = None) -> Any:
    return yaml.load(evaluate('include "cozy-lib.resources.sanitize" (list .Values.given .)', cluster, given=given))


def test_flat_resources_are_limits_and_requests_follow_from_them(evaluate: Evaluate) -> None:
    assert resources(evaluate, {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "4Gi"}) == {
        "limits": {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "4Gi"},
        "requests": {"cpu": "50m", "memory": "256Mi", "ephemeral-storage": "107374183"},
    }


def test_the_ratios_are_those_of_the_platform(evaluate: Evaluate) -> None:
    ratios = {"cpu-allocation-ratio": "4", "memory-allocation-ratio": "2"}
    assert resources(evaluate, {"cpu": 1, "memory": "1Gi"}, ratios)["requests"] == {"cpu": "250m", "memory": "536870912"}


def test_a_request_that_is_given_is_kept_and_a_small_one_is_never_nothing(evaluate: Evaluate) -> None:
    given = {"limits": {"cpu": "4m", "memory": "64Mi"}, "requests": {"memory": "32Mi"}}
    assert resources(evaluate, given) == {
        "limits": {"cpu": "4m", "memory": "64Mi"},
        "requests": {"cpu": "1m", "memory": "32Mi"},
    }


def test_what_cannot_be_shared_is_requested_in_full(evaluate: Evaluate) -> None:
    assert resources(evaluate, {"acme.test/gpu": 2}) == {
        "limits": {"acme.test/gpu": 2},
        "requests": {"acme.test/gpu": "2"},
    }


def test_no_resources_give_no_resources(evaluate: Evaluate) -> None:
    assert (resources(evaluate, {}), resources(evaluate, None)) == ({}, {})


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("500m", 0.5), ("2", 2), ("1k", 1000), ("1.5Gi", 1610612736), ("1Ti", 1099511627776), ("3M", 3000000)],
)
def test_a_quantity_is_a_number(quantity: str, number: float, evaluate: Evaluate) -> None:
    assert float(evaluate(f'include "cozy-lib.resources.to-number" "{quantity}"')) == number


@pytest.mark.parametrize("quantity", ["", "1KiB", "much", "-1", "1..5"])
def test_what_is_no_quantity_is_refused(quantity: str, evaluate: Evaluate) -> None:
    with pytest.raises(ChartError, match="is not a quantity of resources"):
        evaluate(f'include "cozy-lib.resources.to-number" "{quantity}"')


@pytest.mark.parametrize("ratio", ["0", "-2"])
def test_a_ratio_must_be_positive(ratio: str, evaluate: Evaluate) -> None:
    with pytest.raises(ChartError, match=r"_cluster\.cpu-allocation-ratio must be greater than 0"):
        resources(evaluate, {"cpu": 1}, {"cpu-allocation-ratio": ratio})


@pytest.mark.parametrize("constraints", [[{"maxSkew": 1}], "- maxSkew: 1\n"])
def test_constraints_of_the_administrator_spread_pods(constraints: Any, evaluate: Evaluate) -> None:
    cluster = {"scheduling": {"globalAppTopologySpreadConstraints": constraints}}
    found = evaluate('include "cozy-lib.topologySpread" .', cluster)
    assert yaml.load(found) == {"topologySpreadConstraints": [{"maxSkew": 1}]}


@pytest.mark.parametrize("cluster", [None, {}, {"scheduling": {"globalAppTopologySpreadConstraints": ""}}])
def test_without_constraints_there_is_no_such_key(cluster: dict[str, Any] | None, evaluate: Evaluate) -> None:
    assert evaluate('include "cozy-lib.topologySpread" .', cluster) == ""


def test_labels_select_what_they_label(evaluate: Evaluate) -> None:
    selector = yaml.load(evaluate('include "cozy-lib.selector" (list "anvil" .)'))
    labels = yaml.load(evaluate('include "cozy-lib.labels" (list "anvil" .)'))
    assert selector == {"app.kubernetes.io/name": "anvil", "app.kubernetes.io/instance": "probe"}
    assert labels == selector | {"app.kubernetes.io/part-of": "cozystack", "app.kubernetes.io/managed-by": "Helm"}


def test_every_helper_is_described() -> None:
    text = "".join(path.read_text() for path in (LIBRARY / "templates").glob("*.tpl"))
    defined = {line.split('"')[1] for line in text.splitlines() if line.startswith("{{- define")}
    readme = (LIBRARY / "README.md").read_text()
    described = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `cozy-lib.")}
    # The request for one limit is a part of resources.sanitize.
    assert defined - described == {"cozy-lib.resources.request"}
    assert described <= defined
