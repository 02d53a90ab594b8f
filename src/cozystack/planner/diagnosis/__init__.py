"""Why a Package is not ready, down to the Pod and its last Event.

===============  ==================================================================================================
``evidence``     what is known beyond the planner's view: workloads, Pods, claims, Events; found by owner and release
``messages``     what Helm, Flux, registries and the API server say, told apart by what would help
``workloads``    what is wrong with workloads and their Pods
``links``        what a diagnosis consists of
``chain``        from the Package to the cause, link by link
``leaving``      who holds a Package that is being deleted
``controllers``  an operator or a Flux that does not run
===============  ==================================================================================================

Pure, as the planner: the same answer for a cluster and for a dump of it.
"""

from __future__ import annotations

from cozystack.planner.diagnosis.chain import diagnose
from cozystack.planner.diagnosis.evidence import Evidence
from cozystack.planner.diagnosis.links import Diagnosis, Link

__all__ = ["Diagnosis", "Evidence", "Link", "diagnose"]
