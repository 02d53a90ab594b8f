"""Package repositories for tests: charts of a few lines, PackageSources and Packages with names of their own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cozystack.api import names, yaml
from cozystack.api.cozystack import API_VERSION, Package
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import HELM_RELEASES, OCI_REPOSITORIES, PACKAGE_SOURCES, PACKAGES
from cozystack.kube import Client
from cozystack.kube.errors import NotFound
from cozystack.oci import Reference, RegistryClient, pack
from cozystack.sandbox.repository import push
from e2e.client import Cluster, until
from e2e.platform import MANAGER, registry

Obj = dict[str, Any]
_NUMBERS = itertools.count(1)
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Chart.Name }}
data:
  size: {{ .Values.size | quote }}
  version: {{ .Chart.AppVersion | quote }}
"""
NO_POD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Chart.Name }}
spec:
  replicas: 1
  selector: {matchLabels: {app: {{ .Chart.Name }}}}
  template:
    metadata:
      labels: {app: {{ .Chart.Name }}}
      annotations: {sandbox.cozystack.io/fail: {{ .Values.fail | quote }}}
    spec:
      containers: [{name: main, image: example.org/app:1}]
"""


class Acme:
    """One repository. ``name("db")`` is the name of its package ``db``."""

    def __init__(self, cluster: Cluster, client: Client, folder: Path) -> None:
        self.cluster = cluster
        self.client = client
        self.id = f"t{os.getpid()}-{next(_NUMBERS)}"
        self._folder = folder / "repository"
        self._made: list[str] = []

    def name(self, package: str) -> str:
        return f"acme.{self.id}-{package}"

    def names(self, *packages: str) -> list[str]:
        return [self.name(package) for package in packages]

    def namespace(self, package: str) -> str:
        return f"acme-{self.id}-{package}"

    def release(self, package: str) -> Key:
        return Key(self.namespace(package), package)

    # What is in the repository

    def chart(self, name: str, *, template: str = CONFIG_MAP, version: str = "1", **values: Any) -> None:
        folder = self._folder / "system" / name
        (folder / "templates").mkdir(parents=True, exist_ok=True)
        chart = {"apiVersion": "v2", "name": name, "version": "0.0.0", "appVersion": version}
        (folder / "Chart.yaml").write_text(yaml.dump(chart))
        (folder / "values.yaml").write_text(yaml.dump({"size": 1, "fail": "", **values}))
        (folder / "templates" / "all.yaml").write_text(template)

    async def publish(self) -> None:
        """Push the charts as they are now, and have Flux take them."""
        async with RegistryClient() as oci:
            reference = Reference(registry(self.cluster), f"acme/{self.id}", "latest")
            digest = await push(self._folder, reference, oci, layer=pack(self._folder))
        repository = {
            "apiVersion": OCI_REPOSITORIES.api_version,
            "kind": "OCIRepository",
            "metadata": {"name": f"acme-{self.id}", "namespace": names.SYSTEM_NAMESPACE},
            "spec": {
                "url": f"oci://{registry(self.cluster)}/acme/{self.id}",
                "interval": "5m",
                "insecure": True,
                "ref": {"digest": digest},
            },
        }
        await self.client.apply(OCI_REPOSITORIES, repository, manager=MANAGER, force=True)

    async def source(self, package: str, *depends_on: str, variants: dict[str, Obj] | None = None) -> None:
        """A PackageSource whose variants (``default`` when none are given) have one component each, named for the chart."""
        chosen = variants or {"default": {"chart": package}}
        listed = [
            {
                "name": variant,
                "dependsOn": self.names(*depends_on),
                "components": [
                    {
                        "name": each["chart"],
                        "path": f"system/{each['chart']}",
                        "install": {"namespace": self.namespace(package)},
                    }
                ],
            }
            for variant, each in chosen.items()
        ]
        reference = {
            "kind": "OCIRepository",
            "name": f"acme-{self.id}",
            "namespace": names.SYSTEM_NAMESPACE,
            "path": "/",
        }
        source = {
            "apiVersion": API_VERSION,
            "kind": "PackageSource",
            "metadata": {"name": self.name(package)},
            "spec": {"sourceRef": reference, "variants": listed},
        }
        await self.client.apply(PACKAGE_SOURCES, source, manager=MANAGER, force=True)

    async def package(self, package: str, *, variant: str = "default", **components: Obj) -> None:
        """Ask for a package, or for something else of it."""
        wanted = {
            "apiVersion": API_VERSION,
            "kind": "Package",
            "metadata": {"name": self.name(package)},
            # Without an empty map: a real API server makes null of one that takes the place of a full one, and refuses that.
            "spec": {"variant": variant, **({"components": components} if components else {})},
        }
        if package not in self._made:
            self._made.append(package)
        await self.client.apply(PACKAGES, wanted, manager=MANAGER, force=True)

    async def chain(self, *packages: str) -> None:
        """Packages that each depend on the one before."""
        for package in packages:
            self.chart(package)
        await self.publish()
        for before, package in zip((None, *packages), packages, strict=False):
            await self.source(package, *((before,) if before else ()))
            await self.package(package)

    # What has become of it

    async def find(self, package: str) -> Package | None:
        return await self.client.find(PACKAGES, Key("", self.name(package)))

    async def get_release(self, package: str, name: str = "") -> HelmRelease | None:
        return await self.client.find(HELM_RELEASES, Key(self.namespace(package), name or package))

    async def until_ready(self, *packages: str, patience: float = 180.0) -> None:
        for package in packages:
            await self.until(package, is_ready, patience=patience)

    async def until(self, package: str, reached: Callable[[Package], Any], *, patience: float = 120.0) -> Package:
        """Wait for a state of a Package, and return it."""
        last: Package | None = None

        async def check() -> Package | None:
            nonlocal last
            last = await self.find(package)
            return last if last is not None and reached(last) else None

        def say() -> str:
            return f"its status is {last.status}" if last is not None else "it is not there"

        found: Package = await until(f"{self.name(package)} is as wanted", check, patience=patience, otherwise=say)
        return found

    async def delete(self, *packages: str) -> None:
        for package in packages:
            try:
                await self.client.delete(PACKAGES, Key("", self.name(package)))
            except NotFound:
                continue

    async def gone(self) -> None:
        """Delete everything, and wait until it is gone."""
        await self.delete(*reversed(self._made))
        for package in self._made:

            async def away(package: str = package) -> bool:
                return await self.find(package) is None

            await until(f"{self.name(package)} is gone", away)
            try:
                await self.client.delete(PACKAGE_SOURCES, Key("", self.name(package)))
            except NotFound:
                continue


def is_ready(package: Package) -> bool:
    found = find_condition(package.status.conditions, "Ready")
    return found is not None and found.status == "True" and found.observed_generation == package.metadata.generation
