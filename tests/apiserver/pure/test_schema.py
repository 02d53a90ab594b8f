"""Schemas: what is structural, what is valid, what is pruned, what is filled in."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.apiserver.schema import (
    Schema,
    apply_defaults,
    from_crd,
    from_openapi,
    prune,
    structural_errors,
    unknown_fields,
    validate,
    validate_change,
)

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def schema(**spec: Any) -> Schema:
    """The schema of a custom resource whose ``spec`` is as given."""
    return from_crd({"type": "object", "properties": {"spec": spec}})


def fields(**properties: Any) -> Schema:
    return schema(type="object", properties=properties)


def faults(found: Schema, spec: Any) -> list[str]:
    return [str(error) for error in validate(found, {"spec": spec})]


class TestStructural:
    def test_a_schema_with_a_type_at_every_node_is_structural(self) -> None:
        good = {
            "type": "object",
            "properties": {
                "a": TEXT,
                "b": {"type": "array", "items": {"type": "object", "additionalProperties": NUMBER}},
                "c": {"x-kubernetes-int-or-string": True},
                "d": {"x-kubernetes-preserve-unknown-fields": True},
                "e": {"type": "object", "additionalProperties": True},
            },
        }
        assert structural_errors(good) == []

    @pytest.mark.parametrize(
        ("node", "message"),
        [
            ({}, "s.properties[f].type: Required value: must not be empty for specified object fields"),
            (
                {"type": "text"},
                's.properties[f].type: Unsupported value: "text": supported values: '
                '"array", "boolean", "integer", "number", "object", "string"',
            ),
            ({"type": "string", "$ref": "#/x"}, "s.properties[f].$ref: Forbidden: $ref is not supported"),
            ({"type": "array"}, "s.properties[f].items: Required value: must be specified"),
            (
                {"type": "array", "items": TEXT, "uniqueItems": True},
                "s.properties[f].uniqueItems: Forbidden: uniqueItems cannot be set to true",
            ),
            (
                {"type": "array", "items": TEXT, "x-kubernetes-list-type": "bag"},
                's.properties[f].x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "set", "map"',
            ),
            (
                {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
                "s.properties[f].x-kubernetes-list-map-keys: Required value: "
                "must not be empty if x-kubernetes-list-type is map",
            ),
            (
                {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
                "s.properties[f].additionalProperties: Forbidden: additionalProperties and properties are exclusive",
            ),
            (
                {"type": "object", "properties": []},
                "s.properties[f].properties: Invalid value: properties must be an object",
            ),
            ("string", "s.properties[f]: Invalid value: a schema must be an object"),
        ],
    )
    def test_what_is_not_structural_is_named_with_its_path(self, node: Any, message: str) -> None:
        found = structural_errors({"type": "object", "properties": {"f": node}}, "s")
        assert [str(error) for error in found] == [message]

    def test_faults_are_found_in_items_and_in_values_of_maps(self) -> None:
        bad = {
            "type": "object",
            "properties": {
                "list": {"type": "array", "items": {"type": "array"}},
                "map": {"type": "object", "additionalProperties": {}},
            },
        }
        assert [error.path for error in structural_errors(bad, "s")] == [
            "s.properties[list].items.items",
            "s.properties[map].additionalProperties.type",
        ]


class TestValidate:
    @pytest.mark.parametrize(
        ("node", "good", "bad", "message"),
        [
            (TEXT, "x", 1, 'Invalid value: "integer": spec.f in body must be of type string: "integer"'),
            (TEXT, "", {}, 'Invalid value: "object": spec.f in body must be of type string: "object"'),
            (NUMBER, 3, "3", 'Invalid value: "string": spec.f in body must be of type integer: "string"'),
            (NUMBER, 3.0, 3.5, 'Invalid value: "number": spec.f in body must be of type integer: "number"'),
            (NUMBER, 0, True, 'Invalid value: "boolean": spec.f in body must be of type integer: "boolean"'),
            ({"type": "number"}, 3, [], 'Invalid value: "array": spec.f in body must be of type number: "array"'),
            ({"type": "boolean"}, False, 0, 'Invalid value: "integer": spec.f in body must be of type boolean: "integer"'),
            (
                {"type": "array", "items": TEXT},
                [],
                "",
                'Invalid value: "string": spec.f in body must be of type array: "string"',
            ),
            ({**NUMBER, "minimum": 2}, 2, 1, "Invalid value: 1: spec.f in body should be greater than or equal to 2"),
            (
                {**NUMBER, "minimum": 2, "exclusiveMinimum": True},
                3,
                2,
                "Invalid value: 2: spec.f in body should be greater than 2",
            ),
            ({**NUMBER, "maximum": 2}, 2, 3, "Invalid value: 3: spec.f in body should be less than or equal to 2"),
            (
                {**NUMBER, "maximum": 2, "exclusiveMaximum": True},
                1,
                2,
                "Invalid value: 2: spec.f in body should be less than 2",
            ),
            ({**NUMBER, "multipleOf": 5}, 10, 7, "Invalid value: 7: spec.f in body should be a multiple of 5"),
            (
                {**NUMBER, "format": "int32"},
                2**31 - 1,
                2**31,
                "Invalid value: 2147483648: spec.f in body must be of type int32",
            ),
            ({**TEXT, "minLength": 2}, "äö", "ä", 'Invalid value: "\\u00e4": spec.f in body should be at least 2 chars long'),
            ({**TEXT, "maxLength": 2}, "äö", "äöü", "Too long: may not be more than 2 bytes"),
            ({**TEXT, "pattern": "^a+$"}, "aa", "ab", "Invalid value: \"ab\": spec.f in body should match '^a+$'"),
            ({**TEXT, "pattern": "^a+$"}, "aa", "aa\n", "Invalid value: \"aa\\n\": spec.f in body should match '^a+$'"),
            ({**TEXT, "pattern": r"^\d$"}, "7", "٧", "Invalid value: \"\\u0667\": spec.f in body should match '^\\d$'"),
            ({**TEXT, "enum": ["a", "b"]}, "b", "c", 'Unsupported value: "c": supported values: "a", "b"'),
            ({**NUMBER, "enum": [0, 2]}, 2, 1, "Unsupported value: 1: supported values: 0, 2"),
            (
                {"type": "array", "items": TEXT, "minItems": 1},
                ["x"],
                [],
                "Invalid value: 0: spec.f in body should have at least 1 items",
            ),
            ({"type": "array", "items": TEXT, "maxItems": 1}, ["x"], ["x", "y"], "Too many: 2: must have at most 1 items"),
            (
                {"type": "object", "additionalProperties": TEXT, "minProperties": 1},
                {"a": "x"},
                {},
                "Invalid value: {}: spec.f in body should have at least 1 properties",
            ),
            (
                {"type": "object", "additionalProperties": TEXT, "maxProperties": 1},
                {"a": "x"},
                {"a": "x", "b": "y"},
                "Too many: 2: must have at most 1 items",
            ),
            (
                {**TEXT, "format": "date-time"},
                "2026-01-02T03:04:05Z",
                "yesterday",
                'Invalid value: "yesterday": spec.f in body must be of type date-time: "yesterday"',
            ),
            (
                {"x-kubernetes-int-or-string": True},
                "25%",
                True,
                'Invalid value: "boolean": spec.f in body must be of type integer,string: "boolean"',
            ),
            (
                {"x-kubernetes-int-or-string": True, "pattern": "^[0-9]+%$"},
                7,
                "7",
                "Invalid value: \"7\": spec.f in body should match '^[0-9]+%$'",
            ),
        ],
    )
    def test_a_value_is_checked(self, node: dict[str, Any], good: Any, bad: Any, message: str) -> None:
        found = fields(f=node)
        assert (faults(found, {"f": good}), faults(found, {"f": bad})) == ([], [f"spec.f: {message}"])

    def test_a_required_field_is_missed_with_its_path(self) -> None:
        found = fields(items={"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT}}})
        assert faults(found, {"items": [{"name": "a"}, {}]}) == ["spec.items[1].name: Required value"]

    def test_null_is_no_value_but_where_it_is_allowed(self) -> None:
        found = schema(
            type="object",
            required=["a", "b"],
            properties={"a": {**TEXT, "nullable": True}, "b": TEXT, "c": TEXT},
        )
        assert faults(found, {"a": None, "b": None, "c": None}) == [
            'spec.b: Invalid value: "null": spec.b in body must be of type string: "null"',
            'spec.c: Invalid value: "null": spec.c in body must be of type string: "null"',
        ]

    def test_null_in_a_list_or_a_map_is_of_the_wrong_type(self) -> None:
        found = fields(list={"type": "array", "items": TEXT}, map={"type": "object", "additionalProperties": TEXT})
        assert faults(found, {"list": [None], "map": {"x": None}}) == [
            'spec.list[0]: Invalid value: "null": spec.list[0] in body must be of type string: "null"',
            'spec.map.x: Invalid value: "null": spec.map.x in body must be of type string: "null"',
        ]

    def test_a_set_has_no_item_twice(self) -> None:
        found = fields(f={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"})
        assert faults(found, {"f": ["a", "b", "a"]}) == ['spec.f[2]: Duplicate value: "a"']

    def test_a_map_list_has_no_key_twice(self) -> None:
        item = {"type": "object", "properties": {"name": TEXT, "port": NUMBER}}
        hints = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"]}
        found = fields(f={"type": "array", "items": item, **hints})
        assert faults(found, {"f": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}) == []
        assert faults(found, {"f": [{"name": "a", "port": 1}, {"name": "a", "port": 1}]}) == [
            'spec.f[1]: Duplicate value: {"name":"a","port":1}'
        ]

    def test_at_most_twenty_faults_are_told(self) -> None:
        found = fields(f={"type": "array", "items": TEXT})
        assert len(faults(found, {"f": [1] * 100})) == 20

    def test_a_long_value_is_shown_cut(self) -> None:
        (only,) = faults(fields(f={**TEXT, "enum": ["a"]}), {"f": "x" * 300})
        assert only == 'spec.f: Unsupported value: "' + "x" * 199 + '...: supported values: "a"'

    @pytest.mark.parametrize(
        ("node", "value", "reason"),
        [
            ({**TEXT, "enum": ["a"]}, "b", "FieldValueNotSupported"),
            ({**TEXT, "maxLength": 1}, "bb", "FieldValueTooLong"),
            ({"type": "array", "items": TEXT, "maxItems": 0}, ["b"], "FieldValueTooMany"),
            ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, ["b", "b"], "FieldValueDuplicate"),
            (TEXT, 1, "FieldValueTypeInvalid"),
            ({**TEXT, "pattern": "^a$"}, "b", "FieldValueInvalid"),
        ],
    )
    def test_a_fault_has_the_reason_of_its_cause(self, node: dict[str, Any], value: Any, reason: str) -> None:
        assert [error.reason for error in validate(fields(f=node), {"spec": {"f": value}})] == [reason]

    @pytest.mark.parametrize(
        ("junctor", "good", "bad"),
        [
            ({"anyOf": [{"minimum": 10}, {"maximum": 2}]}, 1, 5),
            ({"allOf": [{"minimum": 2}, {"maximum": 10}]}, 5, 11),
            ({"oneOf": [{"minimum": 2}, {"minimum": 4}]}, 3, 5),
            ({"not": {"enum": [3]}}, 4, 3),
        ],
    )
    def test_junctors_restrict_a_value(self, junctor: dict[str, Any], good: int, bad: int) -> None:
        found = fields(f={**NUMBER, **junctor})
        assert (faults(found, {"f": good}), len(faults(found, {"f": bad}))) == ([], 1)

    @pytest.mark.parametrize(
        ("pattern", "good", "bad"),
        [
            ("^[[:alpha:]_]+$", "a_B", "a1"),
            ("^[^[:space:]]+$", "ab", "a b"),
            ("^[[]x]$", "[x]", "x"),
            ("^[]x]$", "]", "["),
            (r"^\$[$]$", "$$", "$"),
            (r"\Aab\z", "ab", "ab\n"),
            ("(?m)^b$", "a\nb\nc", "abc"),
            ("^[a&&b]$", "&", "c"),
        ],
    )
    def test_a_pattern_means_what_it_means_in_go(self, pattern: str, good: str, bad: str) -> None:
        found = fields(f={**TEXT, "pattern": pattern})
        assert (len(faults(found, {"f": good})), len(faults(found, {"f": bad}))) == (0, 1)

    def test_a_pattern_with_countless_ways_to_match_takes_no_time(self) -> None:
        text = "a" * 5000 + "b"
        assert len(faults(fields(f={**TEXT, "pattern": "^(a+)+$"}), {"f": text})) == 1

    def test_a_pattern_that_is_none_is_refused_in_the_words_of_go(self) -> None:
        found = structural_errors({"type": "object", "properties": {"f": {**TEXT, "pattern": "(a"}}})
        assert [str(error) for error in found] == [
            'openAPIV3Schema.properties[f].pattern: Invalid value: "(a": must be a valid regular expression, but isn\'t: '
            "error parsing regexp: missing closing ): `(a`"
        ]

    def test_a_pattern_with_a_script_is_not_refused(self) -> None:
        assert structural_errors({**TEXT, "pattern": r"^\p{Greek}$"}) == []

    def test_a_pattern_that_only_go_understands_lets_everything_pass(self) -> None:
        assert faults(fields(f={**TEXT, "pattern": r"^\p{Greek}$"}), {"f": "a"}) == []

    def test_exactly_one_of_several_fields_can_be_asked_for(self) -> None:
        found = schema(
            type="object",
            properties={"a": TEXT, "b": TEXT},
            oneOf=[{"required": ["a"]}, {"required": ["b"]}],
        )
        assert faults(found, {"a": "x"}) == []
        assert faults(found, {}) == [
            'spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid'
        ]
        assert faults(found, {"a": "x", "b": "y"}) == [
            'spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives'
        ]


class TestChange:
    """What was stored before a schema became stricter can be written again as it is."""

    def test_a_fault_of_a_value_that_has_not_changed_is_let_pass(self) -> None:
        found = fields(a={**TEXT, "maxLength": 1}, b=TEXT)
        old = {"spec": {"a": "long", "b": "1"}}
        assert validate_change(found, {"spec": {"a": "long", "b": "2"}}, old) == []
        assert [str(error) for error in validate_change(found, {"spec": {"a": "else", "b": "1"}}, old)] == [
            "spec.a: Too long: may not be more than 1 bytes"
        ]

    def test_true_is_another_value_than_one(self) -> None:
        found = fields(a=TEXT)
        assert len(validate_change(found, {"spec": {"a": True}}, {"spec": {"a": 1}})) == 1

    @pytest.mark.parametrize(
        ("list_type", "expected"), [("map", []), ("atomic", ["spec.l[1].v: Too long: may not be more than 1 bytes"])]
    )
    def test_an_item_has_a_past_in_a_list_with_keys_alone(self, list_type: str, expected: list[str]) -> None:
        item = {"type": "object", "properties": {"k": TEXT, "v": {**TEXT, "maxLength": 1}}}
        keys = {"x-kubernetes-list-map-keys": ["k"]} if list_type == "map" else {}
        found = fields(l={"type": "array", "items": item, "x-kubernetes-list-type": list_type, **keys})
        kept = {"k": "a", "v": "long"}
        faults_now = validate_change(found, {"spec": {"l": [{"k": "b"}, kept]}}, {"spec": {"l": [kept]}})
        assert [str(error) for error in faults_now] == expected

    def test_what_stood_twice_before_may_stand_twice(self) -> None:
        found = fields(l={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"})
        new, twice, once = ({"spec": {"l": items}} for items in (["a", "a", "b"], ["a", "a"], ["a"]))
        assert validate_change(found, new, twice) == []
        assert [error.path for error in validate_change(found, new, once)] == ["spec.l[1]"]


class TestPrune:
    def test_fields_that_the_schema_does_not_know_go(self) -> None:
        found = fields(a=TEXT, list={"type": "array", "items": {"type": "object", "properties": {"x": TEXT}}})
        value = {"spec": {"a": "1", "b": "2", "list": [{"x": "1", "y": "2"}]}, "more": 1}
        assert prune(found, value) == {"spec": {"a": "1", "list": [{"x": "1"}]}}
        assert unknown_fields(found, value) == ["spec.b", "spec.list[0].y", "more"]

    def test_a_value_that_fits_is_returned_itself(self) -> None:
        value = {"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"a": "1"}}
        assert prune(fields(a=TEXT), value) is value

    def test_an_object_without_fields_keeps_none(self) -> None:
        assert prune(schema(type="object"), {"spec": {"a": 1}}) == {"spec": {}}

    def test_a_node_that_preserves_keeps_all_but_prunes_what_it_knows(self) -> None:
        found = schema(
            type="object",
            properties={"known": {"type": "object", "properties": {"a": TEXT}}},
            **{"x-kubernetes-preserve-unknown-fields": True},
        )
        value = {"spec": {"known": {"a": "1", "b": "2"}, "free": {"x": [1, {"y": 2}]}}}
        assert prune(found, value) == {"spec": {"known": {"a": "1"}, "free": {"x": [1, {"y": 2}]}}}
        assert unknown_fields(found, value) == ["spec.known.b"]

    def test_a_map_of_anything_keeps_everything(self) -> None:
        value = {"spec": {"a": {"b": 1}}}
        assert prune(schema(type="object", additionalProperties=True), value) is value

    def test_values_of_a_map_are_pruned(self) -> None:
        found = schema(type="object", additionalProperties={"type": "object", "properties": {"a": TEXT}})
        assert prune(found, {"spec": {"k": {"a": "1", "b": "2"}}}) == {"spec": {"k": {"a": "1"}}}

    def test_null_goes_where_it_is_not_allowed_and_no_default_replaces_it(self) -> None:
        found = fields(a=TEXT, b={**TEXT, "nullable": True}, c={**TEXT, "default": "c"}, list={"type": "array", "items": TEXT})
        pruned = prune(found, {"spec": {"a": None, "b": None, "c": None, "list": [None]}})
        assert pruned == {"spec": {"b": None, "c": None, "list": [None]}}
        assert apply_defaults(found, pruned) == {"spec": {"b": None, "c": "c", "list": [None]}}

    def test_an_embedded_resource_keeps_its_kind_and_metadata(self) -> None:
        found = fields(f={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}})
        value = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "odd": 1}, "other": 1}
        assert prune(found, {"spec": {"f": value}}) == {
            "spec": {"f": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}}}
        }


class TestDefaults:
    def test_absent_fields_are_filled_in_as_far_as_their_parents_are_there(self) -> None:
        found = fields(
            a={**TEXT, "default": "x"},
            deep={"type": "object", "properties": {"b": {**NUMBER, "default": 1}}},
            made={"type": "object", "default": {}, "properties": {"c": {**NUMBER, "default": 2}}},
        )
        assert apply_defaults(found, {"spec": {}}) == {"spec": {"a": "x", "made": {"c": 2}}}
        assert apply_defaults(found, {"spec": {"deep": {}}}) == {"spec": {"a": "x", "deep": {"b": 1}, "made": {"c": 2}}}
        assert apply_defaults(found, {}) == {}

    def test_items_and_values_of_maps_are_filled_in(self) -> None:
        part = {"type": "object", "properties": {"n": {**NUMBER, "default": 1}}}
        found = fields(list={"type": "array", "items": part}, map={"type": "object", "additionalProperties": part})
        assert apply_defaults(found, {"spec": {"list": [{}, {"n": 2}], "map": {"k": {}}}}) == {
            "spec": {"list": [{"n": 1}, {"n": 2}], "map": {"k": {"n": 1}}}
        }

    def test_what_is_there_stays_even_when_it_is_empty_or_false(self) -> None:
        found = fields(
            a={**TEXT, "default": "x"}, b={"type": "boolean", "default": True}, c={**TEXT, "default": "x", "nullable": True}
        )
        value = {"spec": {"a": "", "b": False, "c": None}}
        assert apply_defaults(found, value) is value

    def test_a_default_is_not_shared_between_objects(self) -> None:
        found = fields(a={"type": "object", "default": {"x": "1"}, "additionalProperties": TEXT})
        first = apply_defaults(found, {"spec": {}})
        first["spec"]["a"]["y"] = "2"
        assert apply_defaults(found, {"spec": {}}) == {"spec": {"a": {"x": "1"}}}


class TestOpenApi:
    DOCUMENT: dict[str, Any] = {
        "components": {
            "schemas": {
                "Root": {
                    "type": "object",
                    "properties": {
                        "node": {"$ref": "#/components/schemas/Node"},
                        "atomic": {"allOf": [{"$ref": "#/components/schemas/Node"}], "x-kubernetes-map-type": "atomic"},
                        "raw": {"$ref": "#/components/schemas/Raw"},
                        "port": {"$ref": "#/components/schemas/IntOrString"},
                    },
                },
                "Node": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "children": {
                            "type": "array",
                            "items": {"allOf": [{"$ref": "#/components/schemas/Node"}]},
                            "x-kubernetes-patch-strategy": "merge,retainKeys",
                            "x-kubernetes-patch-merge-key": "name",
                        },
                    },
                },
                "Raw": {"type": "object"},
                "IntOrString": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
            }
        }
    }

    def test_a_type_may_refer_to_itself(self) -> None:
        found = from_openapi(self.DOCUMENT, "Root")
        deep = {"node": {"name": "a", "children": [{"children": [{"name": 1, "odd": 1}]}]}}
        assert [error.path for error in validate(found, deep)] == ["node.children[0].children[0].name"]
        assert unknown_fields(found, deep) == ["node.children[0].children[0].odd"]

    def test_hints_beside_a_reference_are_of_that_field_alone(self) -> None:
        found = from_openapi(self.DOCUMENT, "Root")
        assert (found.properties["node"].map_type, found.properties["atomic"].map_type) == ("", "atomic")

    def test_hints_for_strategic_merge_are_read(self) -> None:
        children = from_openapi(self.DOCUMENT, "Root").properties["node"].properties["children"]
        assert (children.patch_strategy, children.patch_key) == (frozenset({"merge", "retainKeys"}), "name")

    def test_a_built_in_object_without_fields_holds_anything(self) -> None:
        value = {"raw": {"a": [1]}}
        assert prune(from_openapi(self.DOCUMENT, "Root"), value) is value

    def test_a_port_is_a_number_or_a_name(self) -> None:
        found = from_openapi(self.DOCUMENT, "Root")
        assert [validate(found, {"port": port}) for port in (80, "http")] == [[], []]
        assert len(validate(found, {"port": [80]})) == 1
