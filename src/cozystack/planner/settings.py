"""What the platform's operator was told: the settings that plans depend on.

Durations are text in Go's form, as they stand in the objects that are written (``5m0s``); checked where flags are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from cozystack.api import names
from cozystack.api.duration import format_duration, parse_duration


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


FLAGS = {
    "helmrelease-interval": "interval",
    "helmrelease-retry-interval": "retry_interval",
    "helmrelease-install-timeout": "install_timeout",
    "helmrelease-upgrade-timeout": "upgrade_timeout",
    "helmrelease-max-history": "max_history",
    "dependency-gate": "gate",
    "cozy-values-secret-name": "values_secret",
    "cozy-values-secret-namespace": "values_namespace",
}
"""The operator's flags that are settings."""


def settings_of(deployment: Mapping[str, Any] | None) -> Settings:
    """What the operator of a cluster was told, read off its Deployment; the defaults where that says nothing."""
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or ()
    return settings_from(argument for container in containers for argument in container.get("args") or ())


def settings_from(arguments: Iterable[str]) -> Settings:
    """The settings that flags give (``--name=value`` or ``--name value``); what cannot be read keeps its default."""
    found: dict[str, Any] = {}
    pending = ""
    for argument in arguments:
        name, equals, value = argument.lstrip("-").partition("=")
        if pending and not argument.startswith("-"):
            name, equals, value = pending, "=", argument
        pending = "" if equals else name
        if equals and name in FLAGS:
            found[FLAGS[name]] = _value(name, value)
    try:
        return msgspec.convert({name: value for name, value in found.items() if value is not None}, Settings)
    except msgspec.ValidationError:
        return Settings()


def _value(name: str, text: str) -> Any:
    try:
        if name.endswith(("interval", "timeout")):
            return format_duration(parse_duration(text))
        return int(text) if name.endswith("history") else text
    except ValueError:
        return None
