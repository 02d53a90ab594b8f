"""OCIRepository and GitRepository become artifacts; what cannot be fetched keeps its last one."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cozystack.api.core import Secret
from cozystack.api.flux import GitRef, GitRepository, GitRepositorySpec, OCIRepository
from cozystack.api.meta import ObjectMeta
from cozystack.api.resources import GIT_REPOSITORIES, OCI_REPOSITORIES, SECRETS
from cozystack.flux.sources import SourceError, Sources
from cozystack.oci import Reference, Registry, RegistryClient, digest_of, pack_files, read_archive
from flux.bench import NS, Bench, key, said


class Pushed:
    """A registry, and what a test has pushed to it."""

    def __init__(self, registry: Registry, port: int) -> None:
        self.registry = registry
        self.port = port
        self.url = f"oci://127.0.0.1:{port}/acme/app"

    async def push(self, tag: str, **files: str) -> str:
        """Push files under a tag; the digest of the artifact."""
        content = pack_files((name, text.encode()) for name, text in files.items())
        async with RegistryClient() as client:
            reference = Reference("127.0.0.1:" + str(self.port), "acme/app", tag)
            return await client.push(reference, content, annotations={"about": tag})


@pytest.fixture
async def pushed(tmp_path: Path) -> AsyncIterator[Pushed]:
    registry = Registry(tmp_path / "registry")
    found = Pushed(registry, await registry.start())
    yield found
    await registry.stop()


async def repository(bench: Bench, url: str, **spec: Any) -> OCIRepository:
    return await bench.apply(OCI_REPOSITORIES, "app", {"url": url, "interval": "5m", **spec})


def files_of(bench: Bench, source: Any) -> dict[str, bytes]:
    artifact = source.status.artifact
    assert artifact is not None
    content = (bench.storage.folder / artifact.path).read_bytes()
    assert (digest_of(content), len(content)) == (artifact.digest, artifact.size)
    return read_archive(content)


def revision_of(source: Any) -> str:
    return str(source.status.artifact.revision) if source.status.artifact is not None else ""


async def test_a_tag_becomes_an_artifact(bench: Bench, pushed: Pushed) -> None:
    digest = await pushed.push("v1", a="1")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"tag": "v1"})
    assert files_of(bench, source) == {"a": b"1"}
    artifact = source.status.artifact
    assert artifact is not None
    assert (artifact.revision, artifact.url, artifact.metadata) == (
        f"v1@{digest}",
        bench.storage.url(artifact.path),
        {"about": "v1"},
    )
    message = f"stored artifact for revision 'v1@{digest}'"
    assert said(source) == said(source, "ArtifactInStorage") == ("True", "Succeeded", message)
    assert source.status.observed_generation == source.metadata.generation


async def test_without_a_reference_it_is_the_tag_latest(bench: Bench, pushed: Pushed) -> None:
    digest = await pushed.push("latest", a="1")
    await bench.sources()
    assert revision_of(await repository(bench, pushed.url)) == f"latest@{digest}"


async def test_a_digest_comes_before_a_range_and_a_range_before_a_tag(bench: Bench, pushed: Pushed) -> None:
    one, two = await pushed.push("1.0.0", a="1"), await pushed.push("1.1.0", a="2")
    await pushed.push("2.0.0", a="3")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"semver": "1.x", "tag": "2.0.0"})
    assert (revision_of(source), files_of(bench, source)) == (f"1.1.0@{two}", {"a": b"2"})
    source = await repository(bench, pushed.url, ref={"digest": one, "semver": "1.x"})
    assert (revision_of(source), files_of(bench, source)) == (one, {"a": b"1"})
    source = await repository(bench, pushed.url, ref={"digest": one, "tag": "2.0.0"})
    assert (revision_of(source), files_of(bench, source)) == (f"2.0.0@{one}", {"a": b"1"})


async def test_a_range_can_be_narrowed_by_a_pattern(bench: Bench, pushed: Pushed) -> None:
    digest = await pushed.push("1.0.0-prod", a="1")
    await pushed.push("1.1.0-test", a="2")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"semver": ">=1.0.0-0", "semverFilter": "-prod$"})
    assert revision_of(source) == f"1.0.0-prod@{digest}"


async def test_a_tag_that_moves_is_seen_after_the_interval(bench: Bench, pushed: Pushed) -> None:
    await pushed.push("v1", a="1")
    await bench.sources()
    await repository(bench, pushed.url, ref={"tag": "v1"})
    digest = await pushed.push("v1", a="2")
    bench.forget_writes()
    await bench.pass_time(299)
    assert bench.writes == []
    await bench.pass_time(1)
    source = await bench.client.get(OCI_REPOSITORIES, key("app"))
    assert (revision_of(source), files_of(bench, source)) == (f"v1@{digest}", {"a": b"2"})
    assert len(bench.writes) == 1


async def test_nothing_is_written_while_nothing_moves(bench: Bench, pushed: Pushed) -> None:
    await pushed.push("v1", a="1")
    await bench.sources()
    await repository(bench, pushed.url, ref={"tag": "v1"})
    bench.forget_writes()
    await bench.pass_time(1000)
    await bench.stop()
    await bench.sources()
    assert bench.writes == []


async def test_a_request_reconciles_at_once_and_is_answered(bench: Bench, pushed: Pushed) -> None:
    await pushed.push("v1", a="1")
    await bench.sources()
    await repository(bench, pushed.url, ref={"tag": "v1"})
    digest = await pushed.push("v1", a="2")
    source = await bench.request(OCI_REPOSITORIES, "app", "now")
    assert (revision_of(source), source.status.last_handled_reconcile_at) == (f"v1@{digest}", "now")


async def test_a_failure_keeps_the_last_artifact_and_is_tried_again(bench: Bench, pushed: Pushed) -> None:
    digest = await pushed.push("v1", a="1")
    await bench.sources()
    await repository(bench, pushed.url, ref={"tag": "v1"})
    source = await repository(bench, pushed.url, ref={"tag": "v2"})
    assert (revision_of(source), files_of(bench, source)) == (f"v1@{digest}", {"a": b"1"})
    failure = said(source)
    assert failure is not None
    assert failure == said(source, "Ready") and failure[:2] == ("False", "OCIArtifactPullFailed")
    assert f"{pushed.url}:v2" in failure[2]
    assert said(source, "FetchFailed") == ("True", *failure[1:])
    assert said(source, "ArtifactInStorage") is not None
    assert source.status.observed_generation == source.metadata.generation
    bench.forget_writes()
    await bench.pass_time(30)
    assert bench.writes == []
    digest = await pushed.push("v2", a="2")
    await bench.pass_time(10)
    source = await bench.client.get(OCI_REPOSITORIES, key("app"))
    assert (revision_of(source), said(source, "FetchFailed")) == (f"v2@{digest}", None)


async def test_a_registry_that_is_away_is_named(bench: Bench, pushed: Pushed) -> None:
    await pushed.registry.stop()
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"tag": "v1"})
    failure = said(source)
    assert failure is not None
    assert failure[:2] == ("False", "OCIArtifactPullFailed")
    assert failure[2].startswith(f"127.0.0.1:{pushed.port} cannot be reached")
    assert source.status.artifact is None


async def test_a_range_without_a_match_is_quoted(bench: Bench, pushed: Pushed) -> None:
    await pushed.push("v1", a="1")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"semver": ">=9"})
    assert said(source) == ("False", "OCIArtifactPullFailed", f'no tag of {pushed.url} matches ">=9"')


async def test_a_suspended_source_is_left_alone(bench: Bench, pushed: Pushed) -> None:
    digest = await pushed.push("v1", a="1")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"tag": "v1"}, suspend=True)
    assert (source.status.artifact, source.status.conditions) == (None, ())
    source = await repository(bench, pushed.url, ref={"tag": "v1"}, suspend=False)
    assert revision_of(source) == f"v1@{digest}"
    source = await repository(bench, pushed.url, ref={"tag": "v2"}, suspend=True)
    assert (revision_of(source), said(source, "FetchFailed")) == (f"v1@{digest}", None)


async def test_artifacts_of_a_deleted_source_are_deleted(bench: Bench, pushed: Pushed) -> None:
    await pushed.push("v1", a="1")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"tag": "v1"})
    assert source.status.artifact is not None
    await bench.delete(OCI_REPOSITORIES, "app")
    assert not (bench.storage.folder / source.status.artifact.path).exists()


async def test_an_artifact_that_was_lost_is_fetched_again(bench: Bench, pushed: Pushed) -> None:
    await pushed.push("v1", a="1")
    await bench.sources()
    source = await repository(bench, pushed.url, ref={"tag": "v1"})
    assert source.status.artifact is not None
    (bench.storage.folder / source.status.artifact.path).unlink()
    assert files_of(bench, await bench.request(OCI_REPOSITORIES, "app", "1")) == {"a": b"1"}


async def test_a_login_comes_from_the_secret_that_is_named(bench: Bench, pushed: Pushed) -> None:
    digest = await pushed.push("v1", a="1")
    await bench.sources()
    spec = {"ref": {"tag": "v1"}, "secretRef": {"name": "login"}}
    assert said(await repository(bench, pushed.url, **spec)) == (
        "False",
        "AuthenticationFailed",
        f"there is no Secret {NS}/login",
    )
    await bench.client.create(SECRETS, Secret(metadata=ObjectMeta(name="login", namespace=NS), data={}))
    source = await bench.request(OCI_REPOSITORIES, "app", "1")
    assert said(source) == ("False", "AuthenticationFailed", f"the Secret {NS}/login has no .dockerconfigjson")
    config = base64.b64encode(json.dumps({"auths": {"127.0.0.1": {"auth": "broken"}}}).encode()).decode()
    await bench.change(SECRETS, "login", {"data": {".dockerconfigjson": config}})
    source = await bench.request(OCI_REPOSITORIES, "app", "2")
    assert said(source) == ("False", "OCIArtifactPullFailed", "the docker configuration cannot be read")
    config = base64.b64encode(json.dumps({"auths": {}}).encode()).decode()
    await bench.change(SECRETS, "login", {"data": {".dockerconfigjson": config}})
    assert revision_of(await bench.request(OCI_REPOSITORIES, "app", "3")) == f"v1@{digest}"


# Git: the CRD wants a URL of http or ssh, so a repository on disk is fetched below that check


class Repository:
    """A Git repository with commits in the past, the same each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder}"
        self.git("init", "--quiet", "--initial-branch=main", str(folder), at=None)

    def git(self, *arguments: str, at: Path | None) -> str:
        environment = {
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.folder.parent),
            **{f"GIT_{who}_{what}": "me@acme.io" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            **{f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
        }
        place = ["-C", str(at)] if at is not None else []
        done = subprocess.run(["git", *place, *arguments], env=environment, capture_output=True, check=True, text=True)  # noqa: S607
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", "--all", at=self.folder)
        self.git("commit", "--quiet", "--message", "change", at=self.folder)
        return self.git("rev-parse", "HEAD", at=self.folder)

    def tag(self, name: str) -> None:
        self.git("tag", name, at=self.folder)

    def branch(self, name: str) -> None:
        self.git("checkout", "--quiet", "-b", name, at=self.folder)


@pytest.fixture
def git(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def git_source(url: str, ref: GitRef | None) -> GitRepository:
    return GitRepository(metadata=ObjectMeta(name="app", namespace=NS), spec=GitRepositorySpec(url=url, interval="5m", ref=ref))


async def fetched(bench: Bench, url: str, ref: GitRef | None) -> tuple[str, dict[str, bytes]]:
    """Revision and files of a branch, tag or commit."""
    sources = Sources(bench.client, bench.storage, clock=bench.clock, log=bench.log)
    artifact = await sources._fetch_git(git_source(url, ref))
    return artifact.revision, read_archive((bench.storage.folder / artifact.path).read_bytes())


async def test_branches_tags_ranges_names_and_commits_are_checked_out(bench: Bench, git: Repository) -> None:
    one = git.commit(a="1")
    git.tag("v1.0.0")
    two = git.commit(a="2")
    git.tag("v1.1.0")
    three = git.commit(a="3")
    git.branch("next")
    four = git.commit(a="4")
    assert await fetched(bench, git.url, GitRef(branch="main")) == (f"main@sha1:{three}", {"a": b"3"})
    assert await fetched(bench, git.url, GitRef(branch="next")) == (f"next@sha1:{four}", {"a": b"4"})
    assert await fetched(bench, git.url, GitRef(branch="main", tag="v1.0.0")) == (f"v1.0.0@sha1:{one}", {"a": b"1"})
    assert await fetched(bench, git.url, GitRef(tag="v1.0.0", semver="^1.0.0")) == (f"v1.1.0@sha1:{two}", {"a": b"2"})
    name = "refs/heads/next"
    assert await fetched(bench, git.url, GitRef(name=name, branch="main")) == (f"{name}@sha1:{four}", {"a": b"4"})
    assert await fetched(bench, git.url, GitRef(commit=one, branch="main")) == (f"main@sha1:{one}", {"a": b"1"})
    assert await fetched(bench, git.url, GitRef(commit=two)) == (f"sha1:{two}", {"a": b"2"})


async def test_without_a_reference_it_is_the_branch_master(bench: Bench, git: Repository) -> None:
    git.commit(a="1")
    with pytest.raises(SourceError) as caught:
        await fetched(bench, git.url, None)
    assert (caught.value.reason, str(caught.value)) == (
        "GitOperationFailed",
        "fatal: couldn't find remote ref refs/heads/master",
    )
    git.branch("master")
    commit = git.commit(a="2")
    assert await fetched(bench, git.url, None) == (f"master@sha1:{commit}", {"a": b"2"})


async def test_a_range_without_a_tag_in_it_is_quoted(bench: Bench, git: Repository) -> None:
    git.commit(a="1")
    git.tag("v1.0.0")
    with pytest.raises(SourceError) as caught:
        await fetched(bench, git.url, GitRef(semver=">=2"))
    assert str(caught.value) == f'no tag of {git.url} matches ">=2"'


@pytest.mark.parametrize("field", ["branch", "tag", "name", "commit"])
async def test_a_reference_is_never_an_option_of_git(bench: Bench, git: Repository, tmp_path: Path, field: str) -> None:
    git.commit(a="1")
    mark = tmp_path / "mark"
    with pytest.raises(SourceError):
        await fetched(bench, git.url, GitRef(**{field: f"--upload-pack=touch {mark};git-upload-pack"}))
    assert not mark.exists()


async def test_a_git_source_that_cannot_be_fetched_says_so(bench: Bench) -> None:
    await bench.sources()
    spec = {"url": "http://127.0.0.1:1/none.git", "interval": "5m"}
    source = await bench.apply(GIT_REPOSITORIES, "app", spec)
    failure = said(source)
    assert failure is not None
    assert failure[:2] == ("False", "GitOperationFailed")
    assert source.status.artifact is None
    source = await bench.apply(GIT_REPOSITORIES, "app", {**spec, "suspend": True})
    await bench.delete(GIT_REPOSITORIES, "app")


async def test_a_git_login_is_a_header_and_never_an_argument(bench: Bench) -> None:
    sources = Sources(bench.client, bench.storage, clock=bench.clock, log=bench.log)

    async def header(**data: str) -> str:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
        await bench.client.apply(
            SECRETS,
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": NS}, "data": encoded},
            manager="user",
            force=True,
        )
        spec = {"url": "https://git.acme.io/x.git", "interval": "5m", "secretRef": {"name": "login"}}
        source = await bench.apply(GIT_REPOSITORIES, "app", spec)
        environment = await sources._git_environment(source)
        assert environment["GIT_CONFIG_KEY_0"] == "http.extraHeader"
        return environment["GIT_CONFIG_VALUE_0"]

    pair = base64.b64encode(b"me:secret").decode()
    assert await header(username="me", password="secret") == f"Authorization: Basic {pair}"
    assert await header(bearerToken="t0ken", username="me") == "Authorization: Bearer t0ken"
    with pytest.raises(SourceError) as caught:
        await header(identity="key")
    assert (caught.value.reason, str(caught.value)) == (
        "AuthenticationFailed",
        f"the Secret {NS}/login has neither username nor bearerToken",
    )
