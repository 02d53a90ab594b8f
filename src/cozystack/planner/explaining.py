"""Why a Package is as it is: each root cause with the chain that leads to it, the root cause first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cozystack.planner.problems import AnyProblem, DependencyNotReady, Problem, root_cause
from cozystack.planner.sentences import describe, unblock

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One root cause in data and in words; ``chain`` leads from the Package that was asked about to the one at fault."""

    problem: AnyProblem
    chain: tuple[str, ...]
    message: str
    unblock: str


def explain(view: Catalogue, name: str) -> tuple[Explanation, ...]:
    """What stands in the way of Package ``name`` and what to know of it: causes, then plain waiting, then warnings.

    Raises ``LookupError`` when there is no such Package.
    """
    problems = view.plan(name).problems
    return tuple(_explanation(problem, name) for problem in sorted(problems, key=_urgency))


def _explanation(problem: AnyProblem, name: str) -> Explanation:
    root = root_cause(problem)
    return Explanation(
        problem=root,  # type: ignore[arg-type]
        chain=problem.chain if isinstance(problem, DependencyNotReady) else (name,),
        message=describe(root),
        unblock=unblock(root),
    )


def _urgency(problem: Problem) -> int:
    if problem.severity == "warning":
        return 2
    return 1 if isinstance(root_cause(problem), DependencyNotReady) else 0
