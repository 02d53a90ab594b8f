"""What may not be written: bad names and metadata, specs that no controller could follow, fields that stay as they are."""

from __future__ import annotations

from typing import Any

import pytest

from support.apiserver import Answer, Api, config_map

Obj = dict[str, Any]
UID = "11111111-1111-1111-1111-111111111111"
LABELS = {"app": "web"}
POD = {"containers": [{"name": "c", "image": "example.com/web:1"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
JOB = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
PLACES = {
    "ConfigMap": ("v1", "/api/v1", "configmaps"),
    "CronJob": ("batch/v1", "/apis/batch/v1", "cronjobs"),
    "DaemonSet": ("apps/v1", "/apis/apps/v1", "daemonsets"),
    "Deployment": ("apps/v1", "/apis/apps/v1", "deployments"),
    "Job": ("batch/v1", "/apis/batch/v1", "jobs"),
    "PersistentVolumeClaim": ("v1", "/api/v1", "persistentvolumeclaims"),
    "Pod": ("v1", "/api/v1", "pods"),
    "ReplicaSet": ("apps/v1", "/apis/apps/v1", "replicasets"),
    "Secret": ("v1", "/api/v1", "secrets"),
    "Service": ("v1", "/api/v1", "services"),
    "StatefulSet": ("apps/v1", "/apis/apps/v1", "statefulsets"),
}
SPECS: dict[str, Obj] = {
    "ConfigMap": {"data": {"k": "1"}},
    "Secret": {"data": {"k": "MQ=="}},
    "CronJob": {"spec": {"schedule": "0 5 * * *", "suspend": True, "jobTemplate": {"spec": JOB}}},
    "DaemonSet": {"spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}},
    "Deployment": {"spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}},
    "Job": {"spec": {**JOB, "suspend": True}},
    "Pod": {"spec": {**POD, "terminationGracePeriodSeconds": 0}},
    "PersistentVolumeClaim": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "2Gi"}},
        }
    },
    "ReplicaSet": {"spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "StatefulSet": {
        "spec": {"replicas": 0, "serviceName": "s", "selector": {"matchLabels": LABELS}, "template": TEMPLATE},
    },
}


class Kind:
    """Objects of one kind in the namespace of a test."""

    def __init__(self, server: Api, namespace: str, kind: str) -> None:
        self.server = server
        self.kind = kind
        version, root, plural = PLACES[kind]
        self.version = version
        self.path = f"{root}/namespaces/{namespace}/{plural}"

    def object(self, name: str = "x", **more: Any) -> Obj:
        return {"apiVersion": self.version, "kind": self.kind, "metadata": {"name": name}, **SPECS[self.kind], **more}

    async def created(self, **more: Any) -> Answer:
        return await self.server.create(self.path, self.object(**more))

    async def patched(self, patch: Obj) -> Answer:
        return await self.server.patch(f"{self.path}/x", patch)


def faults(answer: Answer) -> list[str]:
    """What an answer names as invalid, in the order of fields."""
    if answer.status < 300:
        return []
    assert (answer.status, answer.body["reason"]) == (422, "Invalid"), answer.raw
    return sorted(f"{cause['field']}: {cause['message']}" for cause in answer.body["details"]["causes"])


def ref(name: str, **more: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": UID, **more}


async def test_one_owner_at_most_is_the_controller(server: Api, config_maps: str) -> None:
    owners = [ref("A", controller=True), ref("B", controller=True)]
    answer = await server.create(config_maps, config_map("a", ownerReferences=owners))
    (fault,) = faults(answer)
    assert fault.startswith('metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"ConfigMap","name":"A"')
    assert fault.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for ConfigMap/A and ConfigMap/B'
    )


async def test_an_object_does_not_get_a_second_controller_later(server: Api, config_maps: str) -> None:
    owner = (await server.create(config_maps, config_map("owner"))).body["metadata"]["uid"]
    await server.create(config_maps, config_map("a", ownerReferences=[ref("owner", uid=owner, controller=True)]))
    more = [ref("owner", uid=owner, controller=True), ref("B", controller=True)]
    (fault,) = faults(await server.patch(f"{config_maps}/a", {"metadata": {"ownerReferences": more}}))
    assert fault.endswith('Found "true" in references for ConfigMap/owner and ConfigMap/B')


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (
            {"apiVersion": "", "kind": "", "name": "", "uid": ""},
            [
                f"metadata.ownerReferences[0].{name}: Required value: must not be empty"
                for name in ("apiVersion", "kind", "name", "uid")
            ],
        ),
        (
            ref("x", apiVersion="a/b/c"),
            [
                'metadata.ownerReferences[0].apiVersion: Invalid value: "a/b/c": must be <group>/<version> or <version>',
            ],
        ),
        (
            {"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "y"},
            [
                'metadata.ownerReferences[0]: Invalid value: {"apiVersion":"v1","kind":"Event","name":"x","uid":"y"}: '
                "/v1, Kind=Event is disallowed from being an owner"
            ],
        ),
    ],
)
async def test_an_owner_is_named_in_full(server: Api, config_maps: str, owner: Obj, expected: list[str]) -> None:
    assert faults(await server.create(config_maps, config_map("a", ownerReferences=[owner]))) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"finalizers": ["nodomain"]},
            [
                'metadata.finalizers[0]: Invalid value: "nodomain": name is neither a standard finalizer name nor is it '
                "fully qualified"
            ],
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
                "foregroundDeletion cannot be both set"
            ],
        ),
        ({"annotations": {"a b": "1"}}, [f'metadata.annotations: Invalid value: "a b": {NAME_PART}']),
        ({"annotations": {"Example.COM/x": "capitals are let pass"}}, []),
        (
            {"annotations": {"x": "1" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            {"labels": {"/": "x"}},
            [
                'metadata.labels: Invalid value: "/": name part must be non-empty',
                f'metadata.labels: Invalid value: "/": {NAME_PART}',
                'metadata.labels: Invalid value: "/": prefix part must be non-empty',
            ],
        ),
        (
            {"labels": {"k": "v" * 64}},
            [f'metadata.labels: Invalid value: "{"v" * 64}": must be no more than 63 bytes'],
        ),
        (
            {"labels": {"k" * 64: "v"}},
            [f'metadata.labels: Invalid value: "{"k" * 64}": name part must be no more than 63 bytes'],
        ),
    ],
)
async def test_bad_metadata_is_refused(server: Api, config_maps: str, metadata: Obj, expected: list[str]) -> None:
    assert faults(await server.create(config_maps, config_map("a", **metadata))) == expected


SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"
LABEL = "a lowercase RFC 1123 label must consist of"


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ConfigMap", "Bad", SUBDOMAIN),
        ("ConfigMap", "a" * 254, "must be no more than 253 characters"),
        ("ConfigMap", "1.a-b", ""),
        ("Service", "-a", LABEL),
        ("Service", "a.b", "must not contain dots"),
        ("Service", "a" * 64, "must be no more than 63 characters"),
        ("StatefulSet", "a.b", "must not contain dots"),
        ("CronJob", "a" * 53, "must be no more than 52 characters"),
        ("CronJob", "a" * 52, ""),
    ],
)
async def test_names_follow_the_rule_of_their_kind(server: Api, namespace: str, kind: str, name: str, expected: str) -> None:
    place = Kind(server, namespace, kind)
    found = faults(await server.create(place.path, place.object(name), dryRun="All"))
    prefix = f'metadata.name: Invalid value: "{name}": {expected}'
    assert [fault[: len(prefix)] for fault in found] == ([prefix] if expected else [])


FROZEN = "Forbidden: field is immutable when `immutable` is set"
REPLACED = {"spec": {"selector": {"matchLabels": {"app": "y"}}, "template": {"metadata": {"labels": {"app": "y"}}}}}
SELECTOR = ['spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable']


@pytest.mark.parametrize(
    ("kind", "made", "patch", "expected"),
    [
        ("ConfigMap", {"immutable": True}, {"data": {"k": "2"}}, [f"data: {FROZEN}"]),
        ("ConfigMap", {"immutable": True}, {"binaryData": {"b": "AA=="}}, [f"binaryData: {FROZEN}"]),
        ("ConfigMap", {"immutable": True}, {"immutable": None}, [f"immutable: {FROZEN}"]),
        ("ConfigMap", {"immutable": True}, {"metadata": {"labels": {"a": "b"}}}, []),
        ("Secret", {"immutable": True}, {"stringData": {"k": "2"}}, [f"data: {FROZEN}"]),
        ("Secret", {"type": "a/b"}, {"type": "x/y"}, ['type: Invalid value: "x/y": field is immutable']),
        ("Secret", {"type": "a/b"}, {"type": None}, ['type: Invalid value: "Opaque": field is immutable']),
        (
            "Service",
            {},
            {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}},
            ['spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'],
        ),
        (
            "Service",
            {"spec": {"type": "LoadBalancer", "loadBalancerClass": "x/y", "ports": [{"port": 80}]}},
            {"spec": {"loadBalancerClass": "z/z"}},
            ['spec.loadBalancerClass: Invalid value: "z/z": may not change once set'],
        ),
        ("Deployment", {}, REPLACED, SELECTOR),
        ("ReplicaSet", {}, REPLACED, SELECTOR),
        ("DaemonSet", {}, REPLACED, SELECTOR),
        ("StatefulSet", {}, REPLACED, SELECTOR),
        (
            "StatefulSet",
            {},
            {"spec": {"serviceName": "t"}},
            ['spec.serviceName: Invalid value: "t": field is immutable'],
        ),
        (
            "StatefulSet",
            {},
            {"spec": {"podManagementPolicy": "Parallel"}},
            ['spec.podManagementPolicy: Invalid value: "Parallel": field is immutable'],
        ),
        ("StatefulSet", {}, {"spec": {"minReadySeconds": 3, "revisionHistoryLimit": 4}}, []),
        ("Job", {}, {"spec": {"completions": 4}}, ["spec.completions: Invalid value: 4: field is immutable"]),
        (
            "Job",
            {},
            {"spec": {"completionMode": "Indexed"}},
            ['spec.completionMode: Invalid value: "Indexed": field is immutable'],
        ),
        ("Job", {}, {"spec": {"parallelism": 4, "backoffLimit": 2, "activeDeadlineSeconds": 9}}, []),
    ],
)
async def test_what_is_fixed_stays(server: Api, namespace: str, kind: str, made: Obj, patch: Obj, expected: list[str]) -> None:
    place = Kind(server, namespace, kind)
    assert (await place.created(**made)).status == 201
    assert faults(await place.patched(patch)) == expected


async def test_a_job_that_has_not_begun_may_still_be_told_where_to_run(server: Api, namespace: str) -> None:
    place = Kind(server, namespace, "Job")
    await place.created()
    (fault,) = faults(await place.patched({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}}))
    assert fault.startswith("spec.template.spec: Invalid value: ")
    assert fault.endswith(": field is immutable")
    assert faults(await place.patched({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}})) == []


CLAIM_RULE = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName"


@pytest.mark.parametrize(
    "change",
    [
        {"accessModes": ["ReadOnlyMany"]},
        {"storageClassName": "other"},
        {"resources": {"requests": {"storage": "3Gi"}}},
    ],
)
async def test_a_claim_that_is_not_bound_stays_as_it_is(server: Api, namespace: str, change: Obj) -> None:
    place = Kind(server, namespace, "PersistentVolumeClaim")
    await place.created()
    (fault,) = faults(await place.patched({"spec": change}))
    assert fault.startswith(CLAIM_RULE)


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"restartPolicy": "Never"}, False),
        ({"serviceAccountName": "other"}, False),
        ({"hostNetwork": True}, False),
        ({"activeDeadlineSeconds": 5}, True),
    ],
)
async def test_little_of_a_pod_may_change(server: Api, namespace: str, change: Obj, allowed: bool) -> None:
    await server.until(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", lambda answer: answer.status == 200)
    place = Kind(server, namespace, "Pod")
    await place.created()
    found = faults(await place.patched({"spec": change}))
    rule = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    assert [fault[: len(rule)] for fault in found] == ([] if allowed else [rule])


NO_MATCH = "`selector` does not match template `labels`"


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("Deployment", {"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            "Deployment",
            {"selector": {"matchLabels": {"a": "b"}}},
            [f'spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {NO_MATCH}'],
        ),
        (
            "Deployment",
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            "Deployment",
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            "Deployment",
            {"template": {**TEMPLATE, "spec": {**POD, "restartPolicy": "Never"}}},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            "Deployment",
            {"template": {**TEMPLATE, "spec": {"containers": []}}},
            ["spec.template.spec.containers: Required value"],
        ),
        (
            "Deployment",
            {"progressDeadlineSeconds": 0},
            ["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
        ),
        (
            "Job",
            {"template": {"spec": POD}},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        ("CronJob", {"schedule": ""}, ["spec.schedule: Required value"]),
        (
            "CronJob",
            {"schedule": "bad"},
            ['spec.schedule: Invalid value: "bad": expected exactly 5 fields, found 1: [bad]'],
        ),
        (
            "CronJob",
            {"schedule": "60 * * * *"},
            ['spec.schedule: Invalid value: "60 * * * *": end of range (60) above maximum (59): 60'],
        ),
        (
            "CronJob",
            {"timeZone": "Nowhere/X"},
            ['spec.timeZone: Invalid value: "Nowhere/X": unknown time zone Nowhere/X'],
        ),
        (
            "CronJob",
            {"concurrencyPolicy": "X"},
            ['spec.concurrencyPolicy: Unsupported value: "X": supported values: "Allow", "Forbid", "Replace"'],
        ),
        ("CronJob", {"schedule": "@every 5m"}, []),
        ("Service", {"ports": []}, ["spec.ports: Required value"]),
        (
            "Service",
            {"ports": [{"port": 80}, {"port": 81}]},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            "Service",
            {"ports": [{"port": 70000}]},
            [
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            "Service",
            {"type": "Nonsense"},
            [
                'spec.type: Unsupported value: "Nonsense": supported values: "ClusterIP", "ExternalName", '
                '"LoadBalancer", "NodePort"'
            ],
        ),
        (
            "PersistentVolumeClaim",
            {"accessModes": None, "resources": None},
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
    ],
)
async def test_a_spec_that_makes_no_sense_is_refused(
    server: Api, namespace: str, kind: str, spec: Obj, expected: list[str]
) -> None:
    place = Kind(server, namespace, kind)
    whole = {**SPECS[kind]["spec"], **spec}
    assert faults(await server.create(place.path, place.object(spec=whole), dryRun="All")) == expected


async def test_keys_of_a_config_map_are_file_names(server: Api, config_maps: str) -> None:
    (fault,) = faults(await server.create(config_maps, config_map("a", {"a b": "1"})))
    assert fault.startswith('data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters')
    twice = {**config_map("a", {"k": "1"}), "binaryData": {"k": "AA=="}}
    assert faults(await server.create(config_maps, twice)) == [
        'data[k]: Invalid value: "k": duplicate of key present in binaryData'
    ]
