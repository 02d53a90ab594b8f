"""Carry a teardown out, step by step. Every step looks first, so that a teardown that was stopped goes on where it was.

The platform's own release is suspended before anything goes, since its next upgrade would make the Packages of its bundles
again, and resumed when its turn has come, since Flux uninstalls nothing that is suspended. While the operator works, it takes
the releases of a Package away in order and its finalizer last; where it does not, the finalizer is taken off here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cozystack.api import names
from cozystack.api.core import Secret
from cozystack.api.cozystack import Package
from cozystack.api.meta import Key
from cozystack.api.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    GIT_REPOSITORIES,
    HELM_RELEASES,
    LEASES,
    NAMESPACES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
    untyped,
)
from cozystack.api.time import parse_time
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.guarded import UNLABELLED, delete_confirmed
from cozystack.cozypkg.session import MANAGER, Session
from cozystack.cozypkg.waiting import wait_for
from cozystack.cozypkg.world import World, add
from cozystack.cozypkg.writing import tick
from cozystack.kube import Client, Informer, within
from cozystack.kube.client import Propagation
from cozystack.kube.errors import ApiError, Conflict, Forbidden, KubeError, MethodNotAllowed, NotFound, ServiceUnavailable
from cozystack.planner.closure import Deletion
from cozystack.planner.teardown import (
    FLUX,
    FLUX_GROUPS,
    LEFT_BY_PLATFORM,
    OPERATOR,
    OPERATOR_LEASE,
    OWN_CRDS,
    PLATFORM_RELEASE,
    Named,
    Teardown,
    plan_teardown,
)

_PODS = untyped("", "v1", "Pod", "pods")
_CLAIMS = untyped("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
_AT_ONCE = 16
_FRESH = 60.0
"""Seconds after which nobody is believed to hold a lease that was not renewed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What goes besides the platform and its operator; ``timeout`` in seconds, for one step."""

    flux: bool
    crds: bool
    namespaces: bool
    timeout: float


async def read_teardown(client: Client) -> Teardown:
    """What there is. Kinds that are not served any more are empty: their turn was in an earlier call."""
    world = World("the cluster", live=True)
    claims: list[Key] = []

    async def read(resource: Resource[Any]) -> None:
        for item in await _all(client, resource):
            if resource is _CLAIMS:
                claims.append(Key(item["metadata"]["namespace"], item["metadata"]["name"]))
            else:
                add(world, item)

    kinds = (PACKAGES, PACKAGE_SOURCES, HELM_RELEASES, NAMESPACES, OCI_REPOSITORIES, GIT_REPOSITORIES, _CLAIMS)
    await asyncio.gather(*(read(kind) for kind in kinds))
    return plan_teardown(
        world.catalogue(), namespaces=world.namespaces.values(), repositories=world.repositories, volumes=claims
    )


async def present(client: Client, wanted: Wanted) -> list[str]:
    """Objects that are known by name and are still there, as ``Kind namespace/name``."""
    named = [*LEFT_BY_PLATFORM, *OPERATOR]
    if wanted.flux:
        named += [*FLUX, *await _flux_crds(client)]
    if wanted.crds:
        named += OWN_CRDS
    found = await _gather(_exists(client, resource, key) for resource, key in named)
    return [f"{resource.kind} {key}" for (resource, key), there in zip(named, found, strict=True) if there]


async def tear_down(client: Client, session: Session, plan: Teardown, wanted: Wanted) -> None:
    """Do it all, in order; raises ``CommandError``."""
    await _unprotect(client, session)
    await _hold_platform(client, session)
    working = await operator_works(client)
    if not working and (plan.platform or plan.packages):
        session.tell("note: the operator does not run: its finalizers are taken off here")
    for layer in plan.layers:
        await _delete_packages(client, session, layer, plan, wanted, working=working)
    if plan.platform is not None:
        await _delete_packages(client, session, (plan.platform,), plan, wanted, working=working)
    for source in await _all(client, PACKAGE_SOURCES):
        await _delete(client, PACKAGE_SOURCES, source.key)
    left = await _delete_named(client, LEFT_BY_PLATFORM)
    if plan.sources or left:
        session.tell(f"{tick(session)} Deleted all PackageSources, and {_objects(left)} that the platform had left")
    await _delete_operator(client, session, plan, wanted)
    if wanted.crds:
        await _delete_and_wait(client, session, OWN_CRDS, "the CRDs of packages", wanted.timeout)
    if wanted.flux:
        named = (*FLUX, *await _flux_crds(client))
        await _delete_and_wait(client, session, named, "Flux and its CRDs", wanted.timeout)
    if wanted.namespaces:
        named = tuple((NAMESPACES, Key("", name)) for name in plan.namespaces)
        await _delete_and_wait(client, session, named, "the namespaces of the platform", wanted.timeout)


async def operator_works(client: Client) -> bool:
    """Whether somebody is there who finishes the deletion of Packages."""
    deployment = await client.find(DEPLOYMENTS, Key(names.SYSTEM_NAMESPACE, "cozystack-operator"))
    if deployment is not None and deployment.status.ready_replicas:
        return True
    lease = await client.find(LEASES, OPERATOR_LEASE)
    if lease is None or not lease.spec.holder_identity or not lease.spec.renew_time:
        return False
    return (client.clock.now() - parse_time(lease.spec.renew_time)).total_seconds() < _FRESH


# The steps


async def _unprotect(client: Client, session: Session) -> None:
    """Take the label off whatever carries it, of any kind (packages-G1, packages-G2).

    An upgrade may put it on again: what the guard refuses then loses it once more when its turn comes.
    """
    kinds = await _kinds(client, session)
    found = await _gather(_labelled(client, kind) for kind in kinds)
    protected = [(kind, key) for kind, keys in zip(kinds, found, strict=True) for key in keys]
    await _gather(_patch(client, kind, key, {"metadata": UNLABELLED}) for kind, key in protected)
    if protected:
        session.tell(f"{tick(session)} Took the label {names.NO_DELETE_LABEL} off {_objects(len(protected))}")


async def _hold_platform(client: Client, session: Session) -> None:
    release = await _find(client, HELM_RELEASES, PLATFORM_RELEASE)
    if release is None or release.spec.suspend or release.metadata.deletion_timestamp is not None:
        return
    await _patch(client, HELM_RELEASES, PLATFORM_RELEASE, {"spec": {"suspend": True}})
    session.tell(f"{tick(session)} Suspended HelmRelease {PLATFORM_RELEASE}: nothing is made again")


async def _delete_packages(
    client: Client, session: Session, layer: Sequence[Deletion], plan: Teardown, wanted: Wanted, *, working: bool
) -> None:
    """Delete, then wait until Packages and releases are gone."""
    for deletion in layer:
        if not deletion.going and await _delete(client, PACKAGES, Key("", deletion.name), uid=deletion.uid):
            session.tell(f"{tick(session)} Deleted Package {deletion.name}")
        if not working:
            await _strip(client, deletion.name)
    gone = {deletion.name for deletion in layer}
    for key in (*plan.suspended, PLATFORM_RELEASE):
        release = await _find(client, HELM_RELEASES, key)
        owner = release.metadata.controller if release is not None else None
        if release is not None and release.spec.suspend and owner is not None and owner.name in gone:
            await _patch(client, HELM_RELEASES, key, {"spec": {"suspend": False}})
    missing = await wait_for(client, gone, "deleted", timeout=wanted.timeout)
    if missing:
        for name, lacks in missing.items():
            session.tell(f"{name}: {lacks}")
        raise CommandError(
            f"the time is over, and {', '.join(missing)} did not go; call it again to go on from here", code=Exit.TIMED_OUT
        )


async def _strip(client: Client, name: str) -> None:
    """Take the operator's finalizer off a Package, however often somebody else changes it meanwhile."""
    while True:
        package: Package | None = await _find(client, PACKAGES, Key("", name))
        if package is None or names.PACKAGE_FINALIZER not in package.metadata.finalizers:
            return
        kept = [each for each in package.metadata.finalizers if each != names.PACKAGE_FINALIZER]
        metadata = {"finalizers": kept, "resourceVersion": package.metadata.resource_version}
        try:
            await client.patch(PACKAGES, package.key, {"metadata": metadata}, manager=MANAGER)
        except NotFound:
            return
        except Conflict:
            continue


async def _delete_operator(client: Client, session: Session, plan: Teardown, wanted: Wanted) -> None:
    """The Deployment first, until its Pods are gone; then the values that it copied, Helm's record, and what it needed."""
    release = await _installer(client)
    deployment, *rest = OPERATOR
    count = await _delete_named(client, [deployment], propagation="Background")
    pods = await client.list(_PODS, namespace=names.SYSTEM_NAMESPACE, label_selector="app=cozystack-operator")
    keys = [Key(item["metadata"]["namespace"], item["metadata"]["name"]) for item in pods.items]
    await _gone(client, _PODS, keys, "the operator", wanted.timeout)
    count += await _delete_named(client, [(SECRETS, Key(namespace, names.VALUES_SECRET)) for namespace in plan.namespaces])
    if release:
        records = await client.list(SECRETS, namespace=names.SYSTEM_NAMESPACE, label_selector=f"owner=helm,name={release}")
        count += await _delete_named(client, [(SECRETS, record.key) for record in records.items if _is_record(record)])
    # One after the other: the account, which goes last, still tells the name of the release if this is interrupted.
    for named in rest:
        count += await _delete_named(client, [named])
    if count:
        session.tell(f"{tick(session)} Deleted the operator: {_objects(count)}")


async def _installer(client: Client) -> str:
    """The Helm release by which the operator was installed; empty when Helm was not used."""
    account = untyped("", "v1", "ServiceAccount", "serviceaccounts")
    for resource, name in ((DEPLOYMENTS, "cozystack-operator"), (account, "cozystack")):
        plain = untyped(resource.group, resource.version, resource.kind, resource.plural)
        found = await _find(client, plain, Key(names.SYSTEM_NAMESPACE, name))
        release = ((found or {}).get("metadata", {}).get("annotations") or {}).get("meta.helm.sh/release-name", "")
        if release:
            return str(release)
    return ""


def _is_record(secret: Secret) -> bool:
    return secret.type == "helm.sh/release.v1"


async def _delete_and_wait(client: Client, session: Session, named: Sequence[Named], what: str, timeout: float) -> None:
    count = await _delete_named(client, named)
    for resource in dict.fromkeys(resource for resource, _ in named):
        await _gone(client, resource, [key for kind, key in named if kind == resource], what, timeout)
    if count:
        session.tell(f"{tick(session)} Deleted {what}: {_objects(count)}")


# Objects


async def _delete_named(client: Client, named: Iterable[Named], *, propagation: Propagation | None = None) -> int:
    """How many of them there were."""
    return sum(await _gather(_delete(client, resource, key, propagation=propagation) for resource, key in named))


async def _delete(
    client: Client, resource: Resource[Any], key: Key, *, uid: str = "", propagation: Propagation | None = None
) -> bool:
    try:
        await delete_confirmed(client, resource, key, uid=uid, propagation=propagation)
    except NotFound:
        return False
    except Conflict as error:
        if not uid:
            return True
        raise CommandError(f"{resource.kind} {key} is not the one that was shown: call it again", code=Exit.MOVED) from error
    except ApiError as error:
        raise CommandError(f"{resource.kind} {key} cannot be deleted: {error.message}") from error
    return True


async def _patch(client: Client, resource: Resource[Any], key: Key, patch: dict[str, Any]) -> None:
    try:
        await client.patch(resource, key, patch, manager=MANAGER)
    except NotFound:
        pass
    except ApiError as error:
        raise CommandError(f"{resource.kind} {key} cannot be changed: {error.message}") from error


async def _find(client: Client, resource: Resource[Any], key: Key) -> Any:
    return await client.find(resource, key)


async def _exists(client: Client, resource: Resource[Any], key: Key) -> bool:
    return await client.find(resource, key) is not None


async def _all(client: Client, resource: Resource[Any]) -> list[Any]:
    try:
        return (await client.list(resource)).items
    except NotFound:
        return []


async def _flux_crds(client: Client) -> list[Named]:
    found = await client.list(CUSTOM_RESOURCE_DEFINITIONS)
    return [(CUSTOM_RESOURCE_DEFINITIONS, crd.key) for crd in found.items if crd.metadata.name.partition(".")[2] in FLUX_GROUPS]


async def _gone(client: Client, resource: Resource[Any], keys: Sequence[Key], what: str, timeout: float) -> None:
    """Wait until none of these objects is there."""
    if not any(await _gather(_exists(client, resource, key) for key in keys)):
        return
    ends = client.clock.monotonic() + timeout
    async with _following(client, resource) as (there, changed):
        while left := [key for key in keys if there(key)]:
            try:
                await within(client.clock, ends - client.clock.monotonic(), changed.wait())
            except TimeoutError as error:
                which = ", ".join(f"{resource.kind} {key}" for key in left)
                raise CommandError(
                    f"the time is over, and of {what} this is still there: {which}; call it again to go on from here",
                    code=Exit.TIMED_OUT,
                ) from error
            changed.clear()


@asynccontextmanager
async def _following(
    client: Client, resource: Resource[Any]
) -> AsyncGenerator[tuple[Callable[[Key], bool], asyncio.Event], None]:
    changed = asyncio.Event()
    informer = Informer(client, resource)
    informer.on_change(lambda *_: changed.set())
    task = asyncio.create_task(informer.run())
    try:
        await informer.wait_synced()
        yield (lambda key: informer.store.get(key) is not None), changed
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _kinds(client: Client, session: Session) -> list[Resource[dict[str, Any]]]:
    """Every kind that can be listed and patched, in the version that the server prefers."""
    groups = (await client.request_json("/apis")).get("groups") or ()
    versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]

    async def kinds_of(version: str) -> list[Resource[dict[str, Any]]]:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            found = (await client.request_json(path)).get("resources") or ()
        except KubeError as error:
            session.tell(f"warning: {version} does not answer, what is protected there stays so: {error}")
            return []
        group, _, number = version.rpartition("/")
        return [
            untyped(group, number, each["kind"], each["name"], namespaced=each["namespaced"])
            for each in found
            if "/" not in each["name"] and {"list", "patch"} <= set(each["verbs"])
        ]

    return [kind for kinds in await _gather(kinds_of(version) for version in versions) for kind in kinds]


async def _labelled(client: Client, resource: Resource[dict[str, Any]]) -> list[Key]:
    try:
        found = await client.list(resource, label_selector=f"{names.NO_DELETE_LABEL}=true")
    except (NotFound, MethodNotAllowed, Forbidden, ServiceUnavailable):
        return []
    return [Key(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in found.items]


async def _gather(work: Iterable[Any]) -> list[Any]:
    """All results in order, a few at a time. When one fails, nothing of the rest is still under way afterwards."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Any) -> Any:
        try:
            async with gate:
                return await each
        finally:
            each.close()

    tasks = [asyncio.ensure_future(one(each)) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"
