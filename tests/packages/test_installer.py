"""The chart that brings up the operator."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.operator.flags import Options, read_options
from cozystack.operator.labels import LABELS
from support.packages import PACKAGES, Helm, Object, Rendered, Schemas, identity, is_pinned

CHART = PACKAGES / "core" / "installer"
RELEASE = Key(names.SYSTEM_NAMESPACE, "cozystack")
VARIANTS: dict[str, dict[str, Any]] = {
    "talos": {},
    "generic": {"cozystackOperator": {"variant": "generic"}, "cozystack": {"apiServerHost": "10.0.0.1"}},
    "hosted": {"cozystackOperator": {"variant": "hosted"}},
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@every_variant
def test_helm_has_nothing_to_say_against_it(variant: str, helm: Helm) -> None:
    assert [message for message in helm.lint(CHART, VARIANTS[variant]) if message.severity != "info"] == []


@every_variant
def test_every_object_is_one_that_the_api_server_takes(variant: str, helm: Helm, schemas: Schemas) -> None:
    found = helm.render(CHART, RELEASE, {**VARIANTS[variant], "bareNamespace": True})
    assert [f"{identity(item)}: {fault}" for item in found.objects for fault in schemas.faults(item)] == []


def test_it_brings_the_operator_roles_and_hooks_before_and_after(helm: Helm) -> None:
    found = helm.render(CHART, RELEASE)
    hooks = [identity(item) for item in found.objects if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    assert hooks == [
        "v1 ServiceAccount cozy-system/cozystack-hand-back",
        "rbac.authorization.k8s.io/v1 ClusterRole cozystack-hand-back",
        "rbac.authorization.k8s.io/v1 ClusterRoleBinding cozystack-hand-back",
        "batch/v1 Job cozy-system/cozystack-hand-back",
        "v1 ServiceAccount kube-system/cozy-system-labeler",
        "rbac.authorization.k8s.io/v1 ClusterRole cozy-system-labeler",
        "rbac.authorization.k8s.io/v1 ClusterRoleBinding cozy-system-labeler",
        "batch/v1 Job kube-system/cozy-system-labeler",
    ]
    assert [identity(item) for item in found.objects if identity(item) not in hooks] == [
        "rbac.authorization.k8s.io/v1 ClusterRole cozystack-operator",
        "rbac.authorization.k8s.io/v1 ClusterRoleBinding cozystack-operator",
        "rbac.authorization.k8s.io/v1 Role cozy-system/cozystack-operator",
        "rbac.authorization.k8s.io/v1 RoleBinding cozy-system/cozystack-operator",
        "v1 ServiceAccount cozy-system/cozystack",
        "apps/v1 Deployment cozy-system/cozystack-operator",
        "rbac.authorization.k8s.io/v1 ClusterRole cozystack-packages-view",
        "rbac.authorization.k8s.io/v1 ClusterRole cozystack-packages-edit",
        "rbac.authorization.k8s.io/v1 ClusterRole cozystack-packages-admin",
    ]


@pytest.mark.parametrize("moment", ["pre-install,pre-upgrade", "post-delete"])
def test_what_a_hook_needs_is_there_before_its_job(moment: str, helm: Helm) -> None:
    weights = [
        (item["kind"], int(item["metadata"]["annotations"]["helm.sh/hook-weight"]))
        for item in helm.render(CHART, RELEASE).objects
        if item["metadata"].get("annotations", {}).get("helm.sh/hook") == moment
    ]
    assert weights == [("ServiceAccount", -200), ("ClusterRole", -180), ("ClusterRoleBinding", -160), ("Job", -100)]


@every_variant
def test_the_operator_takes_the_arguments_that_it_is_given(variant: str, helm: Helm) -> None:
    options = options_of(helm.render(CHART, RELEASE, VARIANTS[variant]))
    assert (options.leader_elect, options.install_crds, options.install_flux) == (True, True, True)
    probes = ":8081" if variant == "hosted" else "0"
    assert (options.metrics_bind_address, options.health_probe_bind_address) == ("0", probes)
    source = options.platform_source
    assert source is not None
    assert (source.kind, source.name, source.ref) == ("OCIRepository", names.PLATFORM_SOURCE, {"tag": "0.1.0"})


def test_every_setting_of_the_operator_reaches_it(helm: Helm) -> None:
    settings = {
        "disableTelemetry": True,
        "platformVersion": "v1.2.3",
        "platformSourceUrl": "oci://registry.acme.test:5000/packages",
        "platformSourceRef": f"digest=sha256:{'a' * 64}",
        "platformSourceSecret": "registry",
        "platformSourceInsecure": True,
        "helmReleaseInterval": "1m",
        "helmReleaseRetryInterval": "5s",
        "helmReleaseInstallTimeout": "20m",
        "helmReleaseUpgradeTimeout": "30m",
        "helmReleaseMaxHistory": 0,
        "extraArgs": ["--log-format=json"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.acme.test"}],
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
        "tolerations": [{"key": "acme.test/own", "operator": "Exists"}],
    }
    found = helm.render(CHART, RELEASE, {"cozystackOperator": settings})
    container, pod = operator(found)
    assert container["args"] == [
        "--leader-elect=true",
        "--install-flux=true",
        "--install-crds=true",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
        "--disable-telemetry",
        "--helmrelease-interval=1m",
        "--helmrelease-retry-interval=5s",
        "--helmrelease-install-timeout=20m",
        "--helmrelease-upgrade-timeout=30m",
        "--helmrelease-max-history=0",
        "--platform-source-name=cozystack-platform",
        "--platform-source-url=oci://registry.acme.test:5000/packages",
        f"--platform-source-ref=digest=sha256:{'a' * 64}",
        "--platform-source-secret=registry",
        "--platform-source-insecure",
        "--log-format=json",
    ]
    assert container["env"] == [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "COZYSTACK_VERSION", "value": "v1.2.3"},
        {"name": "KUBERNETES_SERVICE_HOST", "value": "localhost"},
        {"name": "KUBERNETES_SERVICE_PORT", "value": "7445"},
        {"name": "HTTPS_PROXY", "value": "http://proxy.acme.test"},
    ]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}
    assert {"key": "acme.test/own", "operator": "Exists"} in pod["tolerations"]
    assert options_of(found).helmrelease_max_history == 0


@pytest.mark.parametrize(
    ("variant", "environment"),
    [
        ("talos", {"KUBERNETES_SERVICE_HOST": "localhost", "KUBERNETES_SERVICE_PORT": "7445"}),
        ("generic", {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}),
        ("hosted", {}),
    ],
)
def test_the_variant_says_where_the_api_server_is_before_there_is_a_network(
    variant: str, environment: dict[str, str], helm: Helm
) -> None:
    found = helm.render(CHART, RELEASE, VARIANTS[variant])
    for container in (operator(found)[0], labeler(found)[0]):
        given = {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}
        assert given == environment


@pytest.mark.parametrize(("variant", "host"), [("talos", True), ("generic", True), ("hosted", False)])
def test_pods_are_on_the_hosts_network_only_where_there_is_no_other(variant: str, host: bool, helm: Helm) -> None:
    """packages-I1: the original's operator is on it everywhere."""
    found = helm.render(CHART, RELEASE, VARIANTS[variant])
    assert [pod.get("hostNetwork", False) for _, pod in (operator(found), labeler(found))] == [host, host]


@every_variant
def test_two_operators_can_be_on_one_host_during_an_upgrade(variant: str, helm: Helm) -> None:
    found = helm.render(CHART, RELEASE, VARIANTS[variant])
    deployment = found.of_kind("Deployment")["cozystack-operator"]
    container, _ = operator(found)
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert container.get("ports") is None
    # On the host's network a probe could reach the other operator.
    assert ("livenessProbe" in container, "readinessProbe" in container) == (variant == "hosted",) * 2


def test_metrics_are_off_until_they_are_asked_for_and_guarded_then(helm: Helm) -> None:
    metrics: dict[str, Any] = {"enabled": True}
    found = helm.render(CHART, RELEASE, {"cozystackOperator": {"metrics": metrics}})
    options = options_of(found)
    assert (options.metrics_bind_address, options.metrics_secure, options.metrics_cert_path) == (":9445", True, "")
    (port,) = found.of_kind("Service")["cozystack-operator-metrics"]["spec"]["ports"]
    assert port == {"name": "https-metrics", "port": 9445, "protocol": "TCP", "targetPort": 9445}
    assert found.of_kind("ClusterRole")["cozystack-metrics-reader"]["rules"] == [
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    ]
    open_ = helm.render(CHART, RELEASE, {"cozystackOperator": {"metrics": metrics | {"secure": False}}})
    assert options_of(open_).metrics_secure is False
    assert "cozystack-metrics-reader" not in open_.of_kind("ClusterRole")


def test_the_certificate_of_the_metrics_is_that_of_a_secret(helm: Helm) -> None:
    metrics = {"enabled": True, "certificateSecret": "metrics-tls"}
    found = helm.render(CHART, RELEASE, {"cozystackOperator": {"metrics": metrics}})
    container, pod = operator(found)
    (mount,) = container["volumeMounts"]
    assert options_of(found).metrics_cert_path == mount["mountPath"]
    assert pod["volumes"] == [{"name": mount["name"], "secret": {"secretName": "metrics-tls"}}]


def test_telemetry_goes_where_somebody_says(helm: Helm) -> None:
    endpoint = "https://telemetry.example.org/v1"
    assert options_of(helm.render(CHART, RELEASE)).telemetry_endpoint == ""
    found = helm.render(CHART, RELEASE, {"cozystackOperator": {"telemetryEndpoint": endpoint}})
    assert options_of(found).telemetry_endpoint == endpoint


@every_variant
def test_programs_run_as_nobody_with_limits_from_a_pinned_image(variant: str, helm: Helm) -> None:
    """packages-I1."""
    found = helm.render(CHART, RELEASE, VARIANTS[variant])
    for container, pod in (operator(found), labeler(found)):
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 65532)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"].keys() >= {"memory"}
        assert is_pinned(container["image"])


def test_the_labeler_is_a_command_of_the_operators_image(helm: Helm) -> None:
    """packages-I3: no image of a third party."""
    found = helm.render(CHART, RELEASE, {"cozystackOperator": {"image": "mirror.acme.test/cozystack:1"}})
    assert {container["image"] for container, _ in (operator(found), labeler(found))} == {"mirror.acme.test/cozystack:1"}
    assert labeler(found)[0]["command"] == ["cozystack-operator", "label-namespace", "--namespace=cozy-system"]


def test_the_namespace_is_rendered_for_kubectl_with_the_labels_of_the_labeler(helm: Helm) -> None:
    namespace = helm.render(CHART, RELEASE, {"bareNamespace": True}).of_kind("Namespace")["cozy-system"]
    assert namespace["metadata"]["labels"] == LABELS
    assert namespace["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"cozystackOperator": {"variant": "openshift"}}, 'cozystackOperator.variant is "openshift"; it must be one of talos'),
        ({"cozystackOperator": {"variant": "generic"}}, "cozystack.apiServerHost is required by the variant generic"),
        (
            {"cozystackOperator": {"varaint": "talos"}},
            "cozystackOperator.varaint is not a value of the installer; did you mean cozystackOperator.variant?",
        ),
        ({"cozystackOperator": {"platformSourceUrl": "ftp://acme.test"}}, "does not match pattern"),
        ({"cozystackOperator": {"image": ""}}, "minLength"),
        ({"cozystackOperator": {"extraArgs": ["log-format=json"]}}, "does not match pattern"),
        ({"cozystack": None}, "missing property 'cozystack'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(values: dict[str, Any], reason: str, helm: Helm) -> None:
    assert reason in helm.refusal(CHART, RELEASE, values)


def operator(found: Rendered) -> tuple[Object, Object]:
    """Container and Pod of the operator."""
    return _program(found.of_kind("Deployment")["cozystack-operator"])


def labeler(found: Rendered) -> tuple[Object, Object]:
    return _program(found.of_kind("Job")["cozy-system-labeler"])


def _program(owner: Object) -> tuple[Object, Object]:
    pod: Object = owner["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return container, pod


def options_of(found: Rendered) -> Options:
    """What the operator makes of its arguments."""
    container, _ = operator(found)
    return read_options(container["args"], {})
