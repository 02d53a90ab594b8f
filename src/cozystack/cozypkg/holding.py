"""Roll releases of a Package back with Helm and hold them there, and let them go again.

Flux would bring a release that was rolled back to the newest chart again at once, so it is suspended first; the operator never
takes a suspension away. A release that is let go is Flux's again: it finds a revision that it did not make, and upgrades.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cozystack.api import names, yaml
from cozystack.api.resources import HELM_RELEASES
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.session import MANAGER
from cozystack.cozypkg.writing import tick

if TYPE_CHECKING:
    from cozystack.api.flux import HelmRelease
    from cozystack.cozypkg.session import Session
    from cozystack.cozypkg.world import World
    from cozystack.helm import HelmEngine, Release, Target
    from cozystack.kube import Client, ClusterConfig

_RAN = ("deployed", "superseded")


class Return(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One release and where it goes back to: revisions of Helm, and their charts. ``held`` already, before this."""

    release: str
    component: str
    now: int
    now_chart: str
    to: int
    to_chart: str
    held: bool = False


def releases_of(world: World, name: str, components: Sequence[str]) -> list[tuple[str, HelmRelease]]:
    """The releases that a Package has, with their components; raises ``CommandError``."""
    if name not in world.packages:
        raise CommandError(f"Package {name} is not installed")
    found = [
        (plan.component, world.releases[plan.key])
        for plan in world.catalogue().plan(name).releases
        if plan.key in world.releases
    ]
    absent = sorted(set(components) - {component for component, _ in found})
    if absent:
        raise CommandError(f"Package {name} has no release of component {', '.join(absent)}")
    if not found:
        raise CommandError(f"Package {name} has no releases")
    return [each for each in found if not components or each[0] in components]


async def returns(
    helm: HelmEngine, releases: Sequence[tuple[str, HelmRelease]], kubeconfig: Path, revision: int
) -> list[Return]:
    """Where each release would go back to: ``revision``, or the last one before this that ran; raises ``CommandError``."""
    found = []
    for component, release in releases:
        history = await helm.history(_target(release, kubeconfig))
        if not history:
            raise CommandError(f"HelmRelease {release.key}: Helm has no release of it")
        now = history[-1]
        wanted = [each for each in history if each.revision == revision] if revision else _before(history)
        if not wanted or wanted[-1].revision == now.revision:
            kept = ", ".join(str(each.revision) for each in history)
            which = f"no revision {revision}" if revision else "no revision before this one that ran"
            raise CommandError(f"HelmRelease {release.key}: Helm has {which}; it has {kept}")
        found.append(
            Return(
                release=str(release.key),
                component=component,
                now=now.revision,
                now_chart=now.chart_version,
                to=wanted[-1].revision,
                to_chart=wanted[-1].chart_version,
                held=release.spec.suspend,
            )
        )
    return found


def _before(history: Sequence[Release]) -> list[Release]:
    return [each for each in history[:-1] if each.status in _RAN]


async def roll_back(
    client: Client,
    session: Session,
    helm: HelmEngine,
    releases: Sequence[tuple[str, HelmRelease]],
    wanted: Sequence[Return],
    kubeconfig: Path,
) -> None:
    """Suspend each release, then let Helm go back; raises ``CommandError`` and ``KubeError``. What failed stays suspended."""
    from cozystack.helm import HelmError, OperationPending

    for (_, release), back in zip(releases, wanted, strict=True):
        if not release.spec.suspend:
            await _patch(client, release, {"spec": {"suspend": True}})
            session.tell(f"{tick(session)} Suspended HelmRelease {release.key}")
        try:
            await helm.rollback(_target(release, kubeconfig), revision=back.to)
        except OperationPending as error:
            raise CommandError(
                f"HelmRelease {release.key} is being upgraded; it is suspended, so call this again when that has ended"
            ) from error
        except HelmError as error:
            says = " ".join(str(error).split())
            raise CommandError(f"HelmRelease {release.key} is suspended, and could not be rolled back: {says}") from error
        session.tell(f"{tick(session)} Rolled HelmRelease {release.key} back to revision {back.to}, as revision {back.now + 1}")


async def let_go(client: Client, session: Session, releases: Sequence[HelmRelease], now: str) -> None:
    """Take the suspension away, wholly: the release is as if there had been none. Flux is asked to look now."""
    for release in releases:
        await _patch(
            client, release, {"metadata": {"annotations": {names.REQUESTED_AT_ANNOTATION: now}}, "spec": {"suspend": None}}
        )
        session.tell(f"{tick(session)} Resumed HelmRelease {release.key}")


async def _patch(client: Client, release: HelmRelease, patch: dict[str, Any]) -> None:
    from cozystack.kube.errors import Conflict, NotFound

    metadata = {**patch.get("metadata", {}), "resourceVersion": release.metadata.resource_version}
    for dry_run in (True, False):
        try:
            await client.patch(HELM_RELEASES, release.key, {**patch, "metadata": metadata}, manager=MANAGER, dry_run=dry_run)
        except (Conflict, NotFound) as error:
            raise CommandError(f"HelmRelease {release.key} has changed meanwhile; look again", code=Exit.MOVED) from error


def _target(release: HelmRelease, kubeconfig: Path) -> Target:
    from cozystack.helm import Target

    spec = release.spec
    newest = release.status.history[0] if release.status.history else None
    name = newest.name if newest is not None else spec.release_name or release.metadata.name
    namespace = spec.storage_namespace or spec.target_namespace or release.metadata.namespace
    return Target(name, namespace, str(kubeconfig))


def write_kubeconfig(config: ClusterConfig, folder: Path) -> Path:
    """A kubeconfig for Helm, of the one cluster and user that this program talks to, whatever they come from."""
    cluster: dict[str, Any] = {"server": config.server, "insecure-skip-tls-verify": config.insecure_skip_tls_verify}
    if config.ca_data and not config.insecure_skip_tls_verify:
        cluster["certificate-authority-data"] = base64.b64encode(config.ca_data).decode()
    if config.tls_server_name:
        cluster["tls-server-name"] = config.tls_server_name
    user: dict[str, Any] = {
        "token": config.token,
        "tokenFile": str(config.token_file or ""),
        "username": config.username,
        "password": config.password,
        "client-certificate-data": base64.b64encode(config.client_cert_data).decode(),
        "client-key-data": base64.b64encode(config.client_key_data).decode(),
    }
    if config.exec is not None:
        user["exec"] = {
            "apiVersion": config.exec.api_version,
            "command": config.exec.command,
            "args": list(config.exec.args),
            "env": [{"name": name, "value": value} for name, value in config.exec.env.items()],
            "installHint": config.exec.install_hint,
            "interactiveMode": "Never",
            "provideClusterInfo": config.exec.cluster_info is not None,
        }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cozypkg",
        "contexts": [{"name": "cozypkg", "context": {"cluster": "cozypkg", "user": "cozypkg"}}],
        "clusters": [{"name": "cozypkg", "cluster": cluster}],
        "users": [{"name": "cozypkg", "user": {name: value for name, value in user.items() if value}}],
    }
    from cozystack.cozypkg.files import write_private

    path = folder / "kubeconfig"
    write_private(path, yaml.dump(content).encode())
    return path


def private_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cozypkg-")
