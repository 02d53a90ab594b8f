"""Another version of the platform as part of a saved plan: its source is pinned to the artifact that the plan was made for.

A tag may have moved when the plan is applied, a digest cannot. The pin is a field of its own beside what the operator's flags
say, so a start of the operator leaves it alone, unless they name a digest themselves; whoever applies the plan is told which.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cozystack.api import names
from cozystack.api.flux import OCIRepository
from cozystack.api.meta import Key
from cozystack.api.resources import OCI_REPOSITORIES
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.prompts import confirm, confirm_word
from cozystack.cozypkg.session import MANAGER
from cozystack.cozypkg.world import OPERATOR
from cozystack.cozypkg.writing import tick
from cozystack.planner.migrationplan import MigrationPlan

if TYPE_CHECKING:
    from cozystack.cozypkg.session import Session
    from cozystack.cozypkg.world import World
    from cozystack.kube import Client

SOURCE: Final = Key(names.SYSTEM_NAMESPACE, names.PLATFORM_SOURCE)
WORD: Final = "one-way"
"""What is asked for where there is no way back."""
_FLAG = "--platform-source-ref="


class Rollout(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``uid`` and ``generation`` are those of the platform's source when the plan was made; ``origin`` is what was planned."""

    origin: str
    digest: str
    uid: str
    generation: int
    migrations: MigrationPlan | None = None

    @property
    def one_way(self) -> str:
        """The steps without a way back, in one line; empty where there is one for all."""
        return ", ".join(map(str, self.migrations.one_way)) if self.migrations is not None else ""


def rollout_to(origin: str, digest: str, before: World, migrations: MigrationPlan | None) -> Rollout:
    """What makes the platform of ``before`` run the artifact; raises ``CommandError`` where it comes from somewhere else."""
    from cozystack.oci import Reference

    source = next((each for each in before.repositories if each.key == SOURCE), None)
    if not isinstance(source, OCIRepository):
        raise CommandError(f"there is no OCIRepository {SOURCE}, which the platform would come from")
    url = source.spec.url.removeprefix("oci://")
    if Reference.parse(origin).repository != url:
        raise CommandError(
            f"the platform comes from oci://{url}, and a plan of another repository cannot be saved: push it there"
        )
    return Rollout(
        origin=origin,
        digest=digest,
        uid=source.metadata.uid,
        generation=source.metadata.generation,
        migrations=migrations,
    )


def roll_out_after_asking(session: Session, rollout: Rollout, *, yes: bool, confirmed: str, dry_run: bool) -> None:
    """Show what a plan for another version does, ask, and do it; raises ``CommandError``."""
    from cozystack.cozypkg import migrations

    session.on_cluster(lambda client: _source(client, rollout))
    if rollout.migrations is not None:
        for line in migrations.lines(rollout.migrations):
            session.tell(line)
    session.tell(f"  ~ OCIRepository {SOURCE}: {rollout.origin}, {rollout.digest}")
    if dry_run:
        return
    if rollout.one_way:
        confirm_word(session, f"There is no way back from {rollout.one_way}.", WORD, given=confirmed)
    else:
        confirm(session, "Bring the platform to this version?", yes=yes)
    session.on_cluster(lambda client: _roll_out(client, session, rollout))


async def _source(client: Client, rollout: Rollout) -> OCIRepository:
    """The platform's source, as it was when the plan was made; raises ``CommandError``."""
    source = await client.find(OCI_REPOSITORIES, SOURCE)
    if source is None or (source.metadata.uid, source.metadata.generation) != (rollout.uid, rollout.generation):
        raise CommandError(
            f"OCIRepository {SOURCE} has changed since the plan was made; nothing was written",
            code=Exit.MOVED,
        )
    return source


async def _roll_out(client: Client, session: Session, rollout: Rollout) -> None:
    """Pin the platform's source, and have Flux look now; raises ``CommandError`` and ``KubeError``."""
    from cozystack.kube.errors import Conflict, NotFound

    source = await _source(client, rollout)
    now = (session.clock.now() if session.clock is not None else datetime.now(UTC)).isoformat()
    patch: dict[str, Any] = {
        "metadata": {
            "resourceVersion": source.metadata.resource_version,
            "annotations": {names.REQUESTED_AT_ANNOTATION: now},
        },
        "spec": {"ref": {"digest": rollout.digest}},
    }
    for dry_run in (True, False):
        try:
            await client.patch(OCI_REPOSITORIES, SOURCE, patch, manager=MANAGER, dry_run=dry_run)
        except (Conflict, NotFound) as error:
            raise CommandError(f"OCIRepository {SOURCE}: {error.message}; nothing was written", code=Exit.MOVED) from error
    session.tell(f"{tick(session)} Pinned OCIRepository {SOURCE} to {rollout.digest}")
    for line in await _reminder(client, rollout.digest):
        session.tell(line)


async def _reminder(client: Client, digest: str) -> list[str]:
    """What the operator will say to the pin when it starts again."""
    from cozystack.kube.errors import Forbidden

    flag = ""
    try:
        found: Any = await client.find(OPERATOR, Key(names.SYSTEM_NAMESPACE, "cozystack-operator"))
    except Forbidden:
        found = None
    template = ((found or {}).get("spec") or {}).get("template") or {}
    for container in (template.get("spec") or {}).get("containers") or ():
        flag = next((each.removeprefix(_FLAG) for each in container.get("args") or () if each.startswith(_FLAG)), flag)
    if f"digest={digest}" in flag:
        return []
    lasting = f"cozystackOperator.platformSourceRef=digest={digest}"
    if "digest=" in flag:
        return [
            f"  the operator is told {flag}, and goes back to it when it starts again:",
            f"  give the installer {lasting}",
        ]
    return [
        f"  the platform stays there, whatever {flag or 'the operator is told'} comes to be: give the installer {lasting},",
        f"  or let it follow again: `cozypkg upgrade {names.PLATFORM_PACKAGE} --to TAG`",
    ]


__all__ = ["Rollout", "roll_out_after_asking", "rollout_to"]
