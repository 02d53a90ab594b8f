from __future__ import annotations

import json

from cozystack.cozypkg.commands.status import frame
from cozystack.planner.progress import Progress, Standing
from support.acme import PLATFORM, condition
from support.cluster import Cluster
from support.cozypkg import call


def test_what_needs_a_look_stands_first() -> None:
    assert call("status", "-f", "-", stdin=PLATFORM.replace('lastTransitionTime: "2026-01-01T00:00:00Z"', "")).both == (
        "1 of 3 Packages ready, 1 failed, 1 unknown\n"
        "NAME        VARIANT   STATE     WAVE   RELEASES   FOR   REASON\n"
        "acme.db     default   failed    2      0/1              no room\n"
        "acme.crds   default   unknown   1      0/0              the operator has not looked at it yet\n"
        "acme.app    default   ready     3      0/0\n"
        "exit code 0\n"
    )


def test_some_can_be_named() -> None:
    assert json.loads(call("status", "acme.db", "-f", "-", "-o", "json", stdin=PLATFORM).out) == {
        "packages": [
            {
                "name": "acme.db",
                "variant": "default",
                "state": "failed",
                "reason": "no room",
                "wave": 2,
                "releases": 1,
                "releasesReady": 0,
                "since": 1767225600.0,
            }
        ],
        "counts": {"failed": 1},
        "waves": 3,
        "remaining": None,
    }
    assert call("status", "ghost", "-f", "-", stdin=PLATFORM).both == (
        "cozypkg: standard input has no Package ghost\nexit code 1\n"
    )


def make_ready(cluster: Cluster) -> None:
    for name in ("acme.db", "acme.crds"):
        cluster.do(cluster.patch("Package", name, {"status": condition("Ready", "True")}, subresource="/status"))


def test_watching_without_a_terminal_is_a_line_a_change(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    moment = ("acme.app ready", lambda: make_ready(cluster))
    lines = call("status", "--watch", when=moment, kubeconfig=cluster.kubeconfig).both.splitlines()
    assert lines[:3] == [
        "acme.db failed 0/1: no room",
        "acme.crds unknown 0/0: the operator has not looked at it yet",
        "acme.app ready 0/0",
    ]
    assert set(lines[3:]) == {"acme.db ready 0/1", "acme.crds ready 0/0", "exit code 0"}


def test_watching_needs_a_cluster_and_shows_a_table() -> None:
    assert call("status", "-w", "-f", "-", stdin=PLATFORM).code == 64
    assert call("status", "-w", "-o", "json").code == 64


def standing(name: str, state: str, wave: int, reason: str = "", since: float = 0.0) -> Standing:
    return Standing(name=name, variant="default", state=state, wave=wave, reason=reason, since=since)  # type: ignore[arg-type]


def test_a_frame_fits_the_terminal_and_counts_the_rest() -> None:
    packages = (
        standing("a", "failed", 2, "something long that does not fit into the line at all, whatever one does", since=40),
        standing("b", "progressing", 2, since=100 - 7200),
        *(standing(f"r{number}", "ready", 1) for number in range(500)),
    )
    found = Progress(packages=packages, counts={"failed": 1, "progressing": 1, "ready": 500}, waves=3, remaining=130.0)
    assert frame(found, now=100, elapsed=75, width=80, height=8) == [
        ("500 of 502 Packages ready, 1 failed, 1 progressing, about 2m10s left; wave 2 of 3; 1m15s", "summary"),
        ("NAME   VARIANT   STATE         WAVE   RELEASES   FOR     REASON", ""),
        ("a      default   failed        2      0/0        1m00s   something long that ...", "failed"),
        ("b      default   progressing   2      0/0        2h00m", "progressing"),
        ("r0     default   ready         1      0/0", "ready"),
        ("r1     default   ready         1      0/0", "ready"),
        ("and 498 more, 498 of them ready", ""),
    ]


def test_the_live_view_is_drawn_on_a_terminal(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    moment = ("1 of 3 Packages ready", lambda: make_ready(cluster))
    result = call("status", "-w", screen=True, when=moment, kubeconfig=cluster.kubeconfig)
    assert result.code == 0
    assert "1 of 3 Packages ready" in result.out
    assert "3 of 3 Packages ready; wave 3 of 3" in result.out
