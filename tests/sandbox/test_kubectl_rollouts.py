"""kubectl rolls out, looks back, takes back, pauses and waits in the sandbox as in a cluster."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cozystack.kube.clock import SystemClock
from cozystack.runtime import Log
from cozystack.sandbox.cluster import Cluster
from cozystack.sandbox.state import Settings, State, choose_ports

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("platform")]

KUBECTL = Path(sys.executable).with_name("kubectl")
Kubectl = Callable[..., Awaitable[str]]
WORKLOAD = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: web}}
spec:
  {extra}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata:
      labels: {{app: web}}
      annotations: {{{annotations}}}
    spec:
      containers: [{{name: c, image: "example.org/web:v1"}}]
"""


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    """Runs kubectl against a cluster without a platform: what it prints, errors included."""
    state = State(tmp_path / "state")
    state.folder.mkdir()
    ports = choose_ports(Settings())
    cluster = Cluster(state, ports, clock=SystemClock(), log=Log("sandbox"), start_delay=0.02)
    await cluster.start()
    running = asyncio.create_task(cluster.run())

    async def run(*arguments: str, given: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            "--kubeconfig",
            str(state.kubeconfig),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate(given.encode())
        return printed.decode()

    yield run
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await cluster.close()


def workload(kind: str, extra: str = "", annotations: str = "") -> str:
    return WORKLOAD.format(kind=kind, extra=extra, annotations=annotations)


def revisions(history: str) -> list[str]:
    """The numbers and causes of ``kubectl rollout history``."""
    return [" ".join(line.split()) for line in history.splitlines() if re.match(r"\d+ ", line)]


async def test_a_deployment_is_rolled_out_and_back(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=workload("Deployment", "replicas: 2"))
    assert 'deployment "web" successfully rolled out' in await kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    await kubectl("set", "image", "deploy/web", "c=example.org/web:v2")
    await kubectl("annotate", "deploy/web", "kubernetes.io/change-cause=second")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert revisions(await kubectl("rollout", "history", "deploy/web")) == ["1 <none>", "2 second"]
    assert "example.org/web:v1" in await kubectl("rollout", "history", "deploy/web", "--revision=1")
    assert "deployment.apps/web rolled back" in await kubectl("rollout", "undo", "deploy/web")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert [line.split()[0] for line in revisions(await kubectl("rollout", "history", "deploy/web"))] == ["2", "3"]
    assert "example.org/web:v1" in await kubectl("get", "deploy/web", "-o", "wide")
    await kubectl("rollout", "pause", "deploy/web")
    await kubectl("set", "image", "deploy/web", "c=example.org/web:v3")
    assert "cannot rollback a paused deployment" in await kubectl("rollout", "undo", "deploy/web")
    await kubectl("rollout", "resume", "deploy/web")
    await kubectl("rollout", "restart", "deploy/web")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert "restartedAt" in await kubectl("get", "deploy/web", "-o", "yaml")


async def test_a_rollout_that_fails_ends_the_wait(kubectl: Kubectl) -> None:
    await kubectl(
        "apply", "-f", "-", given=workload("Deployment", "progressDeadlineSeconds: 1", "sandbox.cozystack.io/fail: not-ready")
    )
    assert 'deployment "web" exceeded its progress deadline' in await kubectl("rollout", "status", "deploy/web")


@pytest.mark.parametrize(
    ("kind", "extra", "said"),
    [
        ("StatefulSet", "serviceName: web\n  replicas: 2", "roll out complete"),
        ("DaemonSet", "", "successfully rolled out"),
    ],
)
async def test_revisions_of_other_workloads_are_rolled_back(kubectl: Kubectl, kind: str, extra: str, said: str) -> None:
    name = f"{kind.lower()}/web"
    await kubectl("apply", "-f", "-", given=workload(kind, extra))
    assert said in await kubectl("rollout", "status", name, "--timeout=60s")
    await kubectl("set", "image", name, "c=example.org/web:v2")
    assert said in await kubectl("rollout", "status", name, "--timeout=60s")
    assert len(revisions(await kubectl("rollout", "history", name))) == 2
    assert f"{kind.lower()}.apps/web rolled back" in await kubectl("rollout", "undo", name)
    assert said in await kubectl("rollout", "status", name, "--timeout=60s")
    assert "example.org/web:v1" in await kubectl("get", name, "-o", "wide")


async def test_pods_that_fail_are_described_and_cannot_be_entered(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=workload("Deployment", annotations="sandbox.cozystack.io/fail: image-pull"))
    waiting = "{.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff"
    await kubectl("wait", "--for=create", "pod", "--selector=app=web", "--timeout=60s")
    await kubectl("wait", f"--for=jsonpath={waiting}", "pod", "--selector=app=web", "--timeout=60s")
    assert "0/1     ImagePullBackOff" in await kubectl("get", "pods")
    described = await kubectl("describe", "pods")
    for words in ("Scheduled", "Successfully assigned default/web-", "Failed to pull image", "Error: ErrImagePull", "Back-off"):
        assert words in described
    assert "is waiting to start: trying and failing to pull image" in await kubectl("logs", "deploy/web")
    assert "nothing runs in a simulated Pod" in await kubectl("exec", "deploy/web", "--", "ls")
