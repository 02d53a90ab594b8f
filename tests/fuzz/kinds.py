"""The kinds that stories are about: where they are served, and what their objects look like.

Built-in ones have the lists, maps and sets that server-side apply treats differently; ``GADGET`` has every way in which a
schema can say how to merge, in two versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fuzz.shapes import Leaf, ListOf, Map, Shape, Struct
from fuzz.story import Obj

GROUP: Final = "fuzz.example.com"
NAMESPACE: Final = "fuzz"

_TEXT: Final = Leaf(("a", "b", "c"))
_NAME: Final = Leaf(("a", "b", "c"))
_COUNT: Final = Leaf((0, 1, 2, 7))
_YES: Final = Leaf((True, False))
_KEYS: Final = ("a", "b", "c/d")
_MAP: Final = Map(_KEYS, _TEXT)


@dataclass(frozen=True, slots=True)
class Kind:
    """``body`` is the shape of everything beside the metadata and the status. A ``status`` means a subresource of that name."""

    api_version: str
    kind: str
    plural: str
    body: Struct
    status: Struct | None = None
    versions: tuple[str, ...] = ()
    custom: bool = False

    def path(self, version: str = "") -> str:
        """Of the collection."""
        group, _, own = self.api_version.rpartition("/")
        prefix = f"/apis/{group}" if group else "/api"
        return f"{prefix}/{version or own}/namespaces/{NAMESPACE}/{self.plural}"

    def served(self, version: str = "") -> str:
        group, _, own = self.api_version.rpartition("/")
        return f"{group}/{version or own}" if group else own


METADATA: Final = Struct(
    {
        "labels": Map(_KEYS, _TEXT),
        "annotations": Map(("a", "b", "c/d"), _TEXT),
        "finalizers": ListOf(Leaf(("e.com/a", "e.com/b", "e.com/c")), unique=True, least=1),
        "ownerReferences": ListOf(
            Struct(
                {
                    "apiVersion": Leaf(("v1", "apps/v1")),
                    "kind": Leaf(("ConfigMap",)),
                    "name": _NAME,
                    "uid": Leaf(("u-a", "u-b")),
                    "controller": Leaf((False,)),
                    "blockOwnerDeletion": _YES,
                },
                required=("apiVersion", "kind", "name", "uid"),
            ),
            keys=("uid",),
            least=1,
            most=2,
        ),
    }
)

_RESOURCES: Final = Struct(
    {name: Map(("cpu", "memory"), Leaf(("1", "1000m", "500m", "1Gi", "1024Mi", 2, "0.5"))) for name in ("limits", "requests")}
)
_ENVIRONMENT: Final = ListOf(
    Struct(
        {"name": Leaf(("A", "B", "C")), "value": Leaf(("", "x", "y"))},
        required=("name",),
    ),
    keys=("name",),
)
_CONTAINER_PORTS: Final = ListOf(
    Struct(
        {
            "containerPort": Leaf((80, 81, 443)),
            "protocol": Leaf(("TCP", "UDP")),
            "name": Leaf(("p", "q")),
            "hostIP": Leaf(("127.0.0.1",)),
        },
        required=("containerPort",),
    ),
    keys=("containerPort", "protocol"),
)
_PROBE: Final = Struct(
    {
        "httpGet": Struct(
            {"path": Leaf(("/", "/a")), "port": Leaf((80, "p")), "scheme": Leaf(("HTTP", "HTTPS"))}, required=("port",)
        ),
        "periodSeconds": Leaf((1, 10)),
        "timeoutSeconds": Leaf((1, 5)),
    },
    required=("httpGet",),
)
_CONTAINER: Final = Struct(
    {
        "name": _NAME,
        "image": Leaf(("i", "i:1", "i:latest")),
        "args": ListOf(_TEXT),
        "env": _ENVIRONMENT,
        "envFrom": ListOf(Struct({"configMapRef": Struct({"name": _NAME}, required=("name",))}, required=("configMapRef",))),
        "ports": _CONTAINER_PORTS,
        "resources": _RESOURCES,
        "readinessProbe": _PROBE,
        "imagePullPolicy": Leaf(("Always", "IfNotPresent")),
        "securityContext": Struct(
            {
                "runAsUser": _COUNT,
                "readOnlyRootFilesystem": _YES,
                "capabilities": Struct({"add": ListOf(Leaf(("NET_ADMIN", "SYS_TIME"))), "drop": ListOf(Leaf(("ALL",)))}),
            }
        ),
        "volumeMounts": ListOf(
            Struct(
                {"name": Leaf(("v",)), "mountPath": Leaf(("/a", "/b")), "readOnly": _YES, "subPath": Leaf(("a", "b"))},
                required=("name", "mountPath"),
            ),
            keys=("mountPath",),
            most=2,
        ),
    },
    required=("name", "image"),
)
_SELECTOR: Final = Struct({"matchLabels": Map(("app",), Leaf(("x",)))}, required=("matchLabels",))
_POD_SPEC: Final = Struct(
    {
        "containers": ListOf(_CONTAINER, keys=("name",), least=1),
        "initContainers": ListOf(_CONTAINER, keys=("name",), most=1),
        "volumes": ListOf(
            Struct(
                {
                    "name": Leaf(("v", "w")),
                    "configMap": Struct(
                        {
                            "name": _NAME,
                            "optional": _YES,
                            "items": ListOf(Struct({"key": _NAME, "path": Leaf(("x", "y"))}, required=("key", "path")), most=2),
                        },
                        required=("name",),
                    ),
                },
                required=("name", "configMap"),
            ),
            keys=("name",),
            most=2,
        ),
        "tolerations": ListOf(
            Struct(
                {"key": _NAME, "operator": Leaf(("Exists",)), "effect": Leaf(("NoSchedule",))}, required=("key", "operator")
            ),
            most=2,
        ),
        "nodeSelector": Map(("a", "b"), _TEXT),
        "imagePullSecrets": ListOf(Struct({"name": _NAME}, required=("name",)), keys=("name",)),
        "hostAliases": ListOf(
            Struct({"ip": Leaf(("10.0.0.1", "10.0.0.2")), "hostnames": ListOf(_TEXT, least=1, unique=True)}, required=("ip",)),
            keys=("ip",),
            most=2,
        ),
        "terminationGracePeriodSeconds": _COUNT,
        "serviceAccountName": _NAME,
        "securityContext": Struct({"runAsUser": _COUNT, "fsGroup": _COUNT}),
        "topologySpreadConstraints": ListOf(
            Struct(
                {
                    "topologyKey": Leaf(("zone", "host")),
                    "whenUnsatisfiable": Leaf(("DoNotSchedule", "ScheduleAnyway")),
                    "maxSkew": Leaf((1, 2)),
                },
                required=("topologyKey", "whenUnsatisfiable", "maxSkew"),
            ),
            keys=("topologyKey", "whenUnsatisfiable"),
            most=2,
        ),
    },
    required=("containers",),
)
_TEMPLATE: Final = Struct(
    {
        "metadata": Struct(
            {"labels": Struct({"app": Leaf(("x",)), "b": _TEXT}, required=("app",)), "annotations": _MAP}, required=("labels",)
        ),
        "spec": _POD_SPEC,
    },
    required=("metadata", "spec"),
)
_CONDITIONS: Final = ListOf(
    Struct(
        {
            "type": Leaf(("Ready", "Available")),
            "status": Leaf(("True", "False")),
            "reason": _NAME,
            "message": _TEXT,
        },
        required=("type", "status", "reason", "message"),
    ),
    keys=("type",),
)

CONFIG_MAP: Final = Kind(
    "v1",
    "ConfigMap",
    "configmaps",
    Struct({"data": Map(("a", "b", "c.d"), Leaf(("1", "2", ""))), "binaryData": Map(("e",), Leaf(("AA==", "")))}),
)
SECRET: Final = Kind(
    "v1",
    "Secret",
    "secrets",
    Struct(
        {
            "data": Map(("a", "b"), Leaf(("AA==", "QQ==", ""))),
            "stringData": Map(("a", "c"), Leaf(("x", ""))),
            "type": Leaf(("Opaque",)),
        }
    ),
)
SERVICE_ACCOUNT: Final = Kind(
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    Struct(
        {
            "secrets": ListOf(Struct({"name": _NAME, "namespace": _TEXT}, required=("name",)), keys=("name",)),
            "imagePullSecrets": ListOf(Struct({"name": _NAME}, required=("name",)), keys=("name",)),
            "automountServiceAccountToken": _YES,
        }
    ),
)
SERVICE: Final = Kind(
    "v1",
    "Service",
    "services",
    Struct(
        {
            "spec": Struct(
                {
                    "type": Leaf(("ClusterIP", "NodePort", "LoadBalancer")),
                    "selector": Map(("a", "b"), _TEXT),
                    "ports": ListOf(
                        Struct(
                            {
                                "name": Leaf(("p", "q", "r")),
                                "port": Leaf((80, 81, 443)),
                                "protocol": Leaf(("TCP", "UDP")),
                                "targetPort": Leaf((8080, "web")),
                                "appProtocol": Leaf(("http",)),
                            },
                            required=("port", "name"),
                        ),
                        keys=("port", "protocol"),
                        least=1,
                    ),
                    "sessionAffinity": Leaf(("None", "ClientIP")),
                    "externalIPs": ListOf(Leaf(("192.0.2.1", "192.0.2.2"))),
                    "publishNotReadyAddresses": _YES,
                    "loadBalancerSourceRanges": ListOf(Leaf(("10.0.0.0/8",)), most=1),
                },
                required=("ports",),
            )
        },
        required=("spec",),
    ),
    status=Struct(
        {
            "loadBalancer": Struct({"ingress": ListOf(Struct({"ip": Leaf(("192.0.2.9", "192.0.2.8"))}), most=2)}),
            "conditions": _CONDITIONS,
        }
    ),
)
DEPLOYMENT: Final = Kind(
    "apps/v1",
    "Deployment",
    "deployments",
    Struct(
        {
            "spec": Struct(
                {
                    "replicas": _COUNT,
                    "paused": _YES,
                    "minReadySeconds": _COUNT,
                    "selector": _SELECTOR,
                    "template": _TEMPLATE,
                    "strategy": Struct({"type": Leaf(("RollingUpdate", "Recreate"))}),
                },
                required=("selector", "template"),
            )
        },
        required=("spec",),
    ),
    status=Struct({"replicas": _COUNT, "observedGeneration": _COUNT, "conditions": _CONDITIONS}),
)
STATEFUL_SET: Final = Kind(
    "apps/v1",
    "StatefulSet",
    "statefulsets",
    Struct(
        {
            "spec": Struct(
                {
                    "replicas": _COUNT,
                    "selector": _SELECTOR,
                    "serviceName": Leaf(("x",)),
                    "template": _TEMPLATE,
                    "volumeClaimTemplates": ListOf(
                        Struct(
                            {
                                "metadata": Struct({"name": Leaf(("v",))}, required=("name",)),
                                "spec": Struct(
                                    {
                                        "accessModes": ListOf(Leaf(("ReadWriteOnce",)), least=1, most=1),
                                        "resources": Struct(
                                            {"requests": Struct({"storage": Leaf(("1Gi",))}, required=("storage",))},
                                            required=("requests",),
                                        ),
                                    },
                                    required=("accessModes", "resources"),
                                ),
                            },
                            required=("metadata", "spec"),
                        ),
                        most=1,
                    ),
                },
                required=("selector", "template", "serviceName"),
            )
        },
        required=("spec",),
    ),
    status=Struct({"replicas": _COUNT, "currentRevision": _TEXT}, required=("replicas",)),
)
ROLE: Final = Kind(
    "rbac.authorization.k8s.io/v1",
    "Role",
    "roles",
    Struct(
        {
            "rules": ListOf(
                Struct(
                    {
                        "apiGroups": ListOf(Leaf(("", "apps")), least=1),
                        "resources": ListOf(Leaf(("pods", "secrets")), least=1),
                        "verbs": ListOf(Leaf(("get", "list")), least=1),
                    },
                    required=("apiGroups", "resources", "verbs"),
                ),
                least=1,  # a real server forgets whether it was empty or nothing
            )
        }
    ),
)
INGRESS: Final = Kind(
    "networking.k8s.io/v1",
    "Ingress",
    "ingresses",
    Struct(
        {
            "spec": Struct(
                {
                    "ingressClassName": _NAME,
                    "defaultBackend": Struct(
                        {
                            "service": Struct(
                                {
                                    "name": _NAME,
                                    "port": Struct({"number": Leaf((80, 81))}, required=("number",)),
                                },
                                required=("name", "port"),
                            )
                        },
                        required=("service",),
                    ),
                    "tls": ListOf(Struct({"secretName": _NAME, "hosts": ListOf(Leaf(("a.com", "b.com")))}), most=2),
                },
                required=("defaultBackend",),
            )
        },
        required=("spec",),
    ),
    status=Struct({"loadBalancer": Struct({"ingress": ListOf(Struct({"ip": Leaf(("192.0.2.9",))}), most=1)})}),
)

_PART: Final = Struct(
    {
        "name": _NAME,
        "count": _COUNT,
        "tags": ListOf(_TEXT, unique=True),
        "nested": ListOf(Struct({"id": _COUNT, "text": _TEXT}, required=("id",)), keys=("id",), most=2),
    },
    required=("name",),
)
_GADGET_SPEC: Final = Struct(
    {
        "size": _COUNT,
        "ratio": Leaf((0.5, 1, 2.25)),
        "color": Leaf(("red", "green")),
        "flag": _YES,
        "note": Leaf(("a", "b", None)),
        "either": Leaf((1, "50%", "1")),
        "labels": _MAP,
        "parts": ListOf(_PART, keys=("name",)),
        "ports": ListOf(
            Struct({"port": Leaf((1, 2)), "protocol": Leaf(("TCP", "UDP")), "note": _TEXT}, required=("port",)),
            keys=("port", "protocol"),
        ),
        "tags": ListOf(_TEXT, unique=True),
        "numbers": ListOf(_COUNT, unique=True),
        "whole": ListOf(_PART),
        "plain": ListOf(_TEXT),
        "fixed": Struct({"a": _TEXT, "b": _TEXT, "inner": Struct({"c": _TEXT})}),
        "free": Struct(
            {
                "a": _TEXT,
                "deep": Struct({"b": _COUNT, "list": ListOf(Struct({"name": _NAME, "x": _COUNT}))}),
                "n": Leaf((None,)),
            }
        ),
        "template": Struct(
            {
                "apiVersion": Leaf(("v1",)),
                "kind": Leaf(("ConfigMap",)),
                # Never empty: what is empty there is stored by a real server, and gone when it is read.
                "metadata": Struct({"name": _NAME, "labels": Struct({"a": _TEXT, "b": _TEXT}, ("a",))}, ("name",)),
                "data": _MAP,
            },
            required=("apiVersion", "kind"),
        ),
        "modes": Struct({"mode": Leaf(("fast", "slow")), "level": _COUNT}),
        "anything": Leaf((1, "a", True, ["a"], {"a": 1}, [])),
        "table": Map(("a", "b"), Struct({"x": _COUNT, "y": _COUNT})),
    }
)
_GADGET_STATUS: Final = Struct(
    {"phase": _TEXT, "conditions": _CONDITIONS, "replicas": _COUNT, "seen": ListOf(_TEXT, unique=True)}
)
GADGET: Final = Kind(
    f"{GROUP}/v1",
    "Gadget",
    "gadgets",
    Struct({"spec": _GADGET_SPEC}),
    status=_GADGET_STATUS,
    versions=("v1", "v2"),
    custom=True,
)
# The same without a subresource: the status is a field like others.
TRINKET: Final = Kind(
    f"{GROUP}/v1", "Trinket", "trinkets", Struct({"spec": _GADGET_SPEC, "status": _GADGET_STATUS}), custom=True
)

KINDS: Final[dict[str, Kind]] = {
    kind.kind: kind
    for kind in (
        GADGET,
        TRINKET,
        CONFIG_MAP,
        SECRET,
        SERVICE_ACCOUNT,
        SERVICE,
        DEPLOYMENT,
        STATEFUL_SET,
        ROLE,
        INGRESS,
    )
}


def shape_of(kind: Kind) -> Struct:
    """Of a whole object, without what names it."""
    fields: dict[str, Shape] = {"metadata": METADATA, **kind.body.fields}
    return Struct(fields, required=("metadata", *kind.body.required))


# Definitions


def _string(**more: object) -> Obj:
    return {"type": "string", **more}


def _integer(**more: object) -> Obj:
    return {"type": "integer", **more}


def _object(properties: Obj, **more: object) -> Obj:
    return {"type": "object", "properties": properties, **more}


def _array(items: Obj, list_type: str = "", *keys: str, **more: object) -> Obj:
    schema: Obj = {"type": "array", "items": items, **more}
    if list_type:
        schema["x-kubernetes-list-type"] = list_type
    if keys:
        schema["x-kubernetes-list-map-keys"] = list(keys)
    return schema


def _schema() -> Obj:
    strings: Obj = {"type": "object", "additionalProperties": _string()}
    part = _object(
        {
            "name": _string(),
            "count": _integer(),
            "tags": _array(_string(), "set"),
            "nested": _array(_object({"id": _integer(), "text": _string()}, required=["id"]), "map", "id"),
        },
        required=["name"],
    )
    port = _object({"port": _integer(), "protocol": _string(default="TCP"), "note": _string()}, required=["port", "protocol"])
    fixed = _object({"a": _string(), "b": _string(), "inner": _object({"c": _string()})})
    preserved: Obj = {"x-kubernetes-preserve-unknown-fields": True}
    spec = _object(
        {
            "size": _integer(minimum=0, maximum=5),
            "ratio": {"type": "number"},
            "color": _string(default="red", enum=["red", "green"]),
            "flag": {"type": "boolean"},
            "note": _string(nullable=True),
            "either": {"x-kubernetes-int-or-string": True},
            "labels": strings,
            "parts": _array(part, "map", "name"),
            "ports": _array(port, "map", "port", "protocol"),
            "tags": _array(_string(), "set"),
            "numbers": _array(_integer(), "set"),
            "whole": _array(part, "atomic"),
            "plain": _array(_string()),
            "fixed": {**fixed, "x-kubernetes-map-type": "atomic"},
            "free": {"type": "object", **preserved},
            "template": {"type": "object", "x-kubernetes-embedded-resource": True, **preserved},
            "modes": _object({"mode": _string(default="fast"), "level": _integer(default=3)}, default={}),
            "anything": preserved,
            "table": {"type": "object", "additionalProperties": _object({"x": _integer(), "y": _integer(default=1)})},
        }
    )
    condition = _object({name: _string() for name in ("type", "status", "reason", "message")}, required=["type", "status"])
    status = _object(
        {
            "phase": _string(),
            "conditions": _array(condition, "map", "type"),
            "replicas": _integer(),
            "seen": _array(_string(), "set"),
        }
    )
    return _object({"spec": spec, "status": status})


def definitions() -> list[Obj]:
    """The CRDs of ``GADGET`` and ``TRINKET``."""
    found = []
    for kind in (GADGET, TRINKET):
        version = {"served": True, "schema": {"openAPIV3Schema": _schema()}}
        if kind.status is not None:
            version["subresources"] = {"status": {}}
        versions = [{**version, "name": name, "storage": name == "v1"} for name in kind.versions or ("v1",)]
        found.append(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{kind.plural}.{GROUP}"},
                "spec": {
                    "group": GROUP,
                    "scope": "Namespaced",
                    "names": {"plural": kind.plural, "singular": kind.kind.lower(), "kind": kind.kind},
                    "versions": versions,
                },
            }
        )
    return found
