"""A HelmRelease becomes a release: when Helm runs and when it does not, what is waited for, what is said."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from cozystack.api.core import ConfigMap, Secret
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import ObjectMeta
from cozystack.api.resources import CONFIG_MAPS, EXTERNAL_ARTIFACTS, HELM_RELEASES, SECRETS, untyped
from cozystack.flux.helmreleases import FINALIZER, FORCE_AT
from cozystack.helm import HelmError, HelmTimeout, Target
from flux.bench import NS, Bench, key, said
from flux.engine import MemoryHelm

DEPLOYMENTS = untyped("apps", "v1", "Deployment", "deployments")
CRDS = untyped("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
WATCHED = {"reconcile.fluxcd.io/watch": "Enabled"}


def chart(version: str = "1.0.0", **templates: str) -> dict[str, bytes]:
    files = {f"templates/{name}.yaml": text.encode() for name, text in templates.items()}
    return {"Chart.yaml": f"apiVersion: v2\nname: app\nversion: {version}\nappVersion: '9'\n".encode(), **files}


def config(name: str = "settings") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n"


def deployment(name: str) -> str:
    return f"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: acme.io/main}}]}}
"""


@pytest.fixture
def helm(bench: Bench) -> MemoryHelm:
    return MemoryHelm(bench.client)


async def release(bench: Bench, name: str = "app", *, of: str = "app", **spec: Any) -> HelmRelease:
    wanted = {"interval": "5m", "chartRef": {"kind": "ExternalArtifact", "name": of}, **spec}
    return await bench.apply(HELM_RELEASES, name, wanted)


async def rolled_out(bench: Bench, name: str) -> None:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), 1)
    live = await bench.client.get(DEPLOYMENTS, key(name))
    status = {**counts, "observedGeneration": live["metadata"]["generation"]}
    await bench.change_untyped(DEPLOYMENTS, name, {"status": status}, subresource="status")


def history(found: HelmRelease) -> list[tuple[int, str]]:
    return [(entry.version, entry.status) for entry in found.status.history]


def waits(found: HelmRelease) -> bool:
    return said(found) == ("Unknown", "Progressing", "Running 'install' action with timeout of 300s")


# Install and upgrade


async def test_a_release_is_installed_and_says_so(bench: Bench, helm: MemoryHelm) -> None:
    artifact = await bench.artifact("app", chart(a=config()))
    await bench.releases(helm)
    found = await release(bench, values={"x": 1}, install={"createNamespace": True}, maxHistory=3)
    version = f"1.0.0+{artifact.digest.removeprefix('sha256:')[:12]}"
    message = f"Helm install succeeded for release {NS}/app.v1 with chart app@{version}"
    assert {each.type: (each.status, each.reason, each.message) for each in found.status.conditions} == {
        "Ready": ("True", "InstallSucceeded", message),
        "Released": ("True", "InstallSucceeded", message),
    }
    (entry,) = found.status.history
    assert (entry.name, entry.namespace, entry.version, entry.status) == ("app", NS, 1, "deployed")
    assert (entry.chart_name, entry.chart_version, entry.app_version, entry.oci_digest) == (
        "app",
        version,
        "9",
        artifact.digest,
    )
    status = found.status
    assert (status.observed_generation, status.last_attempted_generation) == (1, 1)
    assert (status.last_attempted_revision, status.last_attempted_revision_digest) == (version, artifact.digest)
    assert (status.last_attempted_config_digest, status.last_attempted_release_action) == (entry.config_digest, "install")
    assert found.metadata.finalizers == (FINALIZER,)
    (request,) = helm.requests
    assert msgspec.structs.replace(request, chart="", mark="") == msgspec.structs.replace(
        request,
        target=Target("app", NS, "", 300.0),
        chart="",
        values={"x": 1},
        create_namespace=True,
        skip_crds=False,
        max_history=3,
        mark="",
    )
    assert list(bench.work.iterdir()) == [], "the chart is on disk only while Helm reads it"
    assert await bench.client.find(CONFIG_MAPS, key("settings")) is not None


async def test_names_namespaces_and_timeouts_are_those_of_the_spec(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench, releaseName="other", targetNamespace="there", timeout="7m", upgrade={"timeout": "90s"})
    await release(
        bench, releaseName="other", targetNamespace="there", timeout="7m", upgrade={"timeout": "90s"}, values={"x": 1}
    )
    assert helm.targets == [Target("other", "there", "", 420.0), Target("other", "there", "", 90.0)]


async def test_nothing_is_written_while_nothing_changes(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=config(), b=deployment("web")))
    await bench.releases(helm)
    await release(bench)
    await rolled_out(bench, "web")
    found = await bench.release("app")
    bench.forget_writes()
    await bench.pass_time(700)
    await bench.stop()
    await bench.releases(helm)
    await bench.pass_time(60)
    assert (bench.writes, helm.calls) == ([], [f"install {NS}/app"])
    assert await bench.release("app") == found


async def test_changed_values_are_an_upgrade(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=config()))
    await bench.releases(helm)
    await release(bench, values={"x": 1})
    found = await release(bench, values={"x": 2})
    assert (helm.calls, [request.values for request in helm.requests]) == (
        [f"install {NS}/app", f"upgrade {NS}/app"],
        [{"x": 1}, {"x": 2}],
    )
    assert history(found) == [(2, "deployed"), (1, "superseded")]
    ready = said(found)
    assert ready is not None
    assert ready[:2] == ("True", "UpgradeSucceeded")
    assert ready[2].startswith(f"Helm upgrade succeeded for release {NS}/app.v2 with chart app@1.0.0+")


async def test_the_history_ends_at_the_last_good_revision(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    for number in (1, 2, 3):
        await release(bench, values={"x": number})
    assert history(await bench.release("app")) == [(3, "deployed"), (2, "superseded")]
    helm.fail(HelmError("hook failed"))
    assert history(await release(bench, values={"x": 4})) == [(4, "failed"), (3, "deployed"), (2, "superseded")]


async def test_a_new_artifact_is_an_upgrade(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart("1.0.0"))
    await bench.releases(helm)
    await release(bench)
    artifact = await bench.artifact("app", chart("1.1.0"))
    found = await bench.release("app")
    assert helm.calls == [f"install {NS}/app", f"upgrade {NS}/app"]
    assert found.status.history[0].chart_version == f"1.1.0+{artifact.digest.removeprefix('sha256:')[:12]}"


async def test_a_change_that_does_not_reach_the_release_runs_no_helm(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    found = await release(bench, interval="10m")
    assert helm.calls == [f"install {NS}/app"]
    assert (found.status.observed_generation, found.metadata.generation) == (2, 2)


async def test_watched_values_upgrade_at_once_and_others_at_the_interval(bench: Bench, helm: MemoryHelm) -> None:
    def text(value: str) -> str:
        return base64.b64encode(value.encode()).decode()

    await bench.artifact("app", chart())
    meta = ObjectMeta(name="watched", namespace=NS, labels=WATCHED)
    await bench.client.create(SECRETS, Secret(metadata=meta, data={"values.yaml": text("x: 1")}))
    await bench.client.create(CONFIG_MAPS, ConfigMap(metadata=ObjectMeta(name="plain", namespace=NS), data={"k": "1"}))
    await bench.releases(helm)
    sources = [
        {"kind": "Secret", "name": "watched"},
        {"kind": "ConfigMap", "name": "plain", "valuesKey": "k", "targetPath": "z"},
    ]
    await release(bench, valuesFrom=sources)
    await bench.change(SECRETS, "watched", {"data": {"values.yaml": text("x: 2")}})
    assert [request.values for request in helm.requests] == [{"x": 1, "z": 1}, {"x": 2, "z": 1}]
    await bench.change(CONFIG_MAPS, "plain", {"data": {"k": "2"}})
    await bench.pass_time(299)
    assert len(helm.requests) == 2
    await bench.pass_time(1)
    assert [request.values for request in helm.requests[2:]] == [{"x": 2, "z": 2}]


async def test_a_forced_request_upgrades_once_although_nothing_changed(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    await bench.change(HELM_RELEASES, "app", {"metadata": {"annotations": {FORCE_AT: "1"}}})
    await bench.request(HELM_RELEASES, "app", "0")
    assert helm.calls == [f"install {NS}/app"], "both annotations have to agree"
    found = await bench.request(HELM_RELEASES, "app", "1")
    assert helm.calls == [f"install {NS}/app", f"upgrade {NS}/app"]
    assert (found.status.last_handled_force_at, found.status.last_handled_reconcile_at) == ("1", "1")
    await bench.pass_time(400)
    assert len(helm.calls) == 2


# What a release needs


async def test_a_dependency_that_is_not_ready_is_looked_at_again_after_30_seconds(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("db", chart(a=deployment("db")))
    await bench.artifact("app", chart(a=config()))
    await bench.releases(helm)
    found = await release(bench, dependsOn=[{"name": "db"}])
    missing = f"dependencies do not meet ready condition: unable to get '{NS}/db' dependency: not found"
    assert said(found) == ("False", "DependencyNotReady", missing)
    await release(bench, "db", of="db")
    await bench.pass_time(30)
    found = await bench.release("app")
    unready = f"dependencies do not meet ready condition: dependency '{NS}/db' is not ready"
    assert said(found) == ("False", "DependencyNotReady", unready)
    await rolled_out(bench, "db")
    await bench.pass_time(29)
    assert helm.calls == [f"install {NS}/db"]
    await bench.pass_time(1)
    assert helm.calls == [f"install {NS}/db", f"install {NS}/app"]
    assert said(await bench.release("app")) == said(await bench.release("app"), "Released")


async def test_a_request_wakes_a_release_that_waits_for_a_dependency(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench, dependsOn=[{"name": "db"}])
    await release(bench, "db")
    found = await bench.request(HELM_RELEASES, "app", "now")
    assert helm.calls == [f"install {NS}/db", f"install {NS}/app"]
    assert (found.status.last_handled_reconcile_at, bench.clock.monotonic()) == ("now", 0)


async def test_a_dependency_whose_change_is_not_observed_yet_is_not_ready(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench, "db")
    await release(bench, "db", suspend=True)
    found = await release(bench, dependsOn=[{"name": "db"}])
    assert said(found) == (
        "False",
        "DependencyNotReady",
        f"dependencies do not meet ready condition: dependency '{NS}/db' is not ready",
    )


async def test_an_expression_for_a_dependency_is_refused_in_words(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench, "db")
    found = await release(bench, dependsOn=[{"name": "db", "readyExpr": "true"}])
    ready = said(found)
    assert ready is not None
    assert ready[2].endswith(f"dependency '{NS}/db' has a readyExpr, which this stand-in does not evaluate")


async def test_a_chart_that_is_not_there_yet_is_waited_for(bench: Bench, helm: MemoryHelm) -> None:
    await bench.releases(helm)
    found = await release(bench)
    assert said(found) == ("False", "ArtifactNotReady", f"ExternalArtifact '{NS}/app' is not found")
    bench.forget_writes()
    await bench.pass_time(600)
    assert bench.writes == []
    await bench.artifact("app", chart())
    assert history(await bench.release("app")) == [(1, "deployed")]


async def test_an_artifact_that_goes_away_leaves_the_release(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    await bench.delete(EXTERNAL_ARTIFACTS, "app")
    found = await bench.release("app")
    assert said(found) == ("False", "ArtifactNotReady", f"ExternalArtifact '{NS}/app' is not found")
    assert (history(found), helm.calls) == ([(1, "deployed")], [f"install {NS}/app"])
    artifact = await bench.artifact("app", chart())
    found = await bench.release("app")
    version = f"1.0.0+{artifact.digest.removeprefix('sha256:')[:12]}"
    assert said(found) == ("True", "InstallSucceeded", f"release in sync: {NS}/app.v1 with {version}")
    assert helm.calls == [f"install {NS}/app"]


async def test_charts_of_other_kinds_are_refused_in_words(bench: Bench, helm: MemoryHelm) -> None:
    await bench.releases(helm)
    found = await release(bench, chartRef={"kind": "OCIRepository", "name": "app"})
    assert said(found) == ("False", "ArtifactNotReady", "charts come from ExternalArtifacts here, not from OCIRepository")


async def test_an_artifact_without_a_chart_is_refused_until_it_changes(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", {"README.md": b"nothing"})
    await bench.releases(helm)
    found = await release(bench)
    assert said(found) == ("False", "ArtifactFailed", "the artifact holds no Chart.yaml")
    await bench.artifact("app", chart())
    assert helm.calls == [f"install {NS}/app"]


async def test_an_artifact_that_cannot_be_fetched_is_tried_again(bench: Bench, helm: MemoryHelm) -> None:
    artifact = await bench.artifact("app", chart())
    file = bench.storage.folder / artifact.path
    content = file.read_bytes()
    file.unlink()
    await bench.releases(helm)
    assert said(await release(bench)) == ("False", "ArtifactFailed", f"{artifact.url} answered 404")
    file.write_bytes(content)
    await bench.pass_time(10)
    assert helm.calls == [f"install {NS}/app"]


async def test_values_that_cannot_be_composed_say_what_is_missing(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    found = await release(bench, valuesFrom=[{"kind": "Secret", "name": "none"}])
    message = f"could not resolve Secret values reference '{NS}/none': it is not there"
    assert said(found) == ("False", "ValuesError", message)
    labelled = ObjectMeta(name="none", namespace=NS, labels=WATCHED)
    await bench.client.create(SECRETS, Secret(metadata=labelled, data={"values.yaml": base64.b64encode(b"x: 1").decode()}))
    await bench.quiet()
    assert [request.values for request in helm.requests] == [{"x": 1}]


# Waiting for objects


async def test_a_release_is_ready_when_its_objects_are(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=config(), b=deployment("web"), c=deployment("worker")))
    await bench.releases(helm)
    found = await release(bench)
    assert waits(found)
    assert said(found, "Reconciling") == ("True", "Progressing", "Running 'install' action with timeout of 300s")
    assert (history(found), said(found, "Released")) == ([], None)
    await rolled_out(bench, "web")
    assert waits(await bench.release("app"))
    await rolled_out(bench, "worker")
    found = await bench.release("app")
    assert (history(found), said(found, "Reconciling")) == ([(1, "deployed")], None)
    assert (helm.calls, bench.clock.monotonic()) == ([f"install {NS}/app"], 0)


async def test_objects_that_do_not_become_ready_in_time_are_named(bench: Bench, helm: MemoryHelm) -> None:
    templates = {name: deployment(name) for name in ("a", "b", "c", "d", "e")}
    await bench.artifact("app", chart(**templates))
    await bench.releases(helm)
    await release(bench, timeout="1m")
    await rolled_out(bench, "b")
    await bench.pass_time(59)
    assert said(await bench.release("app")) == ("Unknown", "Progressing", "Running 'install' action with timeout of 60s")
    await bench.pass_time(1)
    found = await bench.release("app")
    ready = said(found)
    assert ready is not None
    assert ready[:2] == ("False", "InstallFailed")
    unready = "; ".join(f"Deployment {NS}/{name}: created: 0/1" for name in ("a", "c", "d"))
    assert ready[2].endswith(f": timed out waiting for {unready} (and 1 more)")
    assert said(found, "Released") == ready
    assert history(found) == [(1, "failed")]


async def test_after_a_timeout_objects_are_waited_for_again_without_helm(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=deployment("web")))
    await bench.releases(helm)
    await release(bench, timeout="1m", install={"strategy": {"name": "RetryOnFailure", "retryInterval": "10s"}})
    await bench.pass_time(60)
    assert history(await bench.release("app")) == [(1, "failed")]
    await bench.pass_time(10)
    await rolled_out(bench, "web")
    found = await bench.release("app")
    assert (history(found), helm.calls) == ([(1, "deployed")], [f"install {NS}/app"])
    assert found.status.failures == 0


async def test_an_object_that_fails_ends_the_wait_at_once(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=deployment("web")))
    await bench.releases(helm)
    await release(bench)
    exceeded = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no image"}
    status = {"observedGeneration": 1, "conditions": [exceeded]}
    await bench.change_untyped(DEPLOYMENTS, "web", {"status": status}, subresource="status")
    ready = said(await bench.release("app"))
    assert ready is not None
    assert (ready[1], ready[2].endswith(f": Deployment {NS}/web: no image")) == ("InstallFailed", True)


async def test_a_restart_while_objects_are_waited_for_does_not_run_helm_again(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=deployment("web")))
    await bench.releases(helm)
    await release(bench)
    await bench.stop()
    await bench.releases(helm)
    assert waits(await bench.release("app"))
    await rolled_out(bench, "web")
    found = await bench.release("app")
    assert (history(found), helm.calls) == ([(1, "deployed")], [f"install {NS}/app"])
    ready = said(found)
    assert ready is not None
    assert ready[1] == "InstallSucceeded"


async def test_a_change_while_objects_are_waited_for_is_an_upgrade(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=deployment("web")))
    await bench.releases(helm)
    await release(bench)
    found = await release(bench, values={"x": 1})
    assert helm.calls == [f"install {NS}/app", f"upgrade {NS}/app"]
    assert said(found) == ("Unknown", "Progressing", "Running 'upgrade' action with timeout of 300s")
    await rolled_out(bench, "web")
    assert history(await bench.release("app")) == [(2, "deployed")]


async def test_releases_that_wait_hold_nothing_up(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("slow", chart(a=deployment("web")))
    await bench.artifact("fast", chart())
    await bench.releases(helm)
    for number in range(6):
        assert waits(await release(bench, f"slow-{number}", of="slow"))
    assert history(await release(bench, "fast", of="fast")) == [(1, "deployed")]
    await rolled_out(bench, "web")
    found = [history(await bench.release(f"slow-{number}")) for number in range(6)]
    assert found == [[(1, "deployed")]] * 6


async def test_waiting_can_be_turned_off(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=deployment("web")))
    await bench.releases(helm)
    assert history(await release(bench, install={"disableWait": True})) == [(1, "deployed")]


async def test_an_expression_decides_when_an_object_is_ready(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=config()))
    await bench.releases(helm)
    expr = {"apiVersion": "v1", "kind": "ConfigMap", "current": "data.ready == 'yes'"}
    assert waits(await release(bench, healthCheckExprs=[expr]))
    await bench.change(CONFIG_MAPS, "settings", {"data": {"ready": "yes"}})
    assert history(await bench.release("app")) == [(1, "deployed")]


async def test_an_expression_that_is_none_fails_the_release_in_words(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=config()))
    await bench.releases(helm)
    found = await release(bench, healthCheckExprs=[{"apiVersion": "v1", "kind": "ConfigMap", "current": "data.ready =="}])
    ready = said(found)
    assert ready is not None
    assert (ready[1], '"data.ready ==" is not a CEL expression' in ready[2]) == ("InstallFailed", True)


async def test_objects_without_a_namespace_are_found(bench: Bench, helm: MemoryHelm) -> None:
    node = "apiVersion: v1\nkind: PersistentVolume\nmetadata:\n  name: disk\nspec:\n  capacity: {storage: 1Gi}\n"
    volume = node + "  accessModes: [ReadWriteOnce]\n  hostPath: {path: /x}\n"
    await bench.artifact("app", chart(a=volume))
    await bench.releases(helm)
    assert history(await release(bench)) == [(1, "deployed")]


# Failure


async def test_a_failure_is_tried_again_after_the_retry_interval(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    helm.fail(HelmError("hook failed"), HelmTimeout("timed out waiting"))
    strategy = {"strategy": {"name": "RetryOnFailure", "retryInterval": "40s"}}
    found = await release(bench, install=strategy, upgrade=strategy)
    ready = said(found)
    assert ready is not None
    assert ready[:2] == ("False", "InstallFailed")
    assert ready[2].startswith(f"Helm install failed for release {NS}/app with chart app@1.0.0+")
    assert ready[2].endswith(": hook failed")
    assert (history(found), found.status.failures, found.status.install_failures) == ([(1, "failed")], 1, 1)
    bench.forget_writes()
    await bench.pass_time(39)
    assert (len(helm.calls), bench.writes) == (1, [])
    await bench.pass_time(1)
    found = await bench.release("app")
    assert (found.status.failures, found.status.upgrade_failures) == (2, 1)
    await bench.pass_time(40)
    found = await bench.release("app")
    assert helm.calls == [f"install {NS}/app", f"upgrade {NS}/app", f"upgrade {NS}/app"]
    assert history(found) == [(3, "deployed"), (2, "failed"), (1, "failed")]
    assert (found.status.failures, found.status.install_failures, found.status.upgrade_failures) == (0, 0, 0)


async def test_without_a_strategy_a_failure_is_tried_again_after_five_minutes(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    helm.fail(HelmError("no"))
    await release(bench)
    await bench.pass_time(299)
    assert len(helm.calls) == 1
    await bench.pass_time(1)
    assert history(await bench.release("app"))[0] == (2, "deployed")


@pytest.mark.parametrize("change", [{"values": {"x": 1}}, {"timeout": "20m"}])
async def test_after_a_failure_a_change_of_the_spec_is_tried_at_once(
    bench: Bench, helm: MemoryHelm, change: dict[str, Any]
) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    helm.fail(HelmError("no"))
    await release(bench)
    found = await release(bench, **change)
    assert (history(found)[0], bench.clock.monotonic()) == ((2, "deployed"), 0)


async def test_after_a_failure_a_request_is_tried_at_once(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    helm.fail(HelmError("no"))
    await release(bench)
    found = await bench.request(HELM_RELEASES, "app", "now")
    assert (history(found)[0], found.status.last_handled_reconcile_at) == ((2, "deployed"), "now")


async def test_an_install_that_was_interrupted_is_cleared(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    helm.interrupt(Target("app", NS, ""), "pending-install")
    await bench.releases(helm)
    found = await release(bench)
    assert helm.calls == [f"uninstall {NS}/app", f"install {NS}/app"]
    assert history(found) == [(1, "deployed")]


async def test_an_upgrade_that_was_interrupted_is_rolled_back_and_done_again(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    helm.interrupt(Target("app", NS, ""), "pending-upgrade")
    found = await release(bench, values={"x": 1})
    assert helm.calls == [f"install {NS}/app", f"rollback {NS}/app", f"upgrade {NS}/app"]
    assert history(found) == [(4, "deployed"), (1, "superseded")]


# CRDs


def crd(version: str) -> bytes:
    return f"""apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: things.acme.io, labels: {{made-by: "{version}"}}}}
spec:
  group: acme.io
  scope: Namespaced
  names: {{plural: things, singular: thing, kind: Thing, listKind: ThingList}}
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]
""".encode()


async def made_by(bench: Bench) -> str:
    found = await bench.client.get(CRDS, msgspec.structs.replace(key("things.acme.io"), namespace=""))
    return str(found["metadata"]["labels"]["made-by"])


@pytest.mark.parametrize(("policy", "left"), [("CreateReplace", "2"), ("Create", "1"), ("Skip", "1"), (None, "1")])
async def test_the_policy_decides_what_an_upgrade_does_with_crds(
    bench: Bench, helm: MemoryHelm, policy: str | None, left: str
) -> None:
    await bench.artifact("app", {**chart("1.0.0"), "crds/thing.yaml": crd("1")})
    await bench.releases(helm)
    action = {"crds": policy} if policy else {}
    await release(bench, install={"crds": "CreateReplace"}, upgrade=action)
    assert await made_by(bench) == "1"
    await bench.artifact("app", {**chart("1.1.0"), "crds/thing.yaml": crd("2")})
    assert await made_by(bench) == left
    assert [request.skip_crds for request in helm.requests] == [True, policy != "Create"]


# Away


async def test_deleting_a_release_uninstalls_it(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench, releaseName="other")
    await bench.delete(HELM_RELEASES, "app")
    assert await bench.client.find(HELM_RELEASES, key("app")) is None
    assert (helm.calls, await helm.status(Target("other", NS, ""))) == ([f"install {NS}/other", f"uninstall {NS}/other"], None)


async def test_deleting_a_suspended_release_leaves_what_runs(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    await release(bench, suspend=True)
    await bench.delete(HELM_RELEASES, "app")
    assert await bench.client.find(HELM_RELEASES, key("app")) is None
    assert helm.calls == [f"install {NS}/app"]


async def test_deleting_what_was_never_installed_is_no_failure(bench: Bench, helm: MemoryHelm) -> None:
    await bench.releases(helm)
    await release(bench)
    await bench.delete(HELM_RELEASES, "app")
    assert await bench.client.find(HELM_RELEASES, key("app")) is None


async def test_an_uninstall_that_fails_is_tried_again(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    helm.fail(HelmError("a hook does not end"))
    await bench.delete(HELM_RELEASES, "app")
    found = await bench.release("app")
    assert said(found) == ("False", "UninstallFailed", "Helm uninstall failed: a hook does not end")
    await bench.pass_time(10)
    assert await bench.client.find(HELM_RELEASES, key("app")) is None


async def test_deleting_a_release_that_waits_for_its_objects_ends_the_wait(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart(a=deployment("web")))
    await bench.releases(helm)
    await release(bench)
    await bench.delete(HELM_RELEASES, "app")
    await rolled_out(bench, "web")
    await bench.pass_time(400)
    assert helm.calls == [f"install {NS}/app", f"uninstall {NS}/app"]


async def test_a_suspended_release_is_left_alone_until_it_is_resumed(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    found = await release(bench, suspend=True)
    assert (helm.calls, found.status.conditions) == ([], ())
    assert history(await release(bench, suspend=False)) == [(1, "deployed")]
    await release(bench, suspend=True, values={"x": 1})
    await bench.pass_time(600)
    assert helm.calls == [f"install {NS}/app"]
    assert history(await release(bench, values={"x": 1}))[0] == (2, "deployed")


async def test_a_release_that_was_rolled_back_while_it_was_suspended_comes_back_when_it_is_resumed(
    bench: Bench, helm: MemoryHelm
) -> None:
    """As helm-controller does: it finds a revision that it did not make."""
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    await release(bench, values={"x": 1})
    await release(bench, suspend=True, values={"x": 1})
    await helm.rollback(Target("app", NS, ""), revision=1)
    await bench.pass_time(600)
    assert helm.calls == [f"install {NS}/app", f"upgrade {NS}/app", f"rollback {NS}/app"]
    assert history(await release(bench, values={"x": 1}))[0] == (4, "deployed")
    assert helm.calls[3:] == [f"upgrade {NS}/app"]


async def test_a_release_that_was_only_suspended_is_not_upgraded_when_it_is_resumed(bench: Bench, helm: MemoryHelm) -> None:
    await bench.artifact("app", chart())
    await bench.releases(helm)
    await release(bench)
    await release(bench, suspend=True)
    assert history(await release(bench, suspend=False)) == [(1, "deployed")]
    assert helm.calls == [f"install {NS}/app"]
