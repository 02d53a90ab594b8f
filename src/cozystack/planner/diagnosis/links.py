"""What a diagnosis consists of, and what several parts of it need: links from an object to the one that is at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cozystack.api.meta import find_condition
from cozystack.planner.diagnosis.workloads import Fault
from cozystack.planner.problems import DeletingPackage, Problem, kind_name
from cozystack.planner.sentences import describe, unblock

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

BY_ITSELF = 6
"""The rank of faults that are none: things that are on their way."""


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object, as ``Kind/namespace/name``, and what it says."""

    object: str
    says: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cause. ``chain`` leads from the Package to the object at fault; ``waits``: nothing is wrong, it takes its time."""

    cause: str
    chain: tuple[Link, ...]
    message: str
    unblock: str
    commands: tuple[str, ...] = ()
    waits: bool = False
    warning: bool = False

    @property
    def object(self) -> str:
        return self.chain[-1].object


def of_problem(problem: Problem, above: tuple[Link, ...]) -> Diagnosis:
    """What the planner knows is all there is to know."""
    subject, says = str(problem.subject), describe(problem)
    chain = (*above[:-1], Link(above[-1].object, says)) if above[-1].object == subject else (*above, Link(subject, says))
    return Diagnosis(
        cause=kind_name(type(problem)),
        chain=chain,
        message=says,
        unblock=unblock(problem),
        warning=problem.severity == "warning",
        waits=isinstance(problem, DeletingPackage),
    )


def of_fault(fault: Fault, above: tuple[Link, ...]) -> Diagnosis:
    links = tuple(Link(where, says) for where, says in fault.links)
    return Diagnosis(
        cause=fault.cause,
        chain=(*above, *links),
        message=links[-1].says,
        unblock=fault.unblock,
        commands=fault.commands,
        waits=fault.rank >= BY_ITSELF,
    )


def state_of(view: Catalogue, name: str) -> str:
    package = view.package(name)
    found = find_condition(package.status.conditions, "Ready") if package is not None else None
    return one_line(found.message) if found is not None else ""


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 600 else line[:597] + "..."
