from __future__ import annotations

import json

from support.acme import PLATFORM
from support.cozypkg import call


def test_a_package_is_shown_with_all_that_belongs_to_it() -> None:
    assert call("show", "acme.db", "-f", "-", stdin=PLATFORM).both == (
        "Name:        acme.db\n"
        "Installed:   variant default\n"
        "Ready:       False (no room)\n"
        "Source:      OCIRepository cozy-system/acme, ready: Unknown\n"
        "Needed by:   acme.app (installed)\n"
        "\n"
        "Variant default (installed), needs acme.crds\n"
        "  COMPONENT   CHART             NAMESPACE   RELEASE    AFTER      NOTE\n"
        "  operator    system/operator   acme-db     operator\n"
        "  seed        system/seed       acme-db     seed       operator   disabled\n"
        "\n"
        "Variant ha, needs acme.crds, acme.net\n"
        "  COMPONENT   CHART             NAMESPACE   RELEASE    AFTER   NOTE\n"
        "  operator    system/operator   acme-db     operator\n"
        "  tool        tools/tool                                       an artifact only\n"
        "exit code 0\n"
    )


def test_what_is_not_installed_says_who_would_need_it() -> None:
    assert call("show", "acme.net", "-f", "-", stdin=PLATFORM).out == (
        "Name:        acme.net\n"
        "Installed:   no\n"
        "Source:      OCIRepository cozy-system/acme, ready: Unknown\n"
        "Needed by:   acme.db (variant ha)\n"
        "\n"
        "Variant none\n"
        "\n"
        "Variant flannel, needs acme.crds\n"
        "  COMPONENT   CHART            NAMESPACE   RELEASE   AFTER   NOTE\n"
        "  flannel     system/flannel   acme-net    flannel           privileged\n"
    )


def test_json_holds_the_same_as_data() -> None:
    assert json.loads(call("show", "acme.crds", "-f", "-", "-o", "json", stdin=PLATFORM).out) == {
        "name": "acme.crds",
        "installed": {
            "variant": "default",
            "ready": "Unknown",
            "message": "",
            "asked": False,
            "bundle": "",
            "ignoreDependencies": [],
        },
        "source": {"from": "", "ready": "Unknown", "message": ""},
        "variants": [{"name": "default", "installed": True, "dependsOn": [], "components": []}],
        "neededBy": [
            {"name": "acme.db", "variants": ["default", "ha"], "installed": True},
            {"name": "acme.net", "variants": ["flannel"], "installed": False},
        ],
    }


def test_a_package_whose_source_is_gone_is_shown_all_the_same() -> None:
    lonely = "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: lonely}\nspec: {ignoreDependencies: [x]}\n"
    assert call("show", "lonely", "-f", "-", stdin=lonely).out == (
        "Name:        lonely\n"
        "Installed:   variant default\n"
        "Ready:       Unknown\n"
        "Ignores:     x\n"
        "Source:      there is no PackageSource of that name\n"
        "Needed by:   nothing\n"
    )


def test_an_unknown_name_gets_a_hint() -> None:
    assert call("show", "db", "-f", "-", stdin=PLATFORM).both == (
        "cozypkg: standard input has neither a Package nor a PackageSource db; did you mean acme.db?\nexit code 1\n"
    )
    assert call("show", "zzz", "-f", "-", stdin=PLATFORM).both == (
        "cozypkg: standard input has neither a Package nor a PackageSource zzz\nexit code 1\n"
    )
    assert call("show").code == 64
