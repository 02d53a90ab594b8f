"""What each component of each variant renders to, one chart at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from cozystack.apiserver.schema import structural_errors
from support.packages import (
    Charts,
    Helm,
    Platform,
    Rendered,
    Schemas,
    Use,
    built_in_scopes,
    containers,
    identity,
    is_pinned,
    pods,
    uses,
)

Found = Mapping[str, tuple[Use, Rendered]]

every_component = pytest.mark.parametrize("name", [str(use) for use in uses()])

# Where images of the catalogue come from when nobody says otherwise.
REGISTRY = re.compile(
    r"\b(?:(?:docker|ghcr|quay|gcr)\.io|registry\.k8s\.io|docker-registry\d\.mariadb\.com|public\.ecr\.aws)\b"
)
# Objects that a chart puts into a namespace which is not that of its release, each for a reason.
ELSEWHERE = {
    # The API server hands out its client CA there, and only there can it be read.
    "system/metrics-server": {"rbac.authorization.k8s.io/v1 RoleBinding kube-system/metrics-server-auth-reader"},
    # The chart brings the root tenant's namespace and what belongs into it.
    "system/cozystack-basics": {
        "rbac.authorization.k8s.io/v1 RoleBinding tenant-root/tenant-root-admin",
        "v1 Secret tenant-root/cozystack-values",
    },
}
# Keys of the shared values that hold names and other texts of the user.
FREE_TEXTS = {
    "api-server-endpoint",
    "cluster-domain",
    "expose-external-ips",
    "expose-ingress",
    "expose-ingress-admin",
    "extra-keycloak-redirect-uri-for-dashboard",
    "images-registry",
    "issuer-name",
    "load-balancer-class",
    "root-host",
    "wildcard-secret-name",
}
# What the Pod Security level "baseline" lets containers add.
BASELINE_CAPABILITIES = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
}


@every_component
def test_helm_has_nothing_to_say_against_the_chart(
    name: str, rendered: Found, helm: Helm, charts: Charts, platform: Callable[[str], Platform]
) -> None:
    use, _ = rendered[name]
    messages = helm.lint(charts.of(use.source, use.artifact), {"_cluster": platform("isp-full").cluster})
    assert [message for message in messages if message.severity != "info"] == []


@every_component
def test_the_chart_renders_without_the_shared_values(name: str, rendered: Found, helm: Helm, charts: Charts) -> None:
    """A package may be installed where there is no platform; then the defaults hold."""
    use, found = rendered[name]
    alone = helm.render(charts.of(use.source, use.artifact), use.key)
    assert [item["kind"] for item in alone.everything] == [item["kind"] for item in found.everything]


@every_component
def test_objects_say_what_they_are_and_there_is_one_of_each(name: str, rendered: Found) -> None:
    _, found = rendered[name]
    assert found.everything
    identities = [identity(item) for item in found.everything]
    assert len(set(identities)) == len(identities)


@every_component
def test_every_object_is_one_that_the_api_server_takes(name: str, rendered: Found, schemas: Schemas) -> None:
    _, found = rendered[name]
    faults = [f"{identity(item)}: {fault}" for item in found.everything for fault in schemas.faults(item)]
    assert faults == []


@every_component
def test_objects_go_to_the_namespace_of_their_release(name: str, rendered: Found, schemas: Schemas) -> None:
    use, found = rendered[name]
    elsewhere = set()
    for item in found.everything:
        namespace = item["metadata"].get("namespace")
        if schemas.namespaced(item):
            assert namespace, f"{identity(item)} leaves its namespace to Helm"
            elsewhere |= {identity(item)} if namespace != use.key.namespace else set()
        else:
            assert namespace is None, f"{identity(item)} cannot be in a namespace"
    assert elsewhere == ELSEWHERE.get(use.component.path, set())


@every_component
def test_crds_are_structural_and_named_as_they_must_be(name: str, rendered: Found) -> None:
    _, found = rendered[name]
    for item in found.definitions:
        spec = item["spec"]
        assert item["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
        assert [version["storage"] for version in spec["versions"]].count(True) == 1
        assert len({version["name"] for version in spec["versions"]}) == len(spec["versions"])
        faults = [
            str(error) for version in spec["versions"] for error in structural_errors(version["schema"]["openAPIV3Schema"])
        ]
        assert faults == [], item["metadata"]["name"]


@every_component
def test_images_are_pinned(name: str, rendered: Found) -> None:
    _, found = rendered[name]
    images = [container["image"] for _, pod in pods(found.objects) for container in containers(pod)]
    assert [image for image in images if not is_pinned(image)] == []


@every_component
def test_images_come_from_the_platforms_registry_when_it_has_one(
    name: str, rendered: Found, helm: Helm, charts: Charts
) -> None:
    use, _ = rendered[name]
    values = {"_cluster": {"images-registry": "mirror.acme.test/all"}}
    found = helm.render(charts.of(use.source, use.artifact), use.key, values)
    images = [container["image"] for _, pod in pods(found.objects) for container in containers(pod)]
    assert [image for image in images if not image.startswith("mirror.acme.test/all/")] == []
    # Nor does an argument, a variable, a ConfigMap or an object of an operator name another registry.
    others = [item for item in found.objects if item["kind"] != "CustomResourceDefinition"]
    assert [text for item in others for text in texts(item) if REGISTRY.search(text)] == []


# What an operator starts, unless the object of a user names something else: the variables by which it is told.
STARTED = {
    "cert-manager": ("--acme-http01-solver-image",),
    "grafana-operator": ("RELATED_IMAGE_GRAFANA",),
    "kafka-operator": ("STRIMZI_KAFKA_IMAGES",),
    "kubevirt-cdi-operator": ("CONTROLLER_IMAGE", "IMPORTER_IMAGE", "CLONER_IMAGE", "APISERVER_IMAGE", "UPLOAD_PROXY_IMAGE"),
    "kubevirt-operator": ("VIRT_OPERATOR_IMAGE",),
    "mariadb-operator": ("RELATED_IMAGE_MARIADB", "RELATED_IMAGE_EXPORTER"),
    "postgres-operator": ("POSTGRES_IMAGE_NAME",),
    "rabbitmq-operator": ("DEFAULT_RABBITMQ_IMAGE",),
    "victoria-metrics-operator": ("VM_CONTAINERREGISTRY",),
}


@pytest.mark.parametrize("component", STARTED)
def test_what_an_operator_starts_comes_from_the_platforms_registry_too(component: str, helm: Helm, charts: Charts) -> None:
    use = next(each for each in uses() if each.component.name == component)
    found = helm.render(charts.of(use.source, use.artifact), use.key, {"_cluster": {"images-registry": "mirror.acme.test/all"}})
    given: dict[str, str] = {}
    for container in (container for _, pod in pods(found.objects) for container in containers(pod)):
        given |= {entry["name"]: entry.get("value", "") for entry in container.get("env", ())}
        given |= dict(argument.split("=", 1) for argument in container.get("args", ()) if "=" in argument)
    assert [name for name in STARTED[component] if "mirror.acme.test/all" not in given.get(name, "")] == []


def texts(value: object) -> Iterator[str]:
    """Every text in an object."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


@every_component
@pytest.mark.parametrize("gateway", ["true", "false"])
@pytest.mark.parametrize("text", ["1", "true"])
def test_settings_that_look_like_something_else_stay_text(
    name: str,
    text: str,
    gateway: str,
    rendered: Found,
    schemas: Schemas,
    helm: Helm,
    charts: Charts,
    platform: Callable[[str], Platform],
) -> None:
    use, _ = rendered[name]
    cluster = {key: text if key in FREE_TEXTS else value for key, value in platform("isp-full").cluster.items()}
    values = {"_cluster": {**cluster, "gateway-enabled": gateway}}
    found = helm.render(charts.of(use.source, use.artifact), use.key, values)
    assert [fault for item in found.everything for fault in schemas.faults(item)] == []


@every_component
def test_pods_that_need_more_than_the_baseline_are_in_a_privileged_release(name: str, rendered: Found) -> None:
    use, found = rendered[name]
    needs = sorted({need for _, pod in pods(found.objects) for need in beyond_baseline(pod)})
    privileged = use.component.install is not None and use.component.install.privileged
    assert needs == [] or privileged, needs


@every_component
def test_containers_say_what_they_need_and_mount_what_is_there(name: str, rendered: Found) -> None:
    _, found = rendered[name]
    for owner, pod in pods(found.objects):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
        volumes |= {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", ())}
        for container in containers(pod):
            where = f"{identity(owner)}, {container['name']}"
            assert container.get("resources", {}).get("requests", {}).keys() >= {"cpu", "memory"}, where
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes, where


@every_component
def test_selectors_find_the_pods_of_the_release(name: str, rendered: Found) -> None:
    _, found = rendered[name]
    templates = [pod for _, pod in pods(found.objects)]
    for owner, pod in pods(found.objects):
        if "selector" in owner["spec"]:
            assert owner["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), identity(owner)
    for service in found.of_kind("Service").values():
        selector = service["spec"].get("selector")
        if selector:
            selected = [pod for pod in templates if selector.items() <= pod["metadata"]["labels"].items()]
            offered = {
                port[key]
                for pod in selected
                for container in containers(pod)
                for port in container.get("ports", ())
                for key in ("name", "containerPort")
            }
            wanted = {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]}
            assert selected, identity(service)
            assert wanted <= offered, identity(service)


@every_component
def test_what_pods_and_bindings_name_is_in_the_release(name: str, rendered: Found) -> None:
    use, found = rendered[name]
    has = {(item["kind"], item["metadata"]["name"]) for item in found.everything}
    missing = []
    for owner, pod in pods(found.objects):
        spec = pod["spec"]
        wanted = [("ServiceAccount", spec.get("serviceAccountName", "default"))]
        wanted += [("ConfigMap", volume["configMap"]["name"]) for volume in spec.get("volumes", ()) if "configMap" in volume]
        missing += [(identity(owner), each) for each in wanted if each not in has | {("ServiceAccount", "default")}]
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in found.of_kind(kind).values():
            role = (binding["roleRef"]["kind"], binding["roleRef"]["name"])
            if role not in has | {("ClusterRole", "cluster-admin"), ("Role", "extension-apiserver-authentication-reader")}:
                missing.append((identity(binding), role))
            for subject in binding.get("subjects", ()):
                if subject["kind"] == "ServiceAccount":
                    assert subject["namespace"] == use.key.namespace, identity(binding)
                    if ("ServiceAccount", subject["name"]) not in has:
                        missing.append((identity(binding), ("ServiceAccount", subject["name"])))
    assert missing == []


@every_component
def test_services_behind_webhooks_and_api_services_are_in_the_release(name: str, rendered: Found) -> None:
    use, found = rendered[name]
    references = []
    for item in found.everything:
        if item["kind"] in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            references += [webhook["clientConfig"]["service"] for webhook in item["webhooks"]]
        elif item["kind"] == "APIService":
            references.append(item["spec"]["service"])
        elif item["kind"] == "CustomResourceDefinition" and item["spec"].get("conversion", {}).get("webhook"):
            references.append(item["spec"]["conversion"]["webhook"]["clientConfig"]["service"])
    services = found.of_kind("Service")
    for reference in references:
        assert reference["namespace"] == use.key.namespace
        assert reference.get("port", 443) in [port["port"] for port in services[reference["name"]]["spec"]["ports"]]


def test_the_schemas_find_what_is_wrong(schemas: Schemas) -> None:
    """The checks above are worth what these find."""
    wrong: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "labels": {"b": 1}},
        "spec": {
            "replicas": "1",
            "selector": {},
            "template": {"spec": {"containers": [{"name": "a", "imagePolicy": "Always"}]}},
        },
    }
    assert schemas.faults(wrong) == [
        'metadata.labels.b: Invalid value: "integer": metadata.labels.b in body must be of type string: "integer"',
        'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        "spec.template.spec.containers[0].imagePolicy: unknown field",
    ]
    package = {"apiVersion": "cozystack.io/v1alpha1", "kind": "Package", "metadata": {"name": "a"}, "spec": {"varient": "b"}}
    assert schemas.faults(package) == ["spec.varient: unknown field"]
    assert schemas.faults({"apiVersion": "acme.test/v1", "kind": "Anvil"}) == ["acme.test/v1 Anvil is not known"]
    assert ("apps/v1", "Deployment") in built_in_scopes()


def beyond_baseline(pod: Mapping[str, Any]) -> list[str]:
    """What the Pod Security level "baseline" would refuse."""
    spec = pod["spec"]
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += ["hostPath" for volume in spec.get("volumes", ()) if "hostPath" in volume]
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        context = container.get("securityContext", {})
        found += ["privileged"] if context.get("privileged") else []
        found += [each for each in context.get("capabilities", {}).get("add", ()) if each not in BASELINE_CAPABILITIES]
        found += ["hostPort" for port in container.get("ports", ()) if port.get("hostPort")]
    return found
