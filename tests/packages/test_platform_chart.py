"""The chart of the platform itself: what its values do, and what it refuses."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cozystack.api import names, yaml
from support.packages import (
    PLATFORM,
    PLATFORM_RELEASE,
    PRESETS,
    Charts,
    Helm,
    Platform,
    Rendered,
    identity,
    platform_chart,
    platform_values,
    sources,
)

COMMON = {
    "cert-manager": "default",
    "cozystack-basics": "default",
    "cozystack-engine": "default",
    "etcd-operator": "default",
    "gateway-api-crds": "default",
    "goldpinger": "default",
    "grafana-operator": "default",
    "ingress-nginx": "default",
    "kafka-operator": "default",
    "mariadb-operator": "default",
    "metrics-server": "default",
    "monitoring-agents": "default",
    "postgres-operator": "default",
    "prometheus-operator-crds": "default",
    "rabbitmq-operator": "default",
    "redis-operator": "default",
    "velero": "default",
    "vertical-pod-autoscaler": "default",
    "victoria-metrics-operator": "default",
}
FULL = COMMON | {
    "cozystack-scheduler": "linstor",
    "kubevirt": "default",
    "kubevirt-cdi": "default",
    "linstor": "default",
    "linstor-scheduler": "default",
    "metallb": "default",
    "multus": "default",
    "networking": "cilium",
    "reloader": "default",
    "snapshot-controller": "default",
}
EMITTED = {
    "default": {},
    "isp-full": FULL,
    "isp-full-generic": FULL | {"networking": "cilium-generic"},
    "isp-hosted": COMMON | {"cozystack-scheduler": "default", "networking": "noop"},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_emits_its_packages_in_their_variants(preset: str, platform: Callable[[str], Platform]) -> None:
    emitted = {name.removeprefix("cozystack."): item["spec"]["variant"] for name, item in platform(preset).packages.items()}
    assert emitted == EMITTED[preset]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_brings_the_whole_catalogue_and_what_it_needs(preset: str, platform: Callable[[str], Platform]) -> None:
    found = platform(preset).rendered
    assert found.of_kind("PackageSource").keys() == sources().keys()
    rest = [item for item in found.objects if item["kind"] not in ("Package", "PackageSource")]
    assert sorted(map(identity, rest)) == [
        "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy cozystack-no-delete-guardrail",
        "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding cozystack-no-delete-guardrail",
        "source.toolkit.fluxcd.io/v1 OCIRepository cozy-system/cozystack-packages",
        "v1 ConfigMap cozy-system/cozystack-migrations",
        "v1 ConfigMap cozy-system/cozystack-version",
        "v1 Secret cozy-system/cozystack-values",
    ]


def test_every_package_of_the_catalogue_can_be_asked_for(platform: Callable[[str], Platform]) -> None:
    """packages-P18: in the original some can only be installed by hand."""
    asked = {name for preset in (*PRESETS, "everything") for name in platform(preset).packages}
    assert sources().keys() - asked == set()


@pytest.mark.parametrize("preset", PRESETS)
def test_helm_has_nothing_to_say_against_a_preset(preset: str, helm: Helm, charts: Charts) -> None:
    messages = helm.lint(platform_chart(charts, preset), platform_values())
    assert [message for message in messages if message.severity != "info"] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_packages_are_kept_when_they_are_not_rendered_any_more(preset: str, platform: Callable[[str], Platform]) -> None:
    annotations = [item["metadata"]["annotations"] for item in platform(preset).packages.values()]
    assert annotations == [{"helm.sh/resource-policy": "keep"}] * len(annotations)


def test_sources_are_rendered_as_their_files_are(platform: Callable[[str], Platform]) -> None:
    files = [yaml.load(path.read_text(), source=path.name) for path in (PLATFORM / "sources").glob("*.yaml")]
    rendered = platform("default").rendered.of_kind("PackageSource")
    assert rendered == {item["metadata"]["name"]: item for item in files}


def test_the_packages_source_is_a_copy_of_the_platforms(platform: Callable[[str], Platform]) -> None:
    source = platform("isp-full").rendered.of_kind("OCIRepository")["cozystack-packages"]
    assert source["spec"] == {"url": "oci://example.org/packages", "interval": "5m0s", "ref": {"tag": "1"}}
    assert source["metadata"]["labels"] == {"platform.cozystack.io/no-delete": "true"}


def test_a_git_source_is_copied_as_one_and_named_as_one(packages: Packages) -> None:
    """packages-P3: sources that say OCIRepository would not find it."""
    spec = {"url": "https://example.org/platform.git", "ref": {"branch": "main"}}
    found = packages.render("default", {"sourceRef": {"kind": "GitRepository", "spec": spec}})
    assert found.of_kind("GitRepository")["cozystack-packages"]["spec"]["url"] == spec["url"]
    references = {str(item["spec"]["sourceRef"]) for item in found.of_kind("PackageSource").values()}
    assert references == {
        str({"kind": "GitRepository", "name": "cozystack-packages", "namespace": "cozy-system", "path": "/packages"})
    }


def test_without_a_cluster_the_chart_asks_for_the_sources_spec(helm: Helm, charts: Charts) -> None:
    """packages-P2: it cannot be looked up."""
    reason = helm.refusal(platform_chart(charts, "default"), PLATFORM_RELEASE, {})
    assert "OCIRepository cozy-system/cozystack-platform does not exist" in reason
    assert "give sourceRef.spec" in reason


def test_a_fresh_cluster_is_stamped_with_the_schema_of_this_release(platform: Callable[[str], Platform]) -> None:
    stamp = platform("isp-full").rendered.of_kind("ConfigMap")["cozystack-version"]
    assert stamp["data"] == {"version": "57"}
    assert stamp["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert stamp["metadata"]["labels"] == {"platform.cozystack.io/no-delete": "true"}


def test_notes_count_the_packages(platform: Callable[[str], Platform]) -> None:
    count = len(platform("isp-hosted").packages)
    assert f"{count} packages of {len(sources())} in the catalogue are requested" in platform("isp-hosted").rendered.notes


# Values that become values of components


def test_cilium_finds_the_api_server_of_talos_on_localhost(platform: Callable[[str], Platform]) -> None:
    assert platform("isp-full").packages["cozystack.networking"]["spec"]["components"] == {
        "cilium": {
            "values": {
                "cilium": {
                    "k8sServiceHost": "localhost",
                    "k8sServicePort": "7445",
                    "podCIDR": "10.244.0.0/16",
                    "cgroup": {"autoMount": {"enabled": False}},
                    "encryption": {"enabled": False},
                    "gatewayAPI": {"enabled": False, "enableAlpn": True},
                }
            }
        }
    }


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("https://10.1.1.1:7443", "10.1.1.1", "7443"),
        ("https://api.acme.test", "api.acme.test", "443"),
        ("10.0.0.1:6443", "10.0.0.1", "6443"),
        ("10.0.0.1", "10.0.0.1", "6443"),
        ("https://[fd00::1]:6443", "fd00::1", "6443"),
        ("https://[fd00::1]", "fd00::1", "443"),
        ("", "", ""),
    ],
)
def test_cilium_on_other_systems_finds_it_at_the_endpoint(endpoint: str, host: str, port: str, packages: Packages) -> None:
    """packages-P8: an endpoint without a scheme, without a port, or with an IPv6 address."""
    found = packages.render("isp-full-generic", {"publishing": {"apiServerEndpoint": endpoint}})
    values = components(found, "networking")["cilium"]["values"]["cilium"]
    assert (values["k8sServiceHost"], values["k8sServicePort"]) == (host, port)
    assert values["cgroup"] == {"autoMount": {"enabled": True}}


def test_an_endpoint_without_a_host_is_refused(packages: Packages) -> None:
    values = {"publishing": {"apiServerEndpoint": "https://:6443"}}
    assert "which has no host" in packages.refusal("isp-full-generic", values)


def test_settings_reach_the_components_that_they_are_for(packages: Packages) -> None:
    found = packages.render(
        "isp-full-generic",
        {
            "networking": {"podCIDR": "10.50.0.0/16", "encryption": {"enabled": True}, "stageCniPlugins": False},
            "gateway": {"enabled": True, "http2": False},
            "backupStorage": {"bucket": "acme"},
        },
    )
    cilium = components(found, "networking")["cilium"]["values"]["cilium"]
    assert (cilium["podCIDR"], cilium["encryption"]) == ("10.50.0.0/16", {"enabled": True})
    assert cilium["gatewayAPI"] == {"enabled": True, "enableAlpn": False}
    assert components(found, "multus") == {"multus": {"values": {"stageCniPlugins": False}}}
    assert components(found, "linstor") == {"linstor": {"values": {"talos": {"enabled": False}}}}
    assert components(found, "velero") == {"velero": {"values": {"backupStorage": {"bucket": "acme"}}}}
    assert components(found, "monitoring-agents") == {"monitoring-agents": {"values": {"global": {"target": "tenant-root"}}}}
    assert components(found, "metallb") == {}


def test_a_value_that_is_taken_away_leaves_the_default_of_the_component(packages: Packages) -> None:
    found = packages.render("isp-full", {"networking": {"stageCniPlugins": None}})
    assert components(found, "multus") == {}


def test_a_provider_that_is_taken_away_is_not_in_the_shared_values(packages: Packages) -> None:
    cluster = packages.cluster({"publishing": {"certificates": {"dns01": {"route53": None}}}})
    assert [key for key in cluster if "route53" in key] == []


def test_logins_bring_keycloak_and_the_engine_that_uses_it(packages: Packages) -> None:
    found = packages.render("isp-hosted", {"authentication": {"oidc": {"enabled": True}}}).of_kind("Package")
    assert found["cozystack.cozystack-engine"]["spec"]["variant"] == "oidc"
    assert {"cozystack.keycloak", "cozystack.keycloak-operator"} <= found.keys()


# Choosing packages


def test_packages_are_enabled_and_disabled_by_name(packages: Packages) -> None:
    bundles = {"enabledPackages": ["cozystack.external-dns"], "disabledPackages": ["cozystack.goldpinger"]}
    found = packages.render("isp-hosted", {"bundles": bundles}).of_kind("Package")
    expected = EMITTED["isp-hosted"].keys() - {"goldpinger"} | {"external-dns"}
    assert {name.removeprefix("cozystack.") for name in found} == expected


def test_disabled_beats_enabled(packages: Packages) -> None:
    name = ["cozystack.nfs-driver"]
    found = packages.render("isp-hosted", {"bundles": {"enabledPackages": name, "disabledPackages": name}})
    assert "cozystack.nfs-driver" not in found.of_kind("Package")


def test_settings_of_a_package_are_laid_over_those_of_its_bundle(packages: Packages) -> None:
    """packages-P10: any package that is emitted can be changed."""
    settings = {
        "cozystack.velero": {"components": {"velero": {"enabled": False}}},
        "cozystack.cozystack-scheduler": {"variant": "default"},
        "cozystack.networking": {"components": {"cilium": {"values": {"cilium": {"podCIDRMaskSize": 25}}}}},
    }
    found = packages.render("isp-full", {"packages": settings})
    assert components(found, "velero") == {"velero": {"enabled": False}}
    assert found.of_kind("Package")["cozystack.cozystack-scheduler"]["spec"]["variant"] == "default"
    cilium = components(found, "networking")["cilium"]["values"]["cilium"]
    assert (cilium["podCIDRMaskSize"], cilium["podCIDR"]) == (25, "10.244.0.0/16")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"bundles": {"iaas": {"enabled": True}}}, "bundles.iaas needs bundles.system.variant isp-full or isp-full-generic"),
        ({"bundles": {"system": {"enabled": False}}}, "bundles.paas needs bundles.system"),
        ({"bundles": {"system": {"variant": "distro-full"}}}, 'bundles.system.variant is "distro-full"; it must be one of'),
        ({"bundles": {"enabledPackages": ["cozystack.nothing"]}}, "cozystack.nothing, which is not in the catalogue"),
        (
            {"bundles": {"disabledPackages": ["goldpinger"]}},
            "goldpinger, which is not in the catalogue; did you mean cozystack.goldpinger?",
        ),
        (
            {"bundles": {"disabledPackages": ["cozystack.graphana-operator"]}},
            "which is not in the catalogue; did you mean cozystack.grafana-operator?",
        ),
        ({"bundles": {"enabledPackages": ["cozystack.kubevirt"]}}, "cozystack.kubevirt, which no enabled bundle offers"),
        (
            {"bundles": {"disabledPackages": ["cozystack.cert-manager"]}},
            "depends on cozystack.cert-manager, which is disabled",
        ),
        ({"packages": {"cozystack.velero": {"variant": "tape"}}}, 'cozystack.velero has no variant "tape"; it has default'),
        ({"packages": {"cozystack.kubevirt": {}}}, "settings for cozystack.kubevirt, which no enabled bundle emits"),
        (
            {"packages": {"cozystack.cozystack-scheduler": {"variant": "linstor"}}},
            "depends on cozystack.linstor-scheduler, which is not enabled",
        ),
        ({"sourceRef": {"kind": "Bucket"}}, 'sourceRef.kind is "Bucket"; it must be one of OCIRepository, GitRepository'),
        # packages-P4: what is not in values.yaml is a mistake, and so is another type.
        ({"bundles": {"pass": {"enabled": True}}}, "bundles.pass is not a value of the platform; did you mean bundles.paas?"),
        ({"publihsing": {}}, "publihsing is not a value of the platform; did you mean publishing?"),
        (
            {"networking": {"podCidr": "x"}},
            "networking.podCidr is not a value of the platform; did you mean networking.podCIDR?",
        ),
        ({"solver": "dns01"}, "solver is not a value of the platform; did you mean publishing.certificates.solver?"),
        ({"xyzzy": 1}, "xyzzy is not a value of the platform"),
        ({"gpu": {}}, "gpu is not a value of the platform: this repository has no package gpu-operator"),
        # packages-P6
        (
            {"registries": {"mirrors": {}}},
            "registries is not a value of the platform: no component reads mirrors of registries",
        ),
        ({"networking": {"kubeovn": {"MASTER_NODES": ""}}}, "networking.kubeovn is not a value of the platform: this rep"),
        ({"bundles": {"enabledPackages": ["cozystack.externaldns"]}}, "; did you mean cozystack.external-dns?"),
        ({"packages": {"cozystack.valero": {}}}, "which no enabled bundle emits; did you mean cozystack.velero?"),
        ({"bundles": {"leaving": "perhaps"}}, "value must be one of 'keep', 'delete'"),
        ({"networking": None}, "missing property 'networking'"),
        ({"bundles": {"enabledPackages": None}}, "at '/bundles': missing property 'enabledPackages'"),
        ({"publishing": {"certificates": None}}, "at '/publishing': missing property 'certificates'"),
        ({"telemetry": {"disabled": "yes"}}, "got string, want boolean"),
        ({"publishing": {"certificates": {"solver": "carrier-pigeon"}}}, "value must be one of 'http01', 'dns01'"),
        ({"networking": {"podCIDR": "10.244.0.0"}}, "does not match pattern"),
        ({"publishing": {"ingressName": "Public Ingress"}}, "does not match pattern"),
        ({"imagesRegistry": "mirror.acme.test all"}, "does not match pattern"),
        ({"resources": {"cpuAllocationRatio": 0}}, "exclusiveMinimum"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(values: dict[str, Any], reason: str, packages: Packages) -> None:
    """packages-P4, packages-P11."""
    assert reason in packages.refusal("isp-hosted", values)


def known_values() -> str:
    """What `make generate` writes."""
    return str(runpy.run_path(str(PLATFORM.parents[2] / "scripts/known_values.py"))["known_values"]())


def test_the_names_that_the_templates_know_are_those_of_the_schema() -> None:
    assert (PLATFORM / "known.yaml").read_text() == known_values(), "run `make generate`"


def test_every_default_has_a_name_that_is_known() -> None:
    known = yaml.load(known_values())["keys"]
    values = yaml.load((PLATFORM / "values.yaml").read_text(), source="values.yaml")

    def unknown(values: dict[str, Any], keys: dict[str, Any], path: str = "") -> list[str]:
        found = [f"{path}{name}" for name in values if name not in keys]
        for name, value in values.items():
            if isinstance(value, dict) and keys.get(name):
                found += unknown(value, keys[name], f"{path}{name}.")
        return found

    assert unknown(values, known) == []


# Packages that leave


@pytest.mark.parametrize(
    ("leaving", "annotations", "expected"),
    [
        ("keep", {}, []),
        ("delete", {}, ["cozystack.reloader"]),
        ("delete", {"platform.cozystack.io/leaving": "keep"}, []),
        ("keep", {"platform.cozystack.io/leaving": "delete"}, ["cozystack.reloader"]),
    ],
)
def test_what_is_not_emitted_any_more_goes_when_the_values_or_its_annotation_say_so(
    leaving: str, annotations: dict[str, str], expected: list[str], held: Held
) -> None:
    """packages-P1."""
    found = held(leaving, [package("cozystack.reloader", **annotations), package("cozystack.velero")])
    assert pruned(found) == expected
    rules = [item["rules"][1] for item in found.objects if item["kind"] == "ClusterRole"]
    assert [rule["resourceNames"] for rule in rules] == ([expected] if expected else [])


def test_packages_of_somebody_else_never_go(held: Held) -> None:
    foreign = {"metadata": {"name": "acme.anvil", "annotations": {"meta.helm.sh/release-name": "acme"}}}
    assert pruned(held("delete", [foreign, {"metadata": {"name": "acme.hammer"}}])) == []


def package(name: str, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": {"meta.helm.sh/release-name": "cozystack-platform", **annotations}}}


def pruned(found: Rendered) -> list[str]:
    """The names that the Job after the upgrade is given."""
    job = found.of_kind("Job").get("cozystack-prune")
    if job is None:
        return []
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["cozystack-migrate", "prune"]
    return list(container["args"])


Held = Callable[[str, list[dict[str, Any]]], Rendered]


@pytest.fixture
def held(helm: Helm, charts: Charts, tmp_path: Path) -> Held:
    """The preset isp-hosted on a cluster that holds some Packages; without one nothing answers what the chart looks up."""
    chart = charts.copy(platform_chart(charts, "isp-hosted"), tmp_path)
    path = chart / "templates/leaving.yaml"
    text, count = re.subn(r"\(lookup [^)]*\)", "(.Values.global.held)", path.read_text())
    assert count == 1
    path.write_text(text)

    def render(leaving: str, packages: list[dict[str, Any]]) -> Rendered:
        values = {"bundles": {"leaving": leaving}, "global": {"held": {"items": packages}}}
        return helm.render(chart, PLATFORM_RELEASE, platform_values(values))

    return render


# The shared values


def test_shared_values_are_texts_except_for_two_maps(platform: Callable[[str], Platform]) -> None:
    cluster = platform("isp-full").cluster
    assert {key: value for key, value in cluster.items() if not isinstance(value, str)} == {
        "scheduling": {"globalAppTopologySpreadConstraints": ""}
    }
    secret = platform("isp-full").rendered.of_kind("Secret")[names.VALUES_SECRET]
    assert (secret["type"], secret["metadata"]["labels"]) == ("Opaque", {"reconcile.fluxcd.io/watch": "Enabled"})
    assert secret["data"].keys() == {"values.yaml"}


def test_the_defaults_of_the_shared_values_are_known(platform: Callable[[str], Platform]) -> None:
    assert platform("default").cluster == {
        "root-host": "example.org",
        "bundle-name": "isp-full",
        "cluster-domain": "cozy.local",
        "ipv4-cluster-cidr": "10.244.0.0/16",
        "ipv4-cluster-gateway": "10.244.0.1",
        "ipv4-service-cidr": "10.96.0.0/16",
        "ipv4-join-cidr": "100.64.0.0/16",
        "images-registry": "",
        "solver": "http01",
        "issuer-name": "letsencrypt-prod",
        "wildcard-secret-name": "",
        "wildcard-issue": "false",
        "dns01-provider": "cloudflare",
        "dns01-cloudflare-secret-name": "cloudflare-api-token-secret",
        "dns01-cloudflare-secret-key": "api-token",
        "dns01-route53-region": "",
        "dns01-route53-access-key-id": "",
        "dns01-route53-secret-name": "",
        "dns01-route53-secret-key": "secret-access-key",
        "dns01-digitalocean-secret-name": "digitalocean-api-token-secret",
        "dns01-digitalocean-secret-key": "access-token",
        "dns01-rfc2136-nameserver": "",
        "dns01-rfc2136-tsig-key-name": "",
        "dns01-rfc2136-tsig-algorithm": "HMACSHA256",
        "dns01-rfc2136-secret-name": "",
        "dns01-rfc2136-secret-key": "tsig-secret-key",
        "oidc-enabled": "false",
        "oidc-insecure-skip-verify": "false",
        "extra-keycloak-redirect-uri-for-dashboard": "",
        "keycloak-internal-url": "http://keycloak-http.cozy-keycloak.svc:8080/realms/cozy",
        "expose-services": "api,dashboard,vm-exportproxy,cdi-uploadproxy",
        "expose-ingress": "tenant-root",
        "expose-ingress-admin": "",
        "expose-external-ips": "",
        "load-balancer-class": "",
        "proxy-protocol": "false",
        "gateway-enabled": "false",
        "gateway-attached-namespaces": (
            "cozy-cert-manager,cozy-dashboard,cozy-keycloak,cozy-system,cozy-harbor,cozy-bucket,cozy-kubevirt,"
            "cozy-kubevirt-cdi,cozy-monitoring,cozy-linstor-gui,default"
        ),
        "monitoring-enabled": "true",
        "api-server-endpoint": "",
        "cpu-allocation-ratio": "10",
        "memory-allocation-ratio": "1",
        "ephemeral-storage-allocation-ratio": "40",
        "scheduling": {"globalAppTopologySpreadConstraints": ""},
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"certificates": {"solver": "dns01", "wildcard": True}}, ("cozystack-wildcard-tls", "true")),
        ({"certificates": {"solver": "http01", "wildcard": True}}, ("", "false")),
        ({"certificates": {"solver": "dns01", "wildcard": True, "wildcardSecretName": "own"}}, ("own", "false")),
        ({"certificates": {"wildcardSecretName": "own"}}, ("own", "false")),
    ],
)
def test_a_wildcard_certificate_is_issued_only_where_it_can_be(
    values: dict[str, Any], expected: tuple[str, str], packages: Packages
) -> None:
    cluster = packages.cluster({"publishing": values})
    assert (cluster["wildcard-secret-name"], cluster["wildcard-issue"]) == expected


def test_text_in_values_cannot_break_the_shared_values(packages: Packages) -> None:
    odd = 'a: "b" # {c}\n- d'
    cluster = packages.cluster({"publishing": {"loadBalancerClass": odd}, "branding": {"brandName": odd}})
    assert (cluster["load-balancer-class"], cluster["branding"]) == (odd, {"brandName": odd})


# The guard against deletion, and migrations


def test_the_deletion_guard_is_a_policy_unless_it_is_turned_off(packages: Packages) -> None:
    """What it does is in test_deletion_guard.py."""
    off = packages.render("default", {"deletionGuard": {"enabled": False}})
    assert [item for item in off.objects if item["apiVersion"].startswith("admissionregistration")] == []
    found = packages.render("default", {})
    policy = found.of_kind("ValidatingAdmissionPolicy")["cozystack-no-delete-guardrail"]
    binding = found.of_kind("ValidatingAdmissionPolicyBinding")["cozystack-no-delete-guardrail"]
    assert policy["spec"]["matchConstraints"]["resourceRules"] == [
        {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["*/*"], "scope": "*"}
    ]
    assert "failurePolicy" not in policy["spec"]
    assert [validation["expression"] for validation in policy["spec"]["validations"]] == [
        "request.userInfo.username in "
        '["system:serviceaccount:kube-system:generic-garbage-collector",'
        '"system:serviceaccount:kube-system:namespace-controller","system:kube-controller-manager",'
        '"system:serviceaccount:cozy-fluxcd:flux","system:serviceaccount:cozy-system:cozystack"]'
    ]
    assert binding["spec"] == {
        "policyName": "cozystack-no-delete-guardrail",
        "validationActions": ["Deny"],
        "matchResources": {"objectSelector": {"matchLabels": {"platform.cozystack.io/no-delete": "true"}}},
    }


def test_what_the_platform_cannot_do_without_carries_the_label_of_the_guard(platform: Callable[[str], Platform]) -> None:
    found = platform("isp-full")
    objects = [item for release in found.releases.values() for item in release.objects] + list(found.rendered.objects)
    labelled = {
        f"{item['kind']} {item['metadata']['name']}"
        for item in objects
        if item["metadata"].get("labels", {}).get("platform.cozystack.io/no-delete") == "true"
    }
    assert labelled == {
        "ClusterIssuer letsencrypt-prod",
        "ClusterIssuer letsencrypt-stage",
        "ClusterIssuer selfsigned-cluster-issuer",
        "ConfigMap cozystack-migrations",
        "ConfigMap cozystack-version",
        "LinstorCluster linstorcluster",
        "Namespace tenant-root",
        "OCIRepository cozystack-packages",
        "ValidatingAdmissionPolicy cozystack-no-delete-guardrail",
        "ValidatingAdmissionPolicyBinding cozystack-no-delete-guardrail",
    }


class Packages:
    """The platform's chart, rendered with values."""

    def __init__(self, helm: Helm, charts: Charts) -> None:
        self._helm = helm
        self._charts = charts

    def render(self, preset: str, values: dict[str, Any]) -> Rendered:
        return self._helm.render(platform_chart(self._charts, preset), PLATFORM_RELEASE, platform_values(values))

    def refusal(self, preset: str, values: dict[str, Any]) -> str:
        return self._helm.refusal(platform_chart(self._charts, preset), PLATFORM_RELEASE, platform_values(values))

    def cluster(self, values: dict[str, Any]) -> dict[str, Any]:
        return Platform(self._helm, self._charts, "default", values).cluster


@pytest.fixture
def packages(helm: Helm, charts: Charts) -> Packages:
    return Packages(helm, charts)


def components(found: Rendered, name: str) -> dict[str, Any]:
    """What a Package changes about its components."""
    spec: dict[str, Any] = found.of_kind("Package")[f"cozystack.{name}"]["spec"]
    return dict(spec.get("components", {}))
