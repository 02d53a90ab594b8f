"""Versions of a platform to be installed one after the other, and what their ground tells of them: a sandbox that has stopped,
by the folder of its state, or a cluster (``e2e.ground``). So one scenario is played on both.

A version is a copy of the package repository, changed. Its steps stand in a folder of their own, which the platform's values
name; each records what it sees of the cluster, so that a test can tell when it ran.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cozystack.api import yaml
from cozystack.helm import deep_merge
from cozystack.migrate.generate import described
from cozystack.migrate.step import load_module
from cozystack.planner.ledger import Ledger, read_ledger
from support.sandbox import PACKAGES, Ran, stored, up_once

VARIANT = "isp-hosted"
FIRST = 57
"""The number of the first version: that of the checkout."""
HELM_RELEASES = "helm.toolkit.fluxcd.io/helmreleases"
SYSTEM = "cozy-system"

_STEP = '''"""Write down what the cluster is like while this runs."""

from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, HELM_RELEASES, OCI_REPOSITORIES
from cozystack.migrate.access import reads, writes
from cozystack.migrate.changes import Plan, create, patch

NUMBER = {number}
NAME = "witness-{number}"
WAY_BACK = {way_back!r}
READS = (
    reads(CONFIG_MAPS, "witness", own_namespace=True),
    reads(OCI_REPOSITORIES, "cozystack-packages", own_namespace=True),
    reads(HELM_RELEASES, "goldpinger"),
)
WRITES = (writes(CONFIG_MAPS, "create", "patch", names=["witness"], own_namespace=True),)


async def plan(cluster):
    witness = await cluster.find(CONFIG_MAPS, "witness")
    if witness is None:
        metadata = {{"name": "witness", "namespace": cluster.namespace}}
        return Plan([create(CONFIG_MAPS, {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}}, "there is none")])
    missing = [f"{number}.{{part}}" for part in range({parts}) if f"{number}.{{part}}" not in (witness.get("data") or {{}})]
    if not missing:
        return Plan()
    {pause}
    source = await cluster.find(OCI_REPOSITORIES, "cozystack-packages")
    release = await cluster.find(HELM_RELEASES, "goldpinger", "cozy-goldpinger")
    seen = source["spec"]["ref"]["digest"] + " " + str(release["status"]["history"][0]["version"] if release else 0)
    return Plan([patch(CONFIG_MAPS, witness, {{"data": {{missing[0]: seen}}}}, "it has not looked yet")])
'''
_RUN = """

async def run(cluster):
    raise RuntimeError({reason!r})
"""
_RIGHTS = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": ["source.toolkit.fluxcd.io"], "resources": ["ocirepositories"], "verbs": ["get"]},
    {"apiGroups": ["helm.toolkit.fluxcd.io"], "resources": ["helmreleases"], "verbs": ["get"]},
]
_ANVIL = {
    "Chart.yaml": "apiVersion: v2\nname: anvil\ndescription: Something heavy\nversion: 0.0.0\n",
    "values.yaml": "weight: 100\n",
    "templates/anvil.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: anvil\n  namespace: {{ .Release.Namespace }}\n"
        "data:\n  weight: {{ .Values.weight | quote }}\n"
    ),
}
_ANVIL_SOURCE = """apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata:
  name: cozystack.anvil
spec:
  sourceRef:
    kind: OCIRepository
    name: cozystack-packages
    namespace: cozy-system
    path: /
  variants:
    - name: default
      components:
        - name: anvil
          path: system/anvil
          install:
            namespace: cozy-anvil
            releaseName: anvil
"""


class Ground(Protocol):
    """A cluster in which a platform is installed."""

    def up(self, version: Version, values: Mapping[str, Any]) -> Ran:
        """Install it, or update to it, and return when all is ready or nothing goes on; ``values`` are the platform's."""

    def stored(self, resource: str) -> list[dict[str, Any]]:
        """All objects of ``GROUP/PLURAL``."""


State = Path | Ground


class Version:
    """One version of the platform, in a folder of its own."""

    def __init__(self, folder: Path, number: int = FIRST, *, base: Path = PACKAGES, link: Path | None = None) -> None:
        self.packages = folder / "packages"
        self.steps = folder / "migrations"
        self._link = link or folder / "steps"
        shutil.copytree(base, self.packages)
        self.steps.mkdir()
        self.number = number
        self._set_target()

    def next(self, folder: Path, *, steps: int = 1) -> Version:
        """A copy that wants so many steps more; they have to be given."""
        following = Version(folder, self.number + steps, base=self.packages, link=self._link)
        shutil.copytree(self.steps, following.steps, dirs_exist_ok=True)
        return following

    def step(self, *, parts: int = 1, pause: float = 0.0, fails: str = "", way_back: str | None = "It stays.") -> None:
        """The step that leads to this version; ``parts`` are the requests that it takes, ``pause`` seconds before each."""
        number = self.number - 1
        sleep = f"await cluster.sleep({pause})" if pause else "pass"
        text = _STEP.format(number=number, parts=parts, pause=sleep, way_back=way_back)
        path = self.steps / f"m{number}.py"
        path.write_text(text + (_RUN.format(reason=fails) if fails else ""))
        self._declare(path)

    def script(self, text: str) -> None:
        """The same, as a script in the original's form."""
        path = self.steps / str(self.number - 1)
        path.write_text(text)
        path.chmod(0o755)

    def change(self, chart: str, how: str = "") -> None:
        """Change a chart so that its release is upgraded; ``how`` tells changes of one number apart."""
        path = self.packages / "system" / chart / "Chart.yaml"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("keywords: ")]
        path.write_text("\n".join([*lines, f"keywords: [changed-{self.number}{how}]"]) + "\n")

    def add_anvil(self) -> None:
        """A package that was not there before."""
        for name, text in _ANVIL.items():
            path = self.packages / "system/anvil" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.packages / "core/platform/sources/anvil.yaml").write_text(_ANVIL_SOURCE)
        self._replace(
            "core/platform/templates/bundles/_system.tpl",
            '{{- include "platform.package" (list . "goldpinger") -}}',
            '{{- include "platform.package" (list . "goldpinger") -}}\n{{- include "platform.package" (list . "anvil") -}}',
        )

    def remove(self, package: str) -> None:
        """Take a package out of the bundle and the catalogue."""
        (self.packages / f"core/platform/sources/{package}.yaml").unlink()
        line = f'{{{{- include "platform.package" (list . "{package}") -}}}}\n'
        self._replace("core/platform/templates/bundles/_system.tpl", line, "")

    def set_installer(self, **flags: str) -> None:
        """Flags of the operator, such as the times that releases may take."""
        for name, value in flags.items():
            self._replace("core/installer/values.yaml", f'  {name}: ""\n', f'  {name}: "{value}"\n')

    def set_value(self, old: str, new: str) -> None:
        """Another default of the platform's values."""
        self._replace("core/platform/values.yaml", old, new)

    def set_retries(self, count: int) -> None:
        """How often the Job of the steps is tried again."""
        self._replace("core/platform/templates/_migrations.tpl", '"retries" 3 "arguments"', f'"retries" {count} "arguments"')

    def up(self, state: State, values: Mapping[str, Any] | None = None) -> Ran:
        """Install it, or update to it, and stop when all is ready or nothing goes on."""
        if isinstance(state, Path):
            return up_once(state, *self.arguments(values))
        return state.up(self, self.values(values))

    def values(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Those of the platform. They are equal for all versions, so that an update changes the packages alone."""
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(self.steps)
        own = {"migrations": {"folder": str(self._link), "extraRules": _RIGHTS}, "bundles": {"leaving": "delete"}}
        merged: dict[str, Any] = deep_merge(own, dict(more or {}))
        return merged

    def arguments(self, values: Mapping[str, Any] | None = None) -> list[str | Path]:
        """Those of ``cozystack up``."""
        file = self.steps.parent / "values.yaml"
        file.write_text(yaml.dump(self.values(values)))
        return ["--variant", VARIANT, "--platform-source", self.packages, "--values", file]

    def _declare(self, step: Path) -> None:
        """Say in the chart what the step is, as `make generate` does for those of a release."""
        path = self.packages / "core/platform/migrations.yaml"
        content = yaml.load(path.read_bytes())
        content["steps"].append(described(load_module(step)))
        path.write_text(yaml.dump(content))

    def _set_target(self) -> None:
        path = self.packages / "core/platform/values.yaml"
        lines = path.read_text().splitlines()
        found = [f"  targetVersion: {self.number}" if line.startswith("  targetVersion: ") else line for line in lines]
        path.write_text("\n".join(found) + "\n")

    def _replace(self, file: str, old: str, new: str) -> None:
        path = self.packages / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))


def revisions(state: State) -> dict[str, int]:
    """The newest revision of every release."""
    return {
        release["metadata"]["name"]: release["status"]["history"][0]["version"] for release in _stored(state, HELM_RELEASES)
    }


def upgraded(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How many revisions each release got that got any; new ones too."""
    return {name: count for name, revision in after.items() if (count := revision - before.get(name, 0))}


def config_map(state: State, name: str) -> dict[str, str] | None:
    """The data of a ConfigMap of the platform; None when there is none."""
    found = [each for each in _stored(state, "/configmaps") if each["metadata"]["name"] == name]
    return next((each.get("data", {}) for each in found if each["metadata"]["namespace"] == SYSTEM), None)


def version(state: State) -> str:
    held = config_map(state, "cozystack-version")
    assert held is not None
    return held["version"]


def ledger(state: State) -> Ledger:
    held = config_map(state, "cozystack-migrations")
    assert held is not None
    return read_ledger(held)


def outcomes(state: State) -> dict[str, str]:
    return {step.name: record.outcome for step, record in ledger(state).records.items()}


def packages_digest(state: State) -> str:
    """The digest that the packages are taken from."""
    found = _stored(state, "source.toolkit.fluxcd.io/ocirepositories")
    (source,) = (each for each in found if each["metadata"]["name"] == "cozystack-packages")
    return str(source["spec"]["ref"]["digest"])


def packages(state: State) -> set[str]:
    return {package["metadata"]["name"].removeprefix("cozystack.") for package in _stored(state, "cozystack.io/packages")}


def leftovers(state: State) -> list[str]:
    """Rights of the runner and of the hook that are still there."""
    kinds = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
    return [
        f"{kind} {each['metadata']['name']}"
        for kind in kinds
        for each in _stored(state, f"rbac.authorization.k8s.io/{kind}")
        if each["metadata"]["name"].startswith("cozystack-migration")
    ]


def _stored(state: State, resource: str) -> list[dict[str, Any]]:
    return stored(state, resource) if isinstance(state, Path) else state.stored(resource)
