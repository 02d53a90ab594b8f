"""Small versions of a platform that want migrations, for plans: nothing of them is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cozystack.api import yaml

ANVILS = {
    "number": 57,
    "name": "label-anvils",
    "about": "Give the Deployments of the anvil a label.",
    "reads": ["Deployment"],
    "writes": ["Deployment: patch"],
    "wayBack": "An older release does not look at the label.",
}
HAMMERS = {**ANVILS, "number": 58, "name": "melt-hammers", "about": "Melt the hammers down.", "wayBack": None}
SOURCE = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.anvil}
spec:
  sourceRef: {kind: OCIRepository, name: cozystack-packages, namespace: cozy-system, path: /}
  variants: [{name: default, components: []}]
"""
STAMP = """\
apiVersion: v1
kind: Namespace
metadata: {name: cozy-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cozystack-version, namespace: cozy-system}
data: {version: "%s"}
"""
LEDGER = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cozystack-migrations, namespace: cozy-system}
data:
  baseline: "number: 57"
  0057.label-anvils: "{outcome: done, wayBack: It stays.}"
"""


def repository(folder: Path, target: int, steps: Sequence[Mapping[str, Any]] = ()) -> Path:
    """A package repository whose platform wants a version."""
    chart = folder / "core/platform"
    (chart / "templates").mkdir(parents=True)
    (chart / "sources").mkdir()
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: cozystack-platform\nversion: 0.0.{target}\n")
    (chart / "values.yaml").write_text(f"migrations: {{enabled: true, targetVersion: {target}}}\n")
    (chart / "sources/anvil.yaml").write_text(SOURCE)
    (chart / "templates/sources.yaml").write_text('{{ .Files.Get "sources/anvil.yaml" }}')
    if steps:
        (chart / "migrations.yaml").write_text(yaml.dump({"oldestVersion": 56, "steps": list(steps)}))
    return folder
