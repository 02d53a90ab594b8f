"""The main job, end to end, on real parts: programs are started as people start them, and real Helm installs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cozystack.oci import Registry
from support.sandbox import PACKAGES, cozystack, running, stored, up_once

pytestmark = pytest.mark.xdist_group("platform")

HELM_RELEASES = "helm.toolkit.fluxcd.io/helmreleases"
VARIANT = ("--variant", "isp-hosted")


def revisions(state: Path) -> dict[str, int]:
    """The newest revision of every release."""
    return {release["metadata"]["name"]: release["status"]["history"][0]["version"] for release in stored(state, HELM_RELEASES)}


def content(state: Path) -> dict[str, Any]:
    """What a platform comes to, without what differs from run to run: names, specs, labels and states."""
    port = str(msgspec.json.decode((state / "state.json").read_bytes())["ports"]["api"]).encode()
    found: dict[str, Any] = {}
    for resource in (
        HELM_RELEASES,
        "cozystack.io/packages",
        "cozystack.io/packagesources",
        "source.extensions.fluxcd.io/artifactgenerators",
        "/namespaces",
    ):
        for obj in stored(state, resource):
            metadata = obj["metadata"]
            conditions = {c["type"]: c["status"] for c in (obj.get("status") or {}).get("conditions") or ()}
            # The address of the API server stands in values, and every sandbox has its own.
            spec = msgspec.json.decode(msgspec.json.encode(obj.get("spec")).replace(port, b"PORT"))
            key = f"{resource} {metadata.get('namespace', '')}/{metadata['name']}"
            found[key] = (spec, metadata.get("labels"), conditions)
    for obj in stored(state, "/secrets"):
        if obj["metadata"]["name"] == "cozystack-values":
            found[f"values in {obj['metadata']['namespace']}"] = sorted(obj["data"])
    return found


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a platform that came up undisturbed."""
    state = tmp_path_factory.mktemp("platform") / "state"
    ran = up_once(state, *VARIANT)
    assert (ran.code, ran.summary.get("reason", "")) == (0, ""), ran.said
    return state


def test_the_whole_platform_comes_up_from_nothing(tmp_path: Path) -> None:
    ran = up_once(tmp_path / "state")
    summary = ran.summary
    assert (ran.code, summary["ready"]) == (0, True), ran.said
    assert summary["packages"] == summary["packagesReady"] >= 10
    assert summary["releases"] == summary["releasesReady"] >= summary["packages"]
    assert len(summary["waves"]) >= 4
    assert sorted(name for wave in summary["waves"] for name in wave) == sorted(
        package["metadata"]["name"] for package in stored(tmp_path / "state", "cozystack.io/packages")
    )
    assert set(revisions(tmp_path / "state").values()) == {1}
    pods = stored(tmp_path / "state", "/pods")
    assert any(pod["metadata"]["namespace"] == "cozy-cilium" for pod in pods)


def test_starting_again_goes_on_without_a_new_install(platform: Path) -> None:
    before = content(platform)
    ran = up_once(platform)
    assert (ran.code, ran.summary["ready"]) == (0, True), ran.said
    assert set(revisions(platform).values()) == {1}
    assert content(platform) == before


def test_changed_packages_upgrade_what_changed_and_nothing_else(platform: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(platform, state)
    packages = tmp_path / "packages"
    shutil.copytree(PACKAGES, packages)
    chart = packages / "system/goldpinger/Chart.yaml"
    chart.write_text(chart.read_text() + "keywords: [changed]\n")
    ran = up_once(state, "--platform-source", packages)
    assert (ran.code, ran.summary["ready"]) == (0, True), ran.said
    changed = {name for name, revision in revisions(state).items() if revision > 1}
    # The platform's own chart holds a mark of the whole repository: it goes first, and takes the others along.
    assert changed == {"cozystack-platform", "goldpinger"}


def test_a_chart_that_does_not_render_is_named_and_stops_nobody_else(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    shutil.copytree(PACKAGES, packages)
    (packages / "system/goldpinger/templates/broken.yaml").write_text("{{ .Values.nowhere.at.all }}\n")
    ran = up_once(tmp_path / "state", *VARIANT, "--platform-source", packages)
    assert (ran.code, ran.summary["ready"]) == (1, False)
    (failed,) = ran.summary["failed"]
    assert failed["package"] == "cozystack.goldpinger"
    assert "goldpinger/templates/broken.yaml:1" in failed["message"]
    held_up = {entry["package"] for entry in ran.summary.get("waiting", ())}
    assert ran.summary["packagesReady"] == ran.summary["packages"] - 1 - len(held_up) > 5
    assert all(entry["message"] == failed["message"] for entry in ran.summary.get("waiting", ()))


async def test_packages_come_from_any_registry_that_they_were_pushed_to(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    port = await registry.start()
    try:
        address = f"oci://127.0.0.1:{port}/acme/packages"
        pushed = await asyncio.to_thread(cozystack, "push", f"{address}:v1")
        assert pushed.code == 0, pushed.said
        assert pushed.said.startswith(f"{address}@sha256:")
        ran = await asyncio.to_thread(up_once, tmp_path / "state", *VARIANT, "--platform-source", f"{address}:v1", "--insecure")
    finally:
        await registry.stop()
    assert (ran.code, ran.summary["ready"]) == (0, True), ran.said
    (source,) = (
        each
        for each in stored(tmp_path / "state", "source.toolkit.fluxcd.io/ocirepositories")
        if each["metadata"]["name"] == "cozystack-packages"
    )
    assert source["spec"]["url"] == address
    assert pushed.said.strip().endswith(source["status"]["artifact"]["revision"].removeprefix("v1@"))


def test_an_unknown_variant_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    ran = up_once(tmp_path / "state", "--variant", "isp-nonsense")
    assert ran.code == 1
    (failed,) = ran.summary["failed"]
    assert "isp-nonsense" in failed["message"]
    assert "isp-full-generic" in failed["unblock"]


def test_an_operator_that_is_killed_again_and_again_ends_in_the_same_state(platform: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(state, *VARIANT) as sandbox:
        for moment in ("installer", "platform is ready", "package cozystack.cert-manager is ready"):
            sandbox.until(moment)
            for pid in sandbox.pids("cozystack.operator.main"):
                os.kill(pid, signal.SIGKILL)
        sandbox.until("The platform is ready")
        sandbox.kubectl("-n", "cozy-system", "delete", "pod", "--selector=app=cozystack-operator", "--wait=false")
        sandbox.kubectl("wait", "--for=condition=Ready", "package", "--all", "--timeout=60s")
    assert content(state) == content(platform)


def test_kubectl_and_the_program_show_a_platform_that_runs(platform: Path) -> None:
    with running(platform) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        assert "cozystack.goldpinger" in sandbox.kubectl("get", "packages")
        assert "became the leader" in sandbox.kubectl("-n", "cozy-system", "logs", "deploy/cozystack-operator")
        assert "Accepted" in sandbox.kubectl("describe", "package", "cozystack.cozystack-platform")
        assert "simulated" in sandbox.kubectl("describe", "node", "sandbox")
        status = cozystack("status", "--output", "json", "--state-dir", platform)
        assert (status.code, status.summary["ready"]) == (0, True)
        again = cozystack("up", "--state-dir", platform)
        assert again.code == 1
        assert f"process {sandbox.process.pid}" in again.said
        assert cozystack("down", "--state-dir", platform).code == 0
        assert sandbox.process.wait(60) == 0
    assert cozystack("status", "--state-dir", platform).code == 3
