"""Admission webhooks: others are asked before an object is stored.

==============  ==========================================================================
``writes``      the write path of clients: prepare, ask, store what was admitted
``webhooks``    which webhooks a write concerns, and what their answers come to
``matching``    rules and selectors
``calls``       one review over HTTPS
==============  ==========================================================================

Controllers inside the server write through ``Objects`` directly and are asked nothing. See ``docs/design/admission.md``.
"""

from cozystack.apiserver.admission.calls import CallError, Endpoint
from cozystack.apiserver.admission.webhooks import Caller, Refused, Resolver, Webhooks
from cozystack.apiserver.admission.writes import Writes

__all__ = ["CallError", "Caller", "Endpoint", "Refused", "Resolver", "Webhooks", "Writes"]
