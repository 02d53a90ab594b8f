"""Role-based access control.

================  ============================================================================
``rules``         what rules allow, and whether some give all that others do
``authorizer``    may this user do that? an index over roles and bindings
``escalation``    nobody gives away what they do not have
``aggregation``   roles that are made of others
``builtin``       what every cluster begins with
``reviews``       the API that answers such questions
================  ============================================================================

See ``docs/design/security.md``.
"""

from cozystack.apiserver.rbac.aggregation import Aggregation
from cozystack.apiserver.rbac.authorizer import Authorizer, Decision, forbidden
from cozystack.apiserver.rbac.builtin import bootstrap
from cozystack.apiserver.rbac.escalation import ClientWrites, GuardedWrites
from cozystack.apiserver.rbac.rules import Attributes, Rule

__all__ = [
    "Aggregation",
    "Attributes",
    "Authorizer",
    "ClientWrites",
    "Decision",
    "GuardedWrites",
    "Rule",
    "bootstrap",
    "forbidden",
]
