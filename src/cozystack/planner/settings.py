"""What the platform's operator was told: the settings that plans depend on.

Durations are text in Go's form, as they stand in the objects that are written (``5m0s``); checked where flags are read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cozystack.api import names


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults are those of the specification, operator 2.1.

    ``gate`` says when a Package may be installed: when the Packages that it depends on run, or already when their releases
    are written, which is what the original does. ``unlabelled_namespaces`` get releases but neither labels nor the copy of the
    values Secret.
    """

    interval: str = "5m0s"
    retry_interval: str = "30s"
    install_timeout: str = "10m0s"
    upgrade_timeout: str = "10m0s"
    max_history: int = 5
    gate: Literal["running", "written"] = "running"
    unlabelled_namespaces: frozenset[str] = frozenset({"default", "kube-public", "kube-node-lease"})
    values_secret: str = names.VALUES_SECRET
    values_namespace: str = names.SYSTEM_NAMESPACE
