"""Bodies in protobuf: as kubectl and Helm send them, and as nobody should."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.protobuf import MAGIC, ProtobufError, decode
from cozystack.apiserver.resources import Registry

Fields: TypeAlias = list[tuple[int, Any]]


def varint(value: int) -> bytes:
    value %= 1 << 64
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*result, value))


def message(fields: Fields) -> bytes:
    """A message: numbers as varints, texts and bytes as they are, lists of fields as messages."""
    result = b""
    for number, value in fields:
        if isinstance(value, int):
            result += varint(number << 3) + varint(value)
            continue
        content = message(value) if isinstance(value, list) else value.encode() if isinstance(value, str) else value
        result += varint(number << 3 | 2) + varint(len(content)) + content
    return result


def body(version: str, kind: str, fields: Fields) -> bytes:
    return MAGIC + message([(1, [(1, version), (2, kind)]), (2, fields), (3, ""), (4, "")])


def meta(name: str) -> Fields:
    """Metadata as Go writes it: what is not set is there, empty."""
    empty = [(2, ""), (3, ""), (4, ""), (5, ""), (6, ""), (7, 0), (8, [])]
    return [(1, name), *empty]


def test_a_deployment_is_read_as_the_json_that_the_client_would_have_sent() -> None:
    container: Fields = [(1, "nginx"), (2, "nginx:1"), (5, ""), (8, []), (13, ""), (14, ""), (16, 0), (17, 0), (18, 0)]
    port: Fields = [(1, ""), (2, 0), (3, 80), (4, ""), (5, "")]
    volume: Fields = [(1, "config"), (2, [(19, [(1, [(1, "settings")]), (3, 0)])])]
    template: Fields = [(1, meta("")), (2, [(1, volume), (2, [*container, (6, port)]), (3, ""), (11, 0)])]
    selector: Fields = [(1, [(1, "app"), (2, "web")])]
    strategy: Fields = [(1, ""), (2, [(1, [(1, 1), (2, 0), (3, "25%")]), (2, [(1, 0), (2, 3), (3, "")])])]
    spec: Fields = [(1, 0), (2, selector), (3, template), (4, strategy), (5, 0), (7, 0)]
    status: Fields = [(1, 0), (2, 0)]
    found = decode(body("apps/v1", "Deployment", [(1, meta("web")), (2, spec), (3, status)]), "Deployment")
    assert found == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {},
                "spec": {
                    "volumes": [{"name": "config", "configMap": {"name": "settings", "defaultMode": 0}}],
                    "containers": [{"name": "nginx", "image": "nginx:1", "resources": {}, "ports": [{"containerPort": 80}]}],
                },
            },
            "strategy": {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 3}},
        },
        "status": {},
    }


def test_zero_is_read_where_go_writes_it() -> None:
    found = decode(body("scheduling.k8s.io/v1", "PriorityClass", [(1, meta("p")), (2, 0), (3, 0), (4, "")]), "PriorityClass")
    assert found == {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "p"},
        "value": 0,
    }


def test_numbers_below_zero_are_read() -> None:
    found = decode(body("scheduling.k8s.io/v1", "PriorityClass", [(1, meta("p")), (2, -5)]), "PriorityClass")
    assert found["value"] == -5


def test_quantities_bytes_and_times_have_their_json_form() -> None:
    quota: Fields = [(1, meta("q")), (2, [(1, [(1, "cpu"), (2, [(1, "500m")])]), (1, [(1, "pods"), (2, [])])])]
    assert decode(body("v1", "ResourceQuota", quota), "ResourceQuota")["spec"] == {"hard": {"cpu": "500m", "pods": "0"}}
    secret: Fields = [(1, meta("s")), (2, [(1, "key"), (2, b"\xff\x00")]), (2, [(1, "empty")]), (3, "Opaque")]
    assert decode(body("v1", "Secret", secret), "Secret")["data"] == {"key": "/wA=", "empty": ""}
    lease: Fields = [(1, meta("l")), (2, [(1, "me"), (3, [(1, 1767225600), (2, 250_000_000)]), (4, [])])]
    assert decode(body("coordination.k8s.io/v1", "Lease", lease), "Lease")["spec"] == {
        "holderIdentity": "me",
        "acquireTime": "2026-01-01T00:00:00.250000Z",
    }
    owned: Fields = [(1, [(1, "c"), (8, [(1, 1767225600)])])]
    assert decode(body("v1", "ConfigMap", owned), "ConfigMap")["metadata"] == {
        "name": "c",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }


def test_json_in_a_message_is_read() -> None:
    managed: Fields = [(1, "m"), (2, "Apply"), (6, "FieldsV1"), (7, [(1, b'{"f:data":{}}')])]
    found = decode(body("v1", "ConfigMap", [(1, [(1, "c"), (17, managed)])]), "ConfigMap")
    assert found["metadata"]["managedFields"] == [
        {"manager": "m", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}
    ]


def test_lists_that_are_wrapped_in_a_message_are_lists() -> None:
    user: Fields = [(1, []), (3, "u"), (5, [(1, "scopes"), (2, [(1, "a"), (1, "b")])])]
    review = body("authorization.k8s.io/v1", "SubjectAccessReview", [(1, meta("")), (2, user)])
    assert decode(review, "SubjectAccessReview")["spec"] == {
        "resourceAttributes": {},
        "user": "u",
        "extra": {"scopes": ["a", "b"]},
    }


@pytest.mark.parametrize("version", ["v1", "meta.k8s.io/v1", "apps/v1"])
def test_the_options_of_a_deletion_are_the_same_in_every_group(version: str) -> None:
    options: Fields = [(1, 0), (2, [(1, "uid"), (2, "7")]), (4, "Foreground"), (5, "All")]
    assert decode(body(version, "DeleteOptions", options), "DeleteOptions") == {
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    }


def test_a_field_that_nobody_knows_is_passed_over() -> None:
    fields: Fields = [(1, meta("c")), (99, "later"), (98, 1)]
    raw = body("v1", "ConfigMap", fields)
    assert decode(raw, "ConfigMap") == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (b"{}", "ConfigMap", "the body does not start as protobuf of Kubernetes does"),
        (MAGIC, "ConfigMap", "the body holds a thing without a kind, not a ConfigMap"),
        (body("v1", "Secret", []), "ConfigMap", "the body holds a Secret, not a ConfigMap"),
        (body("v1", "Widget", []), "Widget", "protobuf is not read for Widget of v1; send JSON"),
        (body("v2", "Secret", []), "Secret", "protobuf is not read for Secret of v2; send JSON"),
        (body("v1", "ConfigMap", [(1, 7)]), "ConfigMap", "bytes were expected"),
        (body("v1", "ConfigMap", [(4, "yes")]), "ConfigMap", "a number was expected"),
        (body("v1", "ConfigMap", [(1, [(1, b"\xff")])]), "ConfigMap", "a text is not UTF-8"),
        (body("v1", "ConfigMap", [(1, meta("c"))])[:-10], "ConfigMap", "the body ends too early"),
        (MAGIC + b"\x0b", "ConfigMap", "unknown wire type 3"),
        (MAGIC + b"\xff" * 12, "ConfigMap", "the body ends too early"),
    ],
)
def test_what_cannot_be_read_is_refused(raw: bytes, kind: str, message: str) -> None:
    with pytest.raises(ProtobufError) as caught:
        decode(raw, kind)
    assert str(caught.value) == message


def test_every_built_in_kind_but_those_of_crds_is_read() -> None:
    kinds = {(info.api_version, info.kind) for info in Registry()} - {("apiextensions.k8s.io/v1", "CustomResourceDefinition")}
    assert [decode(body(version, kind, []), kind) for version, kind in sorted(kinds)] == [
        {"apiVersion": version, "kind": kind} for version, kind in sorted(kinds)
    ]


@given(st.binary(max_size=60), st.sampled_from(("ConfigMap", "Pod", "Lease")))
def test_no_body_makes_the_reader_fail_otherwise(data: bytes, kind: str) -> None:
    version = {"Lease": "coordination.k8s.io/v1"}.get(kind, "v1")
    for raw in (MAGIC + data, MAGIC + message([(1, [(1, version), (2, kind)]), (2, data)])):
        try:
            assert decode(raw, kind)["kind"] == kind
        except ProtobufError:
            continue
