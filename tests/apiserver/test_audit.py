"""The audit log: one event a request, with nothing in it that is secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cozystack.apiserver.audit import Audit, AuditFile
from support.apiserver import Api
from support.secured import Person, secured

NOW = datetime(2026, 11, 24, 12, 30, 15, 250_000, tzinfo=UTC)
STAMP = "2026-11-24T12:30:15.250000Z"
PASSWORD = "hunter2-hunter2"


class Events:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.closed = False

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def close(self) -> None:
        self.closed = True

    @property
    def all(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.lines]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def api(events: Events) -> AsyncIterator[Api]:
    numbers = iter(range(1000))
    audit = Audit(events, clock=lambda: NOW, new_id=lambda: f"id-{next(numbers)}")
    async with secured(audit=audit) as found:
        events.lines.clear()
        yield found


async def test_a_request_is_one_event(api: Api, events: Events) -> None:
    answer = await api.get("/api/v1/namespaces/default/configmaps/a", headers={"User-Agent": "tester/1"}, pretty="false")
    assert answer.status == 404
    assert answer.headers["Audit-Id"] == "id-0"
    assert events.all == [
        {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": "id-0",
            "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/default/configmaps/a?pretty=false",
            "verb": "get",
            "user": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "sourceIPs": ["127.0.0.1"],
            "userAgent": "tester/1",
            "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"},
            "responseStatus": {
                "metadata": {},
                "status": "Failure",
                "message": 'configmaps "a" not found',
                "reason": "NotFound",
                "details": {"name": "a", "kind": "configmaps"},
                "code": 404,
            },
            "requestReceivedTimestamp": STAMP,
            "stageTimestamp": STAMP,
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        }
    ]


async def test_who_acts_as_whom_and_why_not_is_told(api: Api, events: Events) -> None:
    assert (await Person(api, "ann", "people").get("/apis/apps/v1/deployments")).status == 403
    (event,) = events.all
    assert event["user"]["username"] == "admin"
    assert event["impersonatedUser"] == {"username": "ann", "groups": ["people", "system:authenticated"]}
    assert event["objectRef"] == {"resource": "deployments", "apiGroup": "apps", "apiVersion": "v1"}
    assert event["annotations"] == {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}
    assert event["responseStatus"]["code"] == 403


async def test_a_role_that_allows_is_the_reason(api: Api, events: Events) -> None:
    assert (await Person(api, "ann").get("/apis")).status == 200
    reason = events.all[0]["annotations"]["authorization.k8s.io/reason"]
    assert reason == (
        'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
        'to Group "system:authenticated"'
    )


async def test_nothing_secret_is_written(api: Api, events: Events) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    secret = {"metadata": {"name": "keys"}, "stringData": {"password": PASSWORD}}
    assert (await api.create(secrets, secret)).status == 201
    assert (await api.get(f"{secrets}/keys")).status == 200
    assert (await api.get(secrets)).status == 200
    assert (await api.patch(f"{secrets}/keys", {"stringData": {"password": f"{PASSWORD}2"}})).status == 200
    assert (await api.create(secrets, {**secret, "kind": PASSWORD})).status == 400
    account = "/api/v1/namespaces/default/serviceaccounts"
    assert (await api.create(account, {"metadata": {"name": "robot"}})).status == 201
    token = (await api.create(f"{account}/robot/token", {})).body["status"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await api.request("GET", secrets, headers=bearer)).status == 403
    assert (await api.request("GET", secrets, headers={"Authorization": f"Bearer {token}x"})).status == 401
    written = b"".join(events.lines)
    stored = msgspec.json.decode((await api.get(f"{secrets}/keys")).raw)["data"]["password"]
    for text in (token, stored):
        assert text.encode() not in written
    assert [event["responseStatus"]["code"] for event in events.all[:4]] == [201, 200, 200, 200]


async def test_a_watch_is_told_when_it_begins_and_when_it_ends(api: Api, events: Events) -> None:
    async with api.watch("/api/v1/namespaces", timeoutSeconds=1) as watching:
        await watching.rest()
    stages = [(event["stage"], event["verb"], event["auditID"]) for event in events.all]
    assert stages == [("ResponseStarted", "watch", "id-0"), ("ResponseComplete", "watch", "id-0")]


async def test_whoever_is_not_known_has_no_name(api: Api, events: Events) -> None:
    await api.request("GET", "/api", headers={"Authorization": "Bearer wrong"})
    (event,) = events.all
    assert (event["user"], event["responseStatus"]["code"], "annotations" in event) == ({}, 401, False)


def test_a_file_is_begun_anew_when_it_is_large(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    file = AuditFile(path, size=10, kept=2)
    for number in range(5):
        file.write(b"line %d\n" % number)
    file.close()
    assert {found.name: found.read_bytes() for found in path.parent.iterdir()} == {
        "audit.log": b"line 4\n",
        "audit.log.1": b"line 3\n",
        "audit.log.2": b"line 2\n",
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for line in (b"one\n", b"two\n"):
        file = AuditFile(path)
        file.write(line)
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"
