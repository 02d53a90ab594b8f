"""A plan as a file: what is to be written, and the world that it was made for; nobody can apply it to another one.

The basis holds, for every Package, PackageSource and HelmRelease, its UID and generation: a status that moves is no other
world, a spec that moves is. The file holds what the objects hold; it is readable by its owner alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.files import write_private
from cozystack.cozypkg.planning import Edit
from cozystack.cozypkg.rollout import Rollout
from cozystack.cozypkg.world import World
from cozystack.planner.comparison import Comparison

KIND = "cozypkg-plan/v1"


class SavedPlan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``server``: the cluster that it is for. ``basis``: objects by ``Kind/name`` with what they were like."""

    format: str = KIND
    server: str
    basis: dict[str, str]
    edits: tuple[Edit, ...]
    comparison: Comparison
    rollout: Rollout | None = None
    digest: str = ""
    """Of everything above: a plan that was edited is refused."""


def basis_of(world: World) -> dict[str, str]:
    """What each object was like when it was read."""
    found = {}
    for kind, objects in (("PackageSource", world.sources), ("Package", world.packages), ("HelmRelease", world.releases)):
        for obj in objects.values():
            meta = obj.metadata
            going = " deleted" if meta.deletion_timestamp else ""
            found[f"{kind}/{obj.key}"] = f"{meta.uid} {meta.generation}{going}"
    return found


def save(
    path: Path,
    server: str,
    world: World,
    edits: tuple[Edit, ...],
    comparison: Comparison,
    rollout: Rollout | None = None,
) -> None:
    """Write the plan, whole or not at all; raises ``CommandError``."""
    plan = SavedPlan(server=server, basis=basis_of(world), edits=edits, comparison=comparison, rollout=rollout)
    text = msgspec.json.encode(msgspec.structs.replace(plan, digest=_digest(plan)))
    write_private(path, msgspec.json.format(text, indent=2) + b"\n")


def load(path: Path) -> SavedPlan:
    """The plan in a file; raises ``CommandError``."""
    try:
        value: Any = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no plan: {error}") from error
    if not isinstance(value, dict) or value.get("format") != KIND:
        raise CommandError(f"{path} is no plan of this version: `cozypkg plan --out FILE` writes them")
    # What was compared is for people; it is not needed to apply the plan, and not decoded.
    value = {**value, "comparison": {}}
    digest = value.get("digest")
    try:
        plan = msgspec.convert(value, SavedPlan)
    except msgspec.ValidationError as error:
        raise CommandError(f"{path} is no plan: {error}") from error
    if _digest(plan) != digest:
        raise CommandError(f"{path} was changed since it was made; make it again")
    return plan


def check(plan: SavedPlan, server: str, world: World) -> None:
    """Raises ``CommandError`` when the plan is for another cluster, or for one that has moved."""
    if plan.server != server:
        raise CommandError(f"the plan is for {plan.server}, and this is {server}", code=Exit.MOVED)
    now = basis_of(world)
    moved = sorted(key for key in plan.basis.keys() | now.keys() if plan.basis.get(key) != now.get(key))
    if moved:
        shown = ", ".join(moved[:5]) + (f" and {len(moved) - 5} more" if len(moved) > 5 else "")
        verb = "has" if len(moved) == 1 else "have"
        raise CommandError(f"{shown} {verb} changed since the plan was made; nothing was written", code=Exit.MOVED)


def _digest(plan: SavedPlan) -> str:
    """Of what is applied, and where."""
    content = msgspec.json.encode([plan.format, plan.server, plan.basis, plan.edits, plan.rollout], order="deterministic")
    return hashlib.sha256(content).hexdigest()
