"""Settings of the platform, followed to the objects that they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cozystack.helm import ChartError
from support.packages import Charts, Helm, Object, Platform, Rendered, is_pinned

OIDC = {"authentication": {"oidc": {"enabled": True}}}
With = Callable[[dict[str, Any]], Platform]


@pytest.fixture
def full(helm: Helm, charts: Charts) -> With:
    """A full platform with some settings."""
    return lambda values: Platform(helm, charts, "isp-full", values)


def spec(found: Rendered, kind: str, name: str) -> Object:
    content: Object = found.of_kind(kind)[name]["spec"]
    return content


@pytest.mark.parametrize(
    ("provider", "settings", "solver"),
    [
        (
            "cloudflare",
            {},
            {"cloudflare": {"apiTokenSecretRef": {"name": "cloudflare-api-token-secret", "key": "api-token"}}},
        ),
        (
            "digitalocean",
            {"secretKey": "token"},
            {"digitalocean": {"tokenSecretRef": {"name": "digitalocean-api-token-secret", "key": "token"}}},
        ),
        (
            "route53",
            {"region": "eu-west-1", "accessKeyID": "AKIA1", "secretName": "aws"},
            {
                "route53": {
                    "region": "eu-west-1",
                    "accessKeyID": "AKIA1",
                    "secretAccessKeySecretRef": {"name": "aws", "key": "secret-access-key"},
                }
            },
        ),
        (
            "rfc2136",
            {"nameserver": "10.0.0.53:53", "tsigKeyName": "acme", "secretName": "tsig"},
            {
                "rfc2136": {
                    "nameserver": "10.0.0.53:53",
                    "tsigKeyName": "acme",
                    "tsigAlgorithm": "HMACSHA256",
                    "tsigSecretSecretRef": {"name": "tsig", "key": "tsig-secret-key"},
                }
            },
        ),
    ],
)
def test_certificates_are_solved_by_the_dns_provider(
    provider: str, settings: dict[str, str], solver: dict[str, Any], full: With
) -> None:
    certificates = {"solver": "dns01", "dns01": {"provider": provider, provider: settings}}
    found = full({"publishing": {"certificates": certificates}}).release("cert-manager-issuers")
    issuers = [spec(found, "ClusterIssuer", name)["acme"]["solvers"] for name in ("letsencrypt-prod", "letsencrypt-stage")]
    assert issuers == [[{"dns01": solver}]] * 2


def test_a_provider_without_its_secret_is_refused_by_name(full: With) -> None:
    platform = full({"publishing": {"certificates": {"solver": "dns01", "dns01": {"provider": "route53"}}}})
    with pytest.raises(ChartError, match=r"publishing\.certificates\.dns01\.route53\.secretName"):
        platform.release("cert-manager-issuers")


def test_certificates_are_solved_over_http_by_the_ingress_or_the_gateway(full: With) -> None:
    def solver(values: dict[str, Any]) -> Any:
        found = full({"publishing": {"ingressName": "tenant-acme"}, **values}).release("cert-manager-issuers")
        return spec(found, "ClusterIssuer", "letsencrypt-prod")["acme"]["solvers"]

    parent = {"kind": "Gateway", "name": "tenant-acme", "namespace": "tenant-acme"}
    assert solver({}) == [{"http01": {"ingress": {"ingressClassName": "tenant-acme"}}}]
    assert solver({"gateway": {"enabled": True}}) == [{"http01": {"gatewayHTTPRoute": {"parentRefs": [parent]}}}]


def test_logins_are_published_under_the_root_host_by_the_ingress_of_administrators(full: With) -> None:
    publishing = {"host": "acme.test", "ingressNameAdmin": "inside", "certificates": {"issuerName": "own"}}
    ingress = full({**OIDC, "publishing": publishing}).release("keycloak").of_kind("Ingress")["keycloak"]
    assert ingress["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "own"}
    assert ingress["spec"]["ingressClassName"] == "inside"
    assert ingress["spec"]["tls"] == [{"hosts": ["keycloak.acme.test"], "secretName": "keycloak-tls"}]


def test_logins_are_published_by_a_route_where_there_is_a_gateway(full: With) -> None:
    found = full({**OIDC, "gateway": {"enabled": True}}).release("keycloak")
    route = spec(found, "HTTPRoute", "keycloak")
    assert (route["parentRefs"], route["hostnames"]) == (
        [{"name": "tenant-root", "namespace": "tenant-root"}],
        ["keycloak.example.org"],
    )
    assert found.of_kind("Ingress") == {}


def test_branding_and_redirects_reach_the_realm(full: With) -> None:
    values = {"authentication": {"oidc": {"enabled": True, "keycloakExtraRedirectUri": "https://acme.test/*"}}}
    found = full({**values, "branding": {"brandName": "Acme"}}).release("keycloak-configure")
    assert spec(found, "ClusterKeycloakRealm", "keycloakrealm-cozy")["displayName"] == "Acme"
    uris = spec(found, "KeycloakClient", "dashboard")["redirectUris"]
    assert uris == ["https://dashboard.example.org/*", "https://acme.test/*"]


@pytest.mark.parametrize(
    ("publishing", "expected"),
    [
        ({}, {"type": "LoadBalancer"}),
        ({"loadBalancerClass": "acme.test/l2"}, {"type": "LoadBalancer", "loadBalancerClass": "acme.test/l2"}),
        ({"externalIPs": ["192.0.2.1", "192.0.2.2"]}, {"type": "ClusterIP", "externalIPs": ["192.0.2.1", "192.0.2.2"]}),
    ],
)
def test_traffic_comes_in_by_an_address_of_the_platform(
    publishing: dict[str, Any], expected: dict[str, Any], full: With
) -> None:
    service = spec(full({"publishing": publishing}).release("ingress-nginx"), "Service", "ingress-nginx")
    keys = ("type", "loadBalancerClass", "externalIPs")
    assert {key: service[key] for key in keys if key in service} == expected


def test_the_ingress_trusts_the_proxy_protocol_only_when_it_is_told_to(full: With) -> None:
    def trusts(values: dict[str, Any]) -> Any:
        found = full({"publishing": values}).release("ingress-nginx")
        (config,) = found.of_kind("ConfigMap").values()
        return config["data"]["use-proxy-protocol"]

    assert (trusts({}), trusts({"proxyProtocol": True})) == ("false", "true")


def test_the_network_is_encrypted_and_speaks_for_gateways_when_asked(full: With) -> None:
    values = {
        "networking": {"encryption": {"enabled": True}, "podCIDR": "10.50.0.0/16"},
        "gateway": {"enabled": True, "http2": False},
    }
    data = full(values).release("cilium").of_kind("ConfigMap")["cilium-config"]["data"]
    keys = ("enable-wireguard", "enable-gateway-api", "enable-gateway-api-alpn", "cluster-pool-ipv4-cidr")
    assert [data[key] for key in keys] == ["true", "true", "false", "10.50.0.0/16"]


def test_multus_copies_the_plugins_unless_it_must_not(full: With) -> None:
    def steps(values: dict[str, Any]) -> list[str]:
        daemon = full({"networking": values}).release("multus").of_kind("DaemonSet")["multus"]
        return [container["name"] for container in daemon["spec"]["template"]["spec"]["initContainers"]]

    assert steps({}) == ["install-multus", "install-plugins"]
    assert steps({"stageCniPlugins": None}) == ["install-multus", "install-plugins"]
    assert steps({"stageCniPlugins": False}) == ["install-multus"]


def test_backups_go_where_the_platform_says(full: With) -> None:
    storage = {"bucket": "acme", "endpoint": "https://s3.acme.test", "credentialsSecret": "s3"}
    location = spec(full({"backupStorage": storage}).release("velero"), "BackupStorageLocation", "default")
    assert location == {
        "provider": "aws",
        "default": True,
        "objectStorage": {"bucket": "acme"},
        "config": {"region": "us-east-1", "s3Url": "https://s3.acme.test", "s3ForcePathStyle": "true"},
        "credential": {"name": "s3", "key": "cloud"},
    }
    assert full({}).release("velero").of_kind("BackupStorageLocation") == {}


def test_the_root_tenant_has_a_name_for_its_monitoring_while_it_has_one(full: With) -> None:
    def services(values: dict[str, Any]) -> set[str]:
        return set(full(values).release("cozystack-basics").of_kind("Service"))

    assert (services({}), services({"monitoring": {"rootEnabled": False}})) == ({"monitoring"}, set())


def test_uploads_have_an_address_while_they_are_exposed(full: With) -> None:
    def address(values: dict[str, Any]) -> Any:
        return spec(full({"publishing": values}).release("kubevirt-cdi"), "CDI", "cdi")["config"].get("uploadProxyURLOverride")

    assert address({"host": "acme.test"}) == "cdi-uploadproxy.acme.test"
    assert address({"exposedServices": ["api"]}) is None


def test_ratios_say_how_much_more_is_promised_than_there_is(full: With) -> None:
    found = full({"resources": {"cpuAllocationRatio": 4}})
    requests = {
        container["resources"]["requests"]["cpu"]
        for container in found.release("reloader").of_kind("Deployment")["reloader"]["spec"]["template"]["spec"]["containers"]
    }
    assert requests == {"125m"}
    developer = spec(found.release("kubevirt"), "KubeVirt", "kubevirt")["configuration"]["developerConfiguration"]
    assert developer["cpuAllocationRatio"] == 4


def test_constraints_of_the_administrator_spread_pods(full: With) -> None:
    constraints = [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}]
    found = full({"scheduling": {"globalAppTopologySpreadConstraints": constraints}}).release("ingress-nginx")
    pod = found.of_kind("Deployment")["ingress-nginx"]["spec"]["template"]["spec"]
    assert pod["topologySpreadConstraints"] == constraints


def test_images_come_from_the_registry_of_the_platform(full: With) -> None:
    found = full({"imagesRegistry": "mirror.acme.test/all"})
    image = found.release("reloader").of_kind("Deployment")["reloader"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith("mirror.acme.test/all/stakater/reloader:")
    assert is_pinned(image)
