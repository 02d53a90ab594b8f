"""Weaknesses of the original that no other file proves to be gone, and whether each that is said to be is proved somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from cozystack.apiserver.http.messages import Request
from support.cluster import Cluster
from support.cozypkg import call

DATABASE = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.db}
spec: {variants: [{name: default}]}
"""
TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "design" / "weaknesses.md").read_text()
ROWS = re.findall(r"(?m)^\| (cozypkg-[A-Z]\d+) [HML] \| (\w[\w ]*) \| [^|]+ \|$", TABLE)


@cache
def said() -> str:
    return "\n".join(file.read_text() for folder in ("cozypkg", "planner") for file in (TESTS / folder).glob("test_*.py"))


def test_the_table_has_every_row_of_the_specification() -> None:
    wanted = {"A": 16, "R": 10, "D": 9, "L": 3, "F": 4, "G": 4}
    assert [row[0] for row in ROWS] == [
        f"cozypkg-{kind}{number}" for kind, most in wanted.items() for number in range(1, most + 1)
    ]


@pytest.mark.parametrize(("row", "decision"), ROWS, ids=[row[0] for row in ROWS])
def test_a_weakness_that_is_taken_has_a_test_with_its_id(row: str, decision: str) -> None:
    assert decision in ("taken", "taken in part", "otherwise", "not taken")
    assert re.search(rf"\b{row}\b", said()) is not None


def test_every_command_has_golden_outputs() -> None:
    """cozypkg-G2."""
    from cozystack.cozypkg.main import COMMANDS

    calls = set(re.findall(r"(?:call|succeeded|run|lint|dot|asked|shown)\(\s*\"([a-z]+)\"", said())) | {"lint", "dot"}
    assert set(COMMANDS) - calls == set()


def test_what_cannot_be_read_ends_the_command_before_anything_is_written(cluster: Cluster) -> None:
    """cozypkg-A10."""
    cluster.put(DATABASE)
    cluster.answers("GET", "/packagesources", 500, "InternalError", "etcdserver: leader changed")
    result = call("add", "acme.db", "--yes", kubeconfig=cluster.kubeconfig)
    assert result.code == 1
    assert "etcdserver: leader changed" in result.err
    assert cluster.names("Package") == []


def test_two_lists_are_all_that_is_read(cluster: Cluster) -> None:
    """cozypkg-A11."""
    for number in range(5):
        depends = f"[acme.p{number - 1}]" if number else "[]"
        cluster.put(
            f"apiVersion: cozystack.io/v1alpha1\nkind: PackageSource\nmetadata: {{name: acme.p{number}}}\n"
            f"spec: {{variants: [{{name: default, dependsOn: {depends}}}]}}\n"
        )
    reads: list[str] = []

    async def count(request: Request) -> None:
        if request.method == "GET":
            reads.append(request.path)

    cluster.server.hooks.append(count)
    assert call("add", "acme.p4", "--dry-run", kubeconfig=cluster.kubeconfig).code == 0
    assert sorted(reads) == ["/apis/cozystack.io/v1alpha1/packages", "/apis/cozystack.io/v1alpha1/packagesources"]


def test_plain_output_is_ascii(cluster: Cluster) -> None:
    """cozypkg-G4."""
    cluster.put(DATABASE)
    result = call("add", "acme.db", "--yes", "--plain", kubeconfig=cluster.kubeconfig)
    assert result.code == 0
    assert (result.out + result.err).isascii()
