"""Install the platform as the guide says: packages in an OCI registry, the installer chart by Helm, one Package."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGES
from cozystack.helm import ReleaseRequest, Target, open_helm
from cozystack.kube import Client
from cozystack.oci import Reference, RegistryClient
from cozystack.oci.repository import pack_repository
from cozystack.sandbox import kinds
from cozystack.sandbox.repository import push
from e2e.client import ROOT, Cluster, until

FOLDER = ROOT / "packages"
INSTALLER = "core/installer"
RELEASE = "cozystack"
REPOSITORY = "cozystack-packages"
MANAGER = "e2e"
OPERATOR = Key(names.SYSTEM_NAMESPACE, "cozystack-operator")


async def publish(cluster: Cluster, folder: Path = FOLDER, *, tag: str = "e2e") -> str:
    """Push a package repository to the cluster's registry; its digest."""
    layer = await asyncio.to_thread(pack_repository, folder)
    reference = Reference(registry(cluster), REPOSITORY, tag)
    async with RegistryClient() as client:
        return await push(folder, reference, client, layer=layer)


def registry(cluster: Cluster) -> str:
    return f"127.0.0.1:{cluster.running.ports['registry']}"


def source_values(cluster: Cluster, ref: str) -> dict[str, Any]:
    """What tells the installer chart where the packages are; ``ref`` as ``digest=sha256:...`` or ``tag=...``."""
    return {
        "platformSourceUrl": f"oci://{registry(cluster)}/{REPOSITORY}",
        "platformSourceRef": ref,
        "platformSourceInsecure": True,
    }


async def install(cluster: Cluster, ref: str, *arguments: str, folder: Path = FOLDER, **operator: Any) -> None:
    """Install the installer chart, or upgrade it; ``arguments`` go to the operator, ``operator`` are values of the chart."""
    running = cluster.running
    values = {
        "cozystackOperator": {
            "variant": "generic",
            "extraArgs": list(arguments),
            **source_values(cluster, ref),
            **operator,
        },
        "cozystack": {"apiServerHost": "127.0.0.1", "apiServerPort": str(running.ports["api"])},
    }
    target = Target(RELEASE, names.SYSTEM_NAMESPACE, str(cluster.state.kubeconfig), timeout=60.0)
    request = ReleaseRequest(target=target, chart=str(folder / INSTALLER), values=values, create_namespace=True)
    helm = await open_helm("auto", state=cluster.state.folder / "helm")
    try:
        if await helm.status(target) is None:
            await helm.install(request)
        else:
            await helm.upgrade(request)
    finally:
        await helm.close()


async def ask_for_platform(cluster: Cluster, client: Client, variant: str, values: dict[str, Any] | None = None) -> None:
    """Create the Package of the platform, or change it."""
    given = {"publishing": {"apiServerEndpoint": cluster.running.url}, **(values or {})}
    package = {
        "apiVersion": PACKAGES.api_version,
        "kind": "Package",
        "metadata": {"name": names.PLATFORM_PACKAGE},
        "spec": {"variant": variant, "components": {"platform": {"values": given}}},
    }
    await client.apply(PACKAGES, package, manager=MANAGER, force=True)


async def scale_operator(client: Client, replicas: int) -> None:
    """Have as many operators, and wait until there are no others."""
    await client.patch(kinds.DEPLOYMENTS, OPERATOR, {"spec": {"replicas": replicas}})

    async def settled() -> bool:
        pods = (await client.list(kinds.PODS, namespace=names.SYSTEM_NAMESPACE)).items
        operators = [pod for pod in pods if pod["metadata"].get("labels", {}).get("app") == OPERATOR.name]
        return len(operators) == replicas

    await until(f"{replicas} operators run", settled)
