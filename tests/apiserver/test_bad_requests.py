"""What is wrong with a request is said as Kubernetes says it, and the server lives on.

The first part runs against a real server too; the second is about limits that the embedded server sets.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.jsontext import fault
from cozystack.apiserver.http.server import Listener, serve
from cozystack.apiserver.storage import open_storage
from support.apiserver import ADMIN, APPLY, JSON_PATCH, MERGE, TOKEN, Api, Obj, Watching, client, config_map
from support.secured import secured

JSON = "application/json"
YAML = "application/yaml"


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with secured() as api:
        yield api


async def raw(api: Api, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, Obj]:
    """Status, reason and message, and the whole; the path is sent as it stands."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.session.request(
        method, URL(api.url + path, encoded=True), data=io.BytesIO(body) if body is not None else None, headers=named
    ) as response:
        text = await response.text()
        found: Obj = json.loads(text) if text.startswith("{") else {"message": text}
        return response.status, found.get("message", ""), found


UNREAD = "the object provided is unrecognized (must be of type ConfigMap): "
NO_KIND = f"{UNREAD}couldn't get version/kind; json parse error: "
HEAD = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
STARTS = '{"apiVersion":"v1","kind":"Con ...'
OBJECT = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + step, 98 + step, b",".join([b"*%c" % (97 + step)] * 9)) for step in range(9)
)
NOT_ACCEPTED = (
    "the body of the request was in an unknown format - accepted media types include: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)


@pytest.mark.parametrize(
    ("body", "media", "message"),
    [
        (b"", JSON, f"{NO_KIND}unexpected end of JSON input (<empty>)"),
        (b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"na', JSON, f"{NO_KIND}unexpected end of JSON input ({STARTS})"),
        (b"[]", JSON, f"{NO_KIND}json: cannot unmarshal array into Go value of type {HEAD} (5b5d)"),
        (b'"a"', JSON, f"{NO_KIND}json: cannot unmarshal string into Go value of type {HEAD} (226122)"),
        (b"1", JSON, f"{NO_KIND}json: cannot unmarshal number into Go value of type {HEAD} (31)"),
        (OBJECT + b"garbage", JSON, f"{NO_KIND}invalid character 'g' after top-level value ({STARTS})"),
        (OBJECT + OBJECT, JSON, f"{NO_KIND}invalid character '{{' after top-level value ({STARTS})"),
        (
            b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            JSON,
            f"{NO_KIND}invalid character '[' exceeded max depth ({{\"data\":{'[' * 22} ...)",
        ),
        (b"\x1f\x8b\x08", JSON, f"{NO_KIND}invalid character '\\x1f' looking for beginning of value (1f8b08)"),
        (
            BOMB,
            YAML,
            f"{UNREAD}yaml: document contains excessive aliasing ({BOMB[:30].hex()} ...)",
        ),
        (OBJECT, "text/plain", NOT_ACCEPTED),
        (OBJECT, "application/xml", NOT_ACCEPTED),
        (OBJECT, "application/x-www-form-urlencoded", NOT_ACCEPTED),
    ],
)
async def test_a_body_that_is_no_object_is_refused(
    server: Api, config_maps: str, body: bytes, media: str, message: str
) -> None:
    status, said, found = await raw(server, "POST", config_maps, body, Content_Type=media)
    expected = (415, "UnsupportedMediaType") if message == NOT_ACCEPTED else (400, "BadRequest")
    assert (status, found["reason"], said) == (*expected, message)


@pytest.mark.parametrize("body", [b"null", b"{}"])
async def test_nothing_is_an_object_without_a_name(server: Api, config_maps: str, body: bytes) -> None:
    status, said, _ = await raw(server, "POST", config_maps, body, Content_Type=JSON)
    assert (status, said) == (
        422,
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    )


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b'"\xff\xfe"', "\ufffd\ufffd"),
        (b'"\\ud800"', "\ufffd"),
        (b'"\\u0000"', "\x00"),
        ('"😀 \\ud83d\\ude00"'.encode(), "😀 😀"),
    ],
)
async def test_what_is_no_text_becomes_one(server: Api, config_maps: str, text: bytes, stored: str) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"a":' + text + b"}}"
    status, _, found = await raw(server, "POST", config_maps, body, Content_Type=JSON)
    assert (status, found.get("data")) == (201, {"a": stored})


async def test_a_body_needs_no_media_type_and_may_have_a_charset(server: Api, config_maps: str) -> None:
    for name, media in (("a", ""), ("b", "application/json; charset=utf-8"), ("c", "Application/JSON")):
        body = json.dumps(config_map(name)).encode()
        assert (await raw(server, "POST", config_maps, body, Content_Type=media))[0] == 201


async def test_the_first_document_of_yaml_counts(server: Api, config_maps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {1: a, y: b}\n---\na: b\n"
    status, _, found = await raw(server, "POST", config_maps, body, Content_Type=YAML)
    assert (status, found["data"]) == (201, {"1": "a", "true": "b"})


async def test_more_than_three_mebibytes_are_too_many(server: Api, config_maps: str) -> None:
    assert (await server.create(config_maps, config_map("a"))).status == 201
    large = json.dumps(config_map("b", {"a": "x" * 10_000_000})).encode()
    for method, place, media in (("POST", "", JSON), ("PUT", "/a", JSON), ("PATCH", "/a", MERGE)):
        status, said, found = await raw(server, method, config_maps + place, large, Content_Type=media)
        assert (status, found["reason"], said) == (
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
        )


TWICE = b'{"metadata":{"name":"a"},"data":{"a":"1","a":"2","b":"3"},"foo":1}'


async def test_equal_keys_are_told_and_the_last_counts(server: Api, config_maps: str) -> None:
    answer = await server.request("POST", config_maps, TWICE)
    assert answer.status == 201
    assert answer.warnings == ['299 - "duplicate field \\"data.a\\""', '299 - "unknown field \\"foo\\""']
    assert answer.body["data"] == {"a": "2", "b": "3"}


async def test_equal_keys_are_refused_by_a_strict_reader(server: Api, config_maps: str) -> None:
    answer = await server.request("POST", config_maps, TWICE, fieldValidation="Strict")
    assert (answer.status, answer.body["message"]) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "data.a", unknown field "foo"',
    )


async def test_equal_keys_do_not_matter_to_those_who_do_not_ask(server: Api, config_maps: str) -> None:
    answer = await server.request("POST", config_maps, TWICE, fieldValidation="Ignore")
    assert (answer.status, answer.warnings) == (201, [])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("fieldValidation=Foo", 'fieldValidation: Unsupported value: "Foo": supported values: "", "Ignore", "Strict", "Warn"'),
        ("dryRun=Foo", 'dryRun: Unsupported value: ["Foo"]: supported values: "All"'),
        (f"fieldManager={'x' * 200}", "fieldManager: Too long: may not be more than 128 bytes"),
    ],
)
async def test_an_option_that_is_none_is_refused(server: Api, config_maps: str, query: str, message: str) -> None:
    status, said, _ = await raw(server, "POST", f"{config_maps}?{query}", OBJECT, Content_Type=JSON)
    assert (status, said) == (422, f'CreateOptions.meta.k8s.io "" is invalid: {message}')


async def test_a_parameter_that_nobody_knows_does_not_matter(server: Api, config_maps: str) -> None:
    assert (await raw(server, "POST", f"{config_maps}?foo=bar&dryRun=All", OBJECT, Content_Type=JSON))[0] == 201
    assert (await raw(server, "GET", f"{config_maps}?foo=bar&limit=-1"))[0] == 200


@pytest.mark.parametrize(
    ("patch", "media", "query", "status", "message"),
    [
        (b"{}", "", "", 415, "415: Unsupported Media Type"),
        (b"{}", JSON, "", 415, "415: Unsupported Media Type"),
        (b"{", MERGE, "", 400, "invalid JSON patch"),
        (
            b"[]",
            MERGE,
            "",
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            b"{}",
            JSON_PATCH,
            "",
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (
            b"{}",
            MERGE,
            "?force=true",
            422,
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
        ),
        (
            OBJECT,
            APPLY,
            "",
            422,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        ),
        (b'{"metadata":{"name":"a"}}', APPLY, "?fieldManager=x", 400, "invalid object type: /, Kind="),
        (
            b"[]",
            APPLY,
            "?fieldManager=x",
            400,
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value "
            "of type map[string]interface {}",
        ),
    ],
)
async def test_a_patch_that_is_none_is_refused(
    server: Api, config_maps: str, patch: bytes, media: str, query: str, status: int, message: str
) -> None:
    assert (await server.create(config_maps, config_map("a"))).status == 201
    found = await raw(server, "PATCH", f"{config_maps}/a{query}", patch, Content_Type=media)
    assert found[:2] == (status, message)


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ("", b'{"foo"', 400, "couldn't get version/kind; json parse error: unexpected end of JSON input"),
        ("?gracePeriodSeconds=abc", None, 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        (
            "",
            b'{"propagationPolicy":"Foo"}',
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": supported values: '
            '"Foreground", "Background", "Orphan", "nil"',
        ),
        (
            "",
            b'{"propagationPolicy":"Orphan","orphanDependents":true}',
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": '
            "orphanDependents and deletionPropagation cannot be both set",
        ),
    ],
)
async def test_a_deletion_that_makes_no_sense_is_refused(
    server: Api, config_maps: str, query: str, body: bytes | None, status: int, message: str
) -> None:
    assert (await server.create(config_maps, config_map("a"))).status == 201
    assert (await raw(server, "DELETE", f"{config_maps}/a{query}", body, Content_Type=JSON))[:2] == (status, message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=abc", 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("limit=1.5", 'strconv.ParseInt: parsing "1.5": invalid syntax'),
        ("watch=1&timeoutSeconds=abc", 'strconv.ParseInt: parsing "abc": invalid syntax'),
        (
            "resourceVersion=abc",
            'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
        ),
        ("fieldSelector=foo", "invalid selector: 'foo'; can't understand 'foo'"),
    ],
)
async def test_a_list_that_cannot_be_made_is_refused(server: Api, config_maps: str, query: str, message: str) -> None:
    assert (await raw(server, "GET", f"{config_maps}?{query}"))[:2] == (400, message)


NOWHERE = "the server could not find the requested resource"
NO_PAGE = "404 page not found\n"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/foo", 404, NO_PAGE),
        ("/%2e%2e/etc/passwd", 404, NO_PAGE),
        ("//api/v1/pods", 404, NO_PAGE),
        ("/healthz/foo", 404, NO_PAGE),
        ("/apis/foo.com", 404, NO_PAGE),
        ("/apis/foo.com/v1/bars", 404, NO_PAGE),
        ("/api/v2", 404, NOWHERE),
        ("/api/v1/foo", 404, NOWHERE),
        ("/api/v1//pods", 404, NOWHERE),
        ("/apis/apps/v2/deployments", 404, NOWHERE),
        ("/api/v1/namespaces/default/nodes", 404, NOWHERE),
        ("/api/v1/pods/foo", 404, NOWHERE),
        ("/api/v1/namespaces/default/configmaps/..", 400, "Name parameter invalid: \"..\": may not be '..'"),
        ("/api/v1/namespaces/default/configmaps/.", 400, "Name parameter invalid: \".\": may not be '.'"),
        ("/api/v1/namespaces/default/configmaps/a%25b", 400, "Name parameter invalid: \"a%b\": may not contain '%'"),
        ("/api/v1/namespaces/default/configmaps/..%2f..", 404, NOWHERE),
        ("/api/v1/namespaces/default/configmaps/a/b/c", 404, NOWHERE),
    ],
)
async def test_a_path_leads_nowhere(server: Api, path: str, status: int, message: str) -> None:
    assert (await raw(server, "GET", path))[:2] == (status, message)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("OPTIONS", "/api/v1/pods"),
        ("HEAD", "/api/v1/pods"),
        ("POST", "/api/v1/nodes/a"),
        ("PUT", "/api/v1/nodes"),
        ("PATCH", "/api/v1/nodes"),
        ("DELETE", "/version"),
        ("POST", "/api"),
    ],
)
async def test_a_method_that_a_path_does_not_know_is_refused(server: Api, method: str, path: str) -> None:
    status, said, found = await raw(server, method, path)
    assert status == 405
    if method != "HEAD":
        assert (found["reason"], said) == (
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )


async def test_long_headers_and_queries_are_read(server: Api) -> None:
    selector = "a+in+(" + ",".join(f"v{number}" for number in range(20_000)) + ")"
    assert (await raw(server, "GET", f"/api/v1/pods?labelSelector={selector}"))[0] == 200
    assert (await raw(server, "GET", "/api/v1/pods", X_Long="x" * 100_000))[0] == 200


async def test_a_form_that_is_not_served_is_not_acceptable(server: Api) -> None:
    for accept in ("text/html", "garbage", ";;;", "application/json;as=Foo;g=meta.k8s.io;v=v1"):
        status, _, found = await raw(server, "GET", "/api/v1/pods", Accept=accept)
        assert (status, found["reason"]) == (406, "NotAcceptable")
    assert (await raw(server, "GET", "/api/v1/pods", Accept="text/html, */*;q=0.1"))[0] == 200


async def test_protobuf_that_is_none_is_refused(server: Api, config_maps: str) -> None:
    for body in (b"{}", b"k8s\x00garbage", b"k8s\x00"):
        status, said, found = await raw(server, "POST", config_maps, body, Content_Type="application/vnd.kubernetes.protobuf")
        assert (status, found["reason"]) == (400, "BadRequest")
        assert said.startswith(UNREAD)


# JSON's faults in Go's words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a":1}', ""),
        ('[1, -2.5e+3, "\\u00e9\\n", true, null, {}]', ""),
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('{"a"}', "invalid character '}' after object key"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a":1 "b"', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        ("tru", "unexpected end of JSON input"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("-", "unexpected end of JSON input"),
        ("-a", "invalid character 'a' in numeric literal"),
        ("1.a", "invalid character 'a' after decimal point in numeric literal"),
        ("1ea", "invalid character 'a' in exponent of numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        ('"a\nb"', "invalid character '\\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ('"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
    ],
)
def test_the_fault_of_a_text_is_named(text: str, said: str) -> None:
    assert fault(text) == said


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
)


@given(VALUES)
def test_what_is_json_has_no_fault(value: Any) -> None:
    assert fault(json.dumps(value)) == ""
    assert fault(json.dumps(value, ensure_ascii=False, indent=1)) == ""


@given(st.text(alphabet='{}[]",:0a1e-.\\u tnrfls', max_size=12))
def test_what_is_no_json_has_a_fault(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        assert fault(text) != ""
    else:
        assert fault(text) == ""


# Limits of the embedded server


async def listening(**options: Any) -> Listener:
    api = ApiServer(open_storage(None), tokens={TOKEN: ADMIN})
    return await serve(api, **options)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = await listening(idle=0.2, patience=0.2)
    yield found
    await found.close()


async def said(listener: Listener, *parts: bytes) -> bytes:
    """All that the server answers to what is sent, up to the end of the connection."""
    reader, writer = await asyncio.open_connection(listener.host, listener.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


def request(method: str, path: str, *headers: str, token: str = TOKEN) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {token}", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_connection_that_says_nothing_whole_is_closed(listener: Listener) -> None:
    assert await said(listener) == b""
    assert await said(listener, b"GET /api HTTP/1.1\r\nHost: ") == b""


async def test_a_body_that_does_not_come_is_not_waited_for(listener: Listener) -> None:
    answer = await said(listener, request("POST", "/api/v1/namespaces", "Content-Length: 100"), b"{")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 504 ")
    assert json.loads(body)["message"] == "Timeout: request did not complete within the allotted timeout"


async def test_a_thousand_half_open_connections_disturb_nobody() -> None:
    found = await listening()
    half = []
    try:
        for _ in range(1000):
            _, writer = await asyncio.open_connection(found.host, found.port)
            writer.write(b"GET /api HTTP/1.1\r\nHost: ")
            half.append(writer)
        async with client(f"http://{found.host}:{found.port}", TOKEN) as api:
            assert (await api.get("/api")).status == 200
    finally:
        for writer in half:
            writer.close()
        await found.close()


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 600_000 + b"\r\n\r\n",
        b"GET /api HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(5_000)) + b"\r\n",
    ],
)
async def test_what_is_no_http_ends_its_connection_and_no_other(
    listener: Listener, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        answer = await said(listener, text)
    except ConnectionError:
        answer = b""  # the server need not read what it does not want
    assert not re.match(rb"HTTP/1.1 [25]", answer)
    async with client(f"http://{listener.host}:{listener.port}", TOKEN) as api:
        assert (await api.get("/api")).status == 200


async def test_a_body_is_not_unpacked(listener: Listener) -> None:
    bomb = gzip.compress(b" " * 50_000_000, 9)
    head = request("POST", "/api/v1/namespaces", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}", "Connection: close")
    answer = await said(listener, head, bomb)
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_several_requests_go_over_one_connection(listener: Listener) -> None:
    answer = await said(listener, request("GET", "/healthz") * 2 + request("GET", "/healthz", "Connection: close"))
    assert answer.count(b"HTTP/1.1 200 OK") == 3


async def test_an_answer_is_packed_when_it_is_large_and_that_is_wanted(server: Api) -> None:
    for accepted, packed in (("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False)):
        async with server.session.get(f"{server.url}/openapi/v2", headers={"Accept-Encoding": accepted}) as response:
            assert (response.headers.get("Content-Encoding") == "gzip") is packed
            assert (await response.read())[:1] == b"{"
    async with server.session.get(f"{server.url}/api", headers={"Accept-Encoding": "gzip"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_watches_end_in_good_order_when_the_server_does() -> None:
    found = await listening()
    async with client(f"http://{found.host}:{found.port}", TOKEN) as api:
        assert (await api.create("/api/v1/namespaces", {"metadata": {"name": "a"}})).status == 201
        async with api.watch("/api/v1/namespaces") as watching:
            assert isinstance(watching, Watching)
            assert await watching.names(1) == [("ADDED", "a")]
            assert found.api.ready
            closing = asyncio.create_task(found.close())
            assert await watching.rest() == []
            await closing
    assert not found.api.ready


async def test_a_key_that_stands_twice_in_yaml_is_warned_about_and_refused_when_asked_to(server: Api, config_maps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\ndata:\n  a: '1'\n  a: '2'\n"
    media = "application/yaml"
    strict = await server.request("POST", config_maps, body, content_type=media, fieldValidation="Strict")
    assert (strict.status, strict.body["message"]) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'yaml: unmarshal errors:\n  line 6: key "a" already set in map',
    )
    answer = await server.request("POST", config_maps, body, content_type=media)
    assert (answer.status, answer.body["data"]) == (201, {"a": "2"})
    assert answer.warnings == ['299 - "line 6: key \\"a\\" already set in map"']
    applied = f"{config_maps}/twice"
    again = await server.request("PATCH", applied, body, content_type=APPLY, fieldManager="me", force="true")
    assert (again.status, again.warnings) == (200, answer.warnings)
    asked: Obj = {"fieldManager": "me", "fieldValidation": "Strict", "force": "true"}
    strict = await server.request("PATCH", applied, body, content_type=APPLY, **asked)
    assert (strict.status, strict.body["message"]) == (
        400,
        "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 6: key "a" already set in map',
    )
