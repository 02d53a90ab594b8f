"""The pure core: what the objects in view mean, and what should exist because of them.

A ``Catalogue`` holds the objects; ``plan_*`` say what should be, what is to be done, and what stands in the way. No clock, no
network, no logging: the same input gives the same plan, for the operator, the command line and everybody else.
"""

from cozystack.planner.catalogue import Affected, Catalogue
from cozystack.planner.explaining import Explanation, explain
from cozystack.planner.namespaces import plan_namespace
from cozystack.planner.plan import (
    Gate,
    Move,
    NamespacePlan,
    PackagePlan,
    ReleasePlan,
    ReleaseState,
    Removal,
    RemovalPlan,
    SourcePlan,
    WakeUp,
    stamp,
)
from cozystack.planner.platform import CriticalPath, PlatformPlan, Summary, plan_package, plan_platform
from cozystack.planner.problems import AnyProblem, Problem, Ref, root_cause, to_json
from cozystack.planner.readiness import release_state
from cozystack.planner.recovery import Recovery, plan_recovery
from cozystack.planner.releases import APPLIED_ANNOTATION, payload
from cozystack.planner.removal import plan_removal
from cozystack.planner.sentences import describe, unblock
from cozystack.planner.settings import Settings
from cozystack.planner.sources import plan_source

__all__ = [
    "APPLIED_ANNOTATION",
    "Affected",
    "AnyProblem",
    "Catalogue",
    "CriticalPath",
    "Explanation",
    "Gate",
    "Move",
    "NamespacePlan",
    "PackagePlan",
    "PlatformPlan",
    "Problem",
    "Recovery",
    "Ref",
    "ReleasePlan",
    "ReleaseState",
    "Removal",
    "RemovalPlan",
    "Settings",
    "SourcePlan",
    "Summary",
    "WakeUp",
    "describe",
    "explain",
    "payload",
    "plan_namespace",
    "plan_package",
    "plan_platform",
    "plan_recovery",
    "plan_removal",
    "plan_source",
    "release_state",
    "root_cause",
    "stamp",
    "to_json",
    "unblock",
]
