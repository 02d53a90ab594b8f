"""The CRDs are generated from the types and say what the specification says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cozystack.api import yaml
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.crds import crds
from cozystack.api.generate import generated_files

ROOT = Path(__file__).resolve().parents[2]


def schema(index: int) -> Any:
    return crds()[index]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def test_the_files_in_the_checkout_are_not_stale() -> None:
    assert {name: (ROOT / name).read_text() for name in generated_files()} == generated_files()


def test_names_scope_and_columns_are_those_of_the_specification() -> None:
    package, source = (crd["spec"] for crd in crds())
    assert package["names"]["shortNames"] == ["pkg", "pkgs"]
    assert source["names"]["shortNames"] == ["pks"]
    assert {package["scope"], source["scope"]} == {"Cluster"}
    assert [column["name"] for column in package["versions"][0]["additionalPrinterColumns"]] == ["Variant", "Ready", "Status"]
    assert [crd["metadata"]["labels"] for crd in crds()] == [{"platform.cozystack.io/no-delete": "true"}] * 2


def test_required_fields_and_enums_are_those_of_the_specification() -> None:
    spec = schema(1)["spec"]["properties"]
    assert spec["sourceRef"]["required"] == ["kind", "name", "namespace"]
    variant = spec["variants"]["items"]
    component = variant["properties"]["components"]["items"]
    install = component["properties"]["install"]["properties"]
    assert (variant["required"], component["required"]) == (["name"], ["name", "path"])
    assert variant["properties"]["libraries"]["items"]["required"] == ["path"]
    assert install["upgradeCRDs"]["enum"] == ["Create", "CreateReplace", "Skip"]
    assert install["waitStrategy"]["enum"] == ["legacy", "poller"]
    assert install["healthCheckExprs"]["items"]["required"] == ["apiVersion", "current", "kind"]
    values = schema(0)["spec"]["properties"]["components"]["additionalProperties"]["properties"]["values"]
    assert "type" not in values
    assert values["x-kubernetes-preserve-unknown-fields"] is True


def test_a_new_object_says_that_it_was_not_seen_yet() -> None:
    assert [schema(index)["status"]["default"] for index in (0, 1)] == [{"observedGeneration": -1}] * 2


def test_every_schema_is_structural_and_described() -> None:
    def walk(node: dict[str, Any], path: str) -> list[str]:
        found = [path] if "type" not in node and not node.get("x-kubernetes-preserve-unknown-fields") else []
        found += [f"{path} has a reference" for key in ("$ref", "anyOf", "oneOf", "title") if key in node]
        for name, child in node.get("properties", {}).items():
            if "description" not in child and name != "metadata" and "items" not in path:
                found.append(f"{path}.{name} is not described")
            found += walk(child, f"{path}.{name}")
        for key in ("items", "additionalProperties"):
            if key in node:
                found += walk(node[key], f"{path}[]")
        return found

    assert [problem for crd in crds() for problem in walk(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")] == []


def test_values_keep_their_numbers_and_nulls() -> None:
    text = b'{"metadata":{"name":"a"},"spec":{"components":{"c":{"values":{"big":123456789012345678901,"f":1.0,"n":null}}}}}'
    package = msgspec.json.decode(text, type=Package)
    assert msgspec.json.encode(package.override("c").values) == b'{"big":123456789012345678901,"f":1.0,"n":null}'


def test_unknown_fields_do_no_harm() -> None:
    source = yaml.load("metadata: {name: a, selfLink: x}\nspec: {later: 1, variants: [{name: default, new: []}]}\nextra: 1\n")
    assert msgspec.convert(source, PackageSource).spec.variants[0].name == "default"
