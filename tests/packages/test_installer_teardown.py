"""Teardown knows by name what the installer and the operator bring; here they are compared."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.operator.fluxinstall import flux_crds, flux_objects
from cozystack.planner.teardown import FLUX, FLUX_GROUPS, OPERATOR
from support.packages import PACKAGES, Helm, identity

CHART = PACKAGES / "core" / "installer"


def named(listed: Any) -> set[str]:
    return {f"{resource.api_version} {resource.kind} {key}" for resource, key in listed}


@pytest.mark.parametrize("variant", ["talos", "generic", "hosted"])
def test_everything_that_the_installer_brings_is_known(variant: str, helm: Helm) -> None:
    values = {
        "cozystackOperator": {"variant": variant, "webhook": {"enabled": True}, "metrics": {"enabled": True}},
        "cozystack": {"apiServerHost": "10.0.0.1"},
    }
    found = {identity(item) for item in helm.render(CHART, Key(names.SYSTEM_NAMESPACE, "cozystack"), values).objects}
    assert found - named(OPERATOR) == set()


def test_everything_of_flux_is_known() -> None:
    assert {identity(item) for item in flux_objects(registry="ghcr.io/fluxcd")} == named(FLUX)
    assert {crd["metadata"]["name"].partition(".")[2] for crd in flux_crds()} == set(FLUX_GROUPS)
