"""Releases in a cluster, by each back end: the same requests, the same objects, the same errors."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cozystack.helm import (
    ChartError,
    HelmEngine,
    HelmError,
    HelmTimeout,
    OperationPending,
    Release,
    ReleaseNotFound,
    ReleaseRequest,
    Target,
    ValuesError,
)
from helm.cluster import CONFIG_MAP, Cluster, chart, job

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = {"values.yaml": "value: default\n", "templates/a.yaml": CONFIG_MAP, "templates/NOTES.txt": "It is {{ .Values.value }}."}
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
WIDGET = "apiVersion: GROUP/v1\nkind: Widget\nmetadata: {name: '{{ .Release.Name }}'}\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}
spec:
  replicas: 1
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec: {containers: [{name: main, image: "example.com/main:1"}]}
"""


def timeless(release: Release | None) -> Release | None:
    """Times are shown to be there, not what they are."""
    if release is None:
        return None
    shown = {name: "then" for name in ("first_deployed", "last_deployed") if getattr(release, name)}
    return msgspec.structs.replace(release, **shown)


def manifest(value: str, name: str = "demo") -> str:
    text = CONFIG_MAP.replace("{{ .Release.Name }}", name).replace("{{ .Values.value }}", value)
    return f"---\n# Source: demo/templates/a.yaml\n{text}\n"


def request(target: Target, chart: str, value: str = "", **more: Any) -> ReleaseRequest:
    return ReleaseRequest(target=target, chart=chart, values={"value": value} if value else {}, **more)


async def statuses(engine: HelmEngine, target: Target) -> list[tuple[int, str]]:
    return [(release.revision, release.status) for release in await engine.history(target)]


async def unfinished(awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
    """A request that has been sent."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    return task


async def test_a_release_is_installed_and_told_as_a_whole(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)

    made = await engine.install(request(target, chart(tmp_path, FILES), "one", description="by hand", mark="m1"))

    expected = Release(
        name="demo",
        namespace=namespace,
        revision=1,
        status="deployed",
        chart_name="demo",
        chart_version="1.2.3",
        app_version="9",
        description="by hand",
        first_deployed="then",
        last_deployed="then",
        manifest=manifest("one"),
        notes="It is one.",
        mark="m1",
    )
    assert timeless(await engine.status(target)) == expected
    assert timeless(made) in (expected, msgspec.structs.replace(expected, mark=""))
    live = await cluster.config_map(namespace)
    assert live["data"] == {"value": "one"}
    assert live["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "Helm"}
    assert live["metadata"]["annotations"] == {
        "meta.helm.sh/release-name": "demo",
        "meta.helm.sh/release-namespace": namespace,
    }


async def test_objects_are_written_as_the_field_manager_helm(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)

    written = []
    for write in (engine.install(request(target, folder, "one")), engine.upgrade(request(target, folder, "two"))):
        await write
        fields = (await cluster.config_map(namespace))["metadata"]["managedFields"]
        written.append([(entry["manager"], entry["operation"]) for entry in fields])
    await engine.rollback(target)
    fields = (await cluster.config_map(namespace))["metadata"]["managedFields"]
    written.append([(entry["manager"], entry["operation"]) for entry in fields])

    assert written == [[("helm", "Apply")]] * 3


async def test_what_one_back_end_has_installed_is_stored_as_helm_stores_it(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    await engine.install(request(cluster.target(namespace), chart(tmp_path, FILES), "one"))

    answer = await cluster.api.get(f"/api/v1/namespaces/{namespace}/secrets/sh.helm.release.v1.demo.v1")
    stored = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(answer.body["data"]["release"]))))
    assert (answer.body["type"], stored["name"], stored["config"]) == ("helm.sh/release.v1", "demo", {"value": "one"})


async def test_an_upgrade_changes_what_it_changed_and_removes_what_is_gone(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    extra = CONFIG_MAP.replace("{{ .Release.Name }}", "extra")
    await engine.install(request(target, chart(tmp_path / "one", {**FILES, "templates/b.yaml": extra}), "one"))
    before = await cluster.config_map(namespace)
    assert await cluster.names(namespace) == ["demo", "extra"]

    made = await engine.upgrade(request(target, chart(tmp_path / "two", FILES), "two", mark="m2"))

    assert (made.revision, made.status, made.manifest) == (2, "deployed", manifest("two"))
    after = await cluster.config_map(namespace)
    assert (after["data"], after["metadata"]["uid"]) == ({"value": "two"}, before["metadata"]["uid"])
    assert await cluster.names(namespace) == ["demo"]
    assert await statuses(engine, target) == [(1, "superseded"), (2, "deployed")]
    live = await engine.status(target)
    assert live is not None
    assert (live.mark, live.description) == ("m2", "Upgrade complete")


async def test_values_of_an_upgrade_replace_those_before(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    await engine.install(request(target, folder, "one"))

    await engine.upgrade(request(target, folder))

    assert (await cluster.config_map(namespace))["data"] == {"value": "default"}


async def test_a_history_tells_what_both_back_ends_know(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    await engine.install(request(target, folder, mark="m"))
    await engine.upgrade(request(target, folder))

    about = {"chart_name": "demo", "chart_version": "1.2.3", "app_version": "9", "last_deployed": "then"}
    assert [timeless(release) for release in await engine.history(target)] == [
        Release("demo", namespace, 1, "superseded", **about),
        Release("demo", namespace, 2, "deployed", **about),
    ]


async def test_times_are_utc_in_whole_seconds(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    target = cluster.target(namespace)
    made = await engine.install(request(target, chart(tmp_path, FILES)))
    live = await engine.status(target)
    (entry,) = await engine.history(target)

    assert live is not None
    assert {len(text) for text in (made.first_deployed, live.first_deployed, entry.last_deployed)} == {20}
    assert made.first_deployed.endswith("Z")
    assert entry.last_deployed == live.last_deployed == made.last_deployed


async def test_only_so_many_revisions_are_kept(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    await engine.install(request(target, folder))
    for value in ("2", "3"):
        await engine.upgrade(request(target, folder, value, max_history=2))

    assert await statuses(engine, target) == [(2, "superseded"), (3, "deployed")]


async def test_a_rollback_goes_to_the_revision_before_or_to_the_one_named(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    await engine.install(request(target, folder, "one"))
    for value in ("two", "three"):
        await engine.upgrade(request(target, folder, value))

    values = []
    for revision in (0, 1):
        await engine.rollback(target, revision=revision)
        values.append((await cluster.config_map(namespace))["data"]["value"])

    assert values == ["two", "one"]
    assert [status for _, status in await statuses(engine, target)] == ["superseded"] * 4 + ["deployed"]


async def test_a_rollback_to_a_revision_that_never_was_fails(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    await engine.install(request(target, chart(tmp_path, FILES)))

    with pytest.raises(HelmError, match="release has no 9 version"):
        await engine.rollback(target, revision=9)
    assert await statuses(engine, target) == [(1, "deployed")]


async def test_an_uninstall_removes_objects_and_history(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    kept = CONFIG_MAP.replace('{name: "{{ .Release.Name }}"}', "{name: kept, annotations: {helm.sh/resource-policy: keep}}")
    await engine.install(request(target, chart(tmp_path, {**FILES, "templates/b.yaml": kept})))

    await engine.uninstall(target)

    assert (await engine.status(target), await engine.history(target)) == (None, [])
    assert await cluster.names(namespace) == ["kept"]
    assert await cluster.names(namespace, "api/v1/secrets") == []


async def test_an_uninstall_may_keep_the_history(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    await engine.install(request(target, folder))

    await engine.uninstall(target, keep_history=True)

    assert await statuses(engine, target) == [(1, "uninstalled")]
    assert await cluster.names(namespace) == []
    with pytest.raises(ReleaseNotFound):
        await engine.uninstall(target, keep_history=True)
    with pytest.raises(HelmError, match="cannot reuse a name that is still in use"):
        await engine.install(request(target, folder))
    assert (await engine.install(request(target, folder, replace=True))).revision == 2


async def test_a_release_that_is_not_there(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    target = cluster.target(namespace)

    assert (await engine.status(target), await engine.history(target)) == (None, [])
    for wrong in (
        engine.uninstall(target),
        engine.rollback(target),
        engine.upgrade(request(target, chart(tmp_path, FILES))),
    ):
        with pytest.raises(ReleaseNotFound):
            await wrong


async def test_a_name_is_used_once_a_namespace(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    folder = chart(tmp_path, FILES)
    await engine.install(request(cluster.target(namespace), folder))

    with pytest.raises(HelmError, match="cannot reuse a name that is still in use"):
        await engine.install(request(cluster.target(namespace), folder))
    other = cluster.target(await cluster.namespace())
    assert (await engine.install(request(other, folder))).namespace == other.namespace


async def test_the_namespace_is_created_when_asked_for(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(f"{namespace}-new")
    folder = chart(tmp_path, FILES)

    with pytest.raises(HelmError, match=f'namespaces "{namespace}-new" not found'):
        await engine.install(request(target, folder))
    assert await engine.status(target) is None
    await engine.install(request(target, folder, create_namespace=True))
    assert await cluster.names(target.namespace) == ["demo"]


async def test_crds_come_before_the_objects_that_need_them(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    group = f"{namespace}.example.com"
    files = {"crds/w.yaml": CRD.replace("GROUP", group), "templates/w.yaml": WIDGET.replace("GROUP", group)}

    await engine.install(request(cluster.target(namespace), chart(tmp_path, files)))

    assert await cluster.names(namespace, f"apis/{group}/v1/widgets") == ["demo"]
    await engine.uninstall(cluster.target(namespace))
    definition = await cluster.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}")
    assert (definition.status, await cluster.names(namespace, f"apis/{group}/v1/widgets")) == (200, [])


async def test_crds_can_be_left_to_others(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    group = f"{namespace}.example.com"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    folder = chart(tmp_path / "one", {**FILES, "crds/w.yaml": CRD.replace("GROUP", group)})

    await engine.install(request(cluster.target(namespace), folder, skip_crds=True))

    assert (await cluster.api.get(f"{definitions}/widgets.{group}")).status == 404


async def test_kinds_that_others_add_later_are_found(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    group = f"{namespace}.example.com"
    target = cluster.target(namespace)
    folder = chart(tmp_path / "widget", {"templates/w.yaml": WIDGET.replace("GROUP", group)})
    with pytest.raises(HelmError) as early:
        await engine.install(request(target, folder))
    assert early.value.retryable

    definition = msgspec.yaml.decode(CRD.replace("GROUP", group))
    created = await cluster.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    assert created.status == 201
    await engine.install(request(target, folder, replace=True))

    assert await cluster.names(namespace, f"apis/{group}/v1/widgets") == ["demo"]


@pytest.mark.parametrize("command", ["install", "upgrade"])
async def test_a_chart_that_fails_changes_nothing(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path, command: str
) -> None:
    target = cluster.target(namespace)
    if command == "upgrade":
        await engine.install(request(target, chart(tmp_path / "good", FILES), "good"))
    before = await engine.history(target)
    bad = {
        ChartError: chart(tmp_path / "fails", {"templates/a.yaml": '{{ fail "no way" }}'}),
        ValuesError: chart(tmp_path / "schema", {**FILES, "values.schema.json": '{"required": ["other"]}'}),
    }

    for kind, folder in bad.items():
        with pytest.raises(HelmError) as refused:
            await getattr(engine, command)(request(target, folder))
        assert type(refused.value) is kind
    assert await engine.history(target) == before


async def test_what_the_server_refuses_is_a_failed_revision_and_an_upgrade_cures_it(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    refused = chart(tmp_path / "bad", {"templates/a.yaml": CONFIG_MAP.replace("{{ .Release.Name }}", "No_Name")})

    with pytest.raises(HelmError, match="No_Name") as error:
        await engine.install(request(target, refused))
    assert error.value.retryable
    assert await statuses(engine, target) == [(1, "failed")]
    await engine.upgrade(request(target, chart(tmp_path / "good", FILES)))
    assert await statuses(engine, target) == [(1, "superseded"), (2, "deployed")]


async def test_fields_of_others_are_taken_only_when_forced(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    await engine.install(request(target, folder, "one"))
    path = f"/api/v1/namespaces/{namespace}/configmaps/demo"
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo"}, "data": {"value": "theirs"}}
    assert (await cluster.api.apply(path, theirs, manager="somebody", force=True)).status == 200

    with pytest.raises(HelmError, match="conflict"):
        await engine.upgrade(request(target, folder, "two", force_conflicts=False))
    assert (await cluster.config_map(namespace))["data"] == {"value": "theirs"}
    await engine.upgrade(request(target, folder, "three"))
    assert (await cluster.config_map(namespace))["data"] == {"value": "three"}


async def test_objects_of_others_are_taken_only_when_asked_for(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, FILES)
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo"}, "data": {"value": "theirs"}}
    assert (await cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", theirs)).status == 201

    with pytest.raises(HelmError, match="invalid ownership metadata"):
        await engine.install(request(target, folder))
    assert await engine.status(target) is None
    await engine.install(request(target, folder, "ours", take_ownership=True))
    assert (await cluster.config_map(namespace))["data"] == {"value": "ours"}


@pytest.mark.parametrize(("hook", "before"), [("pre-install", []), ("post-install", ["demo"])])
async def test_hooks_are_waited_for(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path, hook: str, before: list[str]
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, {**FILES, "templates/hook.yaml": job("migrate", hook)})

    installing = await unfinished(engine.install(request(target, folder)))
    assert await cluster.created(namespace, "apis/batch/v1/jobs") == ["migrate"]
    live = await engine.status(target)

    assert (await cluster.names(namespace), live.status if live else "", installing.done()) == (
        before,
        "pending-install",
        False,
    )
    with pytest.raises(OperationPending):
        await engine.upgrade(request(target, folder))
    await cluster.end_job(namespace, "migrate")
    assert (await installing).status == "deployed"
    assert await cluster.names(namespace) == ["demo"]


async def test_hooks_of_an_upgrade_a_rollback_and_an_uninstall_are_waited_for(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(
        tmp_path, {**FILES, **{f"templates/{h}.yaml": job(h, h) for h in ("pre-upgrade", "pre-rollback", "pre-delete")}}
    )
    await engine.install(request(target, folder, "one"))

    for number, (hook, operation) in enumerate(
        {
            "pre-upgrade": engine.upgrade(request(target, folder, "two")),
            "pre-rollback": engine.rollback(target),
            "pre-delete": engine.uninstall(target),
        }.items(),
        1,
    ):
        running = await unfinished(operation)
        assert hook in await cluster.created(namespace, "apis/batch/v1/jobs", count=number)
        assert not running.done()
        await cluster.end_job(namespace, hook)
        await running
    assert await engine.status(target) is None


async def test_a_hook_that_fails_fails_the_release(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    folder = chart(tmp_path, {**FILES, "templates/hook.yaml": job("migrate", "pre-install")})

    installing = await unfinished(engine.install(request(target, folder)))
    await cluster.created(namespace, "apis/batch/v1/jobs")
    await cluster.end_job(namespace, "migrate", "Failed")

    with pytest.raises(HelmError, match="failed pre-install"):
        await installing
    assert await statuses(engine, target) == [(1, "failed")]
    assert await cluster.names(namespace) == []


async def test_a_hook_that_does_not_end_is_a_timeout(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace, timeout=1.0)
    folder = chart(tmp_path, {**FILES, "templates/hook.yaml": job("migrate", "pre-install")})

    with pytest.raises(HelmTimeout):
        await engine.install(request(target, folder))
    assert await statuses(engine, target) == [(1, "failed")]


async def test_hooks_can_be_left_out(engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    folder = chart(tmp_path, {**FILES, "templates/hook.yaml": job("migrate", "pre-install")})

    made = await engine.install(request(cluster.target(namespace), folder, disable_hooks=True))

    assert (made.status, await cluster.names(namespace, "apis/batch/v1/jobs")) == ("deployed", [])


async def test_objects_are_waited_for_only_when_asked_for(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    folder = chart(tmp_path, {"templates/d.yaml": DEPLOYMENT})
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    other = cluster.target(await cluster.namespace())
    assert (await engine.install(request(other, folder))).status == "deployed"

    installing = await unfinished(engine.install(request(cluster.target(namespace), folder, wait=True)))
    await cluster.created(namespace, "apis/apps/v1/deployments")
    assert not installing.done()
    counts = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}
    reasons = {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
    conditions = [{"type": kind, "status": "True", "reason": reason} for kind, reason in reasons.items()]
    ready = {"status": {**counts, "conditions": conditions}}
    assert (await cluster.api.patch(f"{deployments}/demo/status", ready)).status == 200
    assert (await installing).status == "deployed"


async def test_releases_are_worked_on_at_the_same_time(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    names = ("one", "two", "three")
    folder = chart(tmp_path, {**FILES, "templates/hook.yaml": job("{{ .Release.Name }}", "pre-install")})

    installing = [await unfinished(engine.install(request(cluster.target(namespace, name), folder))) for name in names]
    # Each of them waits for its Job, so all Jobs exist only when nobody waits for the others.
    assert await cluster.created(namespace, "apis/batch/v1/jobs", count=3) == sorted(names)
    for name in names:
        await cluster.end_job(namespace, name)

    assert [release.name for release in await asyncio.gather(*installing)] == list(names)
    assert await cluster.names(namespace) == sorted(names)


async def test_a_cluster_that_does_not_answer_is_an_error_to_retry(
    engine: HelmEngine, cluster: Cluster, tmp_path: Path
) -> None:
    gone = tmp_path / "kubeconfig"
    address = f"127.0.0.1:{cluster.api.url.rpartition(':')[2]}"
    gone.write_text(cluster.kubeconfig.read_text().replace(address, "127.0.0.1:1"))
    target = Target("demo", "default", str(gone))

    for wrong in (engine.status(target), engine.install(request(target, chart(tmp_path / "chart", FILES)))):
        with pytest.raises(HelmError, match="connection refused") as error:
            await wrong
        assert type(error.value) is HelmError


async def test_a_kubeconfig_that_was_rewritten_is_read_again(
    engine: HelmEngine, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    right = cluster.kubeconfig.read_text()
    path = tmp_path / "kubeconfig"
    path.write_text(right.replace(f":{cluster.api.url.rpartition(':')[2]}", ":1"))
    target = Target("demo", namespace, str(path))
    with pytest.raises(HelmError, match="connection refused"):
        await engine.status(target)

    path.write_text(right)

    assert await engine.status(target) is None
