"""An update during which one program is killed at every step, and a tag that moves while a migration runs."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.registry import running_registry
from support.sandbox import Running, cozypkg, running
from support.scenarios import (
    SYSTEM,
    Version,
    config_map,
    leftovers,
    outcomes,
    packages,
    packages_digest,
    revisions,
    upgraded,
    version,
)

pytestmark = pytest.mark.xdist_group("scenarios")

PROGRAMS = {"operator": "cozystack.operator.main", "flux": "cozystack.flux", "runner": "cozystack.migrate.main"}
IN_SYSTEM = ("-n", SYSTEM, "wait", "--timeout=170s")


def moments() -> Iterator[tuple[str, ...]]:
    """What kubectl waits for, in the order in which an update gets there: migrating, migrated, moved, added, removed."""
    yield *IN_SYSTEM, "job/cozystack-migrations", "--for=create"
    yield *IN_SYSTEM, "configmap/witness", "--for=create"
    yield *IN_SYSTEM, "configmap/witness", "--for=jsonpath={.data.57\\.1}"
    yield *IN_SYSTEM, "configmap/cozystack-version", "--for=jsonpath={.data.version}=58"
    yield "wait", "--timeout=170s", "package/cozystack.anvil", "--for=create"
    yield "-n", "cozy-anvil", "wait", "--timeout=170s", "helmrelease/anvil", "--for=create"
    yield "wait", "--timeout=170s", "package/cozystack.grafana-operator", "--for=delete"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["operator", "api server", "flux", "runner"])
def test_killed_at_every_step_it_ends_in_the_same_state(victim: str, installed: tuple[Version, Path], tmp_path: Path) -> None:
    first, clean = installed
    state = Path(shutil.copytree(clean, tmp_path / "state"))
    before = revisions(state)
    before.pop("grafana-operator")
    second = first.next(tmp_path / "second")
    second.step(parts=3, pause=0.5)
    second.change("goldpinger")
    second.add_anvil()
    second.remove("grafana-operator")
    with ExitStack() as stack:
        sandbox = stack.enter_context(running(state, *second.arguments()))
        sandbox.until("installer")
        killed = 0
        for moment in moments():
            sandbox.kubectl(*moment, timeout=180)
            if victim == "api server":
                sandbox.process.kill()
                sandbox.process.wait()
                killed += 1
                sandbox = stack.enter_context(running(state, *second.arguments()))
                sandbox.until("installer")
            else:
                killed += kill(sandbox, PROGRAMS[victim])
    assert killed
    ran = second.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert (version(state), outcomes(state)) == ("58", {"witness-57": "done"})
    assert (config_map(state, "witness") or {}).keys() == {f"57.{part}" for part in range(3)}
    assert packages(state) & {"anvil", "grafana-operator"} == {"anvil"}
    # What a killed Helm had begun is tried again as one more revision; what has not changed has none.
    assert upgraded(before, revisions(state)).keys() == {"cozystack-platform", "goldpinger", "anvil"}
    assert packages_digest(state) != packages_digest(clean)
    assert leftovers(state) == []


def kill(sandbox: Running, module: str) -> int:
    """Kill all processes that run a module; how many there were. The runner is there only while there are steps to run."""
    found = sandbox.pids(module)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)


@pytest.mark.slow
def test_packages_stay_while_a_tag_moves_and_its_migrations_run(tmp_path: Path) -> None:
    """In the middle of a step Flux is asked to look at the source of the packages, whose tag is at the new version already."""
    first = Version(tmp_path / "first")
    second = first.next(tmp_path / "second")
    second.step(parts=3, pause=1.0)
    second.change("goldpinger")
    state = tmp_path / "state"
    with running_registry(tmp_path / "registry") as host:
        source = f"oci://{host}/platform:stable"
        assert cozypkg("push", first.packages, source, "--insecure").returncode == 0
        arguments = [str(each) for each in second.arguments()]
        arguments[arguments.index("--platform-source") + 1] = source
        with running(state, *arguments, "--insecure") as sandbox:
            sandbox.until("The platform is ready")
            old = fetched(sandbox)
            assert cozypkg("push", second.packages, source, "--insecure").returncode == 0
            sandbox.cozypkg("upgrade", "cozystack.cozystack-platform", "--yes")
            sandbox.kubectl(*IN_SYSTEM, "configmap/witness", "--for=create", timeout=180)
            sandbox.cozypkg("upgrade", "cozystack.goldpinger", "--yes")
            sandbox.cozypkg("upgrade", "--yes", "--wait", "--timeout", "150s")
            assert fetched(sandbox) != old
            assert sandbox.upgraded() == {"cozystack-platform": 2, "goldpinger": 2}
    witness = config_map(state, "witness") or {}
    digest = old.rpartition("@")[2]
    assert witness == {f"57.{part}": f"{digest} 1" for part in range(3)}


def fetched(sandbox: Running) -> str:
    """The revision of the packages that Flux has fetched."""
    return sandbox.kubectl(
        "-n", SYSTEM, "get", "ocirepository/cozystack-packages", "-o", "jsonpath={.status.artifact.revision}"
    )
