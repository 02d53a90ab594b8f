"""Write what a plan says, all of it or nothing: every write is rehearsed by the server before the first one counts.

A rehearsal is a dry run, so that a verb that is forbidden, a field that somebody else manages and an object that is not valid
are found while nothing has changed yet. What can still fail afterwards is said together with what is written already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.session import MANAGER, Session
from cozystack.planner.overrides import json_patch

if TYPE_CHECKING:
    from cozystack.kube import Client

_RESOURCES: dict[str, Any] = {"Package": PACKAGES, "PackageSource": PACKAGE_SOURCES}


@dataclass(frozen=True, slots=True)
class Write:
    """``apply`` gives the whole object as it is wanted, ``merge`` and ``json`` a patch of one that is there.

    A merge patch is of the object of ``version``; a JSON patch says so itself.
    """

    kind: Literal["Package", "PackageSource"]
    name: str
    how: Literal["apply", "merge", "json"]
    value: Any
    done: str
    """What is said when it is written: ``Added``, ``Updated``."""
    version: str = ""
    exact: Mapping[str, Any] | None = None
    """The spec as it has to be after an ``apply``: what ``set`` wrote before is ours, but an apply would not remove it."""
    rehearse: bool = True
    """False for what the server cannot judge yet, because it needs another object of the same plan."""


async def write_all(client: Client, session: Session, writes: Sequence[Write], *, force: bool = False) -> None:
    """Rehearse, then write in order; raises ``CommandError``."""
    for write in writes:
        if write.rehearse:
            await _write(client, write, [], force=force, dry_run=True)
    written: list[str] = []
    for write in writes:
        await _write(client, write, written, force=force, dry_run=False)
        written.append(write.name)
        session.tell(f"{tick(session)} {write.done} {write.kind} {write.name}")


async def _write(client: Client, write: Write, written: list[str], *, force: bool, dry_run: bool) -> None:
    from cozystack.kube.errors import ApiError, Conflict, NotFound, Unauthorized

    resource = _RESOURCES[write.kind]
    try:
        if write.how == "apply":
            await _apply(client, write, force=force, dry_run=dry_run)
        elif write.how == "json":
            await client.patch(resource, Key("", write.name), write.value, kind="json", manager=MANAGER, dry_run=dry_run)
        else:
            patch = {**write.value}
            if write.version:
                patch["metadata"] = {**patch.get("metadata", {}), "resourceVersion": write.version}
            await client.patch(resource, Key("", write.name), patch, manager=MANAGER, dry_run=dry_run)
    except Unauthorized:
        raise
    except ApiError as error:
        after = f"; written before that: {', '.join(written)}" if written else "; nothing was changed"
        what = f"{write.kind} {write.name}"
        if isinstance(error, NotFound) and write.how != "apply":
            raise CommandError(f"{what} is gone meanwhile{after}", code=Exit.MOVED) from error
        if isinstance(error, Conflict) and write.how != "apply":
            raise CommandError(f"{what} has changed meanwhile{after}", code=Exit.MOVED) from error
        if isinstance(error, Conflict):
            owned = "others manage fields of it (say --force-conflicts to take them over)"
            raise CommandError(f"{what}: {owned}: {one_line(error.message)}{after}") from error
        raise CommandError(f"{what} is refused: {one_line(error.message)}{after}") from error


async def _apply(client: Client, write: Write, *, force: bool, dry_run: bool) -> None:
    """Fields that a patch of ours set are no conflict: they are ours, under the same name."""
    from cozystack.kube.errors import Conflict

    resource = _RESOURCES[write.kind]
    try:
        result = await client.apply(resource, write.value, manager=MANAGER, force=force, dry_run=dry_run)
    except Conflict as error:
        ours = f'conflict with "{MANAGER}"'
        if not error.details.causes or not all(cause.message.startswith(ours) for cause in error.details.causes):
            raise
        result = await client.apply(resource, write.value, manager=MANAGER, force=True, dry_run=dry_run)
    if write.exact is not None and not dry_run:
        spec = msgspec.to_builtins(result.spec)
        patch = json_patch(spec, write.exact, result.metadata.resource_version)
        if patch:
            await client.patch(resource, Key("", write.name), patch, kind="json", manager=MANAGER)


def tick(session: Session) -> str:
    """Stands before what is done (cozypkg-G4)."""
    return "+" if session.ascii else "✓"


def one_line(message: str) -> str:
    """A message of the server, which may have several."""
    return " ".join(message.split())


def sentences(found: Sequence[str]) -> CommandError:
    """Several things that are wrong, a line each."""
    return CommandError("\ncozypkg: ".join(found))
