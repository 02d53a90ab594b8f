"""Lists: selected, in order, in pages of one snapshot, at a version."""

from __future__ import annotations

from typing import Any

import pytest

from support.apiserver import Api, config_map


@pytest.fixture
async def letters(server: Api, config_maps: str) -> str:
    """Seven objects named by letters, every second labelled even."""
    for number, letter in enumerate("gfedcba"):
        labels = {"suite": "letters", "parity": "odd" if number % 2 else "even"}
        await server.create(config_maps, config_map(letter, {"n": str(number)}, labels=labels))
    return config_maps


def names(body: dict[str, Any]) -> str:
    return "".join(item["metadata"]["name"] for item in body["items"] if len(item["metadata"]["name"]) == 1)


async def test_a_list_is_in_the_order_of_names(server: Api, letters: str) -> None:
    body = (await server.get(letters)).body
    assert (body["kind"], body["apiVersion"], names(body)) == ("ConfigMapList", "v1", "abcdefg")
    assert int(body["metadata"]["resourceVersion"]) > 0


async def test_an_empty_list_has_a_version(server: Api, namespace: str) -> None:
    body = (await server.get(f"/api/v1/namespaces/{namespace}/endpoints")).body
    assert body["items"] == []
    assert int(body["metadata"]["resourceVersion"]) > 0


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("parity=even", "aceg"),
        ("parity==even", "aceg"),
        ("parity!=even", "bdf"),
        ("parity in (odd, even)", "abcdefg"),
        ("parity in (odd),suite=letters", "bdf"),
        ("parity notin (odd)", "aceg"),
        ("parity", "abcdefg"),
        ("!parity", ""),
        ("suite=letters,!none", "abcdefg"),
        ("parity=", ""),
    ],
)
async def test_labels_select(server: Api, letters: str, selector: str, expected: str) -> None:
    assert names((await server.get(letters, labelSelector=selector)).body) == expected


@pytest.mark.parametrize("selector", ["=x", "a=b=c", "a in b", "a in (b", "a b", ",", "-bad=x", "a=b c"])
async def test_a_label_selector_that_is_none_is_a_bad_request(server: Api, config_maps: str, selector: str) -> None:
    answer = await server.get(config_maps, labelSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(("selector", "expected"), [("metadata.name=c", "c"), ("metadata.name!=c", "abdefg")])
async def test_fields_select(server: Api, letters: str, selector: str, expected: str) -> None:
    assert names((await server.get(letters, fieldSelector=selector, labelSelector="suite")).body) == expected


@pytest.mark.parametrize("selector", ["data.n=1", "metadata.labels=x", "nonsense"])
async def test_a_field_that_cannot_select_is_a_bad_request(server: Api, config_maps: str, selector: str) -> None:
    answer = await server.get(config_maps, fieldSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_a_refused_selector_says_what_was_expected(server: Api, namespace: str) -> None:
    maps, pods = (f"/api/v1/namespaces/{namespace}/{plural}" for plural in ("configmaps", "pods"))
    assert (await server.get(maps, fieldSelector="data.n=1")).body["message"] == (
        '"data.n" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
    assert (await server.get(pods, fieldSelector="data.n=1")).body["message"] == "field label not supported: data.n"
    said = {
        "=x": "found '=', expected: !, identifier, or 'end of string'",
        "!": "unable to parse requirement: found '', expected: identifier",
        "a=b=c": "found '=', expected: ',' or 'end of string'",
        "a,,b": "found ',', expected: identifier after ','",
        "a in (x))": "found ')', expected: ',' or 'end of string'",
    }
    for selector, message in said.items():
        assert (await server.get(maps, labelSelector=selector)).body["message"] == message


async def test_secrets_are_selected_by_type(server: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name, kind in (("a", "Opaque"), ("b", "example.com/kind")):
        await server.create(path, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind})
    assert names((await server.get(path, fieldSelector="type=example.com/kind")).body) == "b"


async def test_events_are_selected_by_their_object(server: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/events"
    for name, kind in (("a", "Pod"), ("b", "Node")):
        regarding = {"kind": kind, "name": "x", "namespace": namespace}
        body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": regarding, "type": "Normal"}
        assert (await server.create(path, body)).status == 201
    assert names((await server.get(path, fieldSelector="involvedObject.kind=Pod,type!=Warning")).body) == "a"


async def test_pages_are_cut_from_one_snapshot(server: Api, letters: str) -> None:
    first = (await server.get(letters, limit=3, labelSelector="suite")).body
    assert names(first) == "abc"
    assert first["metadata"]["continue"]
    await server.create(letters, config_map("cc", labels={"suite": "letters"}))
    await server.delete(f"{letters}/e")
    second = (await server.get(letters, limit=3, labelSelector="suite", **{"continue": first["metadata"]["continue"]})).body
    assert names(second) == "def"
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = (await server.get(letters, limit=3, labelSelector="suite", **{"continue": second["metadata"]["continue"]})).body
    assert names(third) == "g"
    assert "continue" not in third["metadata"]


async def test_the_first_page_says_how_many_are_left(server: Api, letters: str) -> None:
    count = len((await server.get(letters)).body["items"])
    body = (await server.get(letters, limit=3)).body
    assert body["metadata"]["remainingItemCount"] == count - 3


async def test_a_page_that_holds_all_has_no_next(server: Api, letters: str) -> None:
    body = (await server.get(letters, limit=500)).body
    assert "continue" not in body["metadata"]


async def test_a_continue_token_that_is_none_is_refused(server: Api, letters: str) -> None:
    answer = await server.get(letters, limit=3, **{"continue": "nonsense"})
    assert answer.status in (400, 410)


async def test_a_list_over_all_namespaces_has_every_one(server: Api, letters: str, namespace: str) -> None:
    body = (await server.get("/api/v1/configmaps", labelSelector="suite=letters")).body
    assert names({"items": [i for i in body["items"] if i["metadata"]["namespace"] == namespace]}) == "abcdefg"


async def test_a_list_may_be_any_that_is_not_older_than_a_version(server: Api, letters: str) -> None:
    version = (await server.get(letters)).body["metadata"]["resourceVersion"]
    assert names((await server.get(letters, resourceVersion="0")).body) == "abcdefg"
    newer = await server.get(letters, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert names(newer.body) == "abcdefg"


async def test_a_list_at_the_present_version_is_exact(server: Api, letters: str) -> None:
    version = (await server.get(letters)).body["metadata"]["resourceVersion"]
    exact = await server.get(letters, resourceVersion=version, resourceVersionMatch="Exact", limit=3)
    assert exact.status == 200
    assert exact.body["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "Exact"},
        {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
        {"resourceVersion": "1", "resourceVersionMatch": "Nonsense"},
        {"resourceVersion": "x"},
    ],
)
async def test_versions_that_make_no_sense_are_refused(server: Api, config_maps: str, query: dict[str, str]) -> None:
    answer = await server.get(config_maps, **query)
    assert answer.status in (400, 422)


async def test_a_version_that_is_still_to_come_is_too_large(server: Api, config_maps: str) -> None:
    answer = await server.get(config_maps, resourceVersion="999999999", resourceVersionMatch="NotOlderThan")
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert [cause["reason"] for cause in answer.body["details"]["causes"]] == ["ResourceVersionTooLarge"]


async def test_metadata_alone_can_be_had(server: Api, letters: str) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = await server.request("GET", letters, headers={"Accept": accept})
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert {tuple(sorted(item)) for item in answer.body["items"]} == {("apiVersion", "kind", "metadata")}


async def test_a_table_can_be_had(server: Api, letters: str) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    answer = await server.request("GET", f"{letters}/a", headers={"Accept": accept})
    body = answer.body
    assert (body["kind"], body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in body["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert body["rows"][0]["cells"][:2] == ["a", 1]
