"""What stands between the program and its work: clusters that are not there, signals, pipes, disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.acme import PLATFORM
from support.cluster import Cluster, kubeconfig_text, running_cluster
from support.cozypkg import call

PROGRAM = (sys.executable, "-m", "cozystack.cozypkg.main")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONIOENCODING": "utf-8"}


def test_no_cluster_at_all_says_where_it_was_looked_for() -> None:
    result = call("list", env={"HOME": "/nonexistent", "COZYSTACK_SERVICEACCOUNT_DIR": "/none"})
    assert result.both == (
        "cozypkg: no cluster is configured: KUBECONFIG is not set, this is not a Pod (/none/token is missing), "
        "there is no /nonexistent/.kube/config\nexit code 1\n"
    )


def test_a_cluster_that_is_not_there_any_more(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        address = cluster.address
    assert call("list", kubeconfig=tmp_path / "kubeconfig").both == (
        f"cozypkg: the cluster at {address} does not answer: connection refused\nexit code 1\n"
    )


def test_credentials_that_have_expired(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "old").write_text(kubeconfig_text(cluster.address, token="expired"))
    for arguments in (["list"], ["add", "x", "-y"], ["del", "x", "-y"], ["wait", "--all"], ["status", "-w"]):
        assert call(*arguments, kubeconfig=tmp_path / "old").both == (
            f"cozypkg: the cluster at {cluster.address} does not accept the credentials of context here: "
            "have they expired?\nexit code 1\n"
        )


def test_a_verb_that_is_forbidden(cluster: Cluster) -> None:
    cluster.answers("GET", "/packagesources", 403, "Forbidden", "packagesources.cozystack.io is forbidden: nobody may list")
    assert call("list", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: the cluster does not allow it: packagesources.cozystack.io is forbidden: nobody may list\nexit code 1\n"
    )


def test_a_cluster_without_the_platform(tmp_path: Path) -> None:
    with running_cluster(tmp_path, installed=False) as cluster:
        for arguments in (["list"], ["add", "x"], ["status"], ["status", "-w"], ["wait", "x"]):
            result = call(*arguments, kubeconfig=cluster.kubeconfig)
            assert (result.code, result.out) == (1, "")
            assert "s: the operator has not installed its CRDs (is this the right context?)" in result.err


def test_a_server_that_is_not_well(cluster: Cluster) -> None:
    cluster.answers("GET", "/packages", 500, "InternalError", "etcd has no leader")
    assert call("list", "-i", kubeconfig=cluster.kubeconfig).err == (
        f"cozypkg: the cluster at {cluster.address} is not well: etcd has no leader\n"
    )


def test_options_of_the_cluster_stand_before_or_after_the_command(cluster: Cluster) -> None:
    """cozypkg-G1"""
    calls: tuple[list[str | Path], ...] = (
        ["--kubeconfig", cluster.kubeconfig, "--context", "here", "list", "--request-timeout", "5s"],
        ["list", "--kubeconfig", cluster.kubeconfig, "--context=here", "--plain"],
        ["--kubeconfig", "/gone", "list", "--kubeconfig", cluster.kubeconfig],
    )
    for arguments in calls:
        assert call(*arguments).both == "NAME   VARIANTS   READY   STATUS\nexit code 0\n"
    wrong = call("list", "--context", "there", kubeconfig=cluster.kubeconfig)
    assert (wrong.code, "there" in wrong.err) == (1, True)
    assert call("list", env={"KUBECONFIG": str(cluster.kubeconfig)}).code == 0


@pytest.mark.parametrize("arguments", [["lst"], ["--nonsense"], ["list", "--nonsense"], ["list", "-o", "xml"], ["list", "x"]])
def test_wrong_usage_is_64_and_says_nothing_on_standard_output(arguments: list[str]) -> None:
    """cozypkg-G3"""
    result = call(*arguments)
    assert (result.code, result.out) == (64, "")
    assert "Error: " in result.err


def test_the_version_is_printed() -> None:
    assert call("--version").both == "cozypkg version 0.1.0\nexit code 0\n"
    assert call("-v").both == call("--version").both
    assert call("version", "--client", "-o", "json").out.startswith('{\n  "cozypkg": "0.1.0"')


def test_the_version_of_the_cluster_is_asked_for(cluster: Cluster) -> None:
    assert call("version", kubeconfig=cluster.kubeconfig).out.splitlines()[-1].startswith("kubernetes v1.")


def test_a_pipe_that_breaks_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(PLATFORM)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run([*PROGRAM, "list", "-f", tmp_path], stdout=broken, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(PLATFORM)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PROGRAM, "list", "-f", tmp_path], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (1, b"cozypkg: no space left on device\n")


def test_what_a_terminal_cannot_show_does_not_stop_it(tmp_path: Path) -> None:
    """cozypkg-G4"""
    (tmp_path / "all.yaml").write_text(PLATFORM.replace("no room", "kein Platz für → mehr"))
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*PROGRAM, "list", "-i", "-f", tmp_path], stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        b"acme.db     default   False     kein Platz f?r ? mehr",
    )


def test_ctrl_c_is_clean(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    watching = threading.Event()

    async def watched() -> None:
        watching.set()

    cluster.when("GET", "/packages", watched, watch=True)
    started = subprocess.Popen(
        [*PROGRAM, "wait", "acme.crds", "--kubeconfig", cluster.kubeconfig],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
        # Whoever starts the tests in the background has it ignored, and programs inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert watching.wait(30)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert (started.returncode, out, err) == (130, b"", b"\nstopped\n")
