"""Our CRDs on a real API server: accepted as they are, kept as they were given, explained."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cozystack.api.cozystack import API_VERSION
from cozystack.api.crds import crds
from cozystack.kube import Client
from e2e.client import Cluster
from e2e.platform import FOLDER

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
JSON = {"Content-Type": "application/json"}
FLUX = sorted((FOLDER / "core" / "flux-aio" / "crds").glob("*.json"))


def own() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(list(crds())))
    return found


@pytest.mark.parametrize("number", range(len(own())), ids=[definition["metadata"]["name"] for definition in own()])
async def test_a_definition_is_accepted_without_a_warning(operated: Cluster, client: Client, number: int) -> None:
    definition = own()[number]
    name = definition["metadata"]["name"]
    live = await client.request_json(f"{DEFINITIONS}/{name}")
    conditions = {entry["type"]: entry["status"] for entry in live["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    answer = await client.transport.request(
        "PATCH",
        f"{DEFINITIONS}/{name}",
        query={"fieldManager": "test", "force": "true", "dryRun": "All", "fieldValidation": "Strict"},
        headers={"Content-Type": "application/apply-patch+yaml"},
        body=msgspec.json.encode(definition),
    )
    assert (answer.status, answer.headers.get("Warning")) == (200, None)


async def test_the_definitions_of_flux_are_accepted(operated: Cluster, client: Client) -> None:
    for path in FLUX:
        name = msgspec.json.decode(path.read_bytes())["metadata"]["name"]
        live = await client.request_json(f"{DEFINITIONS}/{name}")
        conditions = {entry["type"]: entry["status"] for entry in live["status"]["conditions"]}
        assert (conditions["NamesAccepted"], conditions["Established"]) == ("True", "True")
        assert "NonStructuralSchema" not in conditions


FULL = {
    "packages": {
        "kind": "Package",
        "spec": {
            "variant": "large",
            "ignoreDependencies": ["acme.other"],
            "components": {
                "db": {"enabled": False, "values": {"a": {"b": [1, "two", None, 3.5, True]}, "empty": {}, "none": []}},
                "ui": {},
            },
        },
    },
    "packagesources": {
        "kind": "PackageSource",
        "spec": {
            "sourceRef": {"kind": "GitRepository", "name": "charts", "namespace": "acme", "path": "/packages"},
            "variants": [
                {
                    "name": "default",
                    "dependsOn": ["acme.base"],
                    "libraries": [{"name": "lib", "path": "library/lib"}],
                    "components": [
                        {
                            "name": "db",
                            "path": "system/db",
                            "libraries": ["lib"],
                            "valuesFiles": ["values.yaml", "more.yaml"],
                            "install": {
                                "namespace": "acme-db",
                                "releaseName": "database",
                                "privileged": True,
                                "dependsOn": ["other"],
                            },
                        }
                    ],
                }
            ],
        },
    },
}


@pytest.mark.parametrize("plural", FULL)
async def test_everything_that_can_be_said_is_kept(operated: Cluster, client: Client, plural: str) -> None:
    body = {"apiVersion": API_VERSION, "metadata": {"name": "acme.round-trip"}, **FULL[plural]}
    path = f"/apis/{API_VERSION}/{plural}"
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    answer = await client.transport.request("POST", path, query=query, headers=JSON, body=msgspec.json.encode(body))
    assert (answer.status, answer.headers.get("Warning")) == (201, None)
    assert msgspec.json.decode(answer.body)["spec"] == body["spec"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"variant": 1}, "spec.variant"),
        ({"components": {"db": {"enabled": "yes"}}}, "spec.components.db.enabled"),
        ({"ignoreDependencies": "acme.base"}, "spec.ignoreDependencies"),
    ],
)
async def test_what_is_of_the_wrong_type_is_refused(operated: Cluster, client: Client, spec: Any, field: str) -> None:
    body = {"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": "acme.wrong"}, "spec": spec}
    path = f"/apis/{API_VERSION}/packages"
    answer = await client.transport.request("POST", path, query={"dryRun": "All"}, headers=JSON, body=msgspec.json.encode(body))
    assert answer.status == 422
    assert field in {cause["field"] for cause in msgspec.json.decode(answer.body)["details"]["causes"]}


@pytest.mark.parametrize(
    "path",
    [
        "package",
        "package.spec.components",
        "package.spec.components.values",
        "package.status.blockedBy",
        "packagesource.spec.variants.components.install",
        "packagesource.spec.sourceRef",
    ],
)
def test_every_field_is_explained(operated: Cluster, path: str) -> None:
    said = operated.kubectl("explain", path, "--recursive=false").stdout
    description = said.partition("DESCRIPTION:")[2].partition("FIELDS:")[0].strip()
    assert description
    assert "<empty>" not in said


@pytest.mark.parametrize("short", ["pkg", "pks", "packages", "packagesources"])
def test_they_are_found_by_their_short_names(operated: Cluster, short: str) -> None:
    assert operated.kubectl("get", short, "-o", "name").returncode == 0
