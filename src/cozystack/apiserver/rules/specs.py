"""What single built-in kinds demand of an object, beyond its schema: the faults that people make, and that controllers rely on.

Not all that Kubernetes checks: what only a kubelet would trip over is let pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cozystack.apiserver.rules.faults import duplicate, forbidden, invalid, unsupported
from cozystack.apiserver.rules.names import label_faults
from cozystack.apiserver.rules.schedule import NoSchedule, schedule
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]
Errors = list[FieldError]

_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_MOST_DATA: Final = 1024 * 1024
_COUNTS: Final = ("replicas", "minReadySeconds", "revisionHistoryLimit")
_JOB_COUNTS: Final = ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds")


def spec_errors(obj: Obj) -> Errors:
    """What is wrong with an object of a built-in kind that has the shape of its schema."""
    function = _BY_KIND.get((obj["apiVersion"], obj["kind"]))
    return function(obj) if function is not None else []


def matches(selector: Obj, labels: Obj) -> bool:
    """Whether a label selector selects something with these labels. An empty one selects everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        value, values = labels.get(rule["key"]), rule.get("values") or ()
        kept = {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not kept.get(rule.get("operator", ""), False):
            return False
    return True


def _config(*fields: str) -> Callable[[Obj], Errors]:
    def errors(obj: Obj) -> Errors:
        found: Errors = []
        for field in fields:
            for key in obj.get(field) or ():
                if _KEY.fullmatch(key) is None:
                    found.append(invalid(f"{field}[{key}]", key, _KEY_RULE))
                elif field == "data" and key in (obj.get("binaryData") or ()):
                    found.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        # A Secret names the field, a ConfigMap has two and names none.
        where, binary = ("data", fields) if len(fields) == 1 else ("[]", fields[1:])
        values = ((field in binary, value) for field in fields for value in (obj.get(field) or {}).values())
        if sum(_size(value, encoded=encoded) for encoded, value in values) > _MOST_DATA:
            found.append(FieldError(where, "Too long", f"Too long: may not be more than {_MOST_DATA} bytes"))
        return found

    return errors


def _size(value: str, *, encoded: bool) -> int:
    """In bytes, of a text or of what its base64 stands for."""
    return len(value) // 4 * 3 - value[-2:].count("=") if encoded else len(value.encode())


def _service(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        errors.append(required("spec.ports"))
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            errors.append(required(f"{path}.name"))
        for name in ("port", "targetPort"):
            number = port.get(name, 0)
            if isinstance(number, int) and not 1 <= number <= 65535:
                errors.append(invalid(f"{path}.{name}", number, "must be between 1 and 65535, inclusive"))
    kind = spec.get("type", "ClusterIP")
    if kind not in ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"):
        errors.append(unsupported("spec.type", kind, "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"))
    ips = spec.get("clusterIPs") or []
    if ips and spec.get("clusterIP") != ips[0]:
        errors.append(invalid("spec.clusterIPs", ips, "first value must match `clusterIP`"))
    return errors


def _claim(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    if not spec.get("accessModes"):
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        errors.append(required("spec.resources[storage]"))
    return errors


def _pod(obj: Obj) -> Errors:
    return _pod_errors(obj.get("spec") or {}, "spec")


def _pod_errors(spec: Obj, path: str) -> Errors:
    errors: Errors = []
    if not spec.get("containers"):
        errors.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            where, name = f"{path}.{field}[{index}]", container.get("name") or ""
            if not name:
                errors.append(required(f"{where}.name"))
            errors += [invalid(f"{where}.name", name, fault) for fault in label_faults(name) if name]
            if name in seen:
                errors.append(duplicate(f"{where}.name", name))
            seen.add(name)
            if not container.get("image") and path == "spec":
                errors.append(required(f"{where}.image"))
    return errors


def _counts(spec: Obj, names: tuple[str, ...], path: str = "spec") -> Errors:
    return [
        invalid(f"{path}.{name}", spec[name], "must be greater than or equal to 0")
        for name in names
        if (spec.get(name) or 0) < 0
    ]


def _replicated(obj: Obj) -> Errors:
    """What Deployments, ReplicaSets, StatefulSets and DaemonSets have in common: a selector and a template that it selects."""
    spec = obj.get("spec") or {}
    errors = _counts(spec, _COUNTS)
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not selector:
        errors.append(required("spec.selector"))
    if not selector or not matches(selector, labels):
        why = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels or None, why))
    pod = template.get("spec") or {}
    errors += _pod_errors(pod, "spec.template.spec")
    policy = pod.get("restartPolicy", "Always")
    if policy != "Always":
        errors.append(unsupported("spec.template.spec.restartPolicy", policy, "Always"))
    return errors


def _deployment(obj: Obj) -> Errors:
    errors = _replicated(obj)
    spec = obj["spec"]
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        errors.append(forbidden("spec.strategy.rollingUpdate", why))
    elif isinstance(rolling, dict) and all(rolling.get(name) in (0, "0%") for name in ("maxSurge", "maxUnavailable")):
        why = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], why))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _job(obj: Obj) -> Errors:
    return _job_errors(obj.get("spec") or {}, "spec")


def _job_errors(spec: Obj, path: str) -> Errors:
    errors = _counts(spec, _JOB_COUNTS, path)
    pod = (spec.get("template") or {}).get("spec") or {}
    errors += _pod_errors(pod, f"{path}.template.spec")
    where = f"{path}.template.spec.restartPolicy"
    match pod.get("restartPolicy", "Always"):
        case "Always":
            errors.append(required(where, 'valid values: "OnFailure", "Never"'))
        case "OnFailure" | "Never":
            pass
        case other:
            errors.append(unsupported(where, other, "OnFailure", "Never"))
    return errors


def _cron_job(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    text, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not text:
        errors.append(required("spec.schedule"))
    elif "TZ" in text:
        errors.append(invalid("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
    else:
        try:
            schedule(text)
        except NoSchedule as error:
            errors.append(invalid("spec.schedule", text, str(error)))
    if zone is not None and not _is_zone(zone):
        errors.append(invalid("spec.timeZone", zone, f"unknown time zone {zone}"))
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy not in ("Allow", "Forbid", "Replace"):
        errors.append(unsupported("spec.concurrencyPolicy", policy, "Allow", "Forbid", "Replace"))
    errors += _counts(spec, ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"))
    return errors + _job_errors((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


_BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], Errors]]] = {
    ("v1", "ConfigMap"): _config("data", "binaryData"),
    ("v1", "Secret"): _config("data"),
    ("v1", "Service"): _service,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "Pod"): _pod,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "ReplicaSet"): _replicated,
    ("apps/v1", "StatefulSet"): _replicated,
    ("apps/v1", "DaemonSet"): _replicated,
    ("batch/v1", "Job"): _job,
    ("batch/v1", "CronJob"): _cron_job,
}
