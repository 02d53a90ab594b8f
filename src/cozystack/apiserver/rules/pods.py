"""What a Pod demands, and so does every template of one: volumes, containers, where it may run, and as whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cozystack.apiserver.rules.containers import container_errors, descending_errors, field_errors
from cozystack.apiserver.rules.faults import duplicate, forbidden, invalid, unsupported
from cozystack.apiserver.rules.names import label_faults, qualified_faults, subdomain_faults, value_faults
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]
Errors = Iterator[FieldError]

_MODE_RULE: Final = "must be a number between 0 and 0777 (octal), both inclusive"
_VOLUME_FIELDS: Final = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MOST_SECONDS: Final = 2**31 - 1


def pod_errors(spec: Obj, path: str, *, is_pod: bool) -> Errors:
    """What is wrong with the spec of a Pod, or of a template of one."""
    volumes: dict[str, Obj] = {}
    yield from _volume_errors(spec.get("volumes") or [], f"{path}.volumes", volumes)
    yield from container_errors(spec, path, volumes)
    if spec.get("hostNetwork"):
        yield from _host_network_errors(spec, path, is_pod=is_pod)
    if spec.get("restartPolicy", "Always") not in _POLICIES:
        yield unsupported(f"{path}.restartPolicy", spec["restartPolicy"], *_POLICIES)
    if spec.get("dnsPolicy", "Default") not in _DNS:
        yield unsupported(f"{path}.dnsPolicy", spec["dnsPolicy"], *_DNS)
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from (invalid(f"{path}.nodeSelector", key, fault) for fault in qualified_faults(key))
        yield from (invalid(f"{path}.nodeSelector", value, fault) for fault in value_faults(value))
    yield from _spread_errors(spec, path)
    yield from _name_errors(spec, path)
    yield from _toleration_errors(spec.get("tolerations") or [], f"{path}.tolerations")


def template_errors(template: Obj, path: str) -> Errors:
    """What is wrong with a template of Pods."""
    metadata = template.get("metadata") or {}
    for key, value in (metadata.get("labels") or {}).items():
        yield from (invalid(f"{path}.labels", key, fault) for fault in qualified_faults(key))
        yield from (invalid(f"{path}.labels", value, fault) for fault in value_faults(value))
    for key in metadata.get("annotations") or ():
        yield from (invalid(f"{path}.annotations", key, fault) for fault in qualified_faults(key.lower()))
    yield from pod_errors(template.get("spec") or {}, f"{path}.spec", is_pod=False)


# Volumes


def _volume_errors(volumes: list[Obj], path: str, sound: dict[str, Obj]) -> Errors:
    """``sound`` gets the volumes that can be mounted."""
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name", "")
        found = list(_source_errors(volume, where))
        if not name:
            found.append(required(f"{where}.name"))
        else:
            found += [invalid(f"{where}.name", name, fault) for fault in label_faults(name)]
        if name in sound:
            found.append(duplicate(f"{where}.name", name))
        if not found:
            sound[name] = volume
        yield from found


def _source_errors(volume: Obj, path: str) -> Errors:
    kinds = [kind for kind in volume if kind != "name"]
    if not kinds:
        yield required(path, "must specify a volume type")
        return
    first, *others = sorted(kinds, key=_ORDER.index) if all(kind in _ORDER for kind in kinds) else kinds
    source, where = volume[first] or {}, f"{path}.{first}"
    match first:
        case "secret" | "configMap":
            field = "secretName" if first == "secret" else "name"
            if not source.get(field):
                yield required(f"{where}.{field}")
            yield from _mode_errors(f"{where}.defaultMode", source.get("defaultMode"))
            yield from _item_errors(source.get("items") or [], f"{where}.items")
        case "persistentVolumeClaim" if not source.get("claimName"):
            yield required(f"{where}.claimName")
        case "hostPath":
            if not source.get("path"):
                yield required(f"{where}.path")
            elif ".." in source["path"].split("/"):
                yield invalid(f"{where}.path", source["path"], "must not contain '..'")
        case "nfs":
            yield from (required(f"{where}.{name}") for name in ("server", "path") if not source.get(name))
            if not source.get("path", "").startswith("/"):
                yield invalid(f"{where}.path", source.get("path", ""), "must be an absolute path")
        case "csi" if not source.get("driver"):
            yield required(f"{where}.driver")
        case "downwardAPI":
            yield from _mode_errors(f"{where}.defaultMode", source.get("defaultMode"))
            for item in source.get("items") or ():
                yield from _downward_errors(item, where)
        case "projected":
            yield from _mode_errors(f"{where}.defaultMode", source.get("defaultMode"))
            yield from _projection_errors(source.get("sources") or [], where)
        case "image" if not source.get("reference"):
            yield required(f"{where}.reference")
    for kind in others:
        yield forbidden(f"{path}.{kind}", "may not specify more than 1 volume type")


_ORDER: Final = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
)


def _mode_errors(path: str, mode: int | None) -> Errors:
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(path, mode, _MODE_RULE)


def _item_errors(items: list[Obj], path: str) -> Errors:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        yield from (required(f"{where}.{name}") for name in ("key", "path") if not item.get(name))
        yield from _inside_errors(f"{where}.path", item.get("path", ""))
        yield from _mode_errors(f"{where}.mode", item.get("mode"))


def _inside_errors(path: str, text: str) -> Errors:
    yield from descending_errors(path, text)
    if text.startswith("..") and not text.startswith("../"):
        yield invalid(path, text, "must not start with '..'")


def _downward_errors(item: Obj, path: str) -> Errors:
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from _inside_errors(f"{path}.path", item.get("path", ""))
    if item.get("fieldRef") is not None:
        yield from field_errors(item["fieldRef"], f"{path}.fieldRef", _VOLUME_FIELDS)
        if item.get("resourceFieldRef") is not None:
            yield invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif item.get("resourceFieldRef") is None:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from _mode_errors(f"{path}.mode", item.get("mode"))


def _projection_errors(sources: list[Obj], path: str) -> Errors:
    places: set[str] = set()
    for index, source in enumerate(sources):
        where = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap"):
            found = source.get(kind)
            if found is not None:
                if not found.get("name"):
                    yield required(f"{where}.{kind}.name")
                yield from _item_errors(found.get("items") or [], f"{where}.{kind}.items")
                yield from _twice(found.get("items") or [], path, places, found.get("name", ""))
        if source.get("downwardAPI") is not None:
            for item in source["downwardAPI"].get("items") or ():
                yield from _downward_errors(item, f"{where}.downwardAPI")
                yield from _twice([item], path, places, item.get("path", ""))
        token = source.get("serviceAccountToken")
        if token is not None:
            seconds = token.get("expirationSeconds", 3600)
            if seconds < 600:
                why = "may not specify a duration less than 10 minutes"
                yield invalid(f"{where}.serviceAccountToken.expirationSeconds", seconds, why)
            if not token.get("path"):
                yield required(f"{path}.path")
        if len(source) > 1:
            yield forbidden(where, "may not specify more than 1 volume type per source")


def _twice(items: list[Obj], path: str, places: set[str], shown: str) -> Errors:
    for item in items:
        place = item.get("path", "")
        if place and place in places:
            yield invalid(path, shown, "conflicting duplicate paths")
        places.add(place)


# Where it runs, and what it is called


def _host_network_errors(spec: Obj, path: str, *, is_pod: bool) -> Errors:
    for index, container in enumerate(spec.get("containers") or ()):
        for place, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort", 0), port.get("containerPort", 0)
            if (is_pod or host) and host != own:
                where = f"{path}.containers[{index}].ports[{place}].hostPort"
                yield invalid(where, host, "must match `containerPort` when `hostNetwork` is true")


def _spread_errors(spec: Obj, path: str) -> Errors:
    for index, each in enumerate(spec.get("topologySpreadConstraints") or ()):
        where = f"{path}.topologySpreadConstraints[{index}]"
        if each.get("maxSkew", 0) <= 0:
            yield invalid(f"{where}.maxSkew", each.get("maxSkew", 0), "must be greater than zero")
        if not each.get("topologyKey"):
            yield required(f"{where}.topologyKey", "can not be empty")
        action = each.get("whenUnsatisfiable", "")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield unsupported(f"{where}.whenUnsatisfiable", action, "DoNotSchedule", "ScheduleAnyway")


def _name_errors(spec: Obj, path: str) -> Errors:
    for name in ("serviceAccountName", "nodeName"):
        text = spec.get(name)
        if text:
            yield from (invalid(f"{path}.{name}", text, fault) for fault in subdomain_faults(text))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MOST_SECONDS:
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, f"must be between 1 and {_MOST_SECONDS}, inclusive")
    for name in ("hostname", "subdomain"):
        text = spec.get(name)
        if text:
            yield from (invalid(f"{path}.{name}", text, fault) for fault in label_faults(text))


def _toleration_errors(tolerations: list[Obj], path: str) -> Errors:
    for index, each in enumerate(tolerations):
        where = f"{path}[{index}]"
        key, operator, effect = each.get("key", ""), each.get("operator", ""), each.get("effect", "")
        if key:
            yield from (invalid(f"{where}.key", key, fault) for fault in qualified_faults(key))
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid(f"{where}.operator", operator, why)
        if "tolerationSeconds" in each and effect != "NoExecute":
            yield invalid(f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        value = each.get("value", "")
        if operator in ("Equal", ""):
            faults = value_faults(value)
            if faults:
                yield invalid(f"{where}.operator", value, ";".join(faults))
        elif operator == "Exists":
            if value:
                yield invalid(f"{where}.operator", value, "value must be empty when `operator` is 'Exists'")
        elif operator in ("Lt", "Gt"):
            yield unsupported(f"{where}.operator", operator, "Equal", "Exists", "Lt", "Gt")
        else:
            yield unsupported(f"{where}.operator", operator, "Equal", "Exists")
        if effect and effect not in _EFFECTS:
            yield unsupported(f"{where}.effect", effect, *_EFFECTS)
