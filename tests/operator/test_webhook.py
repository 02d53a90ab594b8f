"""The admission webhook by direct HTTPS: what it answers, how it comes by its certificate, who registers it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import msgspec
import pytest
from cel_expr_python import cel
from cryptography import x509

from cozystack.api import names
from cozystack.api.cozystack import PackageSource
from cozystack.api.crds import crds
from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGE_SOURCES, SECRETS, untyped
from cozystack.apiserver.admission import CallError, Endpoint, Webhooks, Writes
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import User
from cozystack.helm import open_helm
from cozystack.kube.errors import InternalError, Invalid, NotFound
from cozystack.operator import main
from cozystack.operator.flags import OptionsError, read_options
from cozystack.operator.main import settings_of
from cozystack.operator.webhook.certificates import Certificates, issue, renewal, renewed
from cozystack.operator.webhook.registration import CONFIGURATIONS, NAME, conditions, configuration, retire
from cozystack.operator.webhook.reviews import ReviewError, answer, judge, read
from cozystack.operator.webhook.service import PATIENCE, Webhook, WebhookOptions
from cozystack.planner import Catalogue
from cozystack.runtime import Log, Registry, SystemClock
from support.apiserver import TOKEN, embedded
from support.operator import Obj, Wire, World, component, json_of, package, plain, source
from support.packages import PACKAGES, Helm, Rendered

HOST = "cozystack-operator-webhook.cozy-system.svc"
SECRET = f"{names.SYSTEM_NAMESPACE}/cozystack-operator-webhook"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WRONG = source("acme.db", component("db", "Acme_DB"))
FAULT = (
    'spec.variants[default].components[db].install.namespace "Acme_DB" is no name of a namespace '
    "(at most 63 of a-z, 0-9 and dashes, starting and ending with a letter or digit); "
    "correct spec.variants[default].components[db].install.namespace of PackageSource/acme.db"
)


def review(new: Any, old: Any = None, *, user: str = "somebody", kind: str = "", **request: Any) -> Obj:
    """A review of the creation of ``new``, or of the change of ``old`` into it."""
    kind = kind or (new or old)["kind"]
    asked = {
        "uid": "1-2-3",
        "kind": {"group": "cozystack.io", "version": "v1alpha1", "kind": kind},
        "operation": "CREATE" if old is None else "UPDATE",
        "name": ((new or old).get("metadata") or {}).get("name", ""),
        "userInfo": {"username": user, "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": old,
        "dryRun": False,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked | request}


def answered(asked: Obj, view: Catalogue | None = None, own: str = "operator") -> Obj:
    """The response to a review."""
    request = read(msgspec.json.encode(asked))
    found = msgspec.json.decode(answer(request, judge(request, view, own)))
    assert (found["apiVersion"], found["kind"], found["response"].pop("uid")) == (
        "admission.k8s.io/v1",
        "AdmissionReview",
        "1-2-3",
    )
    response: Obj = found["response"]
    return response


# What is answered


def test_a_refusal_names_the_field_and_what_would_fix_it() -> None:
    assert answered(review(WRONG)) == {
        "allowed": False,
        "status": {
            "status": "Failure",
            "code": 422,
            "reason": "Invalid",
            "message": FAULT,
            "details": {
                "name": "acme.db",
                "group": "cozystack.io",
                "kind": "PackageSource",
                "causes": [
                    {
                        "reason": "InvalidName",
                        "message": FAULT.partition(" ")[2],
                        "field": "spec.variants[default].components[db].install.namespace",
                    }
                ],
            },
        },
    }


def test_a_warning_is_no_refusal() -> None:
    assert answered(review(package("acme.db")), Catalogue()) == {
        "allowed": True,
        "warnings": ["PackageSource acme.db not found; create PackageSource acme.db"],
    }


def test_what_is_right_is_allowed_without_a_word() -> None:
    assert answered(review(source("acme.db", component("db", "acme"))), Catalogue()) == {"allowed": True}


@pytest.mark.parametrize(
    "asked",
    [
        review(WRONG, user="operator"),
        review(None, WRONG, operation="DELETE"),
        review(WRONG, operation="CONNECT"),
        review(WRONG, WRONG | {"status": {"variants": "x"}}, subResource="status"),
        review(plain("acme.io/v1", "Engine", "e", spec={"paths": [""]})),
        review(WRONG, {**WRONG, "metadata": {"name": "acme.db", "finalizers": ["acme.io/hold"]}}),
        review({**WRONG, "metadata": {"name": "acme.db", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, source("acme.db")),
        review({**WRONG, "spec": "text"}, {**WRONG, "spec": "text"}),
    ],
    ids=["by the operator", "deletion", "connection", "status", "another kind", "metadata", "on its way out", "unreadable"],
)
def test_what_passes_whatever_it_says(asked: Obj) -> None:
    assert answered(asked) == {"allowed": True}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"variant": 1}, "spec.variant", "expected `str`, got `int`"),
        (
            {"components": {"db": {"enabled": "no"}}},
            "spec.components[...].enabled",
            "expected `bool | null`, got `str`",
        ),
        ("text", "spec", "expected `object`, got `str`"),
    ],
)
def test_a_field_of_another_type_is_refused_with_its_place(spec: Any, field: str, message: str) -> None:
    status = answered(review(plain("cozystack.io/v1alpha1", "Package", "acme.db", spec=spec)))["status"]
    assert status["details"]["causes"] == [{"reason": "WrongField", "message": message, "field": field}]


def test_nobody_is_refused_for_a_status_that_cannot_be_read() -> None:
    assert answered(
        review({**package("acme.db"), "status": {"conditions": 1}}, {**package("acme.db", variant="a"), "status": 1})
    ) == {"allowed": True}


def test_an_old_object_that_cannot_be_read_is_no_obstacle_to_a_better_one() -> None:
    old = plain("cozystack.io/v1alpha1", "Package", "acme.db", spec={"variant": 1})
    assert answered(review(package("acme.db", variant="a"), old)) == {"allowed": True}


def test_many_faults_and_warnings_are_cut_short() -> None:
    faults = source("acme.db", *(component(f"c{number}", "Acme") for number in range(30)))
    status = answered(review(faults))["status"]
    assert len(status["details"]["causes"]) == 16
    assert status["message"].endswith(". and 15 more")
    overrides = package("acme.db", components={f"x{number}": {"enabled": False} for number in range(30)})
    view = Catalogue()
    view.put(msgspec.convert(source("acme.db"), PackageSource))
    warnings = answered(review(overrides), view)["warnings"]
    assert (len(warnings), warnings[-1]) == (16, "and 15 more")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"apiVersion":',
        b'{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}',
        b"\xff",
    ],
)
def test_what_is_no_review_is_no_question(body: bytes) -> None:
    with pytest.raises(ReviewError):
        read(body)


# Certificates


def authorities(certificates: Certificates) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(certificates.authorities)


def test_certificates_are_kept_while_two_thirds_of_their_time_have_not_passed() -> None:
    first = issue(HOST, NOON)
    assert renewed(first, HOST, NOON + timedelta(days=240)) is first
    due = renewal(first)
    assert NOON + timedelta(days=240) < due < NOON + timedelta(days=247)
    second = renewed(first, HOST, due)
    assert second.authorities == first.authorities
    assert second.certificate != first.certificate
    assert renewal(second) > due


def test_a_new_authority_stands_before_the_old_one_until_that_has_expired() -> None:
    first = issue(HOST, NOON)
    old = authorities(first)[0]
    later = old.not_valid_after_utc - timedelta(days=1)
    second = renewed(first, HOST, later)
    assert authorities(second)[1:] == [old]
    assert len(authorities(renewed(first, HOST, later + timedelta(days=2)))) == 1


@pytest.mark.parametrize("part", ["authorities", "authority_key", "certificate", "key"])
def test_what_cannot_be_read_or_does_not_fit_is_made_new(part: str) -> None:
    first, other = issue(HOST, NOON), issue(HOST, NOON)
    for value in (b"", b"rubbish", getattr(other, part)):
        parts = {name: getattr(first, name) for name in ("authorities", "authority_key", "certificate", "key")}
        mended = renewed(Certificates(**parts | {part: value}), HOST, NOON)
        assert renewed(mended, HOST, NOON) is mended
        mended.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def test_a_certificate_for_another_host_is_replaced() -> None:
    first = issue("elsewhere.svc", NOON)
    second = renewed(first, HOST, NOON)
    assert (second.authorities, second.certificate != first.certificate) == (first.authorities, True)


def test_certificates_do_not_show_their_keys() -> None:
    assert "PRIVATE" not in repr(issue(HOST, NOON))


# The service


class Replica:
    """A webhook of one operator, with a task for each thing that its program starts."""

    def __init__(self, world: World, *, fail_closed: bool = False, port: int = 0, account: bool = False) -> None:
        self.world = world
        self.wire = Account(world.server) if account else Wire(world.server)
        self.client = world.connect(self.wire)
        self.operators: asyncio.Future[Catalogue] = asyncio.get_running_loop().create_future()
        self.registry = Registry()
        options = WebhookOptions(host="127.0.0.1", port=port, namespace=names.SYSTEM_NAMESPACE, fail_closed=fail_closed)

        async def leading() -> Catalogue:
            return await asyncio.shield(self.operators)

        self.webhook = Webhook(
            self.client,
            options,
            settings_of(read_options([], {})),
            leading=leading,
            clock=world.clock,
            random=Random(1),  # noqa: S311
            log=Log("cozystack.operator"),
            registry=self.registry,
        )
        self.tasks = [asyncio.ensure_future(self.webhook.run())]

    async def lead(self) -> None:
        """Take the lease: write the configuration, then run an operator that does nothing."""

        async def run() -> None:
            await asyncio.Event().wait()

        self.tasks.append(asyncio.ensure_future(self.webhook.led(run)()))
        await self.world.settle()

    async def stop(self) -> None:
        for task in reversed(self.tasks):
            task.cancel()
        await self.world.clock.run(asyncio.wait(self.tasks))

    async def ask(self, asked: Any, *, trusting: bytes | None = None) -> Obj:
        """The response to a review, over TLS as the API server speaks it."""
        status, body = await self.post(msgspec.json.encode(asked), trusting=trusting)
        assert status == 200, body
        response: Obj = msgspec.json.decode(body)["response"]
        return response

    async def shown(self) -> str:
        """The certificate that new connections get."""
        secret = await self.world.get(SECRETS, SECRET)
        context = trust(base64.b64decode(secret["data"]["ca.crt"]))
        _, writer = await asyncio.open_connection("127.0.0.1", self.webhook.port, ssl=context, server_hostname=HOST)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return ssl.DER_cert_to_PEM_cert(certificate)

    async def post(self, body: bytes, *, path: str = "/validate", trusting: bytes | None = None) -> tuple[int, bytes]:
        if trusting is None:
            secret = await self.world.get(SECRETS, SECRET)
            trusting = base64.b64decode(secret["data"]["ca.crt"])
        context = trust(trusting)
        url = f"https://127.0.0.1:{self.webhook.port}{path}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True)) as session,
            session.post(url, data=body, server_hostname=HOST) as answer,
        ):
            return answer.status, await answer.read()


@pytest.fixture
async def start(world: World) -> AsyncIterator[Callable[..., Any]]:
    replicas: list[Replica] = []

    async def start(**options: Any) -> Replica:
        replica = Replica(world, **options)
        replicas.append(replica)
        await world.settle()
        return replica

    yield start
    for replica in replicas:
        await replica.stop()


async def registered(world: World) -> Obj:
    return await world.client.get(CONFIGURATIONS, Key("", NAME))


async def test_it_answers_over_tls_with_a_certificate_of_its_own_before_anybody_leads(world: World, start: Any) -> None:
    replica = await start()
    assert (await replica.ask(review(WRONG)))["status"]["message"] == FAULT
    assert await replica.ask(review(package("acme.db"))) == {
        "uid": "1-2-3",
        "allowed": True,
        "warnings": ["PackageSource acme.db not found; create PackageSource acme.db"],
    }
    with pytest.raises(NotFound):
        await registered(world)


async def test_its_own_account_is_exempt(world: World, start: Any) -> None:
    replica = await start()
    assert await replica.ask(review(WRONG, user="admin")) == {"uid": "1-2-3", "allowed": True}


async def test_a_question_that_is_none_is_answered_with_400(world: World, start: Any) -> None:
    replica = await start()
    assert await replica.post(b"{}") == (400, b"this is no AdmissionReview: Object missing required field `apiVersion`\n")
    assert (await replica.post(b"", path="/other"))[0] == 404


async def test_it_counts_what_it_answers(world: World, start: Any) -> None:
    replica = await start()
    await replica.ask(review(WRONG))
    await replica.ask(review(package("acme.db")))
    lines = replica.registry.text().splitlines()
    assert [line for line in lines if line.startswith("cozystack_webhook_reviews_total{")] == [
        'cozystack_webhook_reviews_total{kind="Package",outcome="warned"} 1',
        'cozystack_webhook_reviews_total{kind="PackageSource",outcome="refused"} 1',
    ]


async def test_a_standby_follows_packages_and_sources_and_nothing_else(world: World, start: Any) -> None:
    replica = await start()
    await world.put(source("acme.db", component("db", "acme")))
    await world.settle()
    assert await replica.ask(review(package("acme.db"))) == {"uid": "1-2-3", "allowed": True}
    watched = {resource for verb, resource in replica.client.counts if verb == "watch"}
    assert watched == {"packages.cozystack.io", "packagesources.cozystack.io", "secrets"}


async def test_the_operators_own_view_is_asked_once_it_leads(world: World, start: Any) -> None:
    replica = await start()
    await world.put(source("acme.db", component("db", "acme")))
    view = Catalogue()
    replica.operators.set_result(view)
    await world.settle()
    warnings = (await replica.ask(review(package("acme.db"))))["warnings"]
    assert warnings == ["PackageSource acme.db not found; create PackageSource acme.db"]


async def test_objects_are_looked_at_by_themselves_until_their_kinds_are_served_and_known(bare: World) -> None:
    replica = Replica(bare)
    await bare.settle()
    try:
        assert await replica.ask(review(package("acme.db"))) == {"uid": "1-2-3", "allowed": True}
        assert (await replica.ask(review(WRONG)))["allowed"] is False
        await bare.put(*crds())
        await bare.settle(30)
        assert "warnings" in await replica.ask(review(package("acme.db")))
    finally:
        await replica.stop()


async def test_replicas_share_one_certificate_and_even_a_port(world: World, start: Any) -> None:
    first = await start()
    secret = await world.get(SECRETS, SECRET)
    second = await start(port=first.webhook.port)
    assert second.webhook.port == first.webhook.port
    assert await world.get(SECRETS, SECRET) == secret
    await first.stop()
    assert (await second.ask(review(WRONG)))["allowed"] is False


async def test_replicas_that_start_together_agree_on_one_certificate(world: World) -> None:
    replicas = [Replica(world), Replica(world)]
    await world.settle()
    try:
        for replica in replicas:
            assert (await replica.ask(review(WRONG)))["allowed"] is False
    finally:
        for replica in replicas:
            await replica.stop()


async def test_the_certificate_is_renewed_in_time_and_every_replica_shows_the_new_one(world: World, start: Any) -> None:
    replicas = [await start(), await start()]
    before = await world.get(SECRETS, SECRET)
    await world.settle(timedelta(days=300).total_seconds())
    after = await world.get(SECRETS, SECRET)
    assert after["data"]["ca.crt"] == before["data"]["ca.crt"]
    assert after["data"]["tls.crt"] != before["data"]["tls.crt"]
    for replica in replicas:
        assert await replica.shown() == base64.b64decode(after["data"]["tls.crt"]).decode()


async def test_a_secret_that_is_deleted_or_spoilt_comes_back_and_is_registered(world: World, start: Any) -> None:
    replica = await start()
    await replica.lead()
    spoils: list[Callable[[], Awaitable[None]]] = [
        lambda: world.delete(SECRETS, SECRET),
        lambda: world.edit(SECRETS, SECRET, {"data": {"ca.crt": "", "tls.key": ""}}),
    ]
    for spoil in spoils:
        before = (await registered(world))["webhooks"][0]["clientConfig"]["caBundle"]
        await spoil()
        await world.settle()
        after = (await registered(world))["webhooks"][0]["clientConfig"]["caBundle"]
        assert after != before
        assert after == (await world.get(SECRETS, SECRET))["data"]["ca.crt"]
        assert (await replica.ask(review(WRONG)))["allowed"] is False


# Registration


async def test_the_leader_registers_it_failing_open(world: World, start: Any) -> None:
    replica = await start()
    await replica.lead()
    found = await registered(world)
    secret = await world.get(SECRETS, SECRET)
    assert secret["type"] == "kubernetes.io/tls"
    webhook = found["webhooks"][0]
    assert webhook.pop("matchConditions") == [{"name": n, "expression": e} for n, e in conditions("admin")]
    assert found["webhooks"] == [
        {
            "name": "packages.operator.cozystack.io",
            "clientConfig": {
                "service": {
                    "namespace": "cozy-system",
                    "name": "cozystack-operator-webhook",
                    "path": "/validate",
                    "port": 443,
                },
                "caBundle": secret["data"]["ca.crt"],
            },
            "rules": [
                {
                    "apiGroups": ["cozystack.io"],
                    "apiVersions": ["v1alpha1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["packages", "packagesources"],
                    "scope": "Cluster",
                }
            ],
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": {},
            "objectSelector": {},
        }
    ]


async def test_it_fails_closed_if_that_is_asked_for(world: World, start: Any) -> None:
    await (await start(fail_closed=True)).lead()
    assert (await registered(world))["webhooks"][0]["failurePolicy"] == "Fail"


async def test_the_registration_is_kept_as_it_should_be_and_nothing_is_written_twice(world: World, start: Any) -> None:
    replica = await start()
    await replica.lead()
    before = await registered(world)
    patch = {"webhooks": [{**before["webhooks"][0], "failurePolicy": "Fail"}]}
    await world.client.patch(CONFIGURATIONS, Key("", NAME), patch)
    await world.settle()
    assert (await registered(world))["webhooks"] == before["webhooks"]
    await world.client.delete(CONFIGURATIONS, Key("", NAME))
    await world.settle()
    assert (await registered(world))["webhooks"] == before["webhooks"]
    replica.wire.sent.clear()
    await world.settle(86_400)
    assert replica.wire.writes == []


async def test_another_leader_finds_nothing_to_write(world: World, start: Any) -> None:
    first = await start()
    await first.lead()
    await first.stop()
    second = await start()
    await second.lead()
    assert [line for line in second.wire.writes if "selfsubjectreviews" not in line] == []


async def test_it_goes_with_the_charts_binding(world: World, start: Any) -> None:
    bindings = untyped("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    await world.put(plain("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "cozystack-operator", roleRef=role))
    replica = await start()
    await replica.lead()
    uid = (await world.client.get(bindings, Key("", "cozystack-operator")))["metadata"]["uid"]
    assert [(owner["kind"], owner["uid"]) for owner in (await registered(world))["metadata"]["ownerReferences"]] == [
        ("ClusterRoleBinding", uid)
    ]
    await replica.stop()
    await world.client.delete(bindings, Key("", "cozystack-operator"))
    await world.settle(60)
    assert not await world.exists(CONFIGURATIONS, NAME)


async def test_an_operator_without_it_removes_what_one_with_it_has_left(world: World, start: Any) -> None:
    replica = await start(fail_closed=True)
    await replica.lead()
    await replica.stop()
    await retire(world.client, namespace=names.SYSTEM_NAMESPACE, log=Log("test"))
    assert not await world.exists(CONFIGURATIONS, NAME)
    assert not await world.exists(SECRETS, SECRET)
    wire = Wire(world.server)
    await retire(world.connect(wire), namespace=names.SYSTEM_NAMESPACE, log=Log("test"))
    assert wire.sent == ["GET /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"]


async def test_the_operator_waits_for_its_webhook_and_not_for_ever(world: World) -> None:
    wire = Wire(world.server, lives=0)
    began: list[float] = []
    replica = Replica(world)

    async def run() -> None:
        began.append(world.clock.monotonic())

    await world.clock.run(replica.webhook.first(run)())
    assert began == [0.0]
    await replica.stop()
    replica.wire.dead = wire.dead
    deaf = Replica(world)
    deaf.wire.dead = True
    await world.clock.run(deaf.webhook.first(run)())
    assert began == [0.0, PATIENCE]
    await deaf.stop()


# Asked by an API server

ACCOUNT = User("system:serviceaccount:cozy-system:cozystack", ("system:masters", "system:authenticated"))


class Account(Wire):
    """The wire of an operator that has an account of its own."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(server)
        self._user = ACCOUNT


async def connected(world: World, replica: Replica) -> None:
    """From now on the server asks ``replica``, over TLS, whatever its configurations name."""

    async def call(endpoint: Endpoint, review: bytes, seconds: float) -> bytes:
        assert endpoint.server_name == HOST
        try:
            status, answer = await replica.post(review, trusting=base64.b64decode(endpoint.ca_bundle))
        except aiohttp.ClientError as error:
            raise CallError(str(error)) from error
        assert status == 200
        return answer

    def resolve(namespace: str, name: str, port: int) -> str:
        assert (namespace, name, port) == (names.SYSTEM_NAMESPACE, NAME, 443)
        return f"127.0.0.1:{replica.webhook.port}"

    webhooks = Webhooks(world.server.storage, world.server.registry, resolve=resolve, call=call)
    world.server.writes = Writes(world.server.objects, webhooks)
    await replica.lead()


async def test_an_api_server_refuses_what_the_webhook_refuses(world: World, start: Any) -> None:
    await connected(world, await start(account=True))
    with pytest.raises(Invalid) as refused:
        await world.put(WRONG)
    assert refused.value.message == f'admission webhook "packages.operator.cozystack.io" denied the request: {FAULT}'
    assert not await world.exists(PACKAGE_SOURCES, "acme.db")
    await world.put(source("acme.db", component("db", "acme")), package("acme.db"))


async def test_what_the_operator_writes_is_never_refused(world: World, start: Any) -> None:
    replica = await start(account=True)
    await connected(world, replica)
    await replica.client.create(json_of(PACKAGE_SOURCES), WRONG)
    assert await world.exists(PACKAGE_SOURCES, "acme.db")


async def test_a_wrong_object_from_before_can_be_labelled_and_deleted(world: World, start: Any) -> None:
    await world.put({**WRONG, "metadata": {"name": "acme.db", "finalizers": ["acme.io/hold"]}})
    await connected(world, await start(account=True, fail_closed=True))
    await world.edit(PACKAGE_SOURCES, "acme.db", {"metadata": {"labels": {"team": "a"}}})
    await world.delete(PACKAGE_SOURCES, "acme.db")
    await world.edit(PACKAGE_SOURCES, "acme.db", {"metadata": {"finalizers": None}})
    assert not await world.exists(PACKAGE_SOURCES, "acme.db")


async def test_without_anybody_to_answer_it_fails_open_unless_it_is_told_otherwise(world: World, start: Any) -> None:
    open_one = await start(account=True)
    await connected(world, open_one)
    await open_one.stop()
    await world.put(WRONG)
    closed = await start(account=True, fail_closed=True)
    await connected(world, closed)
    await closed.stop()
    with pytest.raises(InternalError) as refused:
        await world.put(package("acme.db"))
    assert 'failed calling webhook "packages.operator.cozystack.io"' in refused.value.message
    await retire(world.client, namespace=names.SYSTEM_NAMESPACE, log=Log("test"))
    await world.put(package("acme.db"))


# What the API server leaves out by itself

CONDITIONS = dict(conditions("system:serviceaccount:cozy-system:cozystack"))
SPEC = {"variant": "ha", "components": {"db": {"values": {"a": [1, 2.5, None, True]}}}}


def holds(name: str, new: Obj | None, old: Obj | None, *, user: str = "somebody") -> bool:
    environment = cel.NewEnv(variables=dict.fromkeys(("object", "oldObject", "request"), cel.Type.DYN))
    request = {"operation": "CREATE" if old is None else "UPDATE", "userInfo": {"username": user}}
    value = environment.compile(CONDITIONS[name]).eval(data={"object": new, "oldObject": old, "request": request}).value()
    assert isinstance(value, bool), value
    return value


@pytest.mark.parametrize(
    ("new", "old", "asked"),
    [
        ({"metadata": {}, "spec": SPEC}, None, True),
        ({"metadata": {}}, None, True),
        ({"metadata": {"labels": {"a": "b"}}, "spec": SPEC}, {"metadata": {}, "spec": SPEC}, False),
        ({"metadata": {}, "spec": SPEC | {"variant": "x"}}, {"metadata": {}, "spec": SPEC}, True),
        ({"metadata": {}}, {"metadata": {}}, False),
        ({"metadata": {}}, {"metadata": {}, "spec": SPEC}, True),
    ],
)
def test_changes_that_leave_the_spec_alone_are_not_even_asked_about(new: Obj, old: Obj | None, asked: bool) -> None:
    assert holds("changes-the-spec", new, old) is asked


def test_objects_on_their_way_out_and_the_operators_own_are_not_even_asked_about() -> None:
    going = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert (holds("is-not-being-deleted", going, {"metadata": {}}), holds("is-not-being-deleted", {"metadata": {}}, None)) == (
        False,
        True,
    )
    own = "system:serviceaccount:cozy-system:cozystack"
    assert holds("is-not-the-operator", {}, None, user=own) is False
    assert holds("is-not-the-operator", {}, None) is True


def test_without_an_account_there_is_no_condition_on_it() -> None:
    found = configuration(namespace="cozy-system", authorities=b"", own="", fail_closed=False)
    assert [condition["name"] for condition in found["webhooks"][0]["matchConditions"]] == [
        "is-not-being-deleted",
        "changes-the-spec",
    ]


# Flags


def test_it_is_off_by_default_and_turned_on_by_an_address() -> None:
    off, on = read_options([], {}), read_options(["--webhook-bind-address=:9443", "--webhook-fail-closed"], {})
    assert (off.webhook_bind_address, off.webhook_fail_closed) == ("0", False)
    assert (on.webhook_bind_address, on.webhook_fail_closed) == (":9443", True)
    with pytest.raises(OptionsError) as refused:
        read_options(["--webhook-bind-address=9443"], {})
    assert refused.value.faults == ('--webhook-bind-address must be host:port, :port or 0 (got "9443")',)


# The installer's chart


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine = runner.run(open_helm("native", state=tmp_path_factory.mktemp("helm")))
        yield Helm(runner, engine)
        runner.run(engine.close())


def rendered(helm: Helm, **webhook: Any) -> Rendered:
    values = {"cozystackOperator": {"webhook": webhook}} if webhook else {}
    return helm.render(PACKAGES / "core" / "installer", Key(names.SYSTEM_NAMESPACE, "cozystack"), values)


def operator_of(found: Rendered) -> tuple[Obj, Obj]:
    """Labels of the operator's Pods, and their container."""
    template = found.of_kind("Deployment")["cozystack-operator"]["spec"]["template"]
    return template["metadata"]["labels"], template["spec"]["containers"][0]


def test_the_chart_has_nothing_of_it_by_default(helm: Helm) -> None:
    found = rendered(helm)
    assert found.of_kind("Service") == {}
    assert read_options(operator_of(found)[1]["args"], {}).webhook_bind_address == "0"


def test_one_value_of_the_chart_turns_it_on(helm: Helm) -> None:
    found = rendered(helm, enabled=True)
    labels, container = operator_of(found)
    options = read_options(container["args"], {})
    assert (options.webhook_bind_address, options.webhook_fail_closed) == (":9443", False)
    service = found.of_kind("Service")[NAME]
    assert (service["metadata"]["namespace"], service["spec"]["ports"]) == (
        "cozy-system",
        [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 9443}],
    )
    assert service["spec"]["selector"].items() <= labels.items()
    # A port that is named counts as the host's, and two Pods could not be on one node while one follows the other.
    assert "ports" not in container
    assert "cozystack-operator" in found.of_kind("ClusterRoleBinding")


def test_the_chart_chooses_the_port_and_what_happens_without_an_answer(helm: Helm) -> None:
    found = rendered(helm, enabled=True, failClosed=True, port=19443)
    options = read_options(operator_of(found)[1]["args"], {})
    assert (options.webhook_bind_address, options.webhook_fail_closed) == (":19443", True)
    assert found.of_kind("Service")[NAME]["spec"]["ports"][0]["targetPort"] == 19443


# The program


@asynccontextmanager
async def program(kubeconfig: Path, *flags: str) -> AsyncIterator[None]:
    """The operator as its command line starts it, until the end of the block."""
    options = read_options(
        [f"--kubeconfig={kubeconfig}", "--metrics-bind-address=0", "--health-probe-bind-address=0", *flags], {}
    )
    task = asyncio.ensure_future(main.run(options, {}, clock=SystemClock(), log=Log("cozystack.operator")))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_the_program_registers_it_with_its_flag_and_removes_it_without(tmp_path: Path) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    async with embedded() as api:
        await api.create("/api/v1/namespaces", {"metadata": {"name": names.SYSTEM_NAMESPACE}})
        kubeconfig = tmp_path / "kubeconfig"
        context = {"cluster": "c", "user": "u", "namespace": names.SYSTEM_NAMESPACE}
        kubeconfig.write_bytes(
            msgspec.json.encode(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": api.url}}],
                    "users": [{"name": "u", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "x", "context": context}],
                    "current-context": "x",
                }
            )
        )
        async with api.watch(path) as watching:
            async with program(kubeconfig, "--webhook-bind-address=127.0.0.1:0", "--webhook-fail-closed"):
                kind, found = await watching.next()
            assert (kind, found["webhooks"][0]["failurePolicy"]) == ("ADDED", "Fail")
            async with program(kubeconfig):
                assert (await watching.next())[0] == "DELETED"


def trust(authorities: bytes) -> ssl.SSLContext:
    """What a client trusts. Certificates are made on the test's clock, so their times are not looked at."""
    context = ssl.create_default_context(cadata=authorities.decode())
    context.verify_flags |= ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME
    return context
