"""CEL rules of custom resources, over HTTP: what is refused, what is only said, which definitions are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.apiserver import DEFINITIONS, Api, Obj, crd

INTEGER = {"type": "integer"}
TEXT = {"type": "string"}


@dataclass(slots=True)
class Kind:
    """A custom resource of the test's own, with rules."""

    api: Api
    group: str
    namespace: str

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/v1/namespaces/{self.namespace}/widgets"

    async def define(self, spec: Obj, **more: Any) -> None:
        await self.api.define(self.definition(spec, **more))

    def definition(self, spec: Obj, *, rules: list[Obj] | None = None, status: Obj | None = None) -> Obj:
        schema: Obj = {"type": "object", "properties": {"spec": spec, **({"status": status} if status else {})}}
        if rules:
            schema["x-kubernetes-validations"] = rules
        return crd(self.group, schema={"openAPIV3Schema": schema})

    def widget(self, name: str = "one", **parts: Any) -> Obj:
        return {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": {"name": name}, **parts}

    async def create(self, **parts: Any) -> list[str]:
        """Create a widget; the faults."""
        return self.faults(await self.api.create(self.path, self.widget(**parts)))

    async def change(self, patch: Obj) -> list[str]:
        return self.faults(await self.api.patch(f"{self.path}/one", patch))

    def faults(self, answer: Any) -> list[str]:
        if answer.status in (200, 201):
            return []
        assert (answer.status, answer.body["reason"]) == (422, "Invalid"), answer.raw
        return [f"{cause['field']}: {cause['message']}" for cause in answer.body["details"]["causes"]]


@pytest.fixture
async def kind(server: Api, namespace: str) -> AsyncIterator[Kind]:
    found = Kind(server, f"{namespace}.example.com", namespace)
    yield found
    await server.delete(f"{DEFINITIONS}/widgets.{found.group}")


def fields(*rules: Obj, **properties: Obj) -> Obj:
    return {"type": "object", "properties": properties, **({"x-kubernetes-validations": list(rules)} if rules else {})}


def rule(text: str, **more: Any) -> Obj:
    return {"rule": text, **more}


async def test_a_rule_that_does_not_hold_refuses_in_the_words_of_kubernetes(kind: Kind) -> None:
    await kind.define(fields(rule("self.least <= self.most"), least=INTEGER, most=INTEGER))
    answer = await kind.api.create(kind.path, kind.widget(spec={"least": 2, "most": 1}))
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'Widget.{kind.group} "one" is invalid: spec: Invalid value: failed rule: self.least <= self.most',
        "reason": "Invalid",
        "details": {
            "name": "one",
            "group": kind.group,
            "kind": "Widget",
            "causes": [
                {
                    "reason": "FieldValueInvalid",
                    "message": "Invalid value: failed rule: self.least <= self.most",
                    "field": "spec",
                }
            ],
        },
        "code": 422,
    }
    assert await kind.create(spec={"least": 1, "most": 2}) == []


async def test_the_message_of_a_rule_and_the_expression_for_one_are_told(kind: Kind) -> None:
    await kind.define(
        fields(
            rule("self.a < 2", message="a must be small"),
            rule("self.a < 3", messageExpression="'a is %d, not below 3'.format([self.a])", fieldPath=".a"),
            rule("self.a < 4", messageExpression="string(1/0)", message="it cannot be told", reason="FieldValueForbidden"),
            a=INTEGER,
        )
    )
    assert await kind.create(spec={"a": 9}) == [
        "spec: Invalid value: a must be small",
        "spec.a: Invalid value: a is 9, not below 3",
        "spec: Forbidden: it cannot be told",
    ]


async def test_rules_hold_on_every_level(kind: Kind) -> None:
    small = {**INTEGER, "x-kubernetes-validations": [rule("self < 5")]}
    await kind.define(
        fields(
            a=small,
            list={"type": "array", "maxItems": 9, "items": small},
            map={"type": "object", "maxProperties": 9, "additionalProperties": small},
        ),
        rules=[rule("self.metadata.name.startsWith('o')", message="wrong name")],
    )
    assert sorted(await kind.create(name="x", spec={"a": 7, "list": [1, 8], "map": {"k": 9}})) == [
        "<nil>: Invalid value: wrong name",
        "spec.a: Invalid value: 7: failed rule: self < 5",
        "spec.list[1]: Invalid value: 8: failed rule: self < 5",
        "spec.map[k]: Invalid value: 9: failed rule: self < 5",
    ]


async def test_a_transition_rule_is_asked_when_there_is_an_old_value(kind: Kind) -> None:
    once = {**TEXT, "x-kubernetes-validations": [rule("self == oldSelf", message="cannot be changed")]}
    item = {"type": "object", "required": ["name"], "properties": {"name": {**TEXT, "maxLength": 9}, "size": INTEGER}}
    grows = {**item, "x-kubernetes-validations": [rule("self.size >= oldSelf.size", message="cannot shrink")]}
    keyed = {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    await kind.define(fields(name=once, disks={**keyed, "items": grows}))
    assert await kind.create(spec={"name": "a", "disks": [{"name": "x", "size": 2}, {"name": "y", "size": 2}]}) == []
    disks = [{"name": "z", "size": 1}, {"name": "y", "size": 3}, {"name": "x", "size": 1}]
    assert sorted(await kind.change({"spec": {"name": "b", "disks": disks}})) == [
        "spec.disks[2]: Invalid value: cannot shrink",
        'spec.name: Invalid value: "b": cannot be changed',
    ]
    assert await kind.change({"spec": {"disks": disks[:2]}}) == []


async def test_a_transition_rule_may_ask_for_an_old_value_that_is_optional(kind: Kind) -> None:
    text = "oldSelf.hasValue() ? self.a >= oldSelf.value().a : self.a == 1"
    await kind.define(fields(rule(text, optionalOldSelf=True, message="one after the other"), a=INTEGER))
    refused = ["spec: Invalid value: one after the other"]
    assert [await kind.create(spec={"a": 2}), await kind.create(spec={"a": 1})] == [refused, []]
    assert [await kind.change({"spec": {"a": 3}}), await kind.change({"spec": {"a": 2}})] == [[], refused]


async def test_what_was_wrong_before_the_rule_is_only_told_while_it_does_not_change(kind: Kind) -> None:
    await kind.define(fields(a=INTEGER, b=INTEGER))
    assert await kind.create(spec={"a": 7, "b": 1}) == []
    path = f"{DEFINITIONS}/widgets.{kind.group}"
    stricter = kind.definition(fields(a={**INTEGER, "x-kubernetes-validations": [rule("self < 5")]}, b=INTEGER))
    live = (await kind.api.get(path)).body
    assert (await kind.api.replace(path, {**live, "spec": stricter["spec"]})).status == 200
    marker = kind.widget("marker", spec={"a": 8})
    while (await kind.api.create(kind.path, marker, dryRun="All")).status == 201:
        pass
    answer = await kind.api.patch(f"{kind.path}/one", {"spec": {"b": 2}})
    assert (answer.status, answer.warnings) == (200, ['299 - "spec.a: Invalid value: 7: failed rule: self < 5"'])
    assert await kind.change({"spec": {"a": 6}}) == ["spec.a: Invalid value: 6: failed rule: self < 5"]


async def test_every_way_to_write_is_held_to_the_rules(kind: Kind) -> None:
    await kind.define(
        fields(rule("self.a < 5"), a=INTEGER),
        status=fields(rule("self.b < 5"), b=INTEGER),
    )
    assert await kind.create(spec={"a": 1}) == []
    path = f"{kind.path}/one"
    live = (await kind.api.get(path)).body
    bad = ["spec: Invalid value: failed rule: self.a < 5"]
    assert kind.faults(await kind.api.replace(path, {**live, "spec": {"a": 7}})) == bad
    assert kind.faults(await kind.api.apply(path, kind.widget(spec={"a": 7}), force=True)) == bad
    assert (
        kind.faults(
            await kind.api.patch(path, [{"op": "replace", "path": "/spec/a", "value": 7}], "application/json-patch+json")
        )
        == bad
    )
    worse = await kind.api.patch(f"{path}/status", {"status": {"b": 7}})
    assert kind.faults(worse) == ["status: Invalid value: failed rule: self.b < 5"]
    assert (await kind.api.patch(f"{path}/status", {"status": {"b": 1}})).status == 200


async def test_an_expression_without_a_value_refuses(kind: Kind) -> None:
    anything = {"x-kubernetes-int-or-string": True}
    await kind.define(fields(rule("self.a > 5"), rule("1 / self.b > 0"), rule("self.c == 1"), a=anything, b=INTEGER, c=INTEGER))
    assert await kind.create(spec={"a": "x", "b": 0}) == [
        "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function or "
        "macro signature for rule: self.a > 5",
        'spec: Invalid value: "object": division by zero evaluating rule: 1 / self.b > 0',
        'spec: Invalid value: "object": no such key: c evaluating rule: self.c == 1',
    ]


async def test_rules_are_not_asked_about_an_object_of_the_wrong_shape(kind: Kind) -> None:
    await kind.define({**fields(rule("self.a < 5"), a=INTEGER, b=TEXT), "required": ["b"]})
    why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    assert await kind.create(spec={"a": 7}) == ["spec.b: Required value", f"<nil>: Invalid value: null: {why} validation"]


async def test_a_rule_that_runs_for_too_long_is_stopped(kind: Kind) -> None:
    items = {"type": "array", "items": {**INTEGER, "maximum": 1000}, "maxItems": 200}
    await kind.define(fields(rule("self.a.all(x, self.a.all(y, x + y >= 0 && x * y >= 0))"), a=items))
    assert await kind.create(spec={"a": list(range(200))}) == []


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (
            rule("self.b > 1"),
            'rule: Invalid value: {"Rule":"self.b \\u003e 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"",'
            "\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 1\n | ....^",
        ),
        (
            rule("self.a"),
            'rule: Invalid value: {"Rule":"self.a","Message":"","MessageExpression":"","Reason":null,"FieldPath":"",'
            '"OptionalOldSelf":null}: cel expression must evaluate to a bool',
        ),
        (rule(" "), "rule: Required value: rule is not specified"),
        (
            rule("self.a > 1", reason="Nope"),
            'reason: Unsupported value: "Nope": supported values: "FieldValueDuplicate", "FieldValueForbidden", '
            '"FieldValueInvalid", "FieldValueRequired"',
        ),
        (rule("self.a > 1", fieldPath=".b"), 'fieldPath: Invalid value: ".b": must be a valid path'),
        (
            rule("self.a > 1", optionalOldSelf=True),
            "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (rule("self.a > 1", message="a\nb"), 'message: Invalid value: "a\\nb": must not contain line breaks'),
        (
            rule("self.l.all(x, self.l.all(y, x == y))"),
            "rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or "
            "adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
        ),
    ],
)
async def test_a_definition_with_a_bad_rule_is_refused(kind: Kind, bad: Obj, fault: str) -> None:
    answer = await kind.api.create(DEFINITIONS, kind.definition(fields(bad, a=INTEGER, l={"type": "array", "items": TEXT})))
    place = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"
    found = kind.faults(answer)
    assert found[0].removeprefix(f"{place}.") == fault


async def test_an_old_value_cannot_be_known_in_a_list_without_keys(kind: Kind) -> None:
    item = {**INTEGER, "x-kubernetes-validations": [rule("self >= oldSelf")]}
    answer = await kind.api.create(DEFINITIONS, kind.definition(fields(l={"type": "array", "maxItems": 5, "items": item})))
    place = "spec.validation.openAPIV3Schema.properties[spec].properties[l]"
    assert kind.faults(answer) == [
        f'{place}.items.x-kubernetes-validations[0].rule: Invalid value: "self >= oldSelf": oldSelf cannot be used on the '
        f"uncorrelatable portion of the schema within {place}"
    ]
