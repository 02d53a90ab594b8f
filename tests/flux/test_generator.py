"""An ArtifactGenerator makes ExternalArtifacts, and touches none whose content stays."""

from __future__ import annotations

from typing import Any

from cozystack.api.flux import Artifact, ArtifactGenerator, ExternalArtifact
from cozystack.api.resources import ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, OCI_REPOSITORIES
from cozystack.flux.generator import GENERATOR_LABEL, sources_digest
from cozystack.oci import digest_of, pack_files, read_archive
from flux.bench import NS, Bench, key, said


async def source(bench: Bench, name: str, **files: str) -> None:
    """An OCIRepository whose artifact holds these files."""
    if await bench.client.find(OCI_REPOSITORIES, key(name)) is None:
        await bench.apply(OCI_REPOSITORIES, name, {"url": "oci://acme.io/app", "interval": "5m"})
    content = pack_files((path.replace("__", "/"), text.encode()) for path, text in files.items())
    path, digest = bench.storage.put("OCIRepository", NS, name, content)
    artifact = {
        "url": bench.storage.url(path),
        "revision": f"v1@{digest}",
        "path": path,
        "digest": digest,
        "lastUpdateTime": "2026-01-01T00:00:00Z",
    }
    await bench.change(OCI_REPOSITORIES, name, {"status": {"artifact": artifact}}, subresource="status")


def generator_spec(**outputs: str) -> dict[str, Any]:
    """One source, and outputs that each hold what is below one of its folders."""
    return {
        "sources": [{"alias": "src", "kind": "OCIRepository", "name": "src"}],
        "artifacts": [
            {"name": name, "copy": [{"from": f"@src/{folder}/**", "to": f"@artifact/{name}/"}]}
            for name, folder in outputs.items()
        ],
    }


async def generate(bench: Bench, **outputs: str) -> ArtifactGenerator:
    return await bench.apply(ARTIFACT_GENERATORS, "gen", generator_spec(**outputs))


async def artifact(bench: Bench, name: str) -> ExternalArtifact:
    return await bench.client.get(EXTERNAL_ARTIFACTS, key(name))


def files_of(bench: Bench, found: ExternalArtifact) -> dict[str, bytes]:
    assert found.status.artifact is not None
    return read_archive((bench.storage.folder / found.status.artifact.path).read_bytes())


async def test_every_output_becomes_an_external_artifact(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db", web__Chart="web", web__t__x="x")
    await bench.generators()
    generator = await generate(bench, db="db", web="web")
    db, web = await artifact(bench, "db"), await artifact(bench, "web")
    assert (files_of(bench, db), files_of(bench, web)) == ({"db/Chart": b"db"}, {"web/Chart": b"web", "web/t/x": b"x"})
    content = pack_files([("db/Chart", b"db")])
    made = db.status.artifact
    assert made is not None
    assert (made.revision, made.digest, made.size) == (f"latest@{digest_of(content)}", digest_of(content), len(content))
    assert made.url == bench.storage.url(made.path)
    assert said(db) == ("True", "Succeeded", f"stored artifact for revision '{made.revision}'")
    owner = db.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.name, owner.uid) == ("ArtifactGenerator", "gen", generator.metadata.uid)
    assert db.metadata.labels == {"app.kubernetes.io/managed-by": "source-watcher", GENERATOR_LABEL: generator.metadata.uid}
    ref = db.spec.source_ref
    assert ref is not None
    assert (ref.kind, ref.name, ref.namespace) == ("ArtifactGenerator", "gen", NS)


async def test_the_generator_says_what_it_made_of_which_sources(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    status = (await generate(bench, db="db")).status
    made, origin = (await artifact(bench, "db")).status.artifact, await bench.client.get(OCI_REPOSITORIES, key("src"))
    assert made is not None and origin.status.artifact is not None
    assert [(entry.name, entry.namespace, entry.digest, entry.filename) for entry in status.inventory] == [
        ("db", NS, made.digest, made.path.rpartition("/")[2])
    ]
    assert status.observed_sources_digest == sources_digest({"src": origin.status.artifact})
    assert [(each.type, each.status, each.reason, each.message) for each in status.conditions] == [
        ("Ready", "True", "Succeeded", "reconciliation succeeded, generated 1 artifact(s)")
    ]


async def test_only_an_artifact_whose_content_changed_is_written(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db", web__Chart="web")
    await bench.generators()
    await generate(bench, db="db", web="web")
    db, web = await artifact(bench, "db"), await artifact(bench, "web")
    await source(bench, "src", db__Chart="db", web__Chart="web 2")
    assert await artifact(bench, "db") == db
    newer = await artifact(bench, "web")
    assert files_of(bench, newer) == {"web/Chart": b"web 2"}
    assert files_of(bench, web) == {"web/Chart": b"web"}, "who has just read the older URL can still fetch it"


async def test_a_change_elsewhere_in_the_source_writes_the_generator_alone(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    await generate(bench, db="db")
    bench.forget_writes()
    await source(bench, "src", db__Chart="db", README="new")
    ours = [line for line in bench.writes if "/ocirepositories/" not in line]
    assert ours == [f"PATCH /apis/source.extensions.fluxcd.io/v1beta1/namespaces/{NS}/artifactgenerators/gen/status"]


async def test_nothing_is_written_while_nothing_changes(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    await generate(bench, db="db")
    bench.forget_writes()
    await bench.stop()
    await bench.generators()
    await bench.pass_time(60)
    assert bench.writes == []


async def test_a_request_is_answered(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    await generate(bench, db="db")
    generator = await bench.request(ARTIFACT_GENERATORS, "gen", "now")
    assert generator.status.last_handled_reconcile_at == "now"


async def test_an_output_that_is_dropped_is_deleted_with_its_files(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db", web__Chart="web")
    await bench.generators()
    await generate(bench, db="db", web="web")
    web = await artifact(bench, "web")
    assert web.status.artifact is not None
    generator = await generate(bench, db="db")
    assert await bench.client.find(EXTERNAL_ARTIFACTS, key("web")) is None
    assert [entry.name for entry in generator.status.inventory] == ["db"]
    assert not (bench.storage.folder / web.status.artifact.path).exists()


async def test_an_artifact_that_somebody_deletes_is_made_again(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    await generate(bench, db="db")
    before = await artifact(bench, "db")
    await bench.delete(EXTERNAL_ARTIFACTS, "db")
    after = await artifact(bench, "db")
    assert after.metadata.uid != before.metadata.uid
    assert files_of(bench, after) == {"db/Chart": b"db"}


async def test_the_files_of_an_artifact_go_with_it(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    await generate(bench, db="db")
    made = (await artifact(bench, "db")).status.artifact
    assert made is not None
    await bench.delete(ARTIFACT_GENERATORS, "gen")
    await bench.delete(EXTERNAL_ARTIFACTS, "db")  # as the garbage collector does, which does not run here
    assert not (bench.storage.folder / made.path).exists()


async def test_a_source_that_is_missing_is_named_and_waited_for(bench: Bench) -> None:
    await bench.generators()
    generator = await generate(bench, db="db")
    assert said(generator) == ("False", "SourceNotReady", f"OCIRepository/{NS}/src is not found")
    await bench.apply(OCI_REPOSITORIES, "src", {"url": "oci://acme.io/app", "interval": "5m"})
    generator = await bench.client.get(ARTIFACT_GENERATORS, key("gen"))
    assert said(generator) == ("False", "SourceNotReady", f"OCIRepository/{NS}/src has no artifact yet")
    await source(bench, "src", db__Chart="db")
    assert files_of(bench, await artifact(bench, "db")) == {"db/Chart": b"db"}


async def test_a_source_that_goes_away_leaves_what_was_made(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    await generate(bench, db="db")
    before = await artifact(bench, "db")
    await bench.delete(OCI_REPOSITORIES, "src")
    generator = await bench.client.get(ARTIFACT_GENERATORS, key("gen"))
    assert said(generator) == ("False", "SourceNotReady", f"OCIRepository/{NS}/src is not found")
    assert await artifact(bench, "db") == before
    assert [entry.name for entry in generator.status.inventory] == ["db"]


async def test_a_copy_that_finds_nothing_is_quoted_and_waits_for_a_change(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    await bench.generators()
    generator = await generate(bench, db="nothing")
    assert said(generator) == ("False", "BuildFailed", '"@src/nothing/**" finds nothing in its source')
    bench.forget_writes()
    await bench.pass_time(60)
    assert bench.writes == []
    await source(bench, "src", nothing__x="found")
    assert files_of(bench, await artifact(bench, "db")) == {"db/x": b"found"}


async def test_a_source_that_cannot_be_fetched_is_tried_again(bench: Bench) -> None:
    await source(bench, "src", db__Chart="db")
    origin = (await bench.client.get(OCI_REPOSITORIES, key("src"))).status.artifact
    assert origin is not None
    file = bench.storage.folder / origin.path
    content = file.read_bytes()
    file.unlink()
    await bench.generators()
    generator = await generate(bench, db="db")
    assert said(generator) == ("False", "SourceFetchFailed", f"{origin.url} answered 404")
    file.write_bytes(b"something else")
    await bench.pass_time(5)
    generator = await bench.client.get(ARTIFACT_GENERATORS, key("gen"))
    assert said(generator) == ("False", "SourceFetchFailed", f"{origin.url} does not have the digest {origin.digest}")
    file.write_bytes(content)
    await bench.pass_time(5)
    assert files_of(bench, await artifact(bench, "db")) == {"db/Chart": b"db"}


async def test_sources_of_several_aliases_and_namespaces_are_laid_together(bench: Bench) -> None:
    await source(bench, "one", Chart="1", values="a: 1")
    await source(bench, "two", values="b: 2")
    await bench.generators()
    spec = {
        "sources": [
            {"alias": "one", "kind": "OCIRepository", "name": "one"},
            {"alias": "two", "kind": "OCIRepository", "name": "two", "namespace": NS},
        ],
        "artifacts": [
            {
                "name": "both",
                "copy": [
                    {"from": "@one/**", "to": "@artifact/"},
                    {"from": "@two/values", "to": "@artifact/values", "strategy": "Merge"},
                ],
            }
        ],
    }
    await bench.apply(ARTIFACT_GENERATORS, "gen", spec)
    assert files_of(bench, await artifact(bench, "both")) == {"Chart": b"1", "values": b"a: 1\nb: 2\n"}


async def test_sources_of_kinds_that_are_not_read_are_named(bench: Bench) -> None:
    await bench.generators()
    spec = generator_spec(db="db")
    spec["sources"][0]["kind"] = "Bucket"
    generator = await bench.apply(ARTIFACT_GENERATORS, "gen", spec)
    assert said(generator) == ("False", "SourceNotReady", f"Bucket/{NS}/src is not found")


def test_what_was_observed_is_told_as_the_real_source_watcher_tells_it() -> None:
    """Recorded on source-watcher 2.2.2."""
    revision = "sha256:bd97d28b0885f25907a46e5757c627c6d9227739c7f2c6330e62df5f92d5f936"
    artifact = Artifact(
        url=f"http://127.0.0.1:37531/ocirepository/cozy-system/cozystack-platform/{revision}.tar.gz",
        revision=revision,
        digest="sha256:ddfbe3e5e8dba02234ad1b51cea749998279e865693322d56b0af3c3eccde4fd",
    )
    told = "sha256:79a4fa45294bca7d63d514e6447f23d1b1206d99f26eeb969a30f458913d2abd"
    assert sources_digest({"cozystack-platform": artifact}) == told
