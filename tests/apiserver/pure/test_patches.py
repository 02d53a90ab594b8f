"""The three patches: JSON (RFC 6902), merge (RFC 7386), strategic merge."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.patch import PatchError, json_patch, merge_patch, strategic_merge_patch
from cozystack.apiserver.resources import Registry
from cozystack.apiserver.schema import Schema, from_openapi

Obj = dict[str, Any]


class TestJsonPatch:
    @pytest.mark.parametrize(
        ("document", "operations", "result"),
        [
            # Appendix A of the RFC.
            ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
            (
                {"foo": ["bar", "baz"]},
                [{"op": "add", "path": "/foo/1", "value": "qux"}],
                {"foo": ["bar", "qux", "baz"]},
            ),
            ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
            ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
            ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
            (
                {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
                [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
                {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
            ),
            (
                {"foo": ["all", "grass", "cows", "eat"]},
                [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
                {"foo": ["all", "cows", "eat", "grass"]},
            ),
            (
                {"baz": "qux", "foo": ["a", 2, "c"]},
                [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
                {"baz": "qux", "foo": ["a", 2, "c"]},
            ),
            (
                {"foo": "bar"},
                [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
                {"foo": "bar", "child": {"grandchild": {}}},
            ),
            ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}], {"foo": "bar", "baz": "qux"}),
            ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
            (
                {"foo": ["bar"]},
                [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
                {"foo": ["bar", ["abc", "def"]]},
            ),
            # And what else may come.
            ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
            ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
            ({"a": 1}, [{"op": "add", "path": "/a", "value": None}], {"a": None}),
            ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
            ({"a/b": 1}, [{"op": "remove", "path": "/a~1b"}], {}),
            ({"a": [0]}, [{"op": "replace", "path": "/a/0", "value": 1}], {"a": [1]}),
            ({"a": 1.0}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1.0}),
            ({"a": 1}, [], {"a": 1}),
            # What the library of Kubernetes lets pass.
            ({"a": 1}, [{"op": "replace", "path": "/x", "value": 2}], {"a": 1, "x": 2}),
            ({"a": 1}, [{"op": "add", "path": "/x"}], {"a": 1, "x": None}),
            ({"a": 1}, [{"op": "copy", "from": "/y", "path": "/x"}], {"a": 1, "x": None}),
            ({"a": 1}, [{"op": "test", "path": "/x", "value": None}], {"a": 1}),
            ({"a": 1}, [{"op": "remove", "path": "what/a"}], {}),
            ({"a": [1, 2]}, [{"op": "replace", "path": "/a/-1", "value": 3}], {"a": [1, 3]}),
            ({"a": [1, 2]}, [{"op": "replace", "path": "/a/01", "value": 3}], {"a": [1, 3]}),
        ],
    )
    def test_operations_are_applied_in_order(self, document: Any, operations: list[Obj], result: Any) -> None:
        before = copy.deepcopy((document, operations))
        assert json_patch(document, operations) == result
        assert (document, operations) == before

    @pytest.mark.parametrize(
        ("operations", "message"),
        [
            ({}, "a JSON patch is a list of operations"),
            (["remove"], "operation 0 is not an object"),
            ([{"op": "remove", "path": ""}], "doc is missing path: "),
            ([{"op": "remove", "path": "/x"}], "Unable to remove nonexistent key: x"),
            ([{"op": "add", "path": "/x/y", "value": 1}], "doc is missing path: /x/y"),
            ([{"op": "add", "path": "/a/b/c", "value": 1}], "doc is missing path: /a/b/c"),
            ([{"op": "add", "path": "/list/3", "value": 1}], '"3" is no index of a list of 2'),
            ([{"op": "remove", "path": "/list/2"}], '"2" is no index of a list of 2'),
            ([{"op": "remove", "path": "/list/-"}], '"-" is no index of a list of 2'),
            ([{"op": "replace", "path": "/list/-3", "value": 1}], '"-3" is no index of a list of 2'),
            ([{"op": "replace", "path": "/list/١", "value": 1}], '"١" is no index of a list of 2'),
            ([{"op": "test", "path": "/a/b", "value": 2}], "testing value /a/b failed"),
            ([{"op": "test", "path": "/a/b", "value": True}], "testing value /a/b failed"),
            ([{"op": "test", "path": "/a/b", "value": "1"}], "testing value /a/b failed"),
            ([{"op": "add", "path": "x", "value": 1}], "doc is missing path: x"),
            ([{"op": "add", "value": 1}], "doc is missing path: None"),
            ([{"op": "move", "path": "/x"}], "doc is missing path: None"),
            ([{"op": "move", "from": "/a", "path": "/a/b"}], "doc is missing path: /a/b"),
            ([{"op": "replace", "path": "", "value": 1}], "replace operation value must be object or array"),
            ([{"op": "spam", "path": "/a"}], "Unexpected kind: spam"),
            ([{"path": "/a"}], "Unexpected kind: None"),
            ([{"op": "remove", "path": "/a"}] * 10_001, "a JSON patch may have at most 10000 operations"),
        ],
    )
    def test_what_cannot_be_applied_is_refused(self, operations: Any, message: str) -> None:
        with pytest.raises(PatchError) as caught:
            json_patch({"a": {"b": 1}, "list": [1, 2]}, operations)
        assert str(caught.value) == message

    def test_nothing_is_applied_when_one_operation_fails(self) -> None:
        document = {"a": [1]}
        with pytest.raises(PatchError):
            json_patch(document, [{"op": "add", "path": "/a/-", "value": 2}, {"op": "remove", "path": "/x"}])
        assert document == {"a": [1]}


json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from("xy"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return value


class TestMergePatch:
    @pytest.mark.parametrize(
        ("document", "patch", "result"),
        [
            # Appendix A of the RFC.
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
            (["a", "b"], ["c", "d"], ["c", "d"]),
            ({"a": "b"}, ["c"], ["c"]),
            ({"a": "foo"}, None, None),
            ({"a": "foo"}, "bar", "bar"),
            ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ],
    )
    def test_cases_of_the_rfc(self, document: Any, patch: Any, result: Any) -> None:
        before = copy.deepcopy((document, patch))
        assert merge_patch(document, patch) == result
        assert (document, patch) == before

    @given(json, json)
    def test_a_patch_applied_twice_is_a_patch_applied_once(self, document: Any, patch: Any) -> None:
        once = merge_patch(document, patch)
        assert merge_patch(once, patch) == once

    @given(json)
    def test_a_patch_on_nothing_is_the_patch_without_its_nulls(self, patch: Any) -> None:
        assert merge_patch(None, patch) == without_nulls(patch)


@pytest.fixture(scope="module")
def deployment() -> Schema:
    info = Registry().find("apps", "v1", "deployments")
    assert info is not None
    return info.schema


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {"spec": {"template": {"spec": {"containers": list(containers), **spec}}}}


def letters(names: str) -> list[Obj]:
    return [{"name": name} for name in names]


class TestStrategicMergePatch:
    def test_items_are_merged_by_their_key(self, deployment: Schema) -> None:
        live = pod({"name": "a", "image": "1", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "1"})
        patch = pod({"name": "a", "image": "2", "ports": [{"containerPort": 80, "name": "http"}]})
        assert strategic_merge_patch(deployment, live, patch) == pod(
            {"name": "a", "image": "2", "ports": [{"containerPort": 80, "name": "http"}]}, {"name": "b", "image": "1"}
        )

    def test_an_item_can_be_deleted_or_the_list_replaced(self, deployment: Schema) -> None:
        live = pod(*letters("ab"))
        deleted = strategic_merge_patch(deployment, live, pod({"$patch": "delete", "name": "a"}))
        replaced = strategic_merge_patch(deployment, live, pod({"name": "c"}, {"$patch": "replace"}))
        assert (deleted, replaced) == (pod({"name": "b"}), pod({"name": "c"}))

    def test_maps_are_merged_replaced_or_emptied(self, deployment: Schema) -> None:
        live = {"metadata": {"labels": {"a": "1", "b": "2"}}}

        def labels(patch: Obj) -> Obj:
            result: Obj = strategic_merge_patch(deployment, live, {"metadata": {"labels": patch}})["metadata"]["labels"]
            return result

        assert labels({"a": None, "c": "3"}) == {"b": "2", "c": "3"}
        assert labels({"$patch": "replace", "c": "3"}) == {"c": "3"}
        assert labels({"$patch": "delete"}) == {}

    def test_a_list_without_a_strategy_is_replaced(self, deployment: Schema) -> None:
        live = pod({"name": "a", "command": ["x", "y"]})
        assert strategic_merge_patch(deployment, live, pod({"name": "a", "command": ["z"]})) == pod(
            {"name": "a", "command": ["z"]}
        )

    def test_lists_of_texts_with_a_strategy_are_united_and_items_can_be_deleted(self, deployment: Schema) -> None:
        live = {"metadata": {"finalizers": ["a/x", "a/y"]}}
        added = strategic_merge_patch(deployment, live, {"metadata": {"finalizers": ["a/z", "a/x"]}})
        assert added == {"metadata": {"finalizers": ["a/z", "a/x", "a/y"]}}
        gone = strategic_merge_patch(deployment, live, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x", "a/q"]}})
        assert gone == {"metadata": {"finalizers": ["a/y"]}}

    @pytest.mark.parametrize(
        ("live", "patched", "order", "result"),
        [
            ("abc", "", "cba", "cba"),
            ("abc", "", "ca", "bca"),
            ("abc", "d", "dac", "dabc"),
            ("ab", "c", "c", "cab"),
            ("abc", "c", "cb", "acb"),
        ],
    )
    def test_the_order_of_items_can_be_set(self, deployment: Schema, live: str, patched: str, order: str, result: str) -> None:
        patch = pod(*letters(patched), **{"$setElementOrder/containers": letters(order)})
        assert strategic_merge_patch(deployment, pod(*letters(live)), patch) == pod(*letters(result))

    def test_fields_that_are_not_retained_go(self, deployment: Schema) -> None:
        live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
        patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
        assert strategic_merge_patch(deployment, live, patch) == {"spec": {"strategy": {"type": "Recreate"}}}

    def test_what_is_new_comes_without_nulls_and_directives(self, deployment: Schema) -> None:
        patch = pod(
            {"name": "a", "image": None, "env": [{"$patch": "delete", "name": "X"}, {"name": "Y"}]},
            **{"$setElementOrder/containers": letters("a")},
        )
        assert strategic_merge_patch(deployment, {}, patch) == pod({"name": "a", "env": [{"name": "Y"}]})

    @pytest.mark.parametrize(
        ("patch", "message"),
        [
            ([], "a strategic merge patch is an object"),
            ({"metadata": {"labels": {"$patch": "burn"}}}, "unknown patch type: burn in map: map[$patch:burn]"),
            (pod({"$patch": "burn", "name": "a"}), "unknown patch type: burn in map: map[$patch:burn name:a]"),
            (pod({"$patch": "merge", "name": "a"}), "merging lists cannot yet be specified in the patch"),
            (pod({"image": "x"}), "map: map[image:x] does not contain declared merge key: name"),
            (pod({"$patch": "delete"}), "map: map[$patch:delete] does not contain declared merge key: name"),
            ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, "invalid patch format of primitive list"),
            (
                pod(*letters("ab"), **{"$setElementOrder/containers": {}}),
                "invalid patch format of setElementOrder list",
            ),
            (
                pod(*letters("ab"), **{"$setElementOrder/containers": letters("ba")}),
                "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n"
                "[map[name:b] map[name:a]]\n",
            ),
            (
                {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}},
                "invalid patch format of retainKeys",
            ),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, deployment: Schema, patch: Any, message: str) -> None:
        live = {**pod(*letters("ab")), "metadata": {"labels": {}, "finalizers": ["x"]}}
        live["spec"]["strategy"] = {"type": "Recreate"}
        with pytest.raises(PatchError) as caught:
            strategic_merge_patch(deployment, live, patch)
        assert str(caught.value) == message

    def test_lists_of_objects_without_a_key_cannot_be_merged(self) -> None:
        hints = {"x-kubernetes-patch-strategy": "merge"}
        objects = {"type": "array", "items": {"type": "object"}, **hints}
        schema = from_openapi({"components": {"schemas": {"T": {"type": "object", "properties": {"list": objects}}}}}, "T")
        with pytest.raises(PatchError, match="cannot merge lists without merge key"):
            strategic_merge_patch(schema, {"list": [{}]}, {"list": [{"a": 1}]})

    def test_the_input_is_not_changed(self, deployment: Schema) -> None:
        live = pod({"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "b"})
        patch = pod({"$patch": "delete", "name": "b"}, {"name": "a", "env": [{"name": "X", "value": "2"}]})
        before = copy.deepcopy((live, patch))
        strategic_merge_patch(deployment, live, patch)
        assert (live, patch) == before
