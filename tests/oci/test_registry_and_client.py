"""Pushing to our registry and pulling from it, over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from cozystack.oci import (
    LAYER,
    Pulled,
    Reference,
    Registry,
    RegistryClient,
    RegistryError,
    digest_of,
    pack_files,
    push_folder,
    read_archive,
)
from oci.registries import guarded, running

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
LAYER_BYTES = pack_files([("a", b"1")])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url(artifact: Reference, rest: str) -> str:
    return f"http://{artifact.host}/v2/{artifact.path}/{rest}"


async def upload(http: aiohttp.ClientSession, artifact: Reference, blob: bytes) -> dict[str, Any]:
    """Push a blob in one request, as other clients may; its descriptor."""
    async with http.post(url(artifact, f"blobs/uploads/?digest={digest_of(blob)}"), data=blob) as response:
        assert response.status == 201
    return {"mediaType": LAYER, "digest": digest_of(blob), "size": len(blob)}


async def put(
    http: aiohttp.ClientSession, artifact: Reference, manifest: object, media_type: str = MANIFEST
) -> tuple[int, Any]:
    body = manifest if isinstance(manifest, bytes) else msgspec.json.encode(manifest)
    headers = {"Content-Type": media_type}
    async with http.put(url(artifact, f"manifests/{artifact.version}"), data=body, headers=headers) as response:
        return response.status, msgspec.json.decode(await response.read() or b"null")


async def test_a_pushed_artifact_is_what_flux_expects(artifact: Reference, client: RegistryClient) -> None:
    digest = await client.push(artifact, LAYER_BYTES, annotations={"org.opencontainers.image.revision": "main@sha1:1"})

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.cncf.flux.config.v1+json", "digest": digest_of(b"{}"), "size": 2},
        "layers": [
            {
                "mediaType": "application/vnd.cncf.flux.content.v1.tar+gzip",
                "digest": digest_of(LAYER_BYTES),
                "size": len(LAYER_BYTES),
            }
        ],
        "annotations": {"org.opencontainers.image.revision": "main@sha1:1"},
    }
    pulled = await client.pull(artifact)
    assert pulled == Pulled(digest, manifest, LAYER_BYTES)
    assert pulled.annotations == manifest["annotations"]
    assert await client.resolve(artifact) == digest


async def test_a_folder_is_pushed_with_what_flux_tells_about_it(
    artifact: Reference, client: RegistryClient, tmp_path: Path
) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "a.yaml").write_text("a: 1\n")
    about = {"source": "https://example.com/x.git", "revision": "main@sha1:1", "created": "2026-01-01T00:00:00Z"}

    digest = await push_folder(client, artifact, tmp_path / "packages", **about)

    pulled = await client.pull(artifact)
    assert pulled.digest == digest
    assert pulled.annotations == {f"org.opencontainers.image.{name}": value for name, value in about.items()}
    assert read_archive(pulled.layer) == {"a.yaml": b"a: 1\n"}


async def test_pushing_the_same_again_is_the_same_digest(artifact: Reference, client: RegistryClient) -> None:
    first = await client.push(artifact, LAYER_BYTES, annotations={"a": "1"})

    assert await client.push(artifact, LAYER_BYTES, annotations={"a": "1"}) == first
    assert await client.push(artifact, LAYER_BYTES, annotations={"a": "2"}) != first


async def test_a_tag_moves_and_its_old_digest_stays(artifact: Reference, client: RegistryClient) -> None:
    old = await client.push(artifact, LAYER_BYTES, annotations={})
    new = await client.push(artifact, pack_files([("a", b"2")]), annotations={})

    assert await client.resolve(artifact) == new
    assert (await client.pull(replace(artifact, digest=old))).layer == LAYER_BYTES


async def test_tags_are_listed_in_order_and_no_tag_means_latest(artifact: Reference, client: RegistryClient) -> None:
    for tag in ("v2", "v10", ""):
        await client.push(replace(artifact, tag=tag), LAYER_BYTES, annotations={})

    assert await client.tags(artifact) == ["latest", "v10", "v2"]


async def test_repositories_do_not_see_the_tags_and_manifests_of_each_other(
    artifact: Reference, client: RegistryClient
) -> None:
    inner = replace(artifact, path=f"{artifact.path}/sub")
    digest = await client.push(artifact, LAYER_BYTES, annotations={})
    await client.push(replace(inner, tag="v2"), LAYER_BYTES, annotations={"inner": "yes"})

    assert (await client.tags(artifact), await client.tags(inner)) == (["v1"], ["v2"])
    with pytest.raises(RegistryError, match="it cannot be found"):
        await client.resolve(replace(inner, digest=digest))


async def test_the_first_layer_is_pulled_or_the_first_of_a_type(
    artifact: Reference, client: RegistryClient, http: aiohttp.ClientSession
) -> None:
    layers = [{**await upload(http, artifact, blob), "mediaType": kind} for blob, kind in ((b"1", LAYER), (b"2", HELM_LAYER))]
    assert await put(http, artifact, {"schemaVersion": 2, "layers": layers}) == (201, None)

    assert (await client.pull(artifact)).layer == b"1"
    assert (await client.pull(artifact, media_type=HELM_LAYER)).layer == b"2"
    with pytest.raises(RegistryError) as missing:
        await client.pull(artifact, media_type="text/plain")
    assert str(missing.value) == f"{artifact} has no layer of type text/plain"


async def test_an_artifact_without_layers_is_refused(
    artifact: Reference, client: RegistryClient, http: aiohttp.ClientSession
) -> None:
    assert await put(http, artifact, {"schemaVersion": 2, "layers": []}) == (201, None)

    with pytest.raises(RegistryError, match=r"has no layer$"):
        await client.pull(artifact)


async def test_what_is_not_there_is_said_with_the_status(artifact: Reference, client: RegistryClient) -> None:
    digest = "sha256:" + "0" * 64
    missing = {
        f"{artifact}: it cannot be found (the registry answered 404)": client.resolve(artifact),
        f"{artifact}@{digest}: it cannot be found (the registry answered 404)": client.pull(replace(artifact, digest=digest)),
        f"{artifact}: its tags cannot be listed (the registry answered 404)": client.tags(artifact),
    }
    for message, request in missing.items():
        with pytest.raises(RegistryError) as refused:
            await request
        assert (str(refused.value), refused.value.status) == (message, 404)


async def test_a_registry_that_does_not_answer_is_an_error_without_a_status(tmp_path: Path, client: RegistryClient) -> None:
    async with running(Registry(tmp_path)) as host:
        gone = Reference(host, "a")

    with pytest.raises(RegistryError, match=f"{host} cannot be reached") as refused:
        await client.resolve(gone)
    assert refused.value.status == 0


async def test_content_stays_over_a_restart(tmp_path: Path, client: RegistryClient) -> None:
    async with running(Registry(tmp_path)) as host:
        digest = await client.push(Reference(host, "a/b", "v1"), LAYER_BYTES, annotations={"a": "1"})
    # What a registry that was killed while it wrote would leave behind.
    (tmp_path / "repositories/a/b/_tags/.v2.0123.part").write_bytes(b"sha")

    async with running(Registry(tmp_path)) as host:
        again = Reference(host, "a/b", "v1")
        pulled = await client.pull(again)
        assert (pulled.digest, pulled.layer, await client.tags(again)) == (digest, LAYER_BYTES, ["v1"])


async def test_content_that_was_changed_on_disk_is_not_taken(tmp_path: Path, client: RegistryClient) -> None:
    async with running(Registry(tmp_path)) as host:
        artifact = Reference(host, "a", "v1")
        digest = await client.push(artifact, LAYER_BYTES, annotations={})

        (tmp_path / "blobs" / digest_of(LAYER_BYTES).removeprefix("sha256:")).write_bytes(b"other")
        with pytest.raises(RegistryError, match="the content is not what its manifest says"):
            await client.pull(artifact)
        (tmp_path / "blobs" / digest.removeprefix("sha256:")).write_bytes(b"{}")
        with pytest.raises(RegistryError, match="the manifest does not have that digest"):
            await client.pull(replace(artifact, digest=digest))


async def test_a_content_that_is_there_is_not_uploaded_again(artifact: Reference, client: RegistryClient) -> None:
    await client.push(artifact, LAYER_BYTES, annotations={})
    sent: list[str] = []

    def note(request: web.BaseRequest) -> None:
        sent.append(f"{request.method} {request.path.rpartition('/')[2]}")

    async with guarded(artifact.host, note) as host:
        await client.push(replace(artifact, host=host, tag="v2"), LAYER_BYTES, annotations={})
    assert sent == [f"HEAD {digest_of(b'{}')}", f"HEAD {digest_of(LAYER_BYTES)}", "PUT v2"]


async def test_a_layer_that_is_too_large_is_not_fetched(
    artifact: Reference, client: RegistryClient, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cozystack.oci.client.MOST_LAYER", 200)
    layer = await upload(http, artifact, b"x" * 300)
    assert await put(http, artifact, {"layers": [layer]}) == (201, None)
    with pytest.raises(RegistryError, match=r"is larger than 200 bytes$"):
        await client.pull(artifact)

    assert await put(http, artifact, {"layers": [{**layer, "size": 5}]}) == (201, None)
    with pytest.raises(RegistryError, match=r"the registry's answer is larger than 200 bytes$"):
        await client.pull(artifact)


async def test_the_registry_says_that_it_speaks_the_protocol(artifact: Reference, http: aiohttp.ClientSession) -> None:
    async with http.get(f"http://{artifact.host}/v2/") as response:
        assert (response.status, await response.json()) == (200, {})


async def test_other_clients_may_upload_in_parts(artifact: Reference, http: aiohttp.ClientSession) -> None:
    async with http.post(url(artifact, "blobs/uploads/")) as started:
        location = f"http://{artifact.host}{started.headers['Location']}"
    async with http.patch(location, data=b"12") as one, http.patch(location, data=b"34") as two:
        assert [(one.status, one.headers["Range"]), (two.status, two.headers["Range"])] == [(202, "0-1"), (202, "0-3")]
    async with http.put(f"{location}?digest={digest_of(b'12345')}", data=b"5") as done:
        assert (done.status, done.headers["Docker-Content-Digest"]) == (201, digest_of(b"12345"))

    blob = url(artifact, f"blobs/{digest_of(b'12345')}")
    async with http.head(blob) as head, http.get(blob) as got:
        assert (head.status, head.headers["Content-Length"], await got.read()) == (200, "5", b"12345")


async def test_an_upload_can_be_given_up(artifact: Reference, http: aiohttp.ClientSession) -> None:
    async with http.post(url(artifact, "blobs/uploads/")) as started:
        location = f"http://{artifact.host}{started.headers['Location']}"
    async with http.delete(location) as given_up, http.patch(location, data=b"1") as late:
        answers = [(given_up.status, await given_up.read()), (late.status, (await late.json())["errors"][0]["code"])]
    assert answers == [(204, b""), (404, "BLOB_UPLOAD_UNKNOWN")]


async def test_a_manifest_is_deleted_with_the_tags_that_point_to_it(
    artifact: Reference, client: RegistryClient, http: aiohttp.ClientSession
) -> None:
    digest = await client.push(artifact, LAYER_BYTES, annotations={})
    await client.push(replace(artifact, tag="same"), LAYER_BYTES, annotations={})
    await client.push(replace(artifact, tag="other"), LAYER_BYTES, annotations={"a": "1"})

    async with http.delete(url(artifact, "manifests/same")) as untagged:
        assert untagged.status == 202
    assert await client.tags(artifact) == ["other", "v1"]
    assert await client.resolve(artifact) == digest
    async with http.delete(url(artifact, f"manifests/{digest}")) as deleted:
        assert deleted.status == 202
    assert await client.tags(artifact) == ["other"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("GET", "blobs/sha256:..", 404, "BLOB_UNKNOWN"),
        ("DELETE", "blobs/sha256:" + "0" * 64, 405, "UNSUPPORTED"),
        ("GET", "manifests/v9", 404, "MANIFEST_UNKNOWN"),
        ("GET", "manifests/.hidden", 400, "TAG_INVALID"),
        ("GET", "tags/list", 404, "NAME_UNKNOWN"),
        ("PATCH", "blobs/uploads/00", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", "blobs/uploads/?digest=sha256:" + "0" * 64, 400, "DIGEST_INVALID"),
        ("POST", "blobs/uploads/?digest=../../x", 400, "DIGEST_INVALID"),
        ("PUT", "manifests/sha256:" + "0" * 64, 400, "DIGEST_INVALID"),
    ],
)
async def test_a_wrong_request_is_answered_with_the_code_of_the_specification(
    artifact: Reference, http: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    async with http.request(method, url(artifact, path), data=b"{}") as response:
        assert (response.status, [error["code"] for error in (await response.json())["errors"]]) == (status, [code])


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (b"{", "MANIFEST_INVALID"),
        (b"\xff", "MANIFEST_INVALID"),
        ([], "MANIFEST_INVALID"),
        (7, "MANIFEST_INVALID"),
        ({"layers": 7}, "MANIFEST_INVALID"),
        ({"layers": ["x"]}, "MANIFEST_INVALID"),
        ({"layers": [{}]}, "MANIFEST_INVALID"),
        ({"config": None}, "MANIFEST_INVALID"),
        ({"layers": [{"digest": "sha256:" + "0" * 64}]}, "MANIFEST_BLOB_UNKNOWN"),
        ({"config": {"digest": "../../../etc/passwd"}}, "MANIFEST_BLOB_UNKNOWN"),
    ],
)
async def test_a_manifest_that_is_none_is_refused(
    artifact: Reference, http: aiohttp.ClientSession, manifest: object, code: str
) -> None:
    status, answer = await put(http, artifact, manifest)

    assert (status, answer["errors"][0]["code"]) == (400, code)


async def test_a_client_that_was_closed_can_be_closed_again_and_used(artifact: Reference, client: RegistryClient) -> None:
    await client.push(artifact, LAYER_BYTES, annotations={})
    await client.close()
    await client.close()

    assert await client.tags(artifact) == ["v1"]
