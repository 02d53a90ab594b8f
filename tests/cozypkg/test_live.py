"""The commands on a platform that runs: a real kubeconfig, the operator, Flux and Helm at work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cozypkg import Result, call
from support.sandbox import running

pytestmark = pytest.mark.xdist_group("live")


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a sandbox whose platform is ready."""
    state = tmp_path_factory.mktemp("cozypkg") / "state"
    with running(state, "--variant", "isp-hosted") as sandbox:
        sandbox.until("The platform is ready")
        yield state / "kubeconfig"


def succeeded(result: Result) -> Result:
    assert result.code == 0, result.both
    return result


def names(kubeconfig: Path, *arguments: str) -> list[str]:
    return succeeded(call(*arguments, "-o", "name", kubeconfig=kubeconfig)).out.split()


def test_what_runs_is_shown_as_it_is(kubeconfig: Path) -> None:
    offered, installed = names(kubeconfig, "list"), names(kubeconfig, "list", "-i")
    assert set(installed) < set(offered)
    status = json.loads(succeeded(call("status", "-o", "json", kubeconfig=kubeconfig)).out)
    assert status["counts"] == {"ready": len(installed)}
    assert sorted(each["name"] for each in status["packages"]) == installed
    waited = succeeded(call("wait", "--all", "--timeout", "60s", kubeconfig=kubeconfig))
    assert waited.err == "".join(f"{name} is ready\n" for name in installed)
    watched = succeeded(call("status", "--watch", kubeconfig=kubeconfig))
    assert len(watched.out.splitlines()) == len(installed)
    assert "cozystack.postgres-operator" in names(kubeconfig, "search", "postgres")
    assert succeeded(call("show", "cozystack.cert-manager", kubeconfig=kubeconfig)).out.startswith(
        "Name:        cozystack.cert-manager\nInstalled:   variant default, by the Helm release cozystack-platform\n"
    )
    assert succeeded(call("export", kubeconfig=kubeconfig)).err == (
        f"note: {len(installed) - 1} that a bundle made left out; --bundled includes them\n"
    )


def test_a_package_is_added_changed_and_deleted_with_what_needs_it(kubeconfig: Path) -> None:
    before = names(kubeconfig, "list", "-i")
    dry = names(kubeconfig, "add", "cozystack.keycloak-operator", "--dry-run")
    assert dry == ["cozystack.keycloak", "cozystack.keycloak-operator"]
    added = succeeded(call("add", "cozystack.keycloak-operator", "-y", "--wait", kubeconfig=kubeconfig))
    assert added.err.endswith("cozystack.keycloak-operator is ready\n")
    assert succeeded(call("why", "cozystack.keycloak", kubeconfig=kubeconfig)).out == (
        "cozystack.keycloak is installed: as a dependency\nneeded by\n  cozystack.keycloak-operator → cozystack.keycloak\n"
    )
    exported = succeeded(call("export", "cozystack.keycloak", "cozystack.keycloak-operator", kubeconfig=kubeconfig)).out

    changed = succeeded(call("set", "cozystack.keycloak", "--set", "keycloak.replicas=2", "-y", kubeconfig=kubeconfig))
    assert changed.err == (
        "Package cozystack.keycloak\n"
        "  components.keycloak.values.replicas: (not set) -> 2\n"
        "✓ Changed Package cozystack.keycloak\n"
    )
    succeeded(call("wait", "cozystack.keycloak", "--timeout", "60s", kubeconfig=kubeconfig))
    succeeded(call("import", "-", "-y", "--wait", stdin=exported, kubeconfig=kubeconfig))
    again = call("export", "cozystack.keycloak", "cozystack.keycloak-operator", kubeconfig=kubeconfig)
    assert again.out == exported

    deleted = succeeded(call("del", "cozystack.keycloak-operator", "--autoremove", "-y", kubeconfig=kubeconfig))
    assert deleted.err == (
        "STEP   NAME                          VARIANT   RELEASES   BECAUSE\n"
        "1      cozystack.keycloak-operator   default   1          asked for\n"
        "2      cozystack.keycloak            default   1          nothing needs it any more\n"
        "✓ Deleted Package cozystack.keycloak-operator\n"
        "cozystack.keycloak-operator is gone\n"
        "✓ Deleted Package cozystack.keycloak\n"
        "cozystack.keycloak is gone\n"
    )
    assert names(kubeconfig, "list", "-i") == before


def test_the_platform_does_not_go_by_mistake(kubeconfig: Path) -> None:
    """cozypkg-R4"""
    result = call("del", "cozystack.cozystack-platform", "-y", kubeconfig=kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        3,
        "cozypkg: cozystack.cozystack-platform: it is the platform itself, which holds all PackageSources. "
        "Nothing was deleted: say --confirm cozystack.cozystack-platform",
    )


def test_charts_are_fetched_anew(kubeconfig: Path) -> None:
    asked = succeeded(call("upgrade", "-y", "--wait", "--timeout", "60s", kubeconfig=kubeconfig))
    assert "✓ Asked OCIRepository cozy-system/cozystack-packages" in asked.err
    assert len(asked.err.splitlines()) == 5 + len(names(kubeconfig, "list", "-i"))


@pytest.mark.slow
def test_where_all_is_well_there_is_nothing_to_explain_to_plan_or_to_mend(kubeconfig: Path, tmp_path: Path) -> None:
    installed = names(kubeconfig, "list", "-i")
    assert succeeded(call("explain", kubeconfig=kubeconfig)).out == "All packages are ready.\n"
    succeeded(call("dump", tmp_path / "dump.json.gz", kubeconfig=kubeconfig))
    assert succeeded(call("explain", "--dump", tmp_path / "dump.json.gz")).out == "All packages are ready.\n"
    drawn = json.loads(succeeded(call("dot", "-i", "--state", "--format", "json", kubeconfig=kubeconfig)).out)
    assert [(node["id"], node["state"]) for node in drawn["nodes"]] == [(name, "ready") for name in installed]
    exported = succeeded(call("export", "--bundled", "--sources", kubeconfig=kubeconfig)).out
    assert succeeded(call("plan", "-f", "-", stdin=exported, kubeconfig=kubeconfig)).out == "Nothing would change.\n"
    assert succeeded(call("import", "-", "--dry-run", "-o", "name", stdin=exported, kubeconfig=kubeconfig)).out == ""
    offered = succeeded(call("list", "-o", "yaml", kubeconfig=kubeconfig)).out
    assert succeeded(call("lint", "-", "--level", "error", stdin=offered)).out.startswith("no faults")
    gone = json.loads(succeeded(call("teardown", "--dry-run", "-o", "json", kubeconfig=kubeconfig)).out)
    assert sorted(each["name"] for each in gone["packages"]) == installed


@pytest.mark.slow
def test_an_edit_is_planned_saved_and_applied_as_it_was_said(kubeconfig: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    change = ("--set", "cozystack.cert-manager:cert-manager.note=hello")
    planned = call("plan", *change, "-o", "json", "--out", file, kubeconfig=kubeconfig)
    assert (planned.code, json.loads(planned.out)["releases"]) == (
        2,
        [
            {
                "namespace": "cozy-cert-manager",
                "name": "cert-manager",
                "package": "cozystack.cert-manager",
                "action": "upgrade",
                "component": "cert-manager",
                "fields": [{"path": "values.note", "new": "hello"}],
            }
        ],
    )
    succeeded(call("apply", file, "-y", kubeconfig=kubeconfig))
    succeeded(call("wait", "cozystack.cert-manager", "--timeout", "60s", kubeconfig=kubeconfig))
    assert succeeded(call("plan", *change, kubeconfig=kubeconfig)).out == "Nothing would change.\n"
    assert call("apply", file, "-y", kubeconfig=kubeconfig).code == 5
    succeeded(call("set", "cozystack.cert-manager", "--unset", "cert-manager.note", "-y", kubeconfig=kubeconfig))
    succeeded(call("wait", "cozystack.cert-manager", "--timeout", "60s", kubeconfig=kubeconfig))
