"""The processes of the native back end: they come, die, are replaced, and none is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from cozystack.helm import (
    HelmCrashed,
    HelmUnavailable,
    NativeHelm,
    OperationPending,
    ReleaseRequest,
    Rendered,
    RenderRequest,
    open_helm,
)
from helm.cluster import CONFIG_MAP, Cluster, chart, children, job

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def native() -> AsyncIterator[NativeHelm]:
    engine = NativeHelm()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return chart(tmp_path / "demo", {"values.yaml": "value: 1\n", "templates/a.yaml": CONFIG_MAP})


_others: set[int] = set()


@pytest.fixture(autouse=True)
def nobody_elses() -> None:
    """Workers that were here before the test are those of another one's fixture."""
    _others.clear()
    _others.update(children("cozystack.helm.worker"))


def workers() -> list[int]:
    return [pid for pid in children("cozystack.helm.worker") if pid not in _others]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something has happened."""
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def render(native: NativeHelm, folder: str) -> Rendered:
    return await native.render(RenderRequest(chart=folder, name="demo", namespace="acme"))


async def test_a_worker_starts_with_the_first_request_and_is_called_helm(native: NativeHelm, folder: str) -> None:
    assert native.pids() == workers() == []

    await render(native, folder)
    (pid,) = native.pids()

    assert workers() == [pid]
    assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == b"helm"
    await render(native, folder)
    assert native.pids() == [pid]


async def test_starting_tells_the_versions(native: NativeHelm) -> None:
    versions = await native.start()

    assert (versions["helm"].split(".")[0], sorted(versions)) == ("v4", ["helm", "library"])


async def test_requests_go_to_the_workers_in_turn(folder: str) -> None:
    native = NativeHelm(workers=2)
    try:
        first, second = await asyncio.gather(render(native, folder), render(native, folder))
        assert (first, len(native.pids())) == (second, 2)
        assert workers() == sorted(native.pids())
    finally:
        await native.close()
    assert workers() == []


async def test_many_requests_at_once_are_each_answered_with_their_own(native: NativeHelm, folder: str) -> None:
    requests = [
        RenderRequest(chart=folder, name=f"n{number}", namespace="acme", values={"value": "x" * 5000 * (number % 7)})
        for number in range(40)
    ]

    answers = await asyncio.gather(*map(native.render, requests))

    texts = [answer.manifests["demo/templates/a.yaml"] for answer in answers]
    expected = [
        CONFIG_MAP.replace("{{ .Release.Name }}", request.name).replace("{{ .Values.value }}", request.values["value"])
        for request in requests
    ]
    assert texts == expected


async def test_a_killed_worker_fails_what_it_did_and_the_next_request_works(
    native: NativeHelm, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    target = cluster.target(namespace)
    slow = chart(
        tmp_path, {"values.yaml": "value: 1\n", "templates/a.yaml": CONFIG_MAP, "templates/j.yaml": job("j", "pre-install")}
    )
    installing = asyncio.ensure_future(native.install(ReleaseRequest(target=target, chart=slow)))
    await cluster.created(namespace, "apis/batch/v1/jobs")
    (pid,) = native.pids()

    os.kill(pid, signal.SIGKILL)

    with pytest.raises(HelmCrashed, match="exit code -9") as crashed:
        await installing
    assert crashed.value.retryable
    live = await native.status(target)
    assert live is not None
    assert live.status == "pending-install"
    assert native.pids() == workers() != [pid]
    # Helm itself does not know that nobody works on it any more.
    with pytest.raises(OperationPending):
        await native.upgrade(ReleaseRequest(target=target, chart=slow))


async def test_a_worker_that_died_while_idle_is_replaced(native: NativeHelm, folder: str) -> None:
    before = await render(native, folder)
    (pid,) = native.pids()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not native.pids())

    assert await render(native, folder) == before
    assert native.pids() != [pid]


async def test_a_request_that_is_given_up_disturbs_no_other(native: NativeHelm, folder: str) -> None:
    await native.start()
    given_up = asyncio.ensure_future(render(native, folder))
    await asyncio.sleep(0)
    given_up.cancel()

    assert (await render(native, folder)).manifests.keys() == {"demo/templates/a.yaml"}
    assert given_up.cancelled()


async def test_closing_leaves_no_process_and_can_be_repeated(folder: str) -> None:
    native = NativeHelm(workers=2)
    await asyncio.gather(render(native, folder), render(native, folder))
    pids = native.pids()

    await native.close()
    await native.close()

    assert (workers(), native.pids(), [Path(f"/proc/{pid}").exists() for pid in pids]) == ([], [], [False, False])
    with pytest.raises(HelmUnavailable, match="the Helm engine is closed"):
        await render(native, folder)


async def test_closing_while_a_worker_starts_leaves_no_process() -> None:
    native = NativeHelm()
    starting = asyncio.ensure_future(native.start())
    await until(workers)

    await native.close()

    assert workers() == []
    assert (await starting)["helm"].startswith("v4")


async def test_giving_up_while_a_worker_starts_leaves_no_process() -> None:
    native = NativeHelm()
    starting = asyncio.ensure_future(native.start())
    await until(workers)

    starting.cancel()
    await asyncio.wait([starting])

    assert (starting.cancelled(), workers()) == (True, [])
    await native.close()


async def test_closing_fails_what_is_under_way(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    native = NativeHelm()
    slow = chart(tmp_path, {"templates/j.yaml": job("j", "pre-install")})
    installing = asyncio.ensure_future(native.install(ReleaseRequest(target=cluster.target(namespace), chart=slow)))
    await cluster.created(namespace, "apis/batch/v1/jobs")

    await native.close()

    with pytest.raises(HelmCrashed):
        await installing
    assert workers() == []


async def test_a_loop_that_ends_without_closing_ends_and_leaves_no_process(folder: str) -> None:
    async def forgetful() -> list[int]:
        native = NativeHelm()
        await render(native, folder)
        return native.pids()

    pids = await asyncio.to_thread(asyncio.run, forgetful())

    assert (len(pids), workers()) == (1, [])


async def test_variables_of_helm_do_not_lead_to_another_cluster(
    cluster: Cluster, namespace: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "KUBECONFIG": "/nowhere",
        "HELM_KUBEAPISERVER": "https://127.0.0.1:1",
        "HELM_KUBETOKEN": "wrong",
        "HELM_NAMESPACE": "elsewhere",
        "HELM_DRIVER": "memory",
    }.items():
        monkeypatch.setenv(name, value)
    native = NativeHelm()
    try:
        await native.install(ReleaseRequest(target=cluster.target(namespace), chart=folder))
    finally:
        await native.close()

    assert await cluster.names(namespace, "api/v1/secrets") == ["sh.helm.release.v1.demo.v1"]


async def test_open_helm_takes_the_library_first(tmp_path: Path, folder: str) -> None:
    engine = await open_helm(state=tmp_path)
    try:
        assert isinstance(engine, NativeHelm)
        assert workers() == engine.pids()
    finally:
        await engine.close()
