from __future__ import annotations

import json

from support.acme import PLATFORM, SOURCES
from support.cozypkg import call


def test_a_dependency_is_there_because_of_the_chain_that_leads_to_it() -> None:
    assert call("why", "acme.crds", "-f", "-", stdin=PLATFORM).both == (
        "acme.crds is installed: as a dependency\nneeded by\n  acme.app → acme.db → acme.crds\nexit code 0\n"
    )
    assert call("--plain", "why", "acme.crds", "-f", "-", stdin=PLATFORM).out.endswith("  acme.app -> acme.db -> acme.crds\n")


def test_what_was_asked_for_says_so() -> None:
    assert call("why", "acme.app", "-f", "-", stdin=PLATFORM).out == (
        "acme.app is installed: somebody asked for it\nnothing else needs it\n"
    )


def test_a_dependency_that_nothing_needs_can_go() -> None:
    package = (
        "---\napiVersion: cozystack.io/v1alpha1\nkind: Package\n"
        "metadata: {name: acme.crds, annotations: {operator.cozystack.io/installed-as: dependency}}\n"
    )
    assert call("why", "acme.crds", "-f", "-", stdin=SOURCES + package).out == (
        "acme.crds is installed: as a dependency\nnothing needs it any more: cozypkg del --autoremove would delete it\n"
    )


def test_what_a_bundle_made_names_the_release() -> None:
    """cozypkg-R5"""
    package = (
        "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata:\n  name: a\n"
        "  labels: {app.kubernetes.io/managed-by: Helm}\n  annotations: {meta.helm.sh/release-name: cozystack-platform}\n"
    )
    assert call("why", "a", "-f", "-", stdin=package).out == (
        "a is installed: the Helm release cozystack-platform made it\nnothing else needs it\n"
    )


def test_json_holds_the_chains() -> None:
    assert json.loads(call("why", "acme.db", "-f", "-", "-o", "json", stdin=PLATFORM).out) == {
        "name": "acme.db",
        "installed": True,
        "asked": True,
        "bundle": "",
        "chains": [["acme.app", "acme.db"]],
    }
    assert call("why", "acme.crds", "-f", "-", "-o", "name", stdin=PLATFORM).out == "acme.app\n"


def test_what_is_not_installed_and_what_is_unknown_differ() -> None:
    assert call("why", "acme.net", "-f", "-", stdin=PLATFORM).out == "acme.net is not installed\nnothing else needs it\n"
    assert call("why", "zzz", "-f", "-", stdin=PLATFORM).both == (
        "cozypkg: standard input has neither a Package nor a PackageSource zzz\nexit code 1\n"
    )
