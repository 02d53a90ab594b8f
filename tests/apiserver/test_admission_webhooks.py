"""Admission webhooks: who is asked, what is sent, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from cozystack.apiserver import pki
from cozystack.apiserver.admission import CallError, Endpoint, Webhooks
from cozystack.apiserver.admission.calls import call_over_https
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.objects import Objects
from cozystack.apiserver.storage import open_storage
from support.apiserver import ADMIN, JSON_PATCH, TOKEN, Api, client, config_map, crd

Obj = dict[str, Any]
Answerer = Callable[[Obj], Any]

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


class Webhook:
    """A webhook that notes what it is asked, and answers what ``says`` returns (or raises what it raises)."""

    def __init__(self) -> None:
        self.asked: list[Obj] = []
        self.endpoints: list[Endpoint] = []
        self.seconds: list[float] = []
        self.says: Answerer = lambda request: {}

    async def __call__(self, endpoint: Endpoint, review: bytes, seconds: float) -> bytes:
        body = msgspec.json.decode(review)
        assert (body["kind"], body["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
        request = body["request"]
        self.asked.append(request)
        self.endpoints.append(endpoint)
        self.seconds.append(seconds)
        said = self.says(request)
        if isinstance(said, Awaitable):
            said = await said
        if isinstance(said, bytes):
            return said
        response = {"uid": request["uid"], "allowed": True, **said}
        return msgspec.json.encode({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})

    @property
    def names(self) -> list[str]:
        return [f"{request['operation']} {request['resource']['resource']}/{request['name']}" for request in self.asked]


class World:
    """A server whose webhooks are all ``webhook``, and a client of it."""

    def __init__(self, server: ApiServer, api: Api, webhook: Webhook) -> None:
        self.server = server
        self.api = api
        self.webhook = webhook

    async def register(self, name: str = "acme", /, *, mutating: bool = False, **changes: Any) -> Obj:
        """A configuration with one webhook, asked about every change of a ConfigMap unless ``changes`` say otherwise."""
        kind = "MutatingWebhookConfiguration" if mutating else "ValidatingWebhookConfiguration"
        hook = {
            "name": f"{name}.acme.io",
            "clientConfig": {"url": f"https://{name}.acme.test/check"},
            "rules": [rule("configmaps")],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **changes,
        }
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "webhooks": [hook],
        }
        answer = await self.api.create(f"{CONFIGURATIONS}/{kind.lower()}s", body)
        assert answer.status == 201, answer.raw
        found: Obj = answer.body
        return found


def rule(*resources: str, groups: tuple[str, ...] = ("*",), versions: tuple[str, ...] = ("*",), **more: Any) -> Obj:
    return {
        "apiGroups": list(groups),
        "apiVersions": list(versions),
        "resources": list(resources),
        "operations": ["CREATE", "UPDATE", "DELETE"],
        **more,
    }


def no(message: str = "", **status: Any) -> Answerer:
    return lambda request: {"allowed": False, "status": {**({"message": message} if message else {}), **status}}


@asynccontextmanager
async def running(webhook: Webhook, **options: Any) -> AsyncIterator[World]:
    storage = open_storage(None)
    objects = Objects(storage)
    hooks = Webhooks(storage, objects.registry, call=webhook, **options)
    server = ApiServer(storage, tokens={TOKEN: ADMIN}, objects=objects, webhooks=hooks)
    listener = await serve(server)
    try:
        async with client(f"http://127.0.0.1:{listener.port}", TOKEN) as api:
            await api.create("/api/v1/namespaces", {"metadata": {"name": "default"}})
            yield World(server, api, webhook)
    finally:
        await listener.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(Webhook()) as world:
        yield world


# What is asked


async def test_a_webhook_is_asked_about_the_object_as_it_would_be_stored(world: World) -> None:
    await world.register()
    answer = await world.api.create(MAPS, config_map("one", {"a": "1"}), fieldManager="me")
    assert answer.status == 201
    request = world.webhook.asked[0]
    assert request.pop("uid")
    assert request == {
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "one",
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "object": without_version(answer.body),
        "oldObject": None,
        "dryRun": False,
        "options": {
            "kind": "CreateOptions",
            "apiVersion": "meta.k8s.io/v1",
            "fieldManager": "me",
            "fieldValidation": "Warn",
        },
    }
    assert (world.webhook.endpoints, world.webhook.seconds) == ([Endpoint("https://acme.acme.test/check")], [10.0])


async def test_a_webhook_hears_all_about_the_user(world: World) -> None:
    await world.register()
    acting = {"Impersonate-User": "jane", "Impersonate-Uid": "42", "Impersonate-Extra-Scopes": "view"}
    acting["Impersonate-Group"] = "system:masters"
    answer = await world.api.request("POST", MAPS, config_map("one"), headers=acting)
    assert answer.status == 201, answer.raw
    assert world.webhook.asked[0]["userInfo"] == {
        "username": "jane",
        "uid": "42",
        "groups": ["system:masters", "system:authenticated"],
        "extra": {"scopes": ["view"]},
    }


async def test_a_change_comes_with_the_old_object_and_a_deletion_with_nothing_else(world: World) -> None:
    before = (await world.api.create(MAPS, config_map("one", {"a": "1"}))).body
    await world.register()
    after = (await world.api.patch(f"{MAPS}/one", {"data": {"a": "2"}})).body
    await world.api.delete(f"{MAPS}/one")
    change, deletion = world.webhook.asked
    assert (change["oldObject"], without_version(change["object"])) == (before, without_version(after))
    assert (deletion["oldObject"], deletion["object"], deletion["options"]["kind"]) == (after, None, "DeleteOptions")
    assert (await world.api.get(f"{MAPS}/one")).status == 404


async def test_every_way_to_write_is_asked_about(world: World) -> None:
    await world.register()
    await world.api.create(MAPS, config_map("a"))
    live = (await world.api.get(f"{MAPS}/a")).body
    await world.api.replace(f"{MAPS}/a", {**live, "data": {"a": "1"}})
    await world.api.patch(f"{MAPS}/a", {"data": {"a": "2"}})
    await world.api.patch(f"{MAPS}/a", [{"op": "add", "path": "/data/b", "value": "1"}], JSON_PATCH)
    await world.api.apply(f"{MAPS}/a", config_map("a", {"c": "1"}))
    await world.api.apply(f"{MAPS}/b", config_map("b", {"c": "1"}))
    await world.api.delete(MAPS)
    assert world.webhook.names == [
        "CREATE configmaps/a",
        *["UPDATE configmaps/a"] * 4,
        "CREATE configmaps/b",
        "DELETE configmaps/a",
        "DELETE configmaps/b",
    ]
    assert [request["options"]["kind"] for request in world.webhook.asked] == [
        "CreateOptions",
        "UpdateOptions",
        *["PatchOptions"] * 4,
        *["DeleteOptions"] * 2,
    ]


async def test_a_generated_name_is_the_one_that_is_stored(world: World) -> None:
    await world.register()
    answer = await world.api.create(MAPS, {"metadata": {"generateName": "one-"}})
    assert answer.body["metadata"]["name"] == world.webhook.asked[0]["name"]
    assert answer.body["metadata"]["uid"] == world.webhook.asked[0]["object"]["metadata"]["uid"]


async def test_what_is_wrong_anyway_is_not_asked_about(world: World) -> None:
    await world.register()
    assert (await world.api.create(MAPS, config_map("Not_A_Name"))).status == 422
    assert (await world.api.delete(f"{MAPS}/absent")).status == 404
    assert world.webhook.asked == []


async def test_a_dry_run_is_asked_about_as_one_and_stores_nothing(world: World) -> None:
    await world.register()
    answer = await world.api.create(MAPS, config_map("one"), dryRun="All")
    assert (answer.status, world.webhook.asked[0]["dryRun"]) == (201, True)
    assert world.webhook.asked[0]["options"]["dryRun"] == ["All"]
    assert (await world.api.get(f"{MAPS}/one")).status == 404


# Who is asked

RULES: dict[str, tuple[Obj, bool]] = {
    "the resource": (rule("configmaps"), True),
    "all resources": (rule("*"), True),
    "all and their subresources": (rule("*/*"), True),
    "it and its subresources": (rule("configmaps/*"), True),
    "its subresources of one name": (rule("configmaps/status"), False),
    "another resource": (rule("secrets"), False),
    "another group": (rule("configmaps", groups=("apps",)), False),
    "another version": (rule("configmaps", versions=("v2",)), False),
    "its own group and version": (rule("configmaps", groups=("",), versions=("v1",)), True),
    "another operation": (rule("configmaps", operations=["UPDATE"]), False),
    "all operations": (rule("configmaps", operations=["*"]), True),
    "namespaced ones": (rule("configmaps", scope="Namespaced"), True),
    "cluster-scoped ones": (rule("*", scope="Cluster"), False),
}


@pytest.mark.parametrize(("wanted", "asked"), RULES.values(), ids=RULES)
async def test_rules_say_who_is_asked(wanted: Obj, asked: bool, world: World) -> None:
    await world.register(rules=[rule("pods"), wanted])
    await world.api.create(MAPS, config_map("one"))
    assert bool(world.webhook.asked) is asked


SELECTORS: dict[str, tuple[Obj, bool]] = {
    "an empty one": ({}, True),
    "a label that it has": ({"matchLabels": {"team": "a"}}, True),
    "a label that it has otherwise": ({"matchLabels": {"team": "b"}}, False),
    "a value among others": ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, True),
    "none of these values": ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, False),
    "a key that it has": ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
    "a key that it has not": ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
}


@pytest.mark.parametrize(("selector", "asked"), SELECTORS.values(), ids=SELECTORS)
async def test_an_object_selector_looks_at_the_old_and_the_new_labels(selector: Obj, asked: bool, world: World) -> None:
    await world.api.create(MAPS, config_map("one", labels={"team": "a"}))
    await world.register(objectSelector=selector)
    await world.api.delete(f"{MAPS}/one")
    assert bool(world.webhook.asked) is asked


@pytest.mark.parametrize(("selector", "asked"), SELECTORS.values(), ids=SELECTORS)
async def test_a_namespace_selector_looks_at_the_namespace(selector: Obj, asked: bool, world: World) -> None:
    await world.api.create("/api/v1/namespaces", {"metadata": {"name": "acme", "labels": {"team": "a"}}})
    await world.register(namespaceSelector=selector, rules=[rule("configmaps", "namespaces")])
    await world.api.create("/api/v1/namespaces/acme/configmaps", config_map("one"))
    await world.api.create("/api/v1/namespaces", {"metadata": {"name": "other", "labels": {"team": "a"}}})
    assert world.webhook.names == (["CREATE configmaps/one", "CREATE namespaces/other"] if asked else [])


async def test_cluster_scoped_objects_have_no_namespace_to_select(world: World) -> None:
    await world.register(rules=[rule("clusterroles")], namespaceSelector={"matchLabels": {"team": "a"}})
    await world.api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "one"}})
    assert world.webhook.names == ["CREATE clusterroles/one"]
    assert "namespace" not in world.webhook.asked[0]


async def test_nobody_is_asked_about_webhooks_themselves(world: World) -> None:
    world.webhook.says = no("never")
    await world.register(rules=[rule("*")])
    assert (await world.api.create(MAPS, config_map("one"))).status == 400
    assert (await world.api.delete(f"{CONFIGURATIONS}/validatingwebhookconfigurations/acme")).status == 200
    assert (await world.api.create(MAPS, config_map("one"))).status == 201


async def test_a_webhook_can_ask_for_another_version_of_the_resource(world: World) -> None:
    both = crd("acme.io")
    both["spec"]["versions"].append({**both["spec"]["versions"][0], "name": "v2", "storage": False})
    await world.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", both)
    await world.register("exact", rules=[rule("widgets", versions=("v1",))], matchPolicy="Exact")
    await world.register("same", rules=[rule("widgets", versions=("v1",))], matchPolicy="Equivalent")
    path = "/apis/acme.io/v2/namespaces/default/widgets"
    answer = await world.api.create(path, {"apiVersion": "acme.io/v2", "kind": "Widget", "metadata": {"name": "one"}})
    assert answer.status == 201, answer.raw
    (request,) = world.webhook.asked
    assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v1", "v2")
    assert request["object"]["apiVersion"] == "acme.io/v1"
    assert answer.body["apiVersion"] == "acme.io/v2"


async def test_a_status_is_asked_about_as_a_subresource(world: World) -> None:
    await world.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd("acme.io"))
    path = "/apis/acme.io/v1/namespaces/default/widgets"
    await world.api.create(path, {"apiVersion": "acme.io/v1", "kind": "Widget", "metadata": {"name": "one"}})
    await world.register("main", rules=[rule("widgets")])
    await world.register("status", rules=[rule("widgets/status")])
    await world.api.patch(f"{path}/one/status", {"status": {"phase": "Done"}})
    (request,) = world.webhook.asked
    assert (request["subResource"], request["requestSubResource"]) == ("status", "status")
    assert request["object"]["status"] == {"phase": "Done"}


async def test_controllers_of_the_server_are_asked_nothing(world: World) -> None:
    world.webhook.says = no("never")
    await world.register(rules=[rule("*/*")])
    info = world.server.objects.resource("", "v1", "namespaces")
    world.server.objects.set_status(info, "", "default", {"phase": "Active"}, manager="inside")
    assert world.webhook.asked == []


# What becomes of the answer


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, (400, "", 'admission webhook "acme.acme.io" denied the request without explanation')),
        ({"message": "too big"}, (400, "", 'admission webhook "acme.acme.io" denied the request: too big')),
        (
            {"message": "too big", "code": 403, "reason": "Forbidden"},
            (403, "Forbidden", 'admission webhook "acme.acme.io" denied the request: too big'),
        ),
        ({"reason": "Invalid", "code": 200}, (400, "Invalid", 'admission webhook "acme.acme.io" denied the request: Invalid')),
    ],
)
async def test_a_refusal_reaches_the_client_in_the_words_of_the_webhook(status: Obj, expected: Any, world: World) -> None:
    world.webhook.says = no(**status)
    await world.register()
    answer = await world.api.create(MAPS, config_map("one"))
    assert (answer.status, answer.body.get("reason", ""), answer.body["message"]) == expected
    assert (await world.api.get(f"{MAPS}/one")).status == 404


async def test_details_of_a_refusal_are_handed_on(world: World) -> None:
    details = {"name": "one", "causes": [{"reason": "FieldValueInvalid", "message": "no", "field": "data.a"}]}
    world.webhook.says = no("no", details=details, code=422, reason="Invalid")
    await world.register()
    assert (await world.api.create(MAPS, config_map("one"))).body["details"] == details


async def test_a_refused_change_and_a_refused_deletion_leave_everything_as_it_was(world: World) -> None:
    before = (await world.api.create(MAPS, config_map("one", {"a": "1"}))).body
    world.webhook.says = no("no")
    await world.register()
    assert (await world.api.patch(f"{MAPS}/one", {"data": {"a": "2"}})).status == 400
    assert (await world.api.delete(f"{MAPS}/one")).status == 400
    assert (await world.api.delete(MAPS)).status == 400
    assert (await world.api.get(f"{MAPS}/one")).body == before


async def test_warnings_reach_the_client_of_writes_deletions_and_refusals(world: World) -> None:
    world.webhook.says = lambda request: {"warnings": [f'mind the "{request["operation"]}" → now']}
    await world.register()
    created = await world.api.create(MAPS, config_map("one"))
    deleted = await world.api.delete(f"{MAPS}/one")
    assert created.warnings == ['299 - "mind the \\"CREATE\\" → now"']
    assert deleted.warnings == ['299 - "mind the \\"DELETE\\" → now"']
    world.webhook.says = lambda request: {"allowed": False, "warnings": ["so it is"]}
    refused = await world.api.create(MAPS, {**config_map("two"), "colour": "red"})
    assert refused.warnings == ['299 - "unknown field \\"colour\\""', '299 - "so it is"']


async def test_the_first_refusal_in_the_order_of_names_counts_and_all_are_asked(world: World) -> None:
    world.webhook.says = lambda request: {"allowed": False, "status": {"message": "no"}, "warnings": ["w"]}
    for name in ("b", "a"):
        await world.register(name)
    answer = await world.api.create(MAPS, config_map("one"))
    assert answer.body["message"] == 'admission webhook "a.acme.io" denied the request: no'
    assert (len(world.webhook.asked), len(answer.warnings)) == (2, 2)


def rubbish(content: bytes) -> Answerer:
    return lambda request: content


def failing(request: Obj) -> Any:
    raise CallError("connection refused")


FAILURES: dict[str, tuple[Answerer, str]] = {
    "not reached": (failing, 'failed to call webhook: Post "https://acme.acme.test/check": connection refused'),
    "no JSON": (
        rubbish(b"<html>"),
        "the webhook's answer is no AdmissionReview: JSON is malformed: invalid character (byte 0)",
    ),
    "no review": (
        rubbish(b"[]"),
        "the webhook's answer is no AdmissionReview: list indices must be integers or slices, not str",
    ),
    "no response": (rubbish(b"{}"), "the webhook's answer is no AdmissionReview: 'response'"),
    "another version": (
        rubbish(b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{}}'),
        "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1beta1, "
        "Kind=AdmissionReview",
    ),
}


@pytest.mark.parametrize(("says", "message"), FAILURES.values(), ids=FAILURES)
async def test_a_webhook_that_fails_is_passed_over_or_refuses_as_its_policy_says(
    says: Answerer, message: str, world: World
) -> None:
    world.webhook.says = says
    await world.register(failurePolicy="Ignore")
    assert (await world.api.create(MAPS, config_map("one"))).status == 201
    await world.api.delete(f"{CONFIGURATIONS}/validatingwebhookconfigurations/acme")
    await world.register(failurePolicy="Fail")
    answer = await world.api.create(MAPS, config_map("two"))
    assert (answer.status, answer.body["reason"]) == (500, "InternalError")
    assert answer.body["message"] == f'Internal error occurred: failed calling webhook "acme.acme.io": {message}'


async def test_an_answer_to_another_question_is_none(world: World) -> None:
    world.webhook.says = lambda request: {"uid": "another"}
    await world.register()
    assert 'expected response.uid="' in (await world.api.create(MAPS, config_map("one"))).body["message"]


async def test_a_webhook_with_side_effects_is_not_asked_about_a_dry_run(world: World) -> None:
    await world.register(sideEffects="Some")
    answer = await world.api.create(MAPS, config_map("one"), dryRun="All")
    assert (answer.status, answer.body["message"]) == (400, 'admission webhook "acme.acme.io" does not support dry run')


async def test_an_address_that_is_not_https_is_a_failure(world: World) -> None:
    await world.register(clientConfig={"url": "http://acme.acme.test/check"})
    message = (await world.api.create(MAPS, config_map("one"))).body["message"]
    assert message.endswith('the address of a webhook begins with https://, not as "http://acme.acme.test/check" does')


# Between the question and the answer


async def test_what_has_changed_meanwhile_is_asked_about_again(world: World) -> None:
    await world.api.create(MAPS, config_map("one", {"a": "1"}))
    await world.register()
    info = world.server.objects.resource("", "v1", "configmaps")

    def say(request: Obj) -> Obj:
        if len(world.webhook.asked) == 1:
            stored = world.server.objects.get(info, "default", "one")
            world.server.storage.put(
                info.storage_key,
                "default",
                "one",
                {**stored.object, "data": {"b": "2"}, "metadata": {**stored.object["metadata"]}},
            )
        return {}

    world.webhook.says = say
    answer = await world.api.patch(f"{MAPS}/one", {"data": {"c": "3"}})
    assert (answer.status, answer.body["data"]) == (200, {"b": "2", "c": "3"})
    assert [request["object"]["data"] for request in world.webhook.asked] == [{"a": "1", "c": "3"}, {"b": "2", "c": "3"}]


async def test_a_write_that_names_a_version_ends_in_a_conflict_when_that_has_passed(world: World) -> None:
    live = (await world.api.create(MAPS, config_map("one", {"a": "1"}))).body
    await world.register()
    await meanwhile_written(world)
    answer = await world.api.replace(f"{MAPS}/one", {**live, "data": {"c": "3"}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


async def test_a_name_that_was_taken_meanwhile_is_taken(world: World) -> None:
    await world.register()
    info = world.server.objects.resource("", "v1", "configmaps")

    def say(request: Obj) -> Obj:
        if len(world.webhook.asked) == 1:
            obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "default", "uid": "u"}}
            world.server.storage.put(info.storage_key, "default", "one", obj)
        return {}

    world.webhook.says = say
    assert (await world.api.create(MAPS, config_map("one"))).body["reason"] == "AlreadyExists"


async def test_an_object_that_never_keeps_still_is_given_up(world: World) -> None:
    await world.api.create(MAPS, config_map("one", {"a": "1"}))
    await world.register()
    await meanwhile_written(world)
    answer = await world.api.patch(f"{MAPS}/one", {"data": {"c": "3"}})
    assert (answer.status, len(world.webhook.asked)) == (409, 5)
    assert (await world.api.delete(f"{MAPS}/one")).status == 409


async def meanwhile_written(world: World) -> None:
    """From now on ConfigMap ``one`` changes whenever somebody is asked."""
    info = world.server.objects.resource("", "v1", "configmaps")

    def say(request: Obj) -> Obj:
        stored = world.server.objects.get(info, "default", "one")
        new = {**stored.object, "metadata": {**stored.object["metadata"]}}
        world.server.storage.put(info.storage_key, "default", "one", new)
        return {}

    world.webhook.says = say


async def test_the_last_finalizer_takes_the_object_with_it(world: World) -> None:
    await world.api.create(MAPS, config_map("one", finalizers=["acme.io/hold"]))
    await world.register()
    await world.api.delete(f"{MAPS}/one")
    assert (await world.api.patch(f"{MAPS}/one", {"metadata": {"finalizers": None}})).status == 200
    assert (await world.api.get(f"{MAPS}/one")).status == 404
    assert world.webhook.names == ["DELETE configmaps/one", "UPDATE configmaps/one"]


async def test_others_are_served_while_a_webhook_takes_its_time(world: World) -> None:
    await world.register()
    goes_on = asyncio.Event()

    async def wait() -> Obj:
        await goes_on.wait()
        return {}

    world.webhook.says = lambda request: wait()
    slow = asyncio.ensure_future(world.api.create(MAPS, config_map("one")))
    while not world.webhook.asked:
        assert (
            await world.api.create("/api/v1/namespaces/default/secrets", {"metadata": {"generateName": "s-"}})
        ).status == 201
    assert not slow.done()
    goes_on.set()
    assert (await slow).status == 201


# Mutating webhooks


def patching(*operations: Obj) -> Answerer:
    patch = base64.b64encode(msgspec.json.encode(operations)).decode()
    return lambda request: {"patchType": "JSONPatch", "patch": patch}


async def test_a_patch_is_stored_owned_by_nobody_and_seen_by_those_who_validate(world: World) -> None:
    await world.register("first", mutating=True)
    await world.register("second", mutating=True)
    await world.register("third")

    def say(request: Obj) -> Any:
        data = request["object"]["data"]
        patch = {"op": "add", "path": f"/data/p{len(data)}", "value": "1"}
        return patching(patch)(request) if len(data) < 3 else {}

    world.webhook.says = say
    answer = await world.api.create(MAPS, config_map("one", {"a": "1"}), fieldManager="me")
    assert answer.body["data"] == {"a": "1", "p1": "1", "p2": "1"}
    assert [request["object"]["data"] for request in world.webhook.asked] == [
        {"a": "1"},
        {"a": "1", "p1": "1"},
        {"a": "1", "p1": "1", "p2": "1"},
    ]
    (entry,) = answer.body["metadata"]["managedFields"]
    assert (entry["manager"], sorted(entry["fieldsV1"]["f:data"])) == ("me", [".", "f:a"])


async def test_a_patch_of_a_change_of_a_custom_resource_is_checked_and_makes_a_generation(world: World) -> None:
    await world.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd("acme.io"))
    path = "/apis/acme.io/v1/namespaces/default/widgets"
    body = {"apiVersion": "acme.io/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}
    await world.api.create(path, body)
    await world.register(mutating=True, rules=[rule("widgets")])
    world.webhook.says = patching(
        {"op": "add", "path": "/spec/size", "value": 2}, {"op": "add", "path": "/metadata/uid", "value": "x"}
    )
    answer = await world.api.patch(f"{path}/one", {"metadata": {"labels": {"a": "b"}}})
    assert (answer.status, answer.body["spec"]["size"], answer.body["metadata"]["generation"]) == (200, 2, 2)
    assert answer.body["metadata"]["uid"] != "x"
    world.webhook.says = patching({"op": "add", "path": "/spec/size", "value": 11})
    assert (await world.api.patch(f"{path}/one", {"metadata": {"labels": {"a": "c"}}})).status == 422


async def test_what_is_applied_again_stays_owned_as_it_was(world: World) -> None:
    await world.register(mutating=True)
    world.webhook.says = patching({"op": "add", "path": "/data/injected", "value": "1"})
    first = await world.api.apply(f"{MAPS}/one", config_map("one", {"a": "1"}), manager="me")
    (entry,) = first.body["metadata"]["managedFields"]
    assert (entry["operation"], sorted(entry["fieldsV1"]["f:data"])) == ("Apply", ["f:a"])
    second = await world.api.apply(f"{MAPS}/one", config_map("one", {"a": "1"}), manager="me")
    assert second.body == first.body


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (patching({"op": "remove", "path": "/data/absent"}), 'the patch of admission webhook "acme.acme.io" cannot be applied'),
        (
            patching({"op": "replace", "path": "", "value": [1]}),
            'the patch of admission webhook "acme.acme.io" leaves no object',
        ),
        (lambda request: {"patch": "e30=", "patchType": "Merge"}, 'uses an unknown patch type "Merge"'),
        (lambda request: {"patch": "!", "patchType": "JSONPatch"}, "the webhook's patch cannot be read"),
    ],
)
async def test_a_patch_that_cannot_be_used_is_a_failure(says: Answerer, message: str, world: World) -> None:
    world.webhook.says = says
    await world.register(mutating=True)
    answer = await world.api.create(MAPS, config_map("one", {"a": "1"}))
    assert (answer.status, message in answer.body["message"]) == (500, True), answer.body


# Services, and calls over the network

SERVICE = {"service": {"namespace": "acme", "name": "hook", "path": "check", "port": 8443}}


async def test_a_service_that_nothing_real_stands_behind_admits(world: World) -> None:
    await world.register(clientConfig=SERVICE)
    assert (await world.api.create(MAPS, config_map("one"))).status == 201
    assert world.webhook.asked == []


async def test_a_service_is_found_by_whoever_knows_what_stands_behind_it() -> None:
    places = {("acme", "hook", 8443): "127.0.0.1:9443", ("acme", "simulated", 443): None}

    def resolve(namespace: str, name: str, port: int) -> str | None:
        if (namespace, name, port) not in places:
            raise LookupError(f'service "{name}" not found')
        return places[namespace, name, port]

    async with running(Webhook(), resolve=resolve) as world:
        await world.register("a", clientConfig={**SERVICE, "caBundle": "Cg=="})
        await world.register("b", clientConfig={"service": {"namespace": "acme", "name": "simulated"}})
        assert (await world.api.create(MAPS, config_map("one"))).status == 201
        assert world.webhook.endpoints == [
            Endpoint("https://hook.acme.svc:8443/check", "https://127.0.0.1:9443/check", "hook.acme.svc", "Cg==")
        ]
        await world.register("c", clientConfig={"service": {"namespace": "acme", "name": "absent"}})
        assert (await world.api.create(MAPS, config_map("two"))).body["message"] == (
            'Internal error occurred: failed calling webhook "c.acme.io": failed to call webhook: '
            'Post "https://absent.acme.svc:443/": service "absent" not found'
        )


@asynccontextmanager
async def listening(folder: Path, answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[tuple[int, str]]:
    """An HTTPS server with a certificate for localhost: its port, and the authority as configurations have it."""
    certificates = pki.ensure(folder, datetime.now(UTC))
    server = web.Server(answer)  # type: ignore[arg-type]
    runner = web.ServerRunner(server)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1], base64.b64encode(certificates.ca.read_bytes()).decode()
    finally:
        await runner.cleanup()


async def test_a_call_goes_over_tls_and_is_verified_by_name_and_authority(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await over.wait()
        if request.path == "/check":
            return web.Response(body=b"answer to " + await request.read())
        return web.Response(status=302 if request.path == "/moved" else 404, text="not here", headers={"Location": "/check"})

    async with listening(tmp_path / "one", answer) as (port, bundle):
        here = f"https://127.0.0.1:{port}"
        named = Endpoint("https://kubernetes.default.svc/check", f"{here}/check", "kubernetes.default.svc", bundle)
        assert await call_over_https(named, b"question", 10) == b"answer to question"
        assert await call_over_https(Endpoint(f"{here}/check", ca_bundle=bundle), b"q", 10) == b"answer to q"
        another = base64.b64encode(pki.ensure(tmp_path / "two", datetime.now(UTC)).ca.read_bytes()).decode()
        for endpoint, seconds, message in (
            (Endpoint(f"{here}/moved", ca_bundle=bundle), 10, "the server answered 302: not here"),
            (Endpoint(f"{here}/other", ca_bundle=bundle), 10, "the server answered 404: not here"),
            (Endpoint(f"{here}/slow", ca_bundle=bundle), 0.01, "context deadline exceeded"),
            (Endpoint(f"{here}/check", server_name="other.svc", ca_bundle=bundle), 10, "Hostname mismatch"),
            (Endpoint(f"{here}/check", ca_bundle=another), 10, "certificate verify failed"),
            (Endpoint(f"{here}/check"), 10, "certificate verify failed"),
            (Endpoint(f"{here}/check", ca_bundle="?"), 10, "the CA bundle is no PEM in base64"),
        ):
            with pytest.raises(CallError, match=message):
                await call_over_https(endpoint, b"", seconds)
        over.set()
    with pytest.raises(CallError, match="Cannot connect"):
        await call_over_https(Endpoint(f"{here}/check", ca_bundle=bundle), b"", 10)


def without_version(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": metadata}
