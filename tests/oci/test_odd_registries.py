"""Registries that answer what they should not: always an error in words, never a wrong content."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from cozystack.oci import LAYER, Reference, RegistryClient, RegistryError, digest_of
from oci.registries import answering

DIGEST = "sha256:" + "0" * 64


async def complaint(answers: dict[str, web.Response], request: str = "pull", reference: str = "") -> str:
    """What the client says about a registry with these answers by path; the name of the artifact is cut off."""

    async def answer(asked: web.BaseRequest) -> web.Response:
        return answers.get(asked.path, web.Response(status=404))

    async with answering(answer) as host, RegistryClient() as client:
        artifact = Reference.parse(f"{host}/a{reference or ':v1'}")
        with pytest.raises(RegistryError) as refused:
            await getattr(client, request)(artifact)
        return str(refused.value).removeprefix(str(artifact)).removeprefix(": ").strip()


def manifest(body: Any) -> dict[str, web.Response]:
    return {"/v2/a/manifests/v1": web.Response(body=body if isinstance(body, bytes) else json.dumps(body).encode())}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the manifest is not JSON"),
        (b"<html>", "the manifest is not JSON"),
        ([], "the manifest is not one of an artifact"),
        ({"layers": 1}, "the manifest is not one of an artifact: Expected `array`, got `int`"),
        ({"layers": [1]}, "the manifest is not one of an artifact: Expected `object`, got `int` - at `$[0]`"),
        ({"layers": [{"mediaType": LAYER}]}, "the manifest is not one of an artifact: Object missing required field `digest`"),
        (
            {"layers": [{"mediaType": LAYER, "digest": "../x"}]},
            "the manifest is not one of an artifact: Expected `str` matching",
        ),
        ({"manifests": []}, "has no layer"),
        ({"layers": [{"mediaType": LAYER, "digest": DIGEST}]}, "its content cannot be read (the registry answered 404)"),
        ({"layers": [{"mediaType": LAYER, "digest": DIGEST, "size": 2**40}]}, "is larger than 268435456 bytes"),
    ],
)
async def test_a_manifest_that_cannot_be_used(body: Any, words: str) -> None:
    assert (await complaint(manifest(body))).startswith(words)


async def test_a_manifest_larger_than_any() -> None:
    assert await complaint(manifest({"x": "x" * 5_000_000})) == "the manifest is not one of an artifact"


async def test_a_manifest_without_the_digest_that_was_asked_for() -> None:
    answers = {f"/v2/a/manifests/{DIGEST}": web.Response(body=b"{}")}

    assert await complaint(answers, "resolve", f"@{DIGEST}") == "the manifest does not have that digest"


async def test_a_content_without_the_digest_that_its_manifest_says() -> None:
    layer = {"mediaType": LAYER, "digest": digest_of(b"right"), "size": 5}
    answers = {**manifest({"layers": [layer]}), f"/v2/a/blobs/{layer['digest']}": web.Response(body=b"wrong")}

    assert await complaint(answers) == "the content is not what its manifest says"


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'{"tags": 1}', b"\xff"])
async def test_a_list_of_tags_that_is_none(body: bytes) -> None:
    answers = {"/v2/a/tags/list": web.Response(body=body)}

    assert await complaint(answers, "tags") == "the registry's list of tags cannot be read"


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_status_is_told(status: int) -> None:
    answers = {"/v2/a/manifests/v1": web.Response(status=status)}

    assert await complaint(answers, "resolve") == f"its manifest cannot be read (the registry answered {status})"


async def test_a_connection_that_is_cut() -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    async with answering(cut) as host, RegistryClient() as client:
        with pytest.raises(RegistryError, match=f"{host} cannot be reached"):
            await client.resolve(Reference(host, "a"))
