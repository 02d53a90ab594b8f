from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.acme import PLATFORM
from support.cozypkg import call

OFFERED = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.net}
spec:
  variants:
    - {name: none}
    - name: flannel
      dependsOn: [acme.crds]
      components: [{name: flannel, path: system/flannel, install: {namespace: acme-net}}]
status:
  conditions:
    - {type: Ready, status: "True", reason: Built, message: "variants: 2", lastTransitionTime: "2026-01-01T00:00:00Z"}
---
# ---- a ruler in a comment splits nothing ----
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.crds}
spec:
  variants: [{name: default}]
"""


def test_what_is_offered_is_listed_by_name() -> None:
    assert call("list", "-f", "-", stdin=OFFERED).both == (
        "NAME        VARIANTS       READY     STATUS\n"
        "acme.crds   default        Unknown\n"
        "acme.net    none,flannel   True      variants: 2\n"
        "exit code 0\n"
    )


def test_components_stand_below_their_package() -> None:
    assert call("list", "-f", "-", "--components", stdin=OFFERED).out == (
        "NAME                 VARIANTS       READY     STATUS\n"
        "acme.crds            default        Unknown\n"
        "acme.net             none,flannel   True      variants: 2\n"
        "  acme.net.flannel   flannel\n"
    )


def test_names_alone_are_for_scripts() -> None:
    assert call("list", "-f", "-", "-o", "name", stdin=OFFERED).out == "acme.crds\nacme.net\n"


def test_broken_yaml_names_file_line_and_column() -> None:
    result = call("list", "-f", "-", stdin="kind: Package\nmetadata: {name: a\n")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("cozypkg: standard input:3:1: ")


def test_a_wrong_kind_is_named_with_its_place() -> None:
    result = call("list", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\n")
    assert result.both == ("cozypkg: standard input:1: a Package or PackageSource is expected, not a ConfigMap\nexit code 1\n")


def test_an_unknown_command_is_wrong_usage_with_a_hint() -> None:
    result = call("lst")
    assert result.code == 64
    assert "did you mean list" in result.err


def test_what_is_installed_is_listed_with_its_state() -> None:
    """cozypkg-L3"""
    assert call("list", "-i", "-f", "-", stdin=PLATFORM).out == (
        "NAME        VARIANT   READY     STATUS\n"
        "acme.app    default   True      There is nothing to install\n"
        "acme.crds   default   Unknown\n"
        "acme.db     default   False     no room\n"
    )
    assert call("list", "-i", "-f", "-", "-o", "wide", "--sort", "ready", stdin=PLATFORM).out == (
        "NAME        VARIANT   READY     STATE     RELEASES   ASKED FOR   STATUS\n"
        "acme.db     default   False     failed    0/1        yes         no room\n"
        "acme.crds   default   Unknown   unknown   0/0        no\n"
        "acme.app    default   True      ready     0/0        yes         There is nothing to install\n"
    )


def test_installed_components_say_whether_they_run() -> None:
    """cozypkg-L2"""
    assert call("list", "-i", "--components", "-f", "-", stdin=PLATFORM).out == (
        "NAME                 VARIANT   READY     STATUS\n"
        "acme.app             default   True      There is nothing to install\n"
        "acme.crds            default   Unknown\n"
        "acme.db              default   False     no room\n"
        "  acme.db.operator   default   False     not installed yet\n"
        "  acme.db.seed       default             disabled\n"
    )


def test_on_a_terminal_long_cells_are_shortened_by_characters_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """cozypkg-L1"""
    monkeypatch.setenv("COLUMNS", "60")
    offered = OFFERED.replace("variants: 2", "eine sehr lange Erklärung über Größe und Maß " * 3)
    narrow = call("list", "-f", "-", stdin=offered, screen=True)
    assert narrow.out.splitlines()[2] == "acme.net    none,flannel   True      eine sehr lange Erkl..."
    assert "Größe und Maß eine" in call("list", "-f", "-", stdin=offered).out


def test_the_folder_of_a_package_repository_gives_its_sources(tmp_path: Path) -> None:
    sources = tmp_path / "core/platform/sources"
    sources.mkdir(parents=True)
    (sources / "acme.yaml").write_text(OFFERED)
    (tmp_path / "system").mkdir()
    (tmp_path / "system/template.yaml").write_text("{{ this is no YAML }}")
    assert call("list", "-f", tmp_path, "-o", "name").both == "acme.crds\nacme.net\nexit code 0\n"


def test_a_folder_is_read_in_lexical_order_and_a_duplicate_names_both_places(tmp_path: Path) -> None:
    """cozypkg-F4"""
    for name in ("b.yml", "a.yaml", "c.txt"):
        (tmp_path / name).write_text(OFFERED)
    assert call("list", "-f", tmp_path).both == (
        f"cozypkg: {tmp_path}/b.yml:1: PackageSource acme.net is in {tmp_path}/a.yaml:1 too\nexit code 1\n"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert call("list", "-f", tmp_path / "gone.yaml").both == (
        f"cozypkg: {tmp_path}/gone.yaml: no such file or directory\nexit code 1\n"
    )


def test_json_and_yaml_hold_whole_objects() -> None:
    source = '{"apiVersion": "cozystack.io/v1alpha1", "kind": "PackageSource", "metadata": {"name": "a"}, "spec": {}}'
    assert json.loads(call("list", "-f", "-", "-o", "json", stdin=source).out) == [
        {"apiVersion": "cozystack.io/v1alpha1", "kind": "PackageSource", "metadata": {"name": "a"}}
    ]
    assert call("list", "-f", "-", "-o", "yaml", stdin=source).out == (
        "apiVersion: cozystack.io/v1alpha1\nkind: PackageSource\nmetadata:\n  name: a\n"
    )


def test_another_api_group_is_refused() -> None:
    """cozypkg-F2"""
    other = "apiVersion: acme.io/v1\nkind: Package\nmetadata: {name: a}\n"
    assert call("list", "-f", "-", stdin=f"# first\n---\n{other}").both == (
        'cozypkg: standard input:3: Package of apiVersion "acme.io/v1"; it is cozystack.io/v1alpha1\nexit code 1\n'
    )


def test_help_says_what_there_is() -> None:
    assert "--components" in call("list", "--help").out
    assert call().code == 64
