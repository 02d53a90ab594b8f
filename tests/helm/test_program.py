"""Finding, unpacking and running the helm program."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from cozystack.helm import (
    BinaryHelm,
    HelmTimeout,
    HelmUnavailable,
    OperationPending,
    ReleaseRequest,
    find_binary,
    open_helm,
    packaged_binary,
)
from helm.cluster import BACK_ENDS, Cluster, chart, children, job

pytestmark = pytest.mark.asyncio(loop_scope="module")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("echo v3.19.0", "is Helm v3.19.0, version 4 is needed"),
        ("echo 'Error: broken' >&2; exit 1", "is no helm that works: broken"),
        ("exit 1", "is no helm that works: helm failed without saying why"),
    ],
)
async def test_a_program_that_is_no_helm_4_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    program = script(tmp_path / "helm", text)

    with pytest.raises(HelmUnavailable) as refused:
        await BinaryHelm(program, home=tmp_path).start()
    assert refused.value.message == f"{program} {complaint}"


async def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HelmUnavailable, match="cannot be run"):
        await BinaryHelm(tmp_path / "helm", home=tmp_path).start()
    with pytest.raises(HelmUnavailable, match="cannot be run"):
        await open_helm("binary", state=tmp_path, binary=tmp_path / "helm")


async def test_a_program_may_be_named(tmp_path: Path) -> None:
    program = script(tmp_path / "helm", "echo v4.0.0")

    engine = await open_helm(state=tmp_path, binary=program)

    assert isinstance(engine, BinaryHelm)
    assert await engine.start() == {"helm": "v4.0.0", "library": ""}


async def test_the_program_is_looked_for_by_name_then_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    on_path = script(tmp_path / "bin" / "helm", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("COZYSTACK_HELM", raising=False)
    assert find_binary(tmp_path) == on_path

    monkeypatch.setenv("COZYSTACK_HELM", "/named/helm")
    assert find_binary(tmp_path) == Path("/named/helm")


async def test_without_any_program_it_is_said_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cozystack.helm.find_binary", lambda state: None)
    with pytest.raises(HelmUnavailable) as error:
        await open_helm("binary", state=tmp_path)
    assert str(error.value) == "there is no helm program; put helm of version 4 on the PATH, or name it in COZYSTACK_HELM"


async def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    program = BinaryHelm(script(tmp_path / "helm", f"read line < {tmp_path / 'never'}"), home=tmp_path)

    with pytest.raises(HelmTimeout, match="helm version did not end within 0 s"):
        await program._run(["version"], limit=0.1)
    assert children(str(tmp_path)) == []


async def test_the_program_gets_values_in_a_private_file_that_is_removed(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = BinaryHelm(
        script(tmp_path / "helm", f'for last; do :; done; stat -c %a "$last" > {seen}; echo "$last" >> {seen}'), home=tmp_path
    )

    await program.lint(tmp_path, {"password": "secret"})

    mode, path = seen.read_text().split()
    assert (mode, Path(path).exists()) == ("600", False)


async def test_the_program_runs_without_the_variables_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "HELM_KUBEAPISERVER", "HELM_NAMESPACE", "HELM_DRIVER", "ACME_SECRET"):
        monkeypatch.setenv(name, "x")
    program = BinaryHelm(script(tmp_path / "helm", "env"), home=tmp_path / "home")

    names = {line.partition("=")[0] for line in (await program._run([])).splitlines()}

    shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names - shell <= {"PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "NO_COLOR"} | {
        f"HELM_{kind}_HOME" for kind in ("CACHE", "CONFIG", "DATA")
    }


if "binary" in BACK_ENDS:

    async def test_the_packaged_program_is_unpacked_once(tmp_path: Path) -> None:
        first = packaged_binary(tmp_path / "state")
        assert first is not None
        stamp = first.stat().st_mtime_ns

        assert packaged_binary(tmp_path / "state") == first
        assert (first.stat().st_mtime_ns, os.access(first, os.X_OK)) == (stamp, True)
        assert [path.name for path in first.parent.iterdir()] == [first.name]

    async def test_a_request_that_is_given_up_ends_its_process(
        helm_state: Path, cluster: Cluster, namespace: str, tmp_path: Path
    ) -> None:
        binary = packaged_binary(helm_state)
        assert binary is not None
        engine = BinaryHelm(binary, home=helm_state)
        request = ReleaseRequest(
            target=cluster.target(namespace), chart=chart(tmp_path, {"templates/j.yaml": job("j", "pre-install")})
        )
        installing = asyncio.ensure_future(engine.install(request))
        await cluster.created(namespace, "apis/batch/v1/jobs")

        installing.cancel()
        await asyncio.wait([installing])

        assert installing.cancelled()
        # Were it still running, the Job that ends now would make it deployed.
        await cluster.end_job(namespace, "j")
        with pytest.raises(OperationPending):
            await engine.upgrade(request)

else:

    async def test_no_package_carries_the_program_here(tmp_path: Path) -> None:
        assert packaged_binary(tmp_path) is None
