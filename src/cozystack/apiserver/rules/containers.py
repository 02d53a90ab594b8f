"""What containers demand: names, images, ports, variables, mounts, resources, probes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from cozystack.apiserver.quantities import quantity
from cozystack.apiserver.rules.faults import NEGATIVE, duplicate, forbidden, invalid, not_found, unsupported
from cozystack.apiserver.rules.names import config_key_faults, label_faults, qualified_faults, subdomain_faults
from cozystack.apiserver.rules.ports import name_faults, number_errors, port_errors
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]
Errors = Iterator[FieldError]

_VARIABLE: Final = re.compile(r"[ -<>-~]+")
_VARIABLE_RULE: Final = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_STANDARD: Final = frozenset(("cpu", "memory", "ephemeral-storage"))
_SOURCES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_COUNTS: Final = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")


def container_errors(spec: Obj, path: str, volumes: dict[str, Obj]) -> Errors:
    """What is wrong with all containers of a Pod, whose ``volumes`` are those that are sound, by name."""
    grace = spec.get("terminationGracePeriodSeconds")
    containers = spec.get("containers") or []
    if not containers:
        yield required(f"{path}.containers")
    names: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        yield from _container_errors(container, where, volumes)
        yield from _name_twice(container, where, names)
        yield from _hook_errors(container, where, grace)
        yield from _probe_errors(container, where, grace)
    yield from _host_port_errors(containers, f"{path}.containers")
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        yield from _container_errors(container, where, volumes)
        yield from _name_twice(container, where, names)
        yield from _host_port_errors([container], f"{path}.initContainers")
        if container.get("restartPolicy") == "Always":
            yield from _hook_errors(container, where, grace)
            yield from _probe_errors(container, where, grace)
            continue
        for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if name in container:
                yield forbidden(f"{where}.{name}", "may not be set for init containers without restartPolicy=Always")


def _name_twice(container: Obj, path: str, names: set[str]) -> Errors:
    name = container.get("name", "")
    if name in names:
        yield duplicate(f"{path}.name", name)
    elif name:
        names.add(name)


def _container_errors(container: Obj, path: str, volumes: dict[str, Obj]) -> Errors:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from (invalid(f"{path}.name", name, fault) for fault in label_faults(name))
    if not container.get("image"):
        yield required(f"{path}.image")
    policy = container.get("terminationMessagePolicy", "File")
    if policy not in ("File", "FallbackToLogsOnError"):
        yield unsupported(f"{path}.terminationMessagePolicy", policy, "File", "FallbackToLogsOnError")
    yield from _port_errors(container.get("ports") or [], f"{path}.ports")
    yield from _variable_errors(container.get("env") or [], f"{path}.env")
    yield from _variables_errors(container.get("envFrom") or [], f"{path}.envFrom")
    yield from _mount_errors(container, path, volumes)
    policy = container.get("imagePullPolicy", "Always")
    if policy not in ("Always", "IfNotPresent", "Never"):
        yield unsupported(f"{path}.imagePullPolicy", policy, "Always", "IfNotPresent", "Never")
    yield from resource_errors(container.get("resources") or {}, f"{path}.resources")
    yield from _security_errors(container.get("securityContext") or {}, f"{path}.securityContext")


def _port_errors(ports: list[Obj], path: str) -> Errors:
    names: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        name = port.get("name")
        if name:
            faults = list(name_faults(name))
            yield from (invalid(f"{where}.name", name, fault) for fault in faults)
            if not faults and name in names:
                yield duplicate(f"{where}.name", name)
            names.add(name)
        if not port.get("containerPort"):
            yield required(f"{where}.containerPort")
        else:
            yield from number_errors(f"{where}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            yield from number_errors(f"{where}.hostPort", port["hostPort"])
        if port.get("protocol", "TCP") not in _PROTOCOLS:
            yield unsupported(f"{where}.protocol", port["protocol"], *_PROTOCOLS)


def _host_port_errors(containers: list[Obj], path: str) -> Errors:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for place, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                text = f"{port.get('protocol', 'TCP')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if text in seen:
                    yield duplicate(f"{path}[{index}].ports[{place}].hostPort", text)
                seen.add(text)


def _variable_errors(variables: list[Obj], path: str) -> Errors:
    for index, variable in enumerate(variables):
        where, name = f"{path}[{index}]", variable.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif _VARIABLE.fullmatch(name) is None:
            yield invalid(f"{where}.name", name, _VARIABLE_RULE)
        source = variable.get("valueFrom")
        if source is not None:
            yield from _source_errors(variable, source, f"{where}.valueFrom")


def _source_errors(variable: Obj, source: Obj, path: str) -> Errors:
    found = [name for name in _SOURCES if source.get(name) is not None]
    if "fieldRef" in found:
        yield from field_errors(source["fieldRef"], f"{path}.fieldRef")
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in found:
            reference, where = source[name], f"{path}.{name}"
            yield from _reference_errors(reference, where)
            if not reference.get("key"):
                yield required(f"{where}.key")
            else:
                key = reference["key"]
                yield from (invalid(f"{where}.key", key, fault) for fault in config_key_faults(key))
    if not found:
        choices = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield invalid(path, "", f"must specify one of: {choices}")
    elif variable.get("value"):
        yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(found) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")


def field_errors(reference: Obj, path: str, fields: tuple[str, ...] = _FIELDS) -> Errors:
    """What is wrong with a reference to a field of the Pod itself."""
    text = reference.get("fieldPath", "")
    if not text:
        yield required(f"{path}.fieldPath")
        return
    known = text in _FIELDS or text in ("metadata.annotations", "metadata.labels") or text.endswith("]")
    if not known:
        yield invalid(f"{path}.fieldPath", text, f"error converting fieldPath: field label not supported: {text}")
    elif text not in fields and not text.endswith("]"):
        yield unsupported(f"{path}.fieldPath", text, *fields)


def _reference_errors(reference: Obj, path: str) -> Errors:
    name = reference.get("name", "")
    yield from (invalid(f"{path}.name", name, fault) for fault in subdomain_faults(name))


def _variables_errors(sources: list[Obj], path: str) -> Errors:
    for index, source in enumerate(sources):
        where, prefix = f"{path}[{index}]", source.get("prefix", "")
        if prefix and _VARIABLE.fullmatch(prefix) is None:
            yield invalid(f"{where}.prefix", prefix, _VARIABLE_RULE)
        found = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in found:
            if not source[name].get("name"):
                yield required(f"{where}.{name}.name")
            else:
                yield from _reference_errors(source[name], f"{where}.{name}")
        if not found:
            yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(found) > 1:
            yield invalid(path, "", "may not have more than one field specified at a time")


def _mount_errors(container: Obj, path: str, volumes: dict[str, Obj]) -> Errors:
    devices = {each.get("name"): each.get("devicePath") for each in container.get("volumeDevices") or ()}
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        if name not in volumes:
            yield not_found(f"{where}.name", name)
        if not place:
            yield required(f"{where}.mountPath")
        if place in places:
            yield invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)
        if name in devices:
            yield invalid(f"{where}.name", name, "must not already exist in volumeDevices")
        if place in devices.values():
            yield invalid(f"{where}.mountPath", place, "must not already exist as a path in volumeDevices")
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                if field == "subPathExpr" and mount.get("subPath"):
                    why = "subPathExpr and subPath are mutually exclusive"
                    yield invalid(f"{where}.subPathExpr", mount[field], why)
                yield from descending_errors(f"{path}.volumeMounts.{field}", mount[field])
    yield from _device_errors(container, path, volumes)


def _device_errors(container: Obj, path: str, volumes: dict[str, Obj]) -> Errors:
    for index, device in enumerate(container.get("volumeDevices") or ()):
        where, name = f"{path}.volumeDevices[{index}]", device.get("name", "")
        if not name:
            yield required(f"{where}.name")
        if name not in volumes:
            yield not_found(f"{where}.name", name)
        elif "persistentVolumeClaim" not in volumes[name] and "ephemeral" not in volumes[name]:
            yield invalid(
                f"{where}.name", name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            )
        if not device.get("devicePath"):
            yield required(f"{where}.devicePath")


def descending_errors(path: str, text: str) -> Errors:
    """What is wrong with a path that has to lead down."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    if ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")


def resource_errors(resources: Obj, path: str) -> Errors:
    """What is wrong with requests and limits."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            where = f"{path}.{field}[{name}]"
            yield from _resource_name_errors(name, where)
            amount = quantity(text).number
            if amount < 0:
                yield invalid(where, text, NEGATIVE)
            if "/" in name and not name.startswith("kubernetes.io/") and amount.denominator != 1:
                yield invalid(where, text, "must be an integer")
            if field == "requests":
                yield from _request_errors(name, text, limits, path)


def _request_errors(name: str, text: str, limits: Obj, path: str) -> Errors:
    spare = "/" not in name and not name.startswith("hugepages-")
    if name not in limits:
        if not spare:
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    amount, most = quantity(text).number, quantity(limits[name]).number
    if amount != most and not spare:
        yield invalid(f"{path}.requests", text, f"must be equal to {name} limit of {limits[name]}")
    elif amount > most:
        yield invalid(f"{path}.requests", text, f"must be less than or equal to {name} limit of {limits[name]}")


def _resource_name_errors(name: str, path: str) -> Errors:
    faults = qualified_faults(name)
    if faults:
        yield from (invalid(path, name, fault) for fault in faults)
    elif "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        yield invalid(path, name, "must be a standard resource type or fully qualified")
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        yield invalid(path, name, "must be a standard resource for containers")


def _security_errors(context: Obj, path: str) -> Errors:
    for name in ("runAsUser", "runAsGroup"):
        number = context.get(name)
        if number is not None and not 0 <= number <= 2**31 - 1:
            yield invalid(f"{path}.{name}", number, "must be between 0 and 2147483647, inclusive")
    if context.get("allowPrivilegeEscalation") is False and context.get("privileged"):
        why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        yield FieldError(path, "Invalid value", f"Invalid value: {why}")


def _probe_errors(container: Obj, path: str, grace: int | None) -> Errors:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        where = f"{path}.{name}"
        yield from _handler_errors(probe, where, grace)
        for field in _COUNTS:
            if (probe.get(field) or 0) < 0:
                yield invalid(f"{where}.{field}", probe[field], NEGATIVE)
        ends = probe.get("terminationGracePeriodSeconds")
        if ends is not None and ends <= 0:
            yield invalid(f"{where}.terminationGracePeriodSeconds", ends, "must be greater than 0")
        if name == "readinessProbe":
            if ends is not None:
                yield invalid(f"{where}.terminationGracePeriodSeconds", ends, "must not be set for readinessProbes")
        elif probe.get("successThreshold", 1) != 1:
            yield invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1")


def _hook_errors(container: Obj, path: str, grace: int | None) -> Errors:
    for name in ("postStart", "preStop"):
        hook = (container.get("lifecycle") or {}).get(name)
        if hook is not None:
            yield from _handler_errors(hook, f"{path}.lifecycle.{name}", grace)


def _handler_errors(handler: Obj, path: str, grace: int | None) -> Errors:
    found = [name for name in _HANDLERS if handler.get(name) is not None]
    if not found:
        yield required(path, "must specify a handler type")
        return
    first, *others = found
    yield from _action_errors(first, handler[first], f"{path}.{first}", grace)
    for name in others:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 handler type")


def _action_errors(kind: str, action: Obj, path: str, grace: int | None) -> Errors:
    match kind:
        case "exec" if not action.get("command"):
            yield required(f"{path}.command")
        case "httpGet":
            yield from port_errors(f"{path}.port", action.get("port", 0))
            if action.get("scheme", "HTTP") not in ("HTTP", "HTTPS"):
                yield unsupported(f"{path}.scheme", action["scheme"], "HTTP", "HTTPS")
        case "tcpSocket" | "grpc":
            yield from port_errors(f"{path}.port", action.get("port", 0))
        case "sleep":
            seconds = action.get("seconds", 0)
            if grace is not None and not 0 <= seconds <= grace:
                why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield invalid(path, seconds, why)
