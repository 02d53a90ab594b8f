"""The walk-throughs of the documentation, run block by block as they are printed.

A block ``yaml file=PATH`` is written to that path, a block ``sh`` is run by a shell that stops at the first failure.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cozystack.oci import Registry
from support.sandbox import ROOT, environment, running

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.slow]


def blocks(page: str) -> list[tuple[str, str]]:
    """What is in the fences of a page, each with the words behind the opening one."""
    return re.findall(r"(?ms)^```([^\n]+)\n(.*?)^```$", (ROOT / "docs" / page).read_text())


def perform(page: str, folder: Path, **variables: str) -> dict[str, str]:
    """Run a page; what each shell block said, by its first line."""
    tools = Path(sys.executable).parent
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    said = {}
    for kind, text in blocks(page):
        name, _, file = kind.partition(" file=")
        if file:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        elif name == "sh":
            done = subprocess.run(
                ["/bin/sh", "-euc", text],
                cwd=folder,
                env={**environment(), "PATH": path, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=180,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}"
            said[text.splitlines()[0]] = done.stdout
    return said


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
