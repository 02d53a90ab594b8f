"""What the kinds that run Pods demand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cozystack.apiserver.rules.faults import NEGATIVE, forbidden, invalid, unsupported
from cozystack.apiserver.rules.names import label_faults
from cozystack.apiserver.rules.pods import pod_errors, template_errors
from cozystack.apiserver.rules.schedule import NoSchedule, schedule
from cozystack.apiserver.rules.selectors import matches, selector_errors
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]
Errors = Iterator[FieldError]

_PERCENT: Final = re.compile(r"[0-9]+%")
_PERCENT_RULE: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_JOB_COUNTS: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
)
_OWNERS: Final = {"ReplicaSet": "deployment"}
"""What the kind that makes the Pods is called where its selector is empty, when it is called something else."""
_MISMATCH: Final = "`selector` does not match template `labels`"


def _counts(spec: Obj, path: str, *names: str) -> Errors:
    for name in names:
        if (spec.get(name) or 0) < 0:
            yield invalid(f"{path}.{name}", spec[name], NEGATIVE)


def _pod(obj: Obj) -> Errors:
    yield from pod_errors(obj.get("spec") or {}, "spec", is_pod=True)


def _selected(spec: Obj, kind: str) -> Errors:
    """A selector that is there, is not empty, and selects the Pods of the template; then the template."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    else:
        faults = list(selector_errors(selector, "spec.selector"))
        yield from faults
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid("spec.selector", selector, f"empty selector is invalid for {_OWNERS.get(kind, kind.lower())}")
            yield from _template(spec, kind)
            return
        if faults:
            yield invalid("spec.selector", selector, "invalid label selector" if kind in _OWNERS else "")
            return
    yield from _mismatch(selector, spec)
    yield from _template(spec, kind)


def _mismatch(selector: Obj | None, spec: Obj) -> Errors:
    """A selector that does not select the Pods of the template."""
    labels = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if selector is None or not matches(selector, labels or {}):
        yield invalid("spec.template.metadata.labels", labels, _MISMATCH)


def _template(spec: Obj, kind: str) -> Errors:
    template = spec.get("template") or {}
    yield from template_errors(template, "spec.template")
    pod = template.get("spec") or {}
    if pod.get("restartPolicy", "Always") != "Always":
        yield unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], "Always")
    if "activeDeadlineSeconds" in pod:
        why = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", why)


def share_errors(path: str, value: Any) -> Errors:
    """What is wrong with a number, or a percentage."""
    if isinstance(value, str):
        if _PERCENT.fullmatch(value) is None:
            yield invalid(path, value, _PERCENT_RULE)
    elif value < 0:
        yield invalid(path, value, NEGATIVE)


def most_errors(path: str, value: Any) -> Errors:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        yield invalid(path, value, "must not be greater than 100%")


def _is_nothing(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and _PERCENT.fullmatch(value) is not None and int(value[:-1]) == 0)


def _deployment(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _counts(spec, "spec", "replicas")
    yield from _selected(spec, "ReplicaSet")
    strategy = spec.get("strategy") or {}
    rolling, path = strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if strategy.get("type") == "Recreate" and rolling is not None:
        yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif strategy.get("type") == "RollingUpdate" and rolling is not None:
        most, more = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        yield from share_errors(f"{path}.maxUnavailable", most)
        yield from share_errors(f"{path}.maxSurge", more)
        if _is_nothing(most) and _is_nothing(more):
            yield invalid(f"{path}.maxUnavailable", most, "may not be 0 when `maxSurge` is 0")
        yield from most_errors(f"{path}.maxUnavailable", most)
    yield from _counts(spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _replica_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _counts(spec, "spec", "replicas", "minReadySeconds")
    yield from _selected(spec, "ReplicaSet")


def _daemon_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    selector = spec.get("selector")
    if selector is not None:
        yield from selector_errors(selector, "spec.selector")
    yield from _mismatch(selector, spec)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from _template(spec, "DaemonSet")
    yield from _counts(spec, "spec", "minReadySeconds")
    strategy = spec.get("updateStrategy") or {}
    rolling, path = strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") == "RollingUpdate" and rolling is not None:
        most, more = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        for check in (share_errors, most_errors):
            yield from check(f"{path}.maxUnavailable", most)
            yield from check(f"{path}.maxSurge", more)
        if not _is_nothing(most) and not _is_nothing(more):
            yield invalid(f"{path}.maxSurge", more, "may not be set when maxUnavailable is non-zero")
        elif _is_nothing(most) and _is_nothing(more):
            yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
    yield from _counts(spec, "spec", "revisionHistoryLimit")


def _stateful_set(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    policy = spec.get("podManagementPolicy", "Parallel")
    if policy not in ("OrderedReady", "Parallel"):
        yield invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    strategy = spec.get("updateStrategy") or {}
    rolling, path = strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if strategy.get("type") == "RollingUpdate" and rolling is not None:
        yield from _counts(rolling, path, "partition")
        if "maxUnavailable" in rolling:
            yield from share_errors(f"{path}.maxUnavailable", rolling["maxUnavailable"])
    yield from _counts(spec, "spec", "replicas", "minReadySeconds")
    name = spec.get("serviceName")
    if name:
        yield from (invalid("spec.serviceName", name, fault) for fault in label_faults(name))
    claims = [claim.get("metadata", {}).get("name", "") for claim in spec.get("volumeClaimTemplates") or ()]
    yield from _selected(_with_volumes(spec, claims), "StatefulSet")


def _with_volumes(spec: Obj, claims: list[str]) -> Obj:
    """With a volume for each claim, as the Pods will have it."""
    if not claims:
        return spec
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    volumes = [each for each in pod.get("volumes") or () if each.get("name") not in claims]
    more = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": [*more, *volumes]}}}


def _replication_controller(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _counts(spec, "spec", "minReadySeconds")
    if not spec.get("selector"):
        yield required("spec.selector")
    yield from _counts(spec, "spec", "replicas")
    if spec.get("template") is None:
        yield required("spec.template")
        return
    if spec.get("selector"):
        yield from _mismatch({"matchLabels": spec["selector"]}, spec)
    yield from _template(spec, "ReplicationController")


def _job(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _job_errors(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from selector_errors(selector, "spec.selector")
    yield from _mismatch(selector, spec)


def _job_errors(spec: Obj, path: str) -> Errors:
    yield from _counts(spec, path, *_JOB_COUNTS)
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("Indexed", "NonIndexed"):
        yield unsupported(f"{path}.completionMode", mode, "Indexed", "NonIndexed")
    if mode == "Indexed" and "completions" not in spec:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if mode == "NonIndexed":
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if name in spec:
                yield invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")
    template = spec.get("template") or {}
    yield from template_errors(template, f"{path}.template")
    policy, where = (template.get("spec") or {}).get("restartPolicy", "Always"), f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        yield required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield unsupported(where, policy, "OnFailure", "Never")
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield invalid(where, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _cron_job(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    text, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not text:
        yield required("spec.schedule")
    elif "TZ" in text:
        yield invalid("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    else:
        try:
            schedule(text)
        except NoSchedule as error:
            yield invalid("spec.schedule", text, str(error))
    if zone is not None and not _is_zone(zone):
        yield invalid("spec.timeZone", zone, f"unknown time zone {zone}")
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy not in ("Allow", "Forbid", "Replace"):
        yield unsupported("spec.concurrencyPolicy", policy, "Allow", "Forbid", "Replace")
    yield from _counts(spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    yield from _job_errors((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], Errors]]] = {
    ("v1", "Pod"): _pod,
    ("v1", "PodTemplate"): lambda obj: template_errors(obj.get("template") or {}, "template"),
    ("v1", "ReplicationController"): _replication_controller,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "ReplicaSet"): _replica_set,
    ("apps/v1", "StatefulSet"): _stateful_set,
    ("apps/v1", "DaemonSet"): _daemon_set,
    ("batch/v1", "Job"): _job,
    ("batch/v1", "CronJob"): _cron_job,
}
