"""Artifacts as files that are served, and fetched against their digests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozystack.api.flux import Artifact
from cozystack.flux.fetch import Fetcher, FetchError
from cozystack.flux.storage import ArtifactStorage
from cozystack.oci import UnsafeArchive, digest_of, pack_files


def put(storage: ArtifactStorage, content: bytes, *, age: int = 0) -> str:
    """Store an artifact that was last wanted ``age`` seconds ago; its path."""
    path, digest = storage.put("OCIRepository", "ns", "app", content)
    assert digest == digest_of(content)
    moment = 1_000_000 - age
    os.utime(storage.folder / path, (moment, moment))
    return path


def test_a_file_is_named_after_its_content(tmp_path: Path) -> None:
    storage = ArtifactStorage(tmp_path, advertised="source.svc:80")
    path = put(storage, b"one")
    assert path == f"ocirepository/ns/app/{digest_of(b'one').removeprefix('sha256:')}.tar.gz"
    assert storage.url(path) == f"http://source.svc:80/{path}"
    assert (tmp_path / path).read_bytes() == b"one"
    assert storage.has(path)
    assert not storage.has("")
    assert not storage.has("ocirepository/ns/app")


def test_of_each_object_the_newest_two_are_kept(tmp_path: Path) -> None:
    storage = ArtifactStorage(tmp_path)
    paths = [put(storage, content, age=age) for content, age in ((b"1", 30), (b"2", 20), (b"3", 10))]
    assert [storage.has(path) for path in paths] == [False, True, True]
    other, _ = storage.put("OCIRepository", "ns", "other", b"1")
    assert [storage.has(path) for path in (*paths, other)] == [False, True, True, True]


def test_content_that_comes_back_is_the_newest_again(tmp_path: Path) -> None:
    storage = ArtifactStorage(tmp_path)
    first, second = put(storage, b"1", age=30), put(storage, b"2", age=20)
    assert put(storage, b"1", age=10) == first
    third = put(storage, b"3")
    assert [storage.has(path) for path in (first, second, third)] == [True, False, True]


def test_an_object_is_forgotten_with_its_folder(tmp_path: Path) -> None:
    storage = ArtifactStorage(tmp_path)
    put(storage, b"1")
    storage.drop("OCIRepository", "ns", "app")
    storage.drop("OCIRepository", "ns", "app")
    assert list((tmp_path / "ocirepository" / "ns").iterdir()) == []


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[ArtifactStorage]:
    storage = ArtifactStorage(tmp_path)
    await storage.serve("127.0.0.1", 0)
    yield storage
    await storage.close()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(capacity=1)
    yield fetcher
    await fetcher.close()


def artifact(storage: ArtifactStorage, name: str, content: bytes) -> Artifact:
    path, digest = storage.put("OCIRepository", "ns", name, content)
    return Artifact(url=storage.url(path), revision=f"v1@{digest}", path=path, digest=digest)


async def test_what_is_fetched_is_kept_by_its_digest(storage: ArtifactStorage, fetcher: Fetcher) -> None:
    one = artifact(storage, "one", pack_files([("a", b"1")]))
    assert await fetcher.files(one) == {"a": b"1"}
    (storage.folder / one.path).unlink()
    assert await fetcher.files(one) == {"a": b"1"}
    two = artifact(storage, "two", pack_files([("a", b"2")]))
    assert await fetcher.files(two) == {"a": b"2"}
    with pytest.raises(FetchError) as caught:
        await fetcher.files(one)
    assert str(caught.value) == f"{one.url} answered 404"


async def test_content_is_what_its_digest_says_or_refused(storage: ArtifactStorage, fetcher: Fetcher) -> None:
    one = artifact(storage, "one", pack_files([("a", b"1")]))
    (storage.folder / one.path).write_bytes(b"changed")
    with pytest.raises(FetchError) as caught:
        await fetcher.files(one)
    assert str(caught.value) == f"{one.url} does not have the digest {one.digest}"


async def test_what_is_no_archive_is_refused(storage: ArtifactStorage, fetcher: Fetcher) -> None:
    with pytest.raises(UnsafeArchive):
        await fetcher.files(artifact(storage, "one", b"text"))


async def test_a_server_that_is_away_is_a_fetch_error(storage: ArtifactStorage, fetcher: Fetcher) -> None:
    one = artifact(storage, "one", pack_files([("a", b"1")]))
    await storage.close()
    with pytest.raises(FetchError) as caught:
        await fetcher.files(one)
    assert str(caught.value).startswith(f"{one.url} cannot be fetched: ")
