"""Play stories on a server and write down what it answers, without what differs from one run to the next.

Stories are played side by side, all in their first step, then all in their second, each turn in a second of its own: so times
in answers can be written as turns. Versions, uids and addresses are numbered in the order in which they are seen.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from fuzz.kinds import KINDS
from fuzz.servers import Reply, Server
from fuzz.story import NAME, Step, Story, edited
from support.apiserver import APPLY, JSON_PATCH, MERGE, STRATEGIC

_PATCHES: Final = {"apply": APPLY, "merge": MERGE, "json": JSON_PATCH, "strategic": STRATEGIC}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ADDRESS: Final = re.compile(r"\b10\.\d+\.\d+\.\d+\b")
_UID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_AT_ONCE: Final = 8


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step led to: the code, the object or the status in the body, warnings, and the object as it is then where the body
    does not say (nothing is stored by a dry run or a refusal)."""

    code: int
    body: Any
    warnings: tuple[str, ...] = ()
    after: Any = None


class Play:
    """One story on one server; ``name`` is that of its object, ``times`` says how times are written."""

    def __init__(self, server: Server, story: Story, name: str, *, times: bool) -> None:
        self._server = server
        self._story = story
        self._kind = KINDS[story.kind]
        self._name = name
        self._times = times
        self._seen: dict[str, dict[str, str]] = {}
        self._first = 0
        self.answers: list[Answer] = []

    async def step(self, index: int) -> None:
        step = self._story.steps[index]
        reply = await self._request(step)
        body = self._written(reply.raw)
        after = None
        if step.dry or reply.code >= 300 or step.verb == "delete":
            there = await self._server.ask("GET", self._path(step, main=True), {}, "", b"")
            after = self._written(there.raw) if there.code == 200 else there.code
        warnings = tuple(text.replace(self._name, NAME) for text in reply.warnings)
        self.answers.append(Answer(reply.code, body, warnings, after))

    def _path(self, step: Step, *, main: bool = False) -> str:
        collection = self._kind.path(step.version)
        if step.verb == "create" and not main:
            return collection
        return f"{collection}/{self._name}" + (f"/{step.subresource}" if step.subresource and not main else "")

    async def _request(self, step: Step) -> Reply:
        query = {
            "fieldManager": step.manager,
            "force": "true" if step.force else "",
            "dryRun": "All" if step.dry else "",
            "fieldValidation": step.validation,
        }
        query = {name: value for name, value in query.items() if value}
        path = self._path(step)
        match step.verb:
            case "delete":
                query.pop("fieldManager", None)
                query.pop("fieldValidation", None)
                return await self._server.ask("DELETE", path, query, "", b"")
            case "create":
                return await self._server.ask("POST", path, query, "application/json", self._sent(self._typed(step)))
            case "update":
                there = await self._server.ask("GET", self._path(step, main=True), {}, "", b"")
                live = msgspec.json.decode(there.raw) if there.code == 200 else self._typed(step, {"metadata": {"name": NAME}})
                body = self._sent(edited(live, step.body))
                return await self._server.ask("PUT", path, query, "application/json", body)
            case "apply":
                return await self._server.ask("PATCH", path, query, APPLY, self._sent(self._typed(step)))
        return await self._server.ask("PATCH", path, query, _PATCHES[step.verb], self._sent(step.body))

    def _typed(self, step: Step, body: Any = None) -> Any:
        body = step.body if body is None else body
        if not isinstance(body, dict):
            return body
        return {"apiVersion": self._kind.served(step.version), "kind": self._kind.kind, **body}

    def _sent(self, body: Any) -> bytes:
        if isinstance(body, dict) and isinstance(body.get("metadata"), dict) and body["metadata"].get("name") == NAME:
            body = {**body, "metadata": {**body["metadata"], "name": self._name}}
        return msgspec.json.encode(body)

    # What is written down

    def _written(self, raw: bytes) -> Any:
        try:
            body = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return raw.decode("utf-8", "replace")
        plain = self._plain(body, "")
        return self._plain_refusal(plain) if isinstance(plain, dict) and plain.get("status") == "Failure" else plain

    def _plain_refusal(self, status: dict[str, Any]) -> dict[str, Any]:
        """Without what is not the same each time: the order of faults of custom resources, the text of what was patched."""
        causes = (status.get("details") or {}).get("causes") or []
        if self._kind.custom and status.get("reason") == "Invalid" and len(causes) > 1:
            causes = sorted(causes, key=lambda cause: (str(cause.get("field")), str(cause.get("message"))))
            status = {
                **status,
                "message": status["message"].partition(": ")[0],
                "details": {**status["details"], "causes": causes},
            }
        if causes and causes[0].get("field") == "patch":
            found = re.sub(
                r'Invalid value: ".*": ', "Invalid value: the object: ", str(causes[0].get("message")), flags=re.DOTALL
            )
            status = {**status, "message": "", "details": {**status["details"], "causes": [{**causes[0], "message": found}]}}
        return status

    def _plain(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: self._plain(item, name) for name, item in value.items()}
        if isinstance(value, list):
            if key == "managedFields" and not self._times:
                value = sorted(value, key=_identity)
            if key == "causes":
                # A fault of the metadata is told several times by a real server.
                value = [cause for index, cause in enumerate(value) if cause not in value[:index]]
            if key == "causes" and value and value[0].get("reason") == "FieldManagerConflict":
                # In what order a real server tells of managers differs from one time to the next.
                value = sorted(value, key=lambda cause: str(cause["message"]))
            return [self._plain(item, key) for item in value]
        if isinstance(value, str):
            if key == "resourceVersion" and value:
                return self._number("v", value)
            text = value.replace(self._name, NAME)
            text = _TIME.sub(lambda found: self._turn(found[0]), text)
            text = _UID.sub(lambda found: self._number("u", found[0]), text)
            return _ADDRESS.sub(lambda found: self._number("ip", found[0]), text)
        if key in ("nodePort", "healthCheckNodePort") and isinstance(value, int) and value > 1000:
            return self._number("port", str(value))
        return value

    def _number(self, what: str, value: str) -> str:
        if what == "ip" and value in ("10.0.0.1", "10.0.0.2", "10.0.0.0"):
            return value
        known = self._seen.setdefault(what, {})
        return known.setdefault(value, f"{what}{len(known) + 1}")

    def _turn(self, text: str) -> str:
        if not self._times:
            return "t"
        second = datetime.fromisoformat(text).timestamp()
        turns = [index for index, began in enumerate(self._server.seconds) if began <= second]
        return f"t{turns[-1] - self._first}" if turns and turns[-1] >= self._first else text

    def begin(self, turn: int) -> None:
        """Count turns from this one of the server's."""
        self._first = turn


def _identity(entry: Any) -> tuple[str, ...]:
    if not isinstance(entry, dict):
        return ()
    return tuple(str(entry.get(name, "")) for name in ("operation", "manager", "apiVersion", "subresource"))


async def play(server: Server, stories: Sequence[Story], names: Sequence[str], *, times: bool = True) -> list[list[Answer]]:
    """The answers of each story, in their order."""
    plays = [Play(server, story, name, times=times) for story, name in zip(stories, names, strict=True)]
    first = len(server.seconds)
    for each in plays:
        each.begin(first)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Play, index: int) -> None:
        async with gate:
            await each.step(index)

    for index in range(max((len(story.steps) for story in stories), default=0)):
        await server.turn()
        await asyncio.gather(
            *(one(each, index) for each, story in zip(plays, stories, strict=True) if index < len(story.steps))
        )
    return [each.answers for each in plays]
