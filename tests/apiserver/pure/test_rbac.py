"""Rules without a server: what they allow, what they cover, and the roles of a new cluster."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.http.requests import Asked, asked
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.objects import DeleteOptions, Objects, WriteOptions
from cozystack.apiserver.rbac import Attributes, Authorizer, Decision, Rule, bootstrap
from cozystack.apiserver.rbac.rules import EVERYTHING, missing
from cozystack.apiserver.storage import MemoryStorage, open_storage

ANN = User("ann", ("people", "system:authenticated"))
GROUP = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("rule", "attributes", "allowed"),
    [
        (Rule(["get"], [""], ["pods"]), {"verb": "get", "resource": "pods"}, True),
        (Rule(["get"], [""], ["pods"]), {"verb": "list", "resource": "pods"}, False),
        (Rule(["get"], [""], ["pods"]), {"verb": "get", "group": "apps", "resource": "pods"}, False),
        (Rule(["*"], ["*"], ["*"]), {"verb": "eat", "group": "apps", "resource": "cakes", "subresource": "cream"}, True),
        (Rule(["get"], [""], ["pods"]), {"verb": "get", "resource": "pods", "subresource": "log"}, False),
        (Rule(["get"], [""], ["pods/log"]), {"verb": "get", "resource": "pods", "subresource": "log"}, True),
        (Rule(["get"], [""], ["*/log"]), {"verb": "get", "resource": "pods", "subresource": "log"}, True),
        (Rule(["get"], [""], ["pods/*"]), {"verb": "get", "resource": "pods", "subresource": "log"}, False),
        (Rule(["get"], [""], ["pods"], ["a"]), {"verb": "get", "resource": "pods", "name": "a"}, True),
        (Rule(["get"], [""], ["pods"], ["a"]), {"verb": "get", "resource": "pods", "name": "b"}, False),
        (Rule(["list"], [""], ["pods"], ["a"]), {"verb": "list", "resource": "pods"}, False),
        (Rule(["get"], paths=["/healthz"]), {"verb": "get", "path": "/healthz"}, True),
        (Rule(["get"], paths=["/healthz"]), {"verb": "get", "path": "/healthz/etcd"}, False),
        (Rule(["get"], paths=["/healthz/*"]), {"verb": "get", "path": "/healthz/etcd"}, True),
        (Rule(["get"], paths=["*"]), {"verb": "get", "path": "/"}, True),
        (Rule(["get"], ["*"], ["*"]), {"verb": "get", "path": "/healthz"}, False),
        (Rule(["get"], paths=["*"]), {"verb": "get", "resource": "pods"}, False),
    ],
)
def test_a_rule_allows(rule: Rule, attributes: dict[str, str], allowed: bool) -> None:
    assert rule.allows(Attributes(ANN, **attributes)) is allowed


SETS = {
    "verbs": st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2, unique=True),
    "groups": st.lists(st.sampled_from(["", "apps", "*"]), min_size=1, max_size=2, unique=True),
    "resources": st.lists(st.sampled_from(["pods", "pods/log", "*/log", "*"]), min_size=1, max_size=2, unique=True),
    "names": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
}
RULES = st.one_of(
    st.builds(Rule, **SETS),
    st.builds(Rule, verbs=SETS["verbs"], paths=st.lists(st.sampled_from(["/a", "/a/*", "/a/b", "*"]), min_size=1, max_size=2)),
)
QUESTIONS = st.one_of(
    st.builds(
        Attributes,
        user=st.just(ANN),
        verb=st.sampled_from(["get", "list", "eat"]),
        group=st.sampled_from(["", "apps", "batch"]),
        resource=st.sampled_from(["pods", "jobs"]),
        subresource=st.sampled_from(["", "log", "exec"]),
        name=st.sampled_from(["", "a", "b", "c"]),
    ),
    st.builds(Attributes, user=st.just(ANN), verb=st.sampled_from(["get", "eat"]), path=st.sampled_from(["/a", "/a/b", "/c"])),
)


@given(st.lists(RULES, max_size=4), RULES, QUESTIONS)
def test_whoever_lacks_nothing_of_a_rule_may_do_all_that_it_allows(
    held: list[Rule], wanted: Rule, question: Attributes
) -> None:
    if not missing(held, [wanted]) and wanted.allows(question):
        assert any(rule.allows(question) for rule in held)


@given(st.lists(RULES, max_size=4), st.lists(RULES, max_size=3))
def test_whoever_gets_what_they_lack_lacks_nothing(held: list[Rule], wanted: list[Rule]) -> None:
    assert missing([*held, *missing(held, wanted)], wanted) == []


@given(RULES)
def test_everything_covers_every_rule_and_every_rule_itself(rule: Rule) -> None:
    assert missing(EVERYTHING, [rule]) == []
    assert missing([rule], [rule]) == []


@pytest.mark.parametrize(
    ("method", "path", "query", "found"),
    [
        ("GET", "/", {}, ("get", "", "", "", "", "")),
        ("GET", "/apis/apps/v1", {}, ("get", "", "", "", "", "")),
        ("GET", "/api/v1/namespaces", {}, ("list", "", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", {}, ("update", "", "namespaces", "finalize", "a", "a")),
        ("GET", "/api/v1/namespaces/a/pods", {"watch": ""}, ("watch", "", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a/pods", {"watch": "0"}, ("list", "", "pods", "", "a", "")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=b"}, ("list", "", "pods", "", "", "b")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name!=b"}, ("list", "", "pods", "", "", "")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", {}, ("deletecollection", "apps", "deployments", "", "a", "")),
        ("POST", "/api/v1/namespaces/a/pods/b/eviction", {}, ("create", "", "pods", "eviction", "a", "b")),
        ("GET", "/api/v1/namespaces/a/services/b/proxy/c/d", {}, ("get", "", "services", "proxy", "a", "b")),
        ("BREW", "/api/v1/pods", {}, ("", "", "pods", "", "", "")),
    ],
)
def test_what_is_asked_for_is_read_from_the_path(method: str, path: str, query: dict[str, str], found: tuple[str, ...]) -> None:
    wanted: Asked = asked(Request(method, path, query))
    told = (wanted.verb, wanted.group, wanted.resource, wanted.subresource, wanted.namespace, wanted.name)
    assert told == found


def fresh() -> Objects:
    """A new cluster, which always is the same."""
    objects = Objects(open_storage(None), clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), rng=random.Random(1))  # noqa: S311
    Lifecycle(objects).start()
    return objects


def test_a_new_cluster_has_the_roles_and_a_second_start_changes_nothing() -> None:
    objects = fresh()
    bootstrap(objects)
    counts = {
        name: len(objects.storage.objects(f"{GROUP}/{name}")) for name in ("clusterroles", "clusterrolebindings", "roles")
    }
    assert counts == {"clusterroles": 73, "clusterrolebindings": 54, "roles": 7}
    before = objects.storage.version
    bootstrap(objects)
    assert objects.storage.version == before


def test_what_was_taken_from_a_role_comes_back_and_what_was_added_stays() -> None:
    objects = fresh()
    bootstrap(objects)
    info = objects.resource(GROUP, "v1", "clusterroles")
    added = {"apiGroups": ["acme.com"], "resources": ["rockets"], "verbs": ["launch"]}
    objects.patch(info, "", "system:basic-user", "merge", {"rules": [added]}, WriteOptions())
    bootstrap(objects)
    rules = objects.get(info, "", "system:basic-user").object["rules"]
    assert (rules[0], len(rules)) == (added, 3)


def test_a_role_that_wants_no_updates_is_left_alone() -> None:
    objects = fresh()
    bootstrap(objects)
    info = objects.resource(GROUP, "v1", "clusterroles")
    alone = {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []}
    objects.patch(info, "", "system:basic-user", "merge", alone, WriteOptions())
    bootstrap(objects)
    assert not objects.get(info, "", "system:basic-user").object.get("rules")


def test_admin_has_what_edit_and_view_have() -> None:
    objects = fresh()
    bootstrap(objects)
    authorizer = Authorizer(objects.storage)
    rules = {name: authorizer.rules_of("ClusterRole", name, "") or () for name in ("admin", "edit", "view")}
    assert missing(rules["admin"], rules["edit"]) == []
    assert missing(rules["edit"], rules["view"]) == []
    assert missing(rules["view"], rules["edit"]) != []


def bind(objects: Objects, name: str, to: str, subject: dict[str, str]) -> None:
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": to},
        "subjects": [subject],
    }
    objects.create(objects.resource(GROUP, "v1", "clusterrolebindings"), "", binding, WriteOptions())


def test_members_of_masters_need_no_role() -> None:
    root = User("root", ("system:masters",))
    assert Authorizer(MemoryStorage()).decide(Attributes(root, "eat", resource="cakes")) == Decision(True)


def test_a_decision_follows_every_change() -> None:
    objects = fresh()
    authorizer = Authorizer(objects.storage)
    question = Attributes(ANN, "get", resource="pods")
    assert not authorizer.decide(question).allowed
    roles = objects.resource(GROUP, "v1", "clusterroles")
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    bind(objects, "reads", "reader", {"apiGroup": GROUP, "kind": "Group", "name": "people"})
    assert authorizer.decide(question) == Decision(False, f'rbac: RBAC: clusterrole.{GROUP} "reader" not found')
    objects.create(roles, "", {"metadata": {"name": "reader"}, "rules": rules}, WriteOptions())
    why = 'RBAC: allowed by ClusterRoleBinding "reads" of ClusterRole "reader" to Group "people"'
    assert authorizer.decide(question) == Decision(True, why)
    objects.patch(roles, "", "reader", "merge", {"rules": []}, WriteOptions())
    assert not authorizer.decide(question).allowed
    objects.patch(roles, "", "reader", "merge", {"rules": rules}, WriteOptions())
    assert authorizer.decide(question).allowed
    objects.delete(objects.resource(GROUP, "v1", "clusterrolebindings"), "", "reads", DeleteOptions())
    assert authorizer.decide(question) == Decision(False)


def test_an_authorizer_that_could_not_keep_up_begins_again() -> None:
    objects = fresh()
    authorizer = Authorizer(objects.storage)
    roles = objects.resource(GROUP, "v1", "clusterroles")
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    bind(objects, "reads", "reader", {"apiGroup": GROUP, "kind": "User", "name": "ann"})
    objects.create(roles, "", {"metadata": {"name": "reader"}, "rules": rules}, WriteOptions())
    for number in range(4200):
        stored = objects.storage.get(f"{GROUP}/clusterroles", "", "reader")
        assert stored is not None
        copied = {**stored.object, "metadata": {**stored.object["metadata"], "labels": {"n": str(number)}}}
        objects.storage.put(f"{GROUP}/clusterroles", "", "reader", copied)
    assert authorizer.decide(Attributes(ANN, "get", resource="pods")).allowed
