"""Recognise a release under its old name.

A release tells by its chart's artifact which component it was made for. When that component is wanted under another name or in
another namespace, and is not there yet, the release moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cozystack.api.flux import HelmRelease
from cozystack.planner.selection import Installed, Selection

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue


def find_move(view: Catalogue, selection: Selection, live: HelmRelease, missing: list[Installed]) -> Installed | None:
    """The component of ``missing`` (installs without a release) that ``live`` was made for."""
    if live.spec.chart_ref is None or not missing:
        return None
    artifact = live.spec.chart_ref.name
    exact = next((installed for installed in missing if installed.artifact == artifact), None)
    if exact is not None:
        return exact
    source = selection.source.metadata.name
    claims = [claim for claim in view.artifact_claims(artifact) if claim.startswith(f"{source}/")]
    if claims:
        component = claims[0].rpartition("/")[2]
        return next((installed for installed in missing if installed.component.name == component), None)
    return next((installed for installed in missing if artifact.endswith("-" + _dashed(installed.component.name))), None)


def _dashed(name: str) -> str:
    return name.replace(".", "-")
