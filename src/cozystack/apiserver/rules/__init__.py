"""Rules for single objects that no schema holds: names, metadata, what a kind demands, and what may not change any more.

The words are those of Kubernetes: people search for them.
"""

from __future__ import annotations

from cozystack.apiserver.rules.changes import change_errors, deletion_mark_errors
from cozystack.apiserver.rules.metadata import metadata_errors
from cozystack.apiserver.rules.names import name_errors

__all__ = ["change_errors", "deletion_mark_errors", "metadata_errors", "name_errors"]
