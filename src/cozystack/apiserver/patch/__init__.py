"""The three patches of Kubernetes besides apply. None of them changes its input."""

from __future__ import annotations

from cozystack.apiserver.patch.jsonpatch import PatchError, json_patch
from cozystack.apiserver.patch.merge import merge_patch
from cozystack.apiserver.patch.strategic import strategic_merge_patch

__all__ = ["PatchError", "json_patch", "merge_patch", "strategic_merge_patch"]
