"""Who may do what, over HTTP. On a real server these tests use its own roles, and clean up after themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.apiserver import APPLY, Answer, Api, Obj, config_map
from support.secured import GROUP, RBAC, Person, binding, role, rule, secured

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with secured() as api:
        yield api


@pytest.fixture
async def jane(server: Api, namespace: str) -> Person:
    """Somebody who may nothing but what everybody may."""
    return Person(server, f"jane-{namespace}")


@pytest.fixture
def roles(namespace: str) -> str:
    return f"{RBAC}/namespaces/{namespace}/roles"


@pytest.fixture
def bindings(namespace: str) -> str:
    return f"{RBAC}/namespaces/{namespace}/rolebindings"


async def made(answer: Answer) -> Obj:
    assert answer.status == 201, answer.raw
    body: Obj = answer.body
    return body


async def reached(person: Person, path: str, status: int, method: str = "GET", body: Any = None, **query: Any) -> Answer:
    """The answer once it has that status: a real server learns of roles a moment later."""
    async with asyncio.timeout(10):
        while (answer := await person.request(method, path, body, **query)).status != status:
            pass
    return answer


def status(message: str, **details: Any) -> Obj:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Forbidden",
        "details": details,
        "code": 403,
    }


async def test_what_no_role_allows_is_refused_by_name_verb_and_place(jane: Person, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    who = f'User "{jane.name}" cannot'
    where = f'in API group "" in the namespace "{namespace}"'
    assert (await jane.get(maps)).body == status(
        f'configmaps is forbidden: {who} list resource "configmaps" {where}', kind="configmaps"
    )
    assert (await jane.get(f"{maps}/a")).body == status(
        f'configmaps "a" is forbidden: {who} get resource "configmaps" {where}', name="a", kind="configmaps"
    )
    assert (await jane.create(maps, config_map("a"))).body["message"] == (
        f'configmaps is forbidden: {who} create resource "configmaps" {where}'
    )
    assert (await jane.request("DELETE", maps)).body["message"] == (
        f'configmaps is forbidden: {who} deletecollection resource "configmaps" {where}'
    )
    assert (await jane.get(maps, watch="true")).body["message"] == (
        f'configmaps is forbidden: {who} watch resource "configmaps" {where}'
    )
    assert (await jane.get(maps, fieldSelector="metadata.name=b")).body["message"] == (
        f'configmaps "b" is forbidden: {who} list resource "configmaps" {where}'
    )


async def test_the_scope_and_the_group_are_told(jane: Person, namespace: str) -> None:
    who = f'User "{jane.name}" cannot'
    assert (await jane.get("/apis/apps/v1/deployments")).body == status(
        f'deployments.apps is forbidden: {who} list resource "deployments" in API group "apps" at the cluster scope',
        group="apps",
        kind="deployments",
    )
    assert (await jane.get(f"/api/v1/namespaces/{namespace}")).body["message"] == (
        f'namespaces "{namespace}" is forbidden: {who} get resource "namespaces" in API group "" in the namespace "{namespace}"'
    )
    assert (await jane.get("/api/v1/nodes/n/status")).body["message"] == (
        f'nodes "n" is forbidden: {who} get resource "nodes/status" in API group "" at the cluster scope'
    )


async def test_what_does_not_exist_is_refused_to_those_who_could_not_see_it(jane: Person) -> None:
    assert (await jane.get("/apis/nothing.example.com/v1/things")).body["message"] == (
        f'things.nothing.example.com is forbidden: User "{jane.name}" cannot list resource "things" '
        'in API group "nothing.example.com" at the cluster scope'
    )


async def test_a_path_that_is_no_resource_is_refused_too(jane: Person) -> None:
    answer = await jane.get("/metrics")
    assert answer.body == status(f'forbidden: User "{jane.name}" cannot get path "/metrics"')


async def test_everybody_may_ask_what_there_is(jane: Person) -> None:
    for path in ("/api", "/apis", "/apis/apps", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/version", "/healthz"):
        assert (await jane.get(path)).status == 200, path


async def test_a_role_allows_what_it_says_and_no_more(
    server: Api, jane: Person, namespace: str, roles: str, bindings: str, config_maps: str
) -> None:
    await made(await server.create(config_maps, config_map("mine")))
    await made(await server.create(roles, role("reader", rule("get", "", "configmaps", "mine"))))
    await made(await server.create(bindings, binding("reads", "reader", jane.name)))
    assert (await reached(jane, f"{config_maps}/mine", 200)).body["metadata"]["name"] == "mine"
    assert (await jane.get(f"{config_maps}/other")).status == 403
    assert (await jane.get(config_maps)).status == 403
    assert (await jane.get(config_maps, watch="true")).status == 403


async def test_a_role_counts_in_its_namespace_alone(
    server: Api, jane: Person, roles: str, bindings: str, config_maps: str
) -> None:
    await made(await server.create(roles, role("reader", rule("list", "", "configmaps"))))
    await made(await server.create(bindings, binding("reads", "reader", jane.name)))
    await reached(jane, config_maps, 200)
    assert (await jane.get("/api/v1/namespaces/default/configmaps")).status == 403
    assert (await jane.get("/api/v1/configmaps")).status == 403


async def test_a_subresource_is_a_right_of_its_own(
    server: Api, jane: Person, namespace: str, roles: str, bindings: str
) -> None:
    scale = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/scale"
    await made(await server.create(roles, role("scaler", rule("get", "apps", "*/scale"))))
    await made(await server.create(bindings, binding("scales", "scaler", jane.name)))
    await reached(jane, scale, 404)
    assert (await jane.get(scale.removesuffix("/scale"))).status == 403


async def test_view_sees_no_secrets_and_edit_gives_no_rights(
    server: Api, jane: Person, namespace: str, bindings: str, roles: str
) -> None:
    secrets, maps = f"/api/v1/namespaces/{namespace}/secrets", f"/api/v1/namespaces/{namespace}/configmaps"
    await made(await server.create(bindings, binding("views", "view", jane.name, role_kind="ClusterRole")))
    await reached(jane, maps, 200)
    assert (await jane.get(secrets)).status == 403
    await made(await server.create(bindings, binding("edits", "edit", jane.name, role_kind="ClusterRole")))
    await reached(jane, secrets, 200)
    assert (await jane.create(maps, config_map("made"))).status == 201
    assert (await jane.get(roles)).status == 403


async def test_a_role_that_is_missing_is_told_and_allows_nothing(
    server: Api, jane: Person, bindings: str, config_maps: str
) -> None:
    await made(await server.create(bindings, binding("dangles", "nowhere", jane.name)))
    who = f'configmaps is forbidden: User "{jane.name}" cannot list resource "configmaps" in API group ""'
    place = config_maps.split("/")[4]
    message = f'{who} in the namespace "{place}": rbac: RBAC: role.{GROUP} "nowhere" not found'
    async with asyncio.timeout(10):
        while (await jane.get(config_maps)).body["message"] != message:
            pass


async def test_a_right_ends_with_its_binding(server: Api, jane: Person, roles: str, bindings: str, config_maps: str) -> None:
    await made(await server.create(roles, role("reader", rule("list", "", "configmaps"))))
    await made(await server.create(bindings, binding("reads", "reader", jane.name)))
    await reached(jane, config_maps, 200)
    assert (await server.delete(f"{bindings}/reads")).status == 200
    await reached(jane, config_maps, 403)


async def test_a_group_and_a_service_account_are_subjects(
    server: Api, namespace: str, roles: str, bindings: str, config_maps: str
) -> None:
    await made(await server.create(roles, role("reader", rule("list", "", "configmaps"))))
    bound = binding("reads", "reader")
    bound["subjects"] = [
        {"apiGroup": GROUP, "kind": "Group", "name": "readers"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": namespace},
    ]
    await made(await server.create(bindings, bound))
    await reached(Person(server, "anybody", "readers"), config_maps, 200)
    await reached(Person(server, f"system:serviceaccount:{namespace}:robot"), config_maps, 200)
    assert (await Person(server, f"system:serviceaccount:{namespace}:other").get(config_maps)).status == 403


async def test_a_role_made_of_others_follows_them(server: Api, namespace: str) -> None:
    label = {f"collect-{namespace}": "true"}
    whole = role(f"whole-{namespace}", kind="ClusterRole")
    whole["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": label}]}
    part = role(f"part-{namespace}", rule("get", "", "pods"), kind="ClusterRole")
    part["metadata"]["labels"] = label
    path = f"{RBAC}/clusterroles"
    await made(await server.create(path, whole))
    await made(await server.create(path, part))
    try:
        want = [rule("get", "", "pods")]
        await server.until(f"{path}/whole-{namespace}", lambda answer: answer.body.get("rules") == want)
        more = {"rules": [rule("get", "", "pods"), rule("list", "apps", "deployments")]}
        assert (await server.patch(f"{path}/part-{namespace}", more)).status == 200
        await server.until(f"{path}/whole-{namespace}", lambda answer: answer.body.get("rules") == more["rules"])
        await server.delete(f"{path}/part-{namespace}")
        await server.until(f"{path}/whole-{namespace}", lambda answer: not answer.body.get("rules"))
    finally:
        await server.delete(f"{path}/part-{namespace}")
        await server.delete(f"{path}/whole-{namespace}")


# Giving rights away


async def manager_of_roles(server: Api, person: Person, roles: str, bindings: str, *more: Obj) -> None:
    """``person`` may write roles and bindings, and what ``more`` says."""
    rules = (rule("create,get,patch,update,delete", GROUP, "roles,rolebindings"), *more)
    await made(await server.create(roles, role("manager", *rules)))
    await made(await server.create(bindings, binding("manages", "manager", person.name)))
    await reached(person, f"{roles}/manager", 200)


async def test_nobody_gives_away_what_they_do_not_have(server: Api, jane: Person, roles: str, bindings: str) -> None:
    await manager_of_roles(server, jane, roles, bindings, rule("get", "", "pods"))
    assert (await jane.create(roles, role("same", rule("get", "", "pods")))).status == 201
    answer = await jane.create(
        roles, role("more", rule("get,list", "", "pods,secrets"), rule("get", "apps", "deployments", "a"))
    )
    assert answer.body == status(
        f'roles.{GROUP} "more" is forbidden: user "{jane.name}" (groups=["system:authenticated"]) is attempting to grant RBAC '
        "permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
        '{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["a"], Verbs:["get"]}',
        name="more",
        group=GROUP,
        kind="roles",
    )


async def test_a_patch_gives_nothing_away_either(server: Api, jane: Person, roles: str, bindings: str) -> None:
    await manager_of_roles(server, jane, roles, bindings, rule("get", "", "pods"))
    assert (await jane.create(roles, role("mine", rule("get", "", "pods")))).status == 201
    more = {"rules": [rule("*", "", "pods")]}
    merge = await jane.request("PATCH", f"{roles}/mine", more, content_type="application/merge-patch+json")
    assert merge.status == 403
    applied = {**role("mine"), **more}
    apply = await jane.request("PATCH", f"{roles}/mine", applied, content_type=APPLY, fieldManager="jane", force="true")
    assert apply.status == 403
    assert (await server.get(f"{roles}/mine")).body["rules"] == [rule("get", "", "pods")]


async def test_whoever_may_escalate_gives_away_anything(server: Api, jane: Person, roles: str, bindings: str) -> None:
    await manager_of_roles(server, jane, roles, bindings, rule("escalate", GROUP, "roles"))
    assert (await jane.create(roles, role("all", rule("*", "*", "*")))).status == 201


async def test_a_binding_gives_away_what_is_in_its_role(server: Api, jane: Person, roles: str, bindings: str) -> None:
    await manager_of_roles(server, jane, roles, bindings)
    answer = await jane.create(bindings, binding("up", "view", jane.name, role_kind="ClusterRole"))
    assert answer.status == 403
    assert "is attempting to grant RBAC permissions not currently held:" in answer.body["message"]
    missing = await jane.create(bindings, binding("up", "nowhere", jane.name))
    assert (missing.status, missing.body["message"]) == (404, f'rolebindings.{GROUP} "nowhere" not found')


async def test_whoever_may_bind_a_role_binds_it(server: Api, jane: Person, roles: str, bindings: str) -> None:
    await manager_of_roles(server, jane, roles, bindings, rule("bind", GROUP, "clusterroles", "view"))
    assert (await jane.create(bindings, binding("up", "view", jane.name, role_kind="ClusterRole"))).status == 201
    assert (await jane.create(bindings, binding("more", "edit", jane.name, role_kind="ClusterRole"))).status == 403


async def test_a_role_of_others_needs_everything(server: Api, jane: Person, namespace: str) -> None:
    path, name, whole = f"{RBAC}/clusterroles", f"maker-{namespace}", f"whole-{namespace}"
    await made(await server.create(path, role(name, rule("create", GROUP, "clusterroles"), kind="ClusterRole")))
    bound = binding(name, name, jane.name, kind="ClusterRoleBinding", role_kind="ClusterRole")
    await made(await server.create(f"{RBAC}/clusterrolebindings", bound))
    try:
        await reached(jane, path, 201, "POST", role(f"empty-{namespace}", kind="ClusterRole"), dryRun="All")
        selectors = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
        answer = await jane.create(path, role(whole, kind="ClusterRole", aggregationRule=selectors))
        assert answer.body["message"] == (
            f'clusterroles.{GROUP} "{whole}" is forbidden: must have cluster-admin privileges to use the aggregationRule'
        )
    finally:
        await server.delete(f"{RBAC}/clusterrolebindings/{name}")
        await server.delete(f"{path}/{name}")


# The narrow ways of acting as somebody else


async def test_one_may_act_as_somebody_for_one_thing_alone(
    server: Api, jane: Person, namespace: str, roles: str, bindings: str, config_maps: str
) -> None:
    name = f"acts-{namespace}"
    whom = role(name, rule("impersonate:user-info", "authentication.k8s.io", "users", "bob"), kind="ClusterRole")
    await made(await server.create(f"{RBAC}/clusterroles", whom))
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await made(await server.create(accounts, {"metadata": {"name": "robot"}}))
    robot = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
    bound = binding(name, name, kind="ClusterRoleBinding", role_kind="ClusterRole")
    await made(await server.create(f"{RBAC}/clusterrolebindings", {**bound, "subjects": [robot]}))
    await made(await server.create(roles, role("on", rule("impersonate-on:user-info:list", "", "configmaps"))))
    await made(await server.create(bindings, {**binding("on", "on"), "subjects": [robot]}))
    await made(await server.create(roles, role("reader", rule("list,create", "", "configmaps"))))
    await made(await server.create(bindings, binding("reads", "reader", "bob")))
    token = (await server.create(f"{accounts}/robot/token", {})).body["status"]["token"]
    as_bob = {"Authorization": f"Bearer {token}", "Impersonate-User": "bob"}
    try:
        async with asyncio.timeout(10):
            while (await server.request("GET", config_maps, headers=as_bob)).status != 200:
                pass
        answer = await server.request("POST", config_maps, config_map("a"), headers=as_bob)
        assert "cannot impersonate-on:user-info:create" in answer.body["message"]
    finally:
        await server.delete(f"{RBAC}/clusterrolebindings/{name}")
        await server.delete(f"{RBAC}/clusterroles/{name}")


async def test_to_make_something_by_applying_it_needs_the_right_to_create(
    server: Api, jane: Person, roles: str, bindings: str, config_maps: str
) -> None:
    await made(await server.create(roles, role("patcher", rule("patch,get", "", "configmaps"))))
    await made(await server.create(bindings, binding("patches", "patcher", jane.name)))
    await reached(jane, f"{config_maps}/new", 404)
    answer = await jane.request("PATCH", f"{config_maps}/new", config_map("new"), content_type=APPLY, fieldManager="jane")
    assert answer.status == 403
    assert "cannot create resource" in answer.body["message"]


# Acting as somebody else


async def test_only_those_who_may_act_as_somebody_else(server: Api, jane: Person, namespace: str) -> None:
    answer = await server.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "robot"}})
    await made(answer)
    token = await server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/robot/token", {"spec": {}})
    bearer = {"Authorization": f"Bearer {token.body['status']['token']}"}
    answer = await server.request("GET", "/api/v1/pods", headers={**bearer, "Impersonate-User": "root"})
    assert answer.body == status(
        f'pods is forbidden: User "system:serviceaccount:{namespace}:robot" cannot impersonate-on:user-info:list '
        'resource "pods" in API group "" at the cluster scope',
        kind="pods",
    )


async def test_groups_alone_are_nobody(server: Api) -> None:
    answer = await server.request("GET", "/api/v1/pods", headers={"Impersonate-Group": "system:masters"})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"system:masters"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )


@pytest.mark.parametrize(
    ("headers", "identity"),
    [
        ({"Impersonate-User": "ann"}, {"username": "ann", "groups": ["system:authenticated"]}),
        (
            {"Impersonate-User": "system:serviceaccount:a:b"},
            {
                "username": "system:serviceaccount:a:b",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"],
            },
        ),
        ({"Impersonate-User": "system:anonymous"}, {"username": "system:anonymous", "groups": ["system:unauthenticated"]}),
        (
            {
                "Impersonate-User": "ann",
                "Impersonate-Group": "people",
                "Impersonate-Uid": "7",
                "Impersonate-Extra-Acme.com%2fTeam": "blue",
            },
            {
                "username": "ann",
                "uid": "7",
                "groups": ["people", "system:authenticated"],
                "extra": {"acme.com/team": ["blue"]},
            },
        ),
    ],
)
async def test_one_is_whom_one_acts_as(server: Api, headers: dict[str, str], identity: Obj) -> None:
    # The masters among the groups let the review through; whoever is unauthenticated may not ask.
    answer = await server.request("POST", f"{AUTHENTICATION}/selfsubjectreviews", {}, headers=headers)
    if "system:unauthenticated" in identity["groups"]:
        assert answer.status == 403
    else:
        assert answer.body["status"] == {"userInfo": identity}


# Who somebody is


async def test_nobody_known_is_anonymous(server: Api) -> None:
    answer = await server.request("GET", "/api/v1/pods", headers={"Authorization": ""})
    assert answer.body == status(
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
        kind="pods",
    )
    assert (await server.request("GET", "/version", headers={"Authorization": ""})).status == 200


async def test_a_wrong_token_is_nobody(server: Api) -> None:
    for given in ("Bearer wrong", "Bearer a.b.c", "bearer é"):
        answer = await server.request("GET", "/api/v1/pods", headers={"Authorization": given})
        assert (answer.status, answer.body["reason"], answer.body["message"]) == (401, "Unauthorized", "Unauthorized")


async def test_a_token_of_an_account_says_who_it_is(server: Api, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    account = await made(await server.create(accounts, {"metadata": {"name": "robot"}}))
    answer = await made(await server.create(f"{accounts}/robot/token", {"spec": {"expirationSeconds": 900}}))
    assert answer["kind"] == "TokenRequest"
    assert answer["metadata"]["name"] == "robot"
    assert answer["spec"]["expirationSeconds"] == 900
    bearer = {"Authorization": f"Bearer {answer['status']['token']}"}
    review = await server.request("POST", f"{AUTHENTICATION}/selfsubjectreviews", {}, headers=bearer)
    info = review.body["status"]["userInfo"]
    assert info.pop("extra")["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    assert info == {
        "username": f"system:serviceaccount:{namespace}:robot",
        "uid": account["metadata"]["uid"],
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
    }
    token = await server.create(f"{AUTHENTICATION}/tokenreviews", {"spec": {"token": answer["status"]["token"]}})
    assert (token.body["status"]["authenticated"], token.body["status"]["user"]["uid"]) == (True, account["metadata"]["uid"])


async def test_a_token_ends_with_its_account(server: Api, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await made(await server.create(accounts, {"metadata": {"name": "robot"}}))
    answer = await made(await server.create(f"{accounts}/robot/token", {}))
    bearer = {"Authorization": f"Bearer {answer['status']['token']}"}
    await server.delete(f"{accounts}/robot")
    async with asyncio.timeout(20):
        while (await server.request("GET", "/api", headers=bearer)).status != 401:
            pass


async def test_a_token_for_others_is_none_here(server: Api, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await made(await server.create(accounts, {"metadata": {"name": "robot"}}))
    answer = await made(await server.create(f"{accounts}/robot/token", {"spec": {"audiences": ["vault"]}}))
    token = answer["status"]["token"]
    assert (await server.request("GET", "/api", headers={"Authorization": f"Bearer {token}"})).status == 401
    review = await server.create(f"{AUTHENTICATION}/tokenreviews", {"spec": {"token": token, "audiences": ["vault"]}})
    assert (review.body["status"]["authenticated"], review.body["status"]["audiences"]) == (True, ["vault"])


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (
            {"expirationSeconds": 10},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: '
            "may not specify a duration less than 10 minutes",
        ),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "gone"}}, 404, 'pods "gone" not found'),
        (
            {"boundObjectRef": {"kind": "Service", "apiVersion": "v1", "name": "a"}},
            400,
            "cannot bind token to object of type /v1, Kind=Service",
        ),
    ],
)
async def test_a_token_that_cannot_be_made_is_refused(server: Api, namespace: str, spec: Obj, code: int, message: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await made(await server.create(accounts, {"metadata": {"name": "robot"}}))
    answer = await server.create(f"{accounts}/robot/token", {"spec": spec})
    assert (answer.status, answer.body["message"]) == (code, message)


async def test_a_token_for_a_secret_ends_with_it(server: Api, namespace: str) -> None:
    place = f"/api/v1/namespaces/{namespace}"
    await made(await server.create(f"{place}/serviceaccounts", {"metadata": {"name": "robot"}}))
    await made(await server.create(f"{place}/secrets", {"metadata": {"name": "life"}}))
    spec = {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "life"}}
    answer = await made(await server.create(f"{place}/serviceaccounts/robot/token", {"spec": spec}))
    bearer = {"Authorization": f"Bearer {answer['status']['token']}"}
    assert (await server.request("GET", "/api", headers=bearer)).status == 200
    await server.delete(f"{place}/secrets/life")
    async with asyncio.timeout(20):
        while (await server.request("GET", "/api", headers=bearer)).status != 401:
            pass


# Reviews


async def test_one_may_ask_what_one_may(jane: Person, server: Api, namespace: str, roles: str, bindings: str) -> None:
    await made(await server.create(roles, role("reader", rule("get,list", "", "pods"))))
    await made(await server.create(bindings, binding("reads", "reader", jane.name)))
    await reached(jane, f"/api/v1/namespaces/{namespace}/pods", 200)
    reviews = f"{AUTHORIZATION}/selfsubjectaccessreviews"
    asked = {"namespace": namespace, "verb": "get", "resource": "pods"}
    answer = await jane.create(reviews, {"spec": {"resourceAttributes": asked}})
    assert (answer.status, answer.body["status"]) == (
        201,
        {
            "allowed": True,
            "reason": f'RBAC: allowed by RoleBinding "reads/{namespace}" of Role "reader" to User "{jane.name}"',
        },
    )
    answer = await jane.create(reviews, {"spec": {"resourceAttributes": {**asked, "verb": "delete"}}})
    assert answer.body["status"] == {"allowed": False}
    answer = await jane.create(reviews, {"spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}})
    assert answer.body["status"]["allowed"] is True


async def test_all_that_one_may_is_told(jane: Person, server: Api, namespace: str, roles: str, bindings: str) -> None:
    await made(await server.create(roles, role("reader", rule("get", "", "pods", "a"))))
    await made(await server.create(bindings, binding("reads", "reader", jane.name)))
    await reached(jane, f"/api/v1/namespaces/{namespace}/pods/a", 404)
    answer = await jane.create(f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {"namespace": namespace}})
    found = answer.body["status"]
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]} in found["resourceRules"]
    assert {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]} in found[
        "nonResourceRules"
    ]
    assert found["incomplete"] is False
    answer = await jane.create(f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {}})
    assert (answer.status, answer.body["message"]) == (400, "no namespace on request")


async def test_others_are_asked_about_by_those_who_may(server: Api, jane: Person, namespace: str) -> None:
    asked = {"namespace": namespace, "verb": "get", "resource": "pods"}
    about = {"spec": {"user": "ann", "groups": ["system:masters"], "resourceAttributes": asked}}
    assert (await server.create(f"{AUTHORIZATION}/subjectaccessreviews", about)).body["status"]["allowed"] is True
    about["spec"]["groups"] = ["people"]
    assert (await server.create(f"{AUTHORIZATION}/subjectaccessreviews", about)).body["status"] == {"allowed": False}
    local = f"{AUTHORIZATION}/namespaces/{namespace}/localsubjectaccessreviews"
    assert (await server.create(local, about)).body["status"] == {"allowed": False}
    assert (await jane.create(f"{AUTHORIZATION}/subjectaccessreviews", about)).status == 403


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        (
            "SubjectAccessReview",
            {"user": "ann"},
            "spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "SubjectAccessReview",
            {"resourceAttributes": {"verb": "get"}},
            'spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        (
            "LocalSubjectAccessReview",
            {"user": "ann", "resourceAttributes": {"namespace": "other"}},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
        ),
    ],
)
async def test_a_review_that_asks_nothing_is_refused(server: Api, namespace: str, kind: str, spec: Obj, message: str) -> None:
    place = f"/namespaces/{namespace}" if kind.startswith("Local") else ""
    answer = await server.create(f"{AUTHORIZATION}{place}/{kind.lower()}s", {"spec": spec})
    assert (answer.status, answer.body["message"]) == (422, f'.authorization.k8s.io "" is invalid: {message}')
