"""What a definition claims beside its rules: names, and fields that selectors find."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.apiserver import DEFINITIONS, Api, Obj, crd


@pytest.fixture
async def group(server: Api, namespace: str) -> AsyncIterator[str]:
    found = f"{namespace}.example.com"
    yield found
    for plural in ("gadgets", "gizmos"):
        await server.delete(f"{DEFINITIONS}/{plural}.{found}")


async def settled(server: Api, name: str, status: str) -> Obj:
    """The status of a CRD once its names are (not) accepted."""

    def reached(answer: Any) -> bool:
        return conditions(answer.body).get("NamesAccepted", ("",))[0] == status

    body: Obj = (await server.until(f"{DEFINITIONS}/{name}", reached)).body
    return body


def conditions(body: Obj) -> dict[str, tuple[str, str, str]]:
    found = body.get("status", {}).get("conditions") or ()
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in found}


def definition(group: str, plural: str, kind: str, **names: Any) -> Obj:
    found = crd(group, plural, kind)
    found["spec"]["names"] = {"plural": plural, "kind": kind, **names}
    return found


@pytest.mark.parametrize(
    ("names", "reason", "taken"),
    [
        ({"kind": "Gadget", "listKind": "GizmoList"}, "KindConflict", "Gadget"),
        ({"kind": "Gizmo", "singular": "gadget"}, "SingularConflict", "gadget"),
        ({"kind": "Gizmo", "shortNames": ["gz", "gd"]}, "ShortNamesConflict", "gd"),
        ({"kind": "Gizmo", "listKind": "GadgetList"}, "ListKindConflict", "GadgetList"),
    ],
)
async def test_a_name_that_another_has_is_had_when_the_other_is_gone(
    server: Api, group: str, names: Obj, reason: str, taken: str
) -> None:
    await server.define(definition(group, "gadgets", "Gadget", shortNames=["gd"]))
    late = {"kind": "Gizmo", **names}
    assert (await server.create(DEFINITIONS, definition(group, "gizmos", **late))).status == 201
    found = await settled(server, f"gizmos.{group}", "False")
    assert conditions(found)["NamesAccepted"] == ("False", reason, f'"{taken}" is already in use')
    assert conditions(found)["Established"][:2] == ("False", "NotAccepted")
    assert (await server.get(f"/apis/{group}/v1/gizmos")).status == 404
    await server.delete(f"{DEFINITIONS}/gadgets.{group}")
    found = await settled(server, f"gizmos.{group}", "True")
    assert conditions(found)["NamesAccepted"] == ("True", "NoConflicts", "no conflicts found")
    await server.until(f"/apis/{group}/v1/gizmos", lambda answer: answer.status == 200)


async def test_a_field_can_be_selected_when_its_definition_says_so(server: Api, namespace: str, group: str) -> None:
    found = crd(group, "gadgets", "Gadget", selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.replicas"}])
    await server.define(found)
    path = f"/apis/{group}/v1/namespaces/{namespace}/gadgets"
    for name, color, replicas in (("one", "red", 1), ("two", "blue", 2), ("three", "blue", 1)):
        body = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": name}}
        answer = await server.create(path, {**body, "spec": {"color": color, "replicas": replicas}})
        assert answer.status == 201, answer.raw
    chosen = [
        sorted(item["metadata"]["name"] for item in (await server.get(path, fieldSelector=selector)).body["items"])
        for selector in ("spec.color=blue", "spec.color!=blue", "spec.color=blue,spec.replicas=1")
    ]
    assert chosen == [["three", "two"], ["one"], ["three"]]
    refused = await server.get(path, fieldSelector="spec.size=1")
    assert (refused.status, refused.body["message"]) == (400, "field label not supported: spec.size")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".spec.nope", "is an invalid path: does not refer to a valid field"),
        ("spec.color", "is an invalid path: expected [ or . but got: spec"),
        (
            ".spec.tags",
            "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are "
            "allowed.",
        ),
    ],
)
async def test_a_field_that_cannot_be_selected_is_refused(server: Api, group: str, path: str, why: str) -> None:
    answer = await server.create(DEFINITIONS, crd(group, "gadgets", "Gadget", selectableFields=[{"jsonPath": path}]))
    assert answer.status == 422
    cause = answer.body["details"]["causes"][0]
    assert (cause["field"], cause["message"]) == ("spec.selectableFields[0].jsonPath", f'Invalid value: "{path}": {why}')
