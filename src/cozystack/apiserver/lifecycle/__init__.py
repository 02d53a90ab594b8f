"""The controllers inside the server: what goes when its owner goes, when its namespace goes, when its CRD goes.

They act on events as they happen, in the event loop of the server, and write through ``Objects`` as everybody does.
"""

from __future__ import annotations

from cozystack.apiserver.lifecycle.controllers import Lifecycle

__all__ = ["Lifecycle"]
