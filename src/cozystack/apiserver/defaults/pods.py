"""Defaults of Pods, and of the Pods that templates describe."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.defaults.maps import Obj, at, fill
from cozystack.apiserver.quantities import rounded_up

_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_WITH_MODE: Final = ("configMap", "secret", "downwardAPI", "projected")
_MODE: Final = 0o644
_TOKEN_SECONDS: Final = 3600


def pod(obj: Obj) -> None:
    """A Pod itself: more than in a template is filled in."""
    spec = at(obj, "spec")
    spec.setdefault("enableServiceLinks", True)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            limits = (container.get("resources") or {}).get("limits")
            if limits:
                requests = at(container["resources"], "requests")
                for name, amount in limits.items():
                    requests.setdefault(name, amount)
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    if "containerPort" in port:
                        port.setdefault("hostPort", port["containerPort"])
    pod_spec(spec)
    status = at(obj, "status")
    status.setdefault("phase", "Pending")
    if status.get("podIP"):
        if (status.get("podIPs") or [{}])[0].get("ip") != status["podIP"]:
            status["podIPs"] = [{"ip": status["podIP"]}]
    elif status.get("podIPs"):
        status["podIP"] = status["podIPs"][0].get("ip", "")


def template(owner: Obj) -> None:
    """The template of something that runs Pods."""
    pod_spec(at(at(owner, "template"), "spec"))


def pod_spec(spec: Obj) -> None:
    """What a Pod and a template have in common."""
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    fill(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
    )
    spec.setdefault("securityContext", {})
    for field in _CONTAINERS:
        for container in spec.get(field) or ():
            _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _container(container: Obj) -> None:
    fill(
        container,
        imagePullPolicy=_pull_policy(container.get("image", "")),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    container.setdefault("resources", {})
    _milli(container["resources"])
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in _PROBES:
        probe = container.get(name)
        if probe is not None:
            fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            _http_get(probe.get("httpGet"))
            if probe.get("grpc") is not None:
                probe["grpc"].setdefault("service", "")
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook.get("httpGet"))
    for entry in container.get("env") or ():
        _field_ref(entry.get("valueFrom"))


def _pull_policy(image: str) -> str:
    latest = "@" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest"))
    return "Always" if latest else "IfNotPresent"


def _http_get(action: Any) -> None:
    if isinstance(action, dict):
        fill(action, path="/", scheme="HTTP")


def _field_ref(source: Any) -> None:
    if isinstance(source, dict) and isinstance(source.get("fieldRef"), dict):
        source["fieldRef"].setdefault("apiVersion", "v1")


def _milli(resources: Obj) -> None:
    """Amounts are no finer than a thousandth."""
    for kind in ("limits", "requests"):
        amounts = resources.get(kind) or {}
        for name, amount in amounts.items():
            if amount[-1:] in ("n", "u"):
                amounts[name] = rounded_up(amount, -3)


def _volume(volume: Obj) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for name in _WITH_MODE:
        if isinstance(volume.get(name), dict):
            volume[name].setdefault("defaultMode", _MODE)
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _field_ref(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if isinstance(source.get("serviceAccountToken"), dict):
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _field_ref(item)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    if isinstance(volume.get("image"), dict):
        volume["image"].setdefault("pullPolicy", _pull_policy(volume["image"].get("reference", "")))
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if isinstance(claim, dict):
        at(claim, "spec").setdefault("volumeMode", "Filesystem")
