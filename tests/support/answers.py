"""Requests with the answers of a real kube-apiserver: ``tests/cases/apiserver``.

``TOPIC.yaml`` holds cases: what they are about, requests that go before, and the one that counts. ``TOPIC.answers.yaml`` holds
what a real server answers to that one, by what the case is about; ``python -m support.answers`` (in ``tests``, with
``KUBE_TEST_URL`` and ``KUBE_TEST_TOKEN``) writes it anew. Names of namespaces, uids, times, versions, addresses and ports are
replaced by what they are.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cozystack.api import yaml
from support.apiserver import Answer, Api, Obj, server_under_test

FOLDER: Final = Path(__file__).parents[1] / "cases" / "apiserver"
_REPLACED: Final = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "{uid}"),
    (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "{time}"),
    (r"\b10\.96\.\d+\.\d+\b", "{address}"),
    (r'"(nodePort|healthCheckNodePort)":3\d{4}\b', r'"\1":"{port}"'),
    (r"kube-api-access-[a-z0-9]{5}\b", "kube-api-access-{token}"),
)
_SETTLED: Final = "/api/v1/namespaces/{namespace}/serviceaccounts/default"


class Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request: method and path, and what goes with it. ``text`` is sent as it stands, in place of a body."""

    request: str
    body: Any = None
    text: str | None = None
    media: str = "application/json"
    headers: dict[str, str] = {}


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request that counts, after those that go ``first``; what it leaves behind is taken away by the ``last`` ones. Its
    namespace has ``labels``.

    ``differs`` says why the embedded server answers something else."""

    about: str
    request: str
    body: Any = None
    text: str | None = None
    media: str = "application/json"
    headers: dict[str, str] = {}
    labels: dict[str, str] = {}
    first: list[Sent] = []
    last: list[Sent] = []
    differs: str = ""
    owners: bool = False
    """Whether ``managedFields`` count too."""
    follows: bool = False
    """Whether a real server learns of what went before by a watch, and so answers this a moment later. It changes nothing."""

    @property
    def sent(self) -> Sent:
        return Sent(self.request, self.body, self.text, self.media, self.headers)


def topics() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".answers"))


def cases(topic: str) -> list[Case]:
    documents = yaml.load_all((FOLDER / f"{topic}.yaml").read_text())
    return msgspec.convert(documents[0].value, list[Case])


def recorded(topic: str) -> dict[str, Obj]:
    """What a real server answers, by what the case is about."""
    path = FOLDER / f"{topic}.answers.yaml"
    return yaml.load_all(path.read_text())[0].value if path.exists() else {}


async def answered(api: Api, case: Case, expected: Obj | None = None) -> Obj:
    """Status, warnings and body of the answer that counts, in a namespace of the case's own.

    A request that ``follows`` is sent again until the answer is ``expected``, a hundred times at most.
    """
    made = await api.create("/api/v1/namespaces", {"metadata": {"generateName": "answers-", "labels": case.labels}})
    namespace = made.body["metadata"]["name"]
    await api.until(_SETTLED.replace("{namespace}", namespace), lambda answer: answer.status == 200)
    try:
        for sent in case.first:
            answer = await _send(api, sent, namespace)
            assert answer.status < 300, (sent.request, answer.raw)
        for again in reversed(range(100 if case.follows and expected is not None else 1)):
            found = told(await _send(api, case.sent, namespace), namespace, owners=case.owners)
            if found == expected or not again:
                break
            await asyncio.sleep(0.1)
        return found
    finally:
        for sent in case.last:
            await _send(api, sent, namespace)
        await api.delete(f"/api/v1/namespaces/{namespace}")


async def _send(api: Api, sent: Sent, namespace: str) -> Answer:
    method, _, path = sent.request.replace("{namespace}", namespace).partition(" ")
    text = sent.text if sent.text is not None else json.dumps(sent.body) if sent.body is not None else None
    body = text.replace("{namespace}", namespace).encode() if text is not None else None
    return await api.request(method, path, body, content_type=sent.media, headers=sent.headers)


def told(answer: Answer, namespace: str, *, owners: bool) -> Obj:
    """An answer without what differs from one run to the next."""
    found: Obj = {"status": answer.status}
    if answer.warnings:
        found["warnings"] = [_normalised(warning, namespace) for warning in answer.warnings]
    try:
        body = msgspec.json.decode(answer.raw)
    except msgspec.DecodeError:
        return {**found, "text": _normalised(answer.raw.decode(), namespace)}
    _strip(body, owners=owners)
    if body.get("kind") == "Status":
        body = {name: body[name] for name in ("message", "reason", "details") if name in body}
    return {**found, "body": json.loads(_normalised(msgspec.json.encode(body).decode(), namespace))}


def _strip(value: Any, *, owners: bool) -> None:
    if isinstance(value, dict):
        value.pop("resourceVersion", None)
        if not owners:
            value.pop("managedFields", None)
        for each in value.values():
            _strip(each, owners=owners)
    elif isinstance(value, list):
        for each in value:
            _strip(each, owners=owners)


def _normalised(text: str, namespace: str) -> str:
    text = text.replace(namespace, "{namespace}")
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    return text


async def _record(chosen: Sequence[str]) -> None:
    async with server_under_test() as api:
        for topic in chosen:
            answers = {case.about: await answered(api, case) for case in cases(topic)}
            (FOLDER / f"{topic}.answers.yaml").write_text(yaml.dump(answers))
            sys.stdout.write(f"{topic}: {len(answers)}\n")


if __name__ == "__main__":
    asyncio.run(_record(sys.argv[1:] or topics()))
