"""Pod security: what the labels of a namespace let Pods do.

``enforce`` refuses Pods, ``warn`` warns of them and of what would make them, ``audit`` notes it. Each has a level and a version
of Kubernetes, whose checks count. See ``checks`` for what a level asks.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from cozystack.apiserver import errors
from cozystack.apiserver.plugins.podsecurity.checks import LATEST, Level, details, reasons
from cozystack.apiserver.plugins.write import Write
from cozystack.apiserver.rules.faults import invalid
from cozystack.apiserver.schema import FieldError

Obj = dict[str, Any]

_PREFIX: Final = "pod-security.kubernetes.io/"
_LEVELS: Final[tuple[Level, ...]] = ("privileged", "baseline", "restricted")
_VERSION: Final = re.compile(r"v1\.([0-9]|[1-9][0-9]*)")
_IGNORED: Final = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
_MOST_PODS: Final = 3000


class _Mode(NamedTuple):
    level: Level = "privileged"
    version: str = "latest"

    @property
    def minor(self) -> int:
        return LATEST if self.version == "latest" else int(self.version.removeprefix("v1."))

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


class _Policy(NamedTuple):
    enforce: _Mode
    audit: _Mode
    warn: _Mode
    faults: tuple[FieldError, ...]


def judge_namespace(write: Write) -> None:
    """Labels have to make sense; what is there already and is against a stricter level is told."""
    labels = write.obj["metadata"].get("labels") or {}
    before = ((write.old or {}).get("metadata") or {}).get("labels") or {}
    if write.subresource or not any(name.startswith(_PREFIX) for name in (*labels, *before)):
        return
    policy, old = _policy(labels), _policy(before)
    if policy.faults and (write.old is None or policy.faults != old.faults):
        raise errors.invalid("Namespace", "", write.name, policy.faults)
    new, enforced = policy.enforce, old.enforce
    if write.old is None or new == enforced or new.level == "privileged":
        return
    if new.version == enforced.version and _LEVELS.index(new.level) <= _LEVELS.index(enforced.level):
        return
    write.warnings += _of_those_there(write, new)


def _of_those_there(write: Write, mode: _Mode) -> list[str]:
    found: dict[str, list[str]] = {}
    for stored in list(write.storage.objects("/pods", write.name))[:_MOST_PODS]:
        said = ", ".join(reasons(mode.level, mode.minor, stored.object["metadata"], stored.object["spec"]))
        if said:
            found.setdefault(said, []).append(stored.name)
    if not found:
        return []
    lines = []
    for said, names in found.items():
        others = len(names) - 1
        more = "" if not others else f" (and {others} other pod{'s' if others > 1 else ''})"
        lines.append(f"{min(names)}{more}: {said}")
    first = f'existing pods in namespace "{write.name}" violate the new PodSecurity enforce level "{mode}"'
    return [first, *sorted(lines)]


def judge_pod(write: Write) -> None:
    """Raises ``ApiError`` when the namespace does not let such a Pod in."""
    if write.subresource in _IGNORED:
        return
    policy = _of_namespace(write)
    if policy is None or (write.old is not None and not _is_significant(write.obj["spec"], write.old["spec"])):
        return
    write.annotations[f"{_PREFIX}enforce-policy"] = str(policy.enforce)
    metadata, spec = write.obj["metadata"], write.obj["spec"]
    found = details(policy.enforce.level, policy.enforce.minor, metadata, spec)
    _note(write, policy, metadata, spec)
    if found:
        raise write.forbidden(f'violates PodSecurity "{policy.enforce}": {found}')
    _warn(write, policy, metadata, spec)


def judge_template(write: Write) -> None:
    """Pods that something would make are warned of, not refused."""
    if write.subresource:
        return
    policy = _of_namespace(write)
    template = _template(write.obj)
    if policy is None or template is None:
        return
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    _note(write, policy, metadata, spec)
    _warn(write, policy, metadata, spec)


def _note(write: Write, policy: _Policy, metadata: Obj, spec: Obj) -> None:
    if policy.faults:
        shown = ", ".join(str(fault) for fault in policy.faults)
        write.annotations[f"{_PREFIX}error"] = f"Failed to parse policy: {f'[{shown}]' if len(policy.faults) > 1 else shown}"
    found = details(policy.audit.level, policy.audit.minor, metadata, spec)
    if found:
        write.annotations[f"{_PREFIX}audit-violations"] = f'would violate PodSecurity "{policy.audit}": {found}'


def _warn(write: Write, policy: _Policy, metadata: Obj, spec: Obj) -> None:
    found = details(policy.warn.level, policy.warn.minor, metadata, spec)
    if found:
        write.warnings.append(f'would violate PodSecurity "{policy.warn}": {found}')


def _template(obj: Obj) -> Obj | None:
    if obj["kind"] == "PodTemplate":
        found: Any = obj.get("template")
    else:
        spec = obj.get("spec") or {}
        found = (spec["jobTemplate"].get("spec") or {}).get("template") if "jobTemplate" in spec else spec.get("template")
    return found if isinstance(found, dict) else None


def _of_namespace(write: Write) -> _Policy | None:
    """What the labels of the namespace ask for, nothing when they ask for nothing."""
    stored = write.storage.get("/namespaces", "", write.namespace)
    labels = (stored.object["metadata"].get("labels") or {}) if stored is not None else {}
    if len(labels) < 2 or not any(name.startswith(_PREFIX) for name in labels):
        return None
    return _policy(labels)


def _policy(labels: Obj) -> _Policy:
    faults: list[FieldError] = []
    enforce, knows = _mode(labels, "enforce", "restricted", faults)
    audit, _ = _mode(labels, "audit", "privileged", faults)
    warn, _ = _mode(labels, "warn", "privileged", faults)
    if f"{_PREFIX}warn" not in labels and knows and enforce.level != "privileged":
        version = warn.version if f"{_PREFIX}warn-version" in labels else enforce.version
        warn = _Mode(enforce.level, version)
    return _Policy(enforce, audit, warn, tuple(faults))


def _mode(labels: Obj, name: str, otherwise: Level, faults: list[FieldError]) -> tuple[_Mode, bool]:
    """A level and a version; and whether the level is told and is one."""
    level: Level = "privileged"
    version, knows = "latest", False
    told = labels.get(f"{_PREFIX}{name}")
    if told is not None:
        knows = told in _LEVELS
        level = told if knows else otherwise
        if not knows:
            where = f"metadata.labels[{_PREFIX}{name}]"
            faults.append(invalid(where, told, f"must be one of {', '.join(_LEVELS)}"))
    told = labels.get(f"{_PREFIX}{name}-version")
    if told is not None:
        if told == "latest" or _VERSION.fullmatch(told):
            version = told
        else:
            faults.append(invalid(f"metadata.labels[{_PREFIX}{name}-version]", told, 'must be "latest" or "v1.x"'))
    return _Mode(level, version), knows


def _is_significant(spec: Obj, old: Obj) -> bool:
    """Whether a change brings containers or images that have to be judged."""
    for field in ("containers", "initContainers"):
        new, before = spec.get(field) or [], old.get(field) or []
        if [each.get("image") for each in new] != [each.get("image") for each in before]:
            return True
    known = {each.get("name"): each.get("image") for each in old.get("ephemeralContainers") or ()}
    return any(known.get(each.get("name")) != each.get("image") for each in spec.get("ephemeralContainers") or ())
