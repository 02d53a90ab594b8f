"""Faults of files and package repositories."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
import pytest

from cozystack.planner.linting import RULES
from support.cozypkg import Result, call
from support.packages import PACKAGES

SOUND = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.net}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      components:
        - name: net
          path: system/net
          install: {namespace: acme-net}
"""


def lint(text: str, *args: str) -> Result:
    return call("lint", "-", *args, stdin=text)


def test_sound_files_have_no_faults() -> None:
    assert lint(SOUND).both == "no faults\nexit code 0\n"


def test_a_fault_has_its_line_its_column_a_reason_and_a_fix() -> None:
    assert lint(SOUND.replace("system/net", "system/../net")).both == (
        "standard input:10:17: error CZ202 invalid-path: "
        'spec.variants[default].components[net].path "system/../net" leaves its folder\n'
        "    correct spec.variants[default].components[net].path of PackageSource/acme.net\n"
        "1 error, 0 warnings, 0 notes\n"
        "exit code 2\n"
    )


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("a: [1\n", "syntax", 2),
        (SOUND + "---\nkind: ConfigMap\napiVersion: v1\n", "unknown-kind", 13),
        (SOUND.replace("v1alpha1", "v1"), "unknown-kind", 1),
        (SOUND + "---\n" + SOUND, "duplicate-object", 13),
        (SOUND.replace("path: system/net", "path: 5"), "schema", 10),
        (SOUND.replace("path: system/net", "paths: system/net"), "schema", 9),
        (SOUND.replace("acme-net}", "acme-net, tier: 1}"), "unknown-field", 11),
        (SOUND.replace("{name: acme.net}", "{}"), "schema", 3),
        (SOUND.replace("- name: default", "- name: default\n      dependsOn: [acme.ghost]"), "missing-dependency", 8),
        (SOUND + "---\napiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.db}\n", "missing-source", 13),
    ],
)
def test_each_fault_is_found_where_it_is(text: str, rule: str, line: int) -> None:
    found = msgspec.json.decode(lint(text, "--format", "json", "--level", "error").out)
    assert (rule, line) in [(finding["rule"], finding["line"]) for finding in found]


def test_one_broken_file_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [1\n")
    (tmp_path / "b.yaml").write_text(SOUND.replace("acme-net}", "acme-net, tier: 1}"))
    result = call("lint", tmp_path, "--format", "json")
    assert [(Path(each["file"]).name, each["rule"]) for each in msgspec.json.decode(result.out)] == [
        ("a.yaml", "syntax"),
        ("b.yaml", "unknown-field"),
    ]


def test_rules_can_be_left_out_by_id_and_by_name() -> None:
    text = SOUND.replace("system/net", "system/../net")
    assert lint(text, "--ignore", "CZ202").both == "no faults\nexit code 0\n"
    assert lint(text, "--ignore", "invalid-path").both == "no faults\nexit code 0\n"
    assert lint(text, "--ignore", "no-such-rule").code == 64


def test_warnings_fail_only_when_asked_to() -> None:
    text = SOUND.replace("  variants:", "  variants:\n    - name: default")
    assert lint(text).code == 0
    assert lint(text, "--fail-on", "warning").code == 2


def test_what_is_too_low_to_be_shown_fails_all_the_same() -> None:
    twice = SOUND.replace("    - name: default", "    - {name: default}\n    - name: default")
    assert lint(twice, "--level", "error").both == "no faults; 1 below this level\nexit code 0\n"
    assert lint(twice, "--level", "error", "--fail-on", "warning").both == "no faults; 1 below this level\nexit code 2\n"


def test_github_shows_a_fault_in_the_file() -> None:
    assert lint(SOUND.replace("system/net", "''"), "--format", "github").out == (
        "::error file=standard input,line=10,col=17,title=CZ202 invalid-path::"
        "spec.variants[default].components[net].path is empty. "
        "correct spec.variants[default].components[net].path of PackageSource/acme.net.\n"
    )


def test_sarif_names_rules_and_places() -> None:
    (run,) = msgspec.json.decode(lint(SOUND.replace("system/net", "a/.."), "--format", "sarif").out)["runs"]
    (result,) = run["results"]
    assert result["ruleId"] == "CZ202"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["CZ202"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 10, "startColumn": 17}


def test_the_rules_are_listed() -> None:
    assert call("lint", "--rules").out.splitlines()[0].startswith("CZ101  syntax ")
    assert len(msgspec.json.decode(call("lint", "--rules", "--format", "json").out)) == len(RULES)


def test_nothing_to_look_at_is_wrong_usage() -> None:
    assert call("lint").code == 64


def test_a_file_that_is_not_there_is_named() -> None:
    assert call("lint", "/nonexistent.yaml").both == "cozypkg: /nonexistent.yaml: no such file or directory\nexit code 1\n"


def test_our_own_repository_has_no_errors_and_no_warnings(tmp_path: Path) -> None:
    result = call("lint", PACKAGES, "--level", "warning", env={"XDG_CACHE_HOME": str(tmp_path)})
    assert re.fullmatch(r"no faults; \d+ below this level\n", result.out)
    # Once more: nothing is rendered again.
    again = call("lint", PACKAGES, "--level", "warning", env={"XDG_CACHE_HOME": str(tmp_path)})
    assert again.both == f"{result.out}exit code 0\n"


def test_broken_charts_are_named_with_the_component_that_uses_them(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    for part in ("core/platform", "library/cozy-lib", "system/reloader", "system/metallb", "system/velero"):
        shutil.copytree(PACKAGES / part, folder / part)
    sources = folder / "core/platform/sources"
    for file in sources.iterdir():
        if file.stem not in ("reloader", "metallb", "velero"):
            file.unlink()
    # Without the others the platform itself cannot be rendered, so each chart is rendered as it is.
    shutil.rmtree(folder / "core/platform/templates")
    (folder / "core/platform/templates").mkdir()
    (folder / "system/reloader/templates/broken.yaml").write_text('{{ fail "no" }}\n')
    (folder / "system/velero/Chart.yaml").unlink()
    velero = (sources / "velero.yaml").read_text()
    (sources / "metallb.yaml").write_text((sources / "metallb.yaml").read_text().replace("[cozy-lib]", "[cozy-lib, ghost]"))
    result = call("lint", folder, "--format", "json", "--no-cache", "--ignore", "missing-dependency")
    found = {(Path(each["file"]).name, each["rule"], each["line"]) for each in msgspec.json.decode(result.out)}
    line = next(number for number, text in enumerate(velero.splitlines(), 1) if "path: system/velero" in text)
    assert ("velero.yaml", "missing-chart", line) in found
    assert {(name, rule) for name, rule, _ in found} >= {
        ("reloader.yaml", "broken-chart"),
        ("metallb.yaml", "unknown-library"),
    }
    assert result.code == 2
