"""The walk-throughs of the documentation, run block by block as they are printed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from cozystack.oci import Registry
from support.pages import perform, perform_block
from support.sandbox import ROOT, running
from support.scenarios import Version

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.slow]


async def test_a_repository_of_ones_own_is_installed_beside_the_platforms(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    port = await registry.start()
    try:
        said = await asyncio.to_thread(develop, tmp_path, f"127.0.0.1:{port}")
    finally:
        await registry.stop()
    assert "acme.anvil is ready" in said["cozypkg add acme.anvil --yes --wait --timeout 60s"]
    assert "acme.anvil is gone" in said["cozypkg del acme.anvil --yes"]


def develop(folder: Path, registry: str) -> dict[str, str]:
    state = folder / "state"
    with running(state, "--variant", "isp-hosted") as sandbox:
        sandbox.until("The platform is ready")
        before = sandbox.kubectl("get", "packages", "-o", "name")
        said = perform("developing-packages.md", folder, KUBECONFIG=str(state / "kubeconfig"), REGISTRY=registry)
        assert sandbox.kubectl("get", "packages", "-o", "name") == before
        return said


async def test_a_developer_adds_a_step_between_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(tmp_path / "registry")
    port = await registry.start()
    checkout = tmp_path / "checkout"
    for part in ("src", "packages", "docs"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    # All programs that are started from here on, those in Pods too, are those of the copy.
    monkeypatch.setenv("PYTHONPATH", str(checkout / "src"))
    try:
        said = await asyncio.to_thread(add_a_step, checkout, f"127.0.0.1:{port}")
    finally:
        await registry.stop()
    tried = said["cozystack-migrate plan || test $? -eq 3"]
    assert "57 label-anvils: Give the Deployments of the anvil the label" in tried
    assert "  patch Deployment cozy-system/anvil: the Service selects it\n" in tried
    assert "      writes Deployment: patch\n      way back: An older release does not look at the label.\n" in tried
    assert "57 label-anvils: done" in tried
    assert tried.endswith("  changed Deployment cozy-system/anvil\nheavy")


def add_a_step(checkout: Path, registry: str) -> dict[str, str]:
    state, source = checkout / "state", f"oci://{registry}/platform:stable"
    perform_block(f"cozypkg push packages {source} --insecure", checkout)
    with running(state, "--variant", "isp-hosted", "--platform-source", source, "--insecure") as sandbox:
        sandbox.until("The platform is ready")
        return perform("migrations.md", checkout, KUBECONFIG=str(state / "kubeconfig"), REGISTRY=registry)


async def test_the_platform_is_updated_and_rolled_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    port = await registry.start()
    try:
        await asyncio.to_thread(update_and_roll_back, tmp_path, f"127.0.0.1:{port}")
    finally:
        await registry.stop()


def update_and_roll_back(folder: Path, registry: str) -> None:
    """The two pages, one after the other; both know the versions by the names of their folders."""
    old = Version(folder / "1")
    new = old.next(folder / "2")
    new.step()
    new.change("goldpinger")
    fixed = new.next(folder / "3", steps=0)
    fixed.change("goldpinger", "fixed")
    for name, version in (("old", old), ("packages", new), ("fixed", fixed)):
        (folder / name).symlink_to(version.packages)
    state, source = folder / "state", f"oci://{registry}/platform:stable"
    perform_block(f"cozypkg push old {source} --insecure", folder)
    arguments = [str(each) for each in new.arguments()]
    arguments[arguments.index("--platform-source") + 1] = source
    with running(state, *arguments, "--insecure") as sandbox:
        sandbox.until("The platform is ready")
        variables = {"KUBECONFIG": str(state / "kubeconfig"), "REGISTRY": registry}
        updated = perform("update.md", folder, **variables)
        assert sandbox.upgraded() == {"cozystack-platform": 2, "goldpinger": 2}
        back = perform("rollback.md", folder, **variables)
        assert sandbox.upgraded() == {"cozystack-platform": 4, "goldpinger": 5}
    before = updated["cozypkg explain"]
    assert before.startswith("All packages are ready.\n")
    assert "Migrations, from version 57 to 58, before any package moves:\n  57 witness-57: " in before
    assert "way back: It stays." in before
    assert "57 witness-57: done" in updated["cozypkg wait --all --timeout 60s"]
    held = back["cozypkg rollback cozystack.goldpinger --dry-run"]
    assert "Rolled HelmRelease cozy-goldpinger/goldpinger back to revision 1, as revision 3" in held
    assert "note: HelmRelease/cozy-goldpinger/goldpinger: HelmRelease/cozy-goldpinger/goldpinger is suspended" in held
    planned = back["cozypkg plan --repository fixed || test $? -eq 2"]
    assert "cozy-goldpinger/goldpinger is upgraded, with another chart (cozystack.goldpinger); held back: Suspended" in planned
    resumed = back["cozypkg resume cozystack.goldpinger --yes --wait --timeout 2m"]
    assert "cozystack.goldpinger is ready" in resumed
    assert "This goes BACK, from version 58 to 57." in back["cozypkg plan --repository old || test $? -eq 2"]


async def test_the_guide_to_cozypkg_does_what_it_shows(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    port = await registry.start()
    try:
        await asyncio.to_thread(follow_the_guide, tmp_path, f"127.0.0.1:{port}")
    finally:
        await registry.stop()


def follow_the_guide(folder: Path, registry: str) -> None:
    state = folder / "state"
    with running(state, "--variant", "isp-hosted") as sandbox:
        sandbox.until("The platform is ready")
        before = sandbox.kubectl("get", "packages", "-o", "name")
        perform("cozypkg-guide.md", folder, KUBECONFIG=str(state / "kubeconfig"), REGISTRY=registry)
        assert sandbox.kubectl("get", "packages", "-o", "name") == before
