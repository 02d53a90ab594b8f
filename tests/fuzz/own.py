"""What must hold of our own server whatever it is asked: no fault of its own, answers as it declares them, sound state.

    .venv/bin/python tests/fuzz/own.py --first 0 --last 50

Each seed is a server of its own and some hundreds of requests, drawn from the server's own OpenAPI documents. Exit code 1 when
something does not hold; the seed plays it again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, Response, Stream
from cozystack.apiserver.schema import Schema, from_openapi, validate
from cozystack.apiserver.storage import Storage, open_storage
from fuzz.kinds import NAMESPACE, definitions
from fuzz.operations import Drawing, Drawn, Operation, operations
from fuzz.story import Obj
from support.apiserver import ADMIN, DEFINITIONS

REQUESTS: Final = 400
_STATUS: Final = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
# Not JSON of the API: what Kubernetes answers outside of it.
_NO_PAGE: Final = b"404 page not found\n"


class Broken(AssertionError):  # noqa: N818 - it names what has happened
    """Something that must hold does not."""


async def documents_of(server: ApiServer) -> dict[str, Obj]:
    """The OpenAPI documents by their paths, as a client reads them."""
    index = await _asked(server, "GET", "/openapi/v3")
    found = {}
    for path in msgspec.json.decode(index.body)["paths"]:
        document = msgspec.json.decode((await _asked(server, "GET", f"/openapi/v3/{path}")).body)
        if document.get("components", {}).get("schemas"):
            found[path] = document
    return found


async def furnished(storage: Storage) -> ApiServer:
    """A server with the namespaces and the definitions that requests are about."""
    server = ApiServer(storage)
    for name in (NAMESPACE, "default"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await _asked(server, "POST", "/api/v1/namespaces", msgspec.json.encode(namespace))
    for definition in definitions():
        await _asked(server, "POST", DEFINITIONS, msgspec.json.encode(definition))
    return server


async def _asked(server: ApiServer, method: str, path: str, body: bytes = b"") -> Response:
    headers = {"content-type": "application/json"} if body else {}
    answer = await server.handle(Request(method, path, {}, headers, body, ADMIN))
    assert isinstance(answer, Response)
    return answer


class Judge:
    """Judges answers by what the operation of the request declares."""

    def __init__(self, documents: Mapping[str, Obj]) -> None:
        self._documents = documents
        self._schemas: dict[tuple[str, str], Schema] = {}
        self.codes: dict[int, int] = {}

    def judge(self, drawn: Drawn, answer: Response | Stream) -> None:
        """Raises ``Broken``."""
        if isinstance(answer, Stream):
            answer.close()
            return
        self.codes[answer.status] = self.codes.get(answer.status, 0) + 1
        if answer.status >= 400:
            self._judge_refusal(answer)
        elif answer.status < 300 and answer.content_type == "application/json":
            self._judge_success(drawn.operation, answer)

    def _judge_refusal(self, answer: Response) -> None:
        if answer.body == _NO_PAGE:
            return
        status = msgspec.json.decode(answer.body)
        wrong = {name: status.get(name) for name, wanted in _STATUS.items() if status.get(name) != wanted}
        if wrong or status.get("code") != answer.status or not isinstance(status.get("message"), str):
            raise Broken(f"no proper Status: {answer.body[:500]!r}")
        if status.get("reason") == "InternalError":
            raise Broken(f"the server is at fault: {status['message']}")
        for cause in (status.get("details") or {}).get("causes", ()):
            if not all(isinstance(cause.get(name), str) for name in ("reason", "message")):
                raise Broken(f"a cause says nothing: {cause}")

    def _judge_success(self, operation: Operation, answer: Response) -> None:
        value = msgspec.json.decode(answer.body)
        schema = operation.answers.get(answer.status) or operation.answers.get(200)
        if schema is None or not isinstance(value, dict) or value.get("kind") in ("Status", "Table", "PartialObjectMetadata"):
            return
        if value.get("kind") in ("PartialObjectMetadataList", "Scale"):
            return
        faults = [str(fault) for fault in validate(self._schema(operation, schema), value) if not _is_go(fault.message)]
        if faults:
            raise Broken(f"the answer does not fit its schema: {faults[:5]}")

    def _schema(self, operation: Operation, schema: Obj) -> Schema:
        ref = schema.get("$ref") or schema.get("allOf", ({},))[0].get("$ref", "")
        name = ref.rpartition("/")[2]
        if not name:
            raise Broken(f"an answer of {operation.method} {operation.path} is of no named type")
        key = (operation.document, name)
        if key not in self._schemas:
            self._schemas[key] = from_openapi(self._documents[operation.document], name)
        return self._schemas[key]


def _is_go(message: str) -> bool:
    """Go writes null for lists that are nothing, and lists with an item twice are let pass."""
    return message.startswith(('Invalid value: "null": ', "Duplicate value"))


def sound(server: ApiServer) -> Iterator[str]:
    """What is wrong with the state of a server; nothing when it is sound."""
    uids: dict[str, str] = {}
    for info in server.registry:
        if "list" not in info.verbs or info.storage_version != info.api_version:
            continue
        for stored in server.objects.all(info):
            where = f"{info.plural} {stored.namespace}/{stored.name}"
            metadata = stored.object["metadata"]
            if (metadata.get("name"), metadata.get("namespace", "")) != (stored.name, stored.namespace):
                yield f"{where} is called otherwise: {metadata}"
            if (stored.object["apiVersion"], stored.object["kind"]) != (info.api_version, info.kind):
                yield f"{where} is of another kind"
            if metadata.get("resourceVersion") != str(stored.version) or stored.version > server.storage.version:
                yield f"{where} has another version than it says, or one to come"
            if not metadata.get("creationTimestamp"):
                yield f"{where} was never made"
            if uids.setdefault(metadata.get("uid", ""), where) != where:
                yield f"{where} has the uid of {uids[metadata['uid']]}"
            if msgspec.json.decode(stored.encoded) != stored.object:
                yield f"{where} is not what is sent of it"


async def play(seed: int, requests: int = REQUESTS, *, storage: Storage | None = None) -> Judge:
    """Ask a server what the seed says; raises ``Broken`` with the request after which something does not hold."""
    rng = Random(f"own {seed}")  # noqa: S311 - for variety
    server = await furnished(storage if storage is not None else open_storage(None))
    documents = await documents_of(server)
    judge, drawing = Judge(documents), Drawing(documents, operations(documents), rng)
    for number in range(requests):
        drawn = drawing.request()
        try:
            request = Request(drawn.operation.method, drawn.path, drawn.query, drawn.headers, drawn.body, ADMIN)
            judge.judge(drawn, await server.handle(request))
        except Exception as error:
            raise Broken(f"seed {seed}, request {number}: {_told(drawn)}\n  {type(error).__name__}: {error}") from error
    wrong = list(sound(server))
    if wrong:
        raise Broken(f"seed {seed}: the state is not sound: {wrong[:5]}")
    return judge


def _told(drawn: Drawn) -> str:
    return f"{drawn.operation.method} {drawn.path} {drawn.query} {drawn.headers}\n  {drawn.body[:1500]!r}"


async def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask our API server anything, and see that it answers soundly.")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--last", type=int, default=50, help="the seed after the last")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests for each seed")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    failed = 0
    codes: dict[int, int] = {}
    for seed in range(options.first, options.last):
        try:
            judge: Any = await play(seed, options.requests)
        except Broken as error:
            failed += 1
            sys.stdout.write(f"{error}\n\n")
            continue
        for code, count in judge.codes.items():
            codes[code] = codes.get(code, 0) + count
    sys.stdout.write(f"{options.last - options.first} seeds, {failed} failed; answers by code: {dict(sorted(codes.items()))}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
