"""The operator under the installer chart's roles, on an API server that asks them: enough for all it does, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from copy import deepcopy
from random import Random
from typing import Any, NamedTuple

import pytest

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import ARTIFACT_GENERATORS, LEASES, NAMESPACES, PACKAGE_SOURCES, PACKAGES, SECRETS, untyped
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.http.requests import asked
from cozystack.apiserver.rbac import bootstrap
from cozystack.helm import open_helm
from cozystack.kube import Client
from cozystack.kube.transport import EMPTY, Response
from cozystack.operator.flags import read_options
from cozystack.operator.handback import hand_back
from cozystack.operator.main import LEASE, Operator, settings_of
from cozystack.operator.webhook.registration import CONFIGURATIONS, LABELS, NAME, SECRET, configuration, retire
from cozystack.operator.webhook.service import Webhook, WebhookOptions
from cozystack.runtime import Access, LeaderElector, Log, Registry
from support.operator import (
    VERSION,
    Obj,
    Running,
    Wire,
    World,
    component,
    package,
    plain,
    source,
    values_secret,
)
from support.packages import PACKAGES as CHARTS
from support.packages import Helm

FLAGS = ("--install-crds", "--install-flux", "--leader-elect")
OCI = "--platform-source-url=oci://registry.example.org/packages"
GIT = "--platform-source-url=https://git.example.org/packages"
RBAC = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
LOG = Log("cozystack.operator")
ACCESS_REVIEWS = untyped("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)


class Atom(NamedTuple):
    """One verb on one resource, as a rule gives it."""

    role: str
    verb: str
    group: str
    resource: str
    names: tuple[str, ...]


class Use(NamedTuple):
    """One verb on one object, as a request takes it."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


class Account(Wire):
    """A connection as a service account; ``uses`` is what it asked for, ``denied`` what it did not get."""

    def __init__(self, server: ApiServer, name: str) -> None:
        super().__init__(server)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{names.SYSTEM_NAMESPACE}", "system:authenticated")
        self._user = User(f"system:serviceaccount:{names.SYSTEM_NAMESPACE}:{name}", groups)
        self.uses: set[Use] = set()
        self.denied: list[str] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        answer = await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)
        if answer.status == 201 and method == "PATCH":
            self._note(asked(Request("PATCH", path, query, {}, b"", self._user))._replace(verb="create"))
        if answer.status == 403:
            self.denied.append(answer.body.decode())
        return answer

    def _request(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Request:
        request = super()._request(method, path, query, headers, body)
        self._note(asked(request))
        return request

    def _note(self, found: Any) -> None:
        if found.resource:
            resource = f"{found.resource}/{found.subresource}" if found.subresource else found.resource
            self.uses.add(Use(found.verb, found.group, resource, found.namespace, found.name))


def roles(helm: Helm, values: Obj) -> list[Obj]:
    """What the chart says about accounts and their roles, hooks included."""
    release = Key(names.SYSTEM_NAMESPACE, "cozystack")
    found = helm.render(CHARTS / "core" / "installer", release, {"cozystackOperator": values})
    return [item for item in found.objects if item["kind"] in RBAC]


def atoms(objects: list[Obj], role: str) -> Iterator[Atom]:
    for obj in objects:
        if obj["kind"] in ("Role", "ClusterRole") and obj["metadata"]["name"] == role:
            for rule in obj["rules"]:
                for verb in rule["verbs"]:
                    for group in rule["apiGroups"]:
                        for resource in rule["resources"]:
                            yield Atom(obj["kind"], verb, group, resource, tuple(rule.get("resourceNames", ())))


def takes(atom: Atom, use: Use) -> bool:
    """Whether a request needs what a rule gives."""
    return (
        (atom.verb, atom.group) == (use.verb, use.group)
        and atom.resource in ("*", use.resource)
        and (not atom.names or use.name in atom.names)
        and (atom.role == "ClusterRole" or use.namespace == names.SYSTEM_NAMESPACE)
    )


async def allow(world: World, objects: list[Obj]) -> None:
    await world.put(*({**each, "metadata": {**each["metadata"], "annotations": {}}} for each in objects))


def operator(world: World, wire: Account, *flags: str) -> Running:
    """An operator that takes the lease first, as the program does."""
    made = Operator(
        Client(wire, clock=world.clock, random=Random(1)),  # noqa: S311
        read_options([*FLAGS, *flags], {}),
        {"COZYSTACK_VERSION": VERSION},
        clock=world.clock,
        log=LOG,
        random=Random(1),  # noqa: S311
    )
    elector = LeaderElector(
        made.client,
        namespace=names.SYSTEM_NAMESPACE,
        name=LEASE,
        identity="operator",
        clock=world.clock,
        random=Random(1),  # noqa: S311
    )

    async def run() -> None:
        await retire(made.client, namespace=names.SYSTEM_NAMESPACE, log=LOG)
        await made.run()

    return world.running(made, wire, asyncio.ensure_future(elector.run(run)))


async def life(world: World, wire: Account) -> None:
    """Everything that an operator does without a webhook, and one that had one has left something behind."""
    await leave_a_webhook(world)
    running = operator(world, wire, OCI)
    await world.settle(1)
    assert running.operator.bootstrap.done
    await world.put(charts(), values_secret("a: 1"))
    await world.put(
        source("acme.db", component("db", "acme-db")),
        source("acme.web", component("web", "acme-web"), depends_on=["acme.db"]),
        package("acme.db"),
        package("acme.web"),
    )
    await world.install(1)
    await world.settle(2)
    assert (await world.ready("acme.web"))[0] == "True"
    # Waiting, woken; a move, for which Helm's Secret is read; copies that go; a build whose end was lost.
    await world.edit(PACKAGES, "acme.web", {"spec": {"components": {"web": {"values": {"a": 1}}}}})
    await world.settle(2)
    await world.flux.wait("acme-web/web")
    await world.settle(60)
    await world.install(1)
    moved = source("acme.db", component("db", "acme-other"))
    await world.put(moved)
    await world.install(1)
    await world.edit(NAMESPACES, "acme-web", {"metadata": {"labels": {names.SYSTEM_LABEL: "false"}}})
    await world.settle(60)
    await world.put(values_secret("a: 2"))
    await world.flux.lose("acme.web")
    await world.settle(120)
    await world.put(source("acme.web"))
    await world.settle(60)
    await world.delete(PACKAGES, "acme.web")
    await world.delete(PACKAGES, "acme.db")
    await world.settle(60)
    await world.delete(PACKAGE_SOURCES, "acme.db")
    await running.stop()
    for url in (GIT, OCI):
        again = operator(world, wire, url)
        await world.settle(60)
        await again.stop()


def charts() -> Obj:
    spec = {"url": "oci://registry.example.org/charts", "interval": "5m"}
    return plain("source.toolkit.fluxcd.io/v1", "OCIRepository", "charts", names.SYSTEM_NAMESPACE, spec=spec)


async def leave_a_webhook(world: World) -> None:
    await world.put(
        configuration(namespace=names.SYSTEM_NAMESPACE, authorities=b"ca", own="", fail_closed=False),
        plain(
            "v1",
            "Secret",
            SECRET,
            names.SYSTEM_NAMESPACE,
            labels=LABELS,
            type="kubernetes.io/tls",
            data={"tls.crt": "", "tls.key": ""},
        ),
    )


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Obj]]:
    """The roles by what is turned on."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine = runner.run(open_helm("native", state=tmp_path_factory.mktemp("helm")))
        helm = Helm(runner, engine)
        found = {what: roles(helm, {what: {"enabled": True}} if what else {}) for what in ("", "webhook", "metrics")}
        runner.run(engine.close())
    return found


@pytest.fixture
async def guarded(bare: World) -> World:
    """A cluster whose API server asks roles, with those that every cluster has."""
    bootstrap(bare.server.objects)
    return bare


async def test_operator_o6_the_charts_roles_are_enough_for_all_that_the_operator_does(
    guarded: World, rendered: dict[str, list[Obj]]
) -> None:
    await allow(guarded, rendered[""])
    wire = Account(guarded.server, "cozystack")
    await life(guarded, wire)
    assert wire.denied == []


async def test_operator_o6_no_rule_is_there_that_the_operator_does_not_need(
    guarded: World, rendered: dict[str, list[Obj]]
) -> None:
    given = rendered[""]
    await allow(guarded, given)
    wire = Account(guarded.server, "cozystack")
    await life(guarded, wire)
    unused = [atom for atom in atoms(given, "cozystack-operator") if not any(takes(atom, use) for use in wire.uses)]
    # Nobody asks for these: the API server looks for them when the roles of Flux's account and of its kinds are made.
    assert unused == [
        Atom("ClusterRole", "get", "source.extensions.fluxcd.io", "*", ()),
        Atom("ClusterRole", "bind", "rbac.authorization.k8s.io", "clusterroles", ("cluster-admin",)),
    ]


async def test_operator_o6_flux_cannot_be_installed_without_the_right_to_bind_its_account(
    guarded: World, rendered: dict[str, list[Obj]]
) -> None:
    given = deepcopy(rendered[""])
    for obj in given:
        if "rules" in obj:
            obj["rules"] = [rule for rule in obj["rules"] if rule["verbs"] != ["bind"]]
    await allow(guarded, given)
    wire = Account(guarded.server, "cozystack")
    running = operator(guarded, wire)
    await guarded.settle(5)
    assert not running.operator.bootstrap.done
    assert "clusterrolebindings" in wire.denied[0]


@pytest.mark.parametrize("asked_for", ["webhook", "metrics"])
async def test_operator_o6_what_is_turned_on_brings_its_rules_along(
    guarded: World, rendered: dict[str, list[Obj]], asked_for: str
) -> None:
    given = rendered[asked_for]
    await allow(guarded, given)
    wire = Account(guarded.server, "cozystack")
    client = Client(wire, clock=guarded.clock, random=Random(1))  # noqa: S311
    if asked_for == "webhook":
        await serve_webhook(guarded, client)
    else:
        assert await Access(client, clock=guarded.clock).refusal("Bearer nobody", "/metrics") is not None
        await client.create(ACCESS_REVIEWS, {"spec": {"user": "nobody", "nonResourceAttributes": {"path": "/", "verb": "get"}}})
    before = set(atoms(rendered[""], "cozystack-operator"))
    more = [atom for atom in atoms(given, "cozystack-operator") if atom not in before]
    assert wire.denied == []
    assert [atom for atom in more if not any(takes(atom, use) for use in wire.uses)] == []


async def serve_webhook(world: World, client: Client) -> None:
    """Make certificates, register, renew both, all of it once."""
    options = WebhookOptions(host="127.0.0.1", port=0, namespace=names.SYSTEM_NAMESPACE)
    for authority in (b"", b"another"):
        if authority:
            await world.edit(SECRETS, f"{names.SYSTEM_NAMESPACE}/{SECRET}", {"data": {"ca.key": "AAAA"}})
            await world.edit(CONFIGURATIONS, NAME, {"webhooks": []})
        webhook = Webhook(
            client,
            options,
            settings_of(read_options([], {})),
            leading=lambda: asyncio.get_running_loop().create_future(),
            clock=world.clock,
            random=Random(1),  # noqa: S311
            log=LOG,
            registry=Registry(),
        )
        running = [asyncio.ensure_future(webhook.run())]
        await world.settle(1)
        running.append(asyncio.ensure_future(webhook.led(lambda: asyncio.get_running_loop().create_future())()))
        await world.settle(60)
        for task in reversed(running):
            task.cancel()
            await world.clock.run(asyncio.wait((task,)))


async def test_operator_o6_handing_back_has_the_rights_that_it_needs_and_no_more(
    guarded: World, rendered: dict[str, list[Obj]]
) -> None:
    given = rendered[""]
    await allow(guarded, given)
    first = operator(guarded, Account(guarded.server, "cozystack"), OCI)
    await guarded.settle(1)
    await guarded.put(charts(), values_secret("a: 1"), source("acme.db", component("db", "acme-db")), package("acme.db"))
    await guarded.install(1)
    await first.stop()
    # Annotations of ours that only some objects carry, and only for a while.
    ours = {"metadata": {"annotations": {f"{names.OWN_PREFIX}note": "x"}}}
    await guarded.edit(NAMESPACES, "acme-db", ours)
    await guarded.edit(ARTIFACT_GENERATORS, f"{names.SYSTEM_NAMESPACE}/acme.db", ours)
    await leave_a_webhook(guarded)
    await guarded.delete(LEASES, f"{names.SYSTEM_NAMESPACE}/{LEASE}")
    wire = Account(guarded.server, "cozystack-hand-back")
    client = Client(wire, clock=guarded.clock, random=Random(1))  # noqa: S311
    lease = Key(names.SYSTEM_NAMESPACE, LEASE)
    await hand_back(client, clock=guarded.clock, lease=lease, secret=names.VALUES_SECRET, seconds=60)
    assert wire.denied == []
    unused = [atom for atom in atoms(given, "cozystack-hand-back") if not any(takes(atom, use) for use in wire.uses)]
    # These are for an object that has changed meanwhile, which is read again.
    assert [(atom.verb, atom.resource) for atom in unused] == [
        ("get", "packages"),
        ("get", "helmreleases"),
        ("get", "artifactgenerators"),
        ("get", "namespaces"),
        ("get", "secrets"),
    ]
