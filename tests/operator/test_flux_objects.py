"""The Flux that is installed."""

from __future__ import annotations

from typing import Any

from cozystack.operator.fluxinstall import flux_crds, flux_objects


def deployment(**settings: str) -> Any:
    return flux_objects(**{"registry": "ghcr.io/fluxcd", **settings})[-1]


def test_every_crd_is_labelled_and_named() -> None:
    assert [crd["metadata"]["name"] for crd in flux_crds()] == [
        "artifactgenerators.source.extensions.fluxcd.io",
        "buckets.source.toolkit.fluxcd.io",
        "externalartifacts.source.toolkit.fluxcd.io",
        "gitrepositories.source.toolkit.fluxcd.io",
        "helmcharts.source.toolkit.fluxcd.io",
        "helmreleases.helm.toolkit.fluxcd.io",
        "helmrepositories.source.toolkit.fluxcd.io",
        "ocirepositories.source.toolkit.fluxcd.io",
    ]
    assert {crd["metadata"]["labels"]["app.kubernetes.io/part-of"] for crd in flux_crds()} == {"flux"}


def test_the_namespace_comes_first_and_the_deployment_last() -> None:
    kinds = [item["kind"] for item in flux_objects(registry="r")]
    assert (kinds[0], kinds[-1], len(kinds)) == ("Namespace", "Deployment", 7)


def test_images_come_from_the_registry_that_is_named() -> None:
    containers = deployment(registry="mirror.example.org/flux/")["spec"]["template"]["spec"]["containers"]
    assert [container["image"] for container in containers] == [
        "mirror.example.org/flux/source-controller:v1.9.5",
        "mirror.example.org/flux/helm-controller:v1.6.4",
        "mirror.example.org/flux/source-watcher:v2.2.2",
    ]


def test_the_api_endpoint_is_passed_on_only_when_it_is_known() -> None:
    def endpoint(**settings: str) -> list[dict[str, str]]:
        container = deployment(**settings)["spec"]["template"]["spec"]["containers"][0]
        return [entry for entry in container["env"] if entry["name"].startswith("KUBERNETES_")]

    assert endpoint() == []
    assert endpoint(api_host="localhost", api_port="7445") == [
        {"name": "KUBERNETES_SERVICE_HOST", "value": "localhost"},
        {"name": "KUBERNETES_SERVICE_PORT", "value": "7445"},
    ]


def test_no_two_containers_share_a_port_on_the_host_network() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    ports = [port["containerPort"] for container in pod["containers"] for port in container["ports"]]
    assert pod["hostNetwork"] is True
    assert len(ports) == len(set(ports))


def test_every_container_is_locked_down() -> None:
    for container in deployment()["spec"]["template"]["spec"]["containers"]:
        assert container["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
