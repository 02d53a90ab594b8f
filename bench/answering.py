"""A server that hands out what it holds, quicker than any API server could: so that a figure is of the client alone.

Lists come in pages, of all objects, of one namespace, or of those that a selector names; objects by their names; what is
applied is given back. Everything is encoded beforehand and indexed by namespace, name and label, so that nothing is searched.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from bench.platforms import as_stored
from cozystack.api.meta import Object
from cozystack.api.resources import Resource


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """A client may open many connections at once; one that finds the queue full tries again a second later."""
    daemon_threads = True


class _Held:
    """The objects of one resource, as they are sent."""

    def __init__(self) -> None:
        self.all: list[bytes] = []
        self.named: dict[tuple[str, str], bytes] = {}
        self.labelled: dict[tuple[str, str], list[bytes]] = {}

    def add(self, value: dict[str, Any]) -> None:
        body, metadata = msgspec.json.encode(value), value["metadata"]
        self.all.append(body)
        self.named[metadata.get("namespace", ""), metadata["name"]] = body
        for label in metadata.get("labels", {}).items():
            self.labelled.setdefault(label, []).append(body)

    def found(self, namespace: str, query: dict[str, str]) -> list[bytes]:
        """What a list is of: selectors are ``metadata.name=NAME``, ``LABEL=VALUE`` and ``LABEL in (VALUE,VALUE)``."""
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        if name and namespace:
            body = self.named.get((namespace, name))
            return [body] if body is not None else []
        if name:
            return [body for (_, other), body in self.named.items() if other == name]
        if "labelSelector" in query:
            label, _, values = query["labelSelector"].replace(" in (", "=").rstrip(")").partition("=")
            return [body for value in values.split(",") for body in self.labelled.get((label, value), ())]
        return self.all if not namespace else [body for (place, _), body in self.named.items() if place == namespace]


@contextmanager
def answering(objects: Iterable[Object], resources: Iterable[Resource[Any]]) -> Iterator[str]:
    """Serve ``objects``, of kinds that ``resources`` name, on loopback; the URL."""
    known = {resource.kind: resource for resource in resources}
    held: dict[str, _Held] = {}
    for obj in objects:
        resource = known[type(obj).__name__]
        held.setdefault(resource.path(), _Held()).add(as_stored(obj, resource))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            collection, namespace, name = _parts(address.path)
            kind = held.get(collection, _Held())
            if name:
                body = kind.named.get((namespace, name))
                return self._answer(200 if body is not None else 404, body or b"{}")
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            items, first = kind.found(namespace, query), int(query.get("continue", "0"))
            last = first + int(query.get("limit", len(items) or 1))
            token = str(last) if last < len(items) else ""
            start = f'{{"metadata":{{"resourceVersion":"1","continue":"{token}"}},"items":['.encode()
            return self._answer(200, start + b",".join(items[first:last]) + b"]}")

        def do_PATCH(self) -> None:
            self._answer(200, self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _parts(path: str) -> tuple[str, str, str]:
    """The path of the collection in all namespaces, the namespace and the name; both may be empty."""
    root, steps = ("/api", path.split("/")[2:]) if path.startswith("/api/") else ("/apis", path.split("/")[2:])
    depth = 1 if root == "/api" else 2
    prefix, rest = "/".join([root, *steps[:depth]]), steps[depth:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    return f"{prefix}/{rest[0]}", namespace, rest[1] if len(rest) > 1 else ""
