"""The source of all packages: a copy of the platform's own, at what that release was made from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cozystack.oci.repository import MARK
from support.packages import PLATFORM_RELEASE, Charts, Helm, platform_chart

DIGEST = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"
COMMIT = "a" * 40
OCI = {"url": "oci://registry.example.org/packages", "interval": "5m0s"}
GIT = {"url": "https://example.org/platform.git", "interval": "5m0s"}


@pytest.mark.parametrize(
    ("kind", "spec", "revision", "ref"),
    [
        ("OCIRepository", {**OCI, "ref": {"tag": "stable"}}, f"stable@{DIGEST}", {"tag": "stable", "digest": DIGEST}),
        ("OCIRepository", {**OCI, "ref": {"semver": ">=1"}}, f"1.2.0@{DIGEST}", {"semver": ">=1", "digest": DIGEST}),
        ("OCIRepository", OCI, f"latest@{DIGEST}", {"digest": DIGEST}),
        # What is asked for has not been fetched: this chart is still of the one before.
        ("OCIRepository", {**OCI, "ref": {"digest": OTHER}}, DIGEST, {"digest": DIGEST}),
        ("OCIRepository", {**OCI, "ref": {"tag": "stable"}}, "", {"tag": "stable"}),
        ("GitRepository", {**GIT, "ref": {"branch": "main"}}, f"main@sha1:{COMMIT}", {"branch": "main", "commit": COMMIT}),
        ("GitRepository", GIT, "", None),
    ],
)
def test_packages_stay_at_what_the_release_was_made_from(
    kind: str, spec: dict[str, Any], revision: str, ref: dict[str, str] | None, helm: Helm, charts: Charts, tmp_path: Path
) -> None:
    """Also where a tag or a branch moves: else packages would move before the migrations of the new version ran."""
    status = {"artifact": {"revision": revision}} if revision else {"observedGeneration": -1}
    copied = copy(helm, charts, tmp_path, kind, {"spec": spec, "status": status})
    assert copied == {**spec, **({"ref": ref} if ref is not None else {})}


def test_packages_follow_what_the_platform_follows_where_nothing_upgrades_the_platform_for_each_commit(
    helm: Helm, charts: Charts, tmp_path: Path
) -> None:
    """Without the mark of a push, a commit that leaves the platform's chart alone would never get to the packages."""
    origin = {"spec": {**GIT, "ref": {"branch": "main"}}, "status": {"artifact": {"revision": f"main@sha1:{COMMIT}"}}}
    assert copy(helm, charts, tmp_path, "GitRepository", origin, marked=False) == origin["spec"]


def test_a_source_that_is_suspended_does_not_suspend_the_packages(helm: Helm, charts: Charts, tmp_path: Path) -> None:
    """packages-P9."""
    origin = {"spec": {**OCI, "suspend": True, "secretRef": {"name": "pull"}}}
    assert copy(helm, charts, tmp_path, "OCIRepository", origin) == {**OCI, "secretRef": {"name": "pull"}}


def copy(helm: Helm, charts: Charts, folder: Path, kind: str, origin: dict[str, Any], *, marked: bool = True) -> Any:
    """The spec of the copy, where the cluster holds such a source; ``marked``: the artifact was made by a push."""
    chart = charts.copy(platform_chart(charts, "default"), folder)
    mark = chart / Path(MARK).name
    mark.unlink(missing_ok=True)
    if marked:
        mark.write_text("0123456789abcdef\n")
    template = chart / "templates/repository.yaml"
    text, count = re.subn(r"lookup [^}]* }}", ".Values.global.origin }}", template.read_text())
    assert count == 1
    template.write_text(text)
    values = {"sourceRef": {"kind": kind}, "global": {"origin": origin}}
    return helm.render(chart, PLATFORM_RELEASE, values).of_kind(kind)["cozystack-packages"]["spec"]
