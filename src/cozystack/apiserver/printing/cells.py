"""The cells of built-in kinds, in the order of the server's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from cozystack.api.time import parse_time
from cozystack.apiserver.printing.times import age, duration

Obj = dict[str, Any]
NONE = "<none>"


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Obj, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _spec(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _labels(labels: Obj | None) -> str:
    return ",".join(f"{key}={value}" for key, value in (labels or {}).items()) or NONE


def _selector(selector: Obj | None) -> str:
    parts = [f"{key}={value}" for key, value in ((selector or {}).get("matchLabels") or {}).items()]
    for term in (selector or {}).get("matchExpressions") or ():
        values = f" ({','.join(term.get('values') or ())})" if term.get("values") else ""
        parts.append(f"{term['key']} {term['operator'].lower()}{values}")
    return ",".join(parts) or NONE


def _containers(obj: Obj) -> tuple[str, str]:
    containers = ((_spec(obj).get("template") or {}).get("spec") or {}).get("containers") or ()
    return ",".join(c["name"] for c in containers), ",".join(c.get("image", "") for c in containers)


def pod_state(pod: Obj) -> tuple[str, int, int, int]:
    """(what kubectl shows as STATUS, ready containers, containers, restarts)."""
    status, spec = _status(pod), _spec(pod)
    reason = status.get("reason") or status.get("phase", "Unknown")
    ready = restarts = 0
    total = len(spec.get("containers") or ())
    initializing = False
    for index, state in enumerate(status.get("initContainerStatuses") or ()):
        restarts += state.get("restartCount", 0)
        terminated = state.get("state", {}).get("terminated")
        waiting = state.get("state", {}).get("waiting")
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if terminated:
            reason = f"Init:{terminated.get('reason') or 'ExitCode:' + str(terminated.get('exitCode', 0))}"
        elif waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        initializing = True
        break
    if not initializing:
        restarts, running = 0, False
        for state in reversed(status.get("containerStatuses") or ()):
            restarts += state.get("restartCount", 0)
            now = state.get("state", {})
            if now.get("waiting", {}).get("reason"):
                reason = now["waiting"]["reason"]
            elif "terminated" in now:
                reason = now["terminated"].get("reason") or f"ExitCode:{now['terminated'].get('exitCode', 0)}"
            elif state.get("ready") and "running" in now:
                running = True
                ready += 1
        if reason == "Completed" and running:
            reason = "Running" if ready == total else "NotReady"
    if "deletionTimestamp" in pod["metadata"]:
        reason = "Terminating"
    return reason, ready, total, restarts


def _pod(obj: Obj, now: datetime) -> list[Any]:
    state, ready, total, restarts = pod_state(obj)
    status, spec = _status(obj), _spec(obj)
    gates = spec.get("readinessGates")
    return [
        _name(obj),
        f"{ready}/{total}",
        state,
        str(restarts),
        _age(obj, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        NONE if not gates else f"0/{len(gates)}",
    ]


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    status, spec = _status(obj), _spec(obj)
    names, images = _containers(obj)
    return [
        _name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(obj, now),
        names,
        images,
        _selector(spec.get("selector")),
    ]


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    status, spec = _status(obj), _spec(obj)
    return [
        _name(obj),
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(obj, now),
        *_containers(obj),
        _selector(spec.get("selector")),
    ]


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    ready = f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 1)}"
    return [_name(obj), ready, _age(obj, now), *_containers(obj)]


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    status, spec = _status(obj), _spec(obj)
    node = _labels(((spec.get("template") or {}).get("spec") or {}).get("nodeSelector"))
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
    counts = [status.get(field, 0) for field in fields]
    return [_name(obj), *counts, node, _age(obj, now), *_containers(obj), _selector(spec.get("selector"))]


def _job(obj: Obj, now: datetime) -> list[Any]:
    status, spec = _status(obj), _spec(obj)
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    state = "Running"
    if conditions.get("Complete") == "True":
        state = "Complete"
    elif conditions.get("Failed") == "True":
        state = "Failed"
    elif spec.get("suspend"):
        state = "Suspended"
    elif "deletionTimestamp" in obj["metadata"]:
        state = "Terminating"
    took = ""
    if status.get("startTime"):
        end = parse_time(status["completionTime"]) if status.get("completionTime") else now
        took = duration((end - parse_time(status["startTime"])).total_seconds())
    done = f"{status.get('succeeded', 0)}/{spec.get('completions', 1)}"
    return [_name(obj), state, done, took, _age(obj, now), *_containers(obj), _selector(spec.get("selector"))]


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    external = ",".join(spec.get("externalIPs") or ())
    if spec.get("type") == "LoadBalancer":
        ingress = (_status(obj).get("loadBalancer") or {}).get("ingress") or ()
        external = ",".join(entry.get("ip") or entry.get("hostname", "") for entry in ingress) or external or "<pending>"
    elif spec.get("type") == "ExternalName":
        external = spec.get("externalName", "")
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return [
        _name(obj),
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or NONE,
        external or NONE,
        ",".join(ports) or NONE,
        _age(obj, now),
        _labels(spec.get("selector")),
    ]


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), _status(obj).get("phase", "Active"), _age(obj, now)]


def _secret(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), obj.get("type", "Opaque"), len(obj.get("data") or {}), _age(obj, now)]


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj, now)]


def _scale(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), obj["spec"]["replicas"], obj["status"]["replicas"], _age(obj, now)]


def _event(obj: Obj, now: datetime) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp")
    last = obj.get("lastTimestamp") or first
    seen = age(last, now)
    if obj.get("count", 1) > 1:
        seen = f"{seen} (x{obj['count']} over {age(first, now)})"
    source = obj.get("source") or {}
    return [
        seen,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        ", ".join(filter(None, (source.get("component") or obj.get("reportingComponent"), source.get("host")))),
        str(obj.get("message", "")).strip(),
        age(first, now),
        obj.get("count", 1),
        _name(obj),
    ]


def _node(obj: Obj, now: datetime) -> list[Any]:
    status = _status(obj)
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    prefix = "node-role.kubernetes.io/"
    roles = [key.removeprefix(prefix) for key in obj["metadata"].get("labels") or {} if key.startswith(prefix)]
    info = status.get("nodeInfo") or {}
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses") or ()}
    return [
        _name(obj),
        "Ready" if ready else "NotReady",
        ",".join(roles) or NONE,
        _age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in modes or ())


def _claim(obj: Obj, now: datetime) -> list[Any]:
    status, spec = _status(obj), _spec(obj)
    bound = status.get("phase") == "Bound"
    return [
        _name(obj),
        "Terminating" if "deletionTimestamp" in obj["metadata"] else status.get("phase", "Pending"),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        _age(obj, now),
        spec.get("volumeMode", "Filesystem"),
    ]


def _volume(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    claim = spec.get("claimRef")
    return [
        _name(obj),
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _status(obj).get("phase", ""),
        f"{claim['namespace']}/{claim['name']}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        _status(obj).get("reason", ""),
        _age(obj, now),
        spec.get("volumeMode", "Filesystem"),
    ]


def _stamped(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), obj["metadata"].get("creationTimestamp", "")]


def _crd(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    versions = ",".join(version["name"] for version in spec.get("versions") or () if version.get("served"))
    kinds = spec.get("names") or {}
    established = any(c["type"] == "Established" and c["status"] == "True" for c in _status(obj).get("conditions") or ())
    return [
        _name(obj),
        spec.get("scope", ""),
        versions,
        obj["metadata"].get("creationTimestamp", ""),
        spec.get("group", ""),
        kinds.get("kind", ""),
        ",".join(kinds.get("shortNames") or ()),
        str(established),
    ]


def _binding(obj: Obj, now: datetime) -> list[Any]:
    role = obj.get("roleRef") or {}
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        text = f"{subject.get('namespace', '')}/{subject['name']}" if subject["kind"] == "ServiceAccount" else subject["name"]
        subjects.setdefault(subject["kind"], []).append(text)
    listed = [", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [_name(obj), f"{role.get('kind', '')}/{role.get('name', '')}", _age(obj, now), *listed]


def _api_service(obj: Obj, now: datetime) -> list[Any]:
    service = _spec(obj).get("service")
    available = next((c for c in _status(obj).get("conditions") or () if c["type"] == "Available"), None)
    text = "Unknown" if available is None else available["status"]
    if available is not None and text != "True":
        text = f"{text} ({available.get('reason', '')})"
    return [_name(obj), f"{service['namespace']}/{service['name']}" if service else "Local", text, _age(obj, now)]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), _spec(obj).get("holderIdentity", ""), _age(obj, now)]


def _webhooks(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), len(obj.get("webhooks") or ()), _age(obj, now)]


def _storage_class(obj: Obj, now: datetime) -> list[Any]:
    default = (obj["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        _name(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        "true" if obj.get("allowVolumeExpansion") else "false",
        _age(obj, now),
    ]


def _priority_class(obj: Obj, now: datetime) -> list[Any]:
    is_default = "true" if obj.get("globalDefault") else "false"
    return [_name(obj), obj.get("value", 0), is_default, _age(obj, now), obj.get("preemptionPolicy", "PreemptLowerPriority")]


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    addresses = [
        entry.get("ip") or entry.get("hostname", "") for entry in (_status(obj).get("loadBalancer") or {}).get("ingress") or ()
    ]
    ports = "80, 443" if spec.get("tls") else "80"
    return [
        _name(obj),
        spec.get("ingressClassName") or NONE,
        ",".join(hosts) or "*",
        ",".join(addresses),
        ports,
        _age(obj, now),
    ]


def _cron_job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    last = age(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    suspend = "True" if spec.get("suspend") else "False"
    return [
        _name(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        suspend,
        len(status.get("active") or ()),
        last,
        _age(obj, now),
    ]


def _disruption_budget(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    least, most = (str(spec[field]) if field in spec else "N/A" for field in ("minAvailable", "maxUnavailable"))
    return [_name(obj), least, most, _status(obj).get("disruptionsAllowed", 0), _age(obj, now)]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    hard, used = _status(obj).get("hard") or {}, _status(obj).get("used") or {}
    texts = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = [text for name, text in texts.items() if name.startswith("limits.")]
    return [_name(obj), ", ".join(text for text in texts.values() if text not in limits), ", ".join(limits), _age(obj, now)]


_MOST_METRICS = 2


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    target = spec.get("scaleTargetRef") or {}
    metrics = [_metric(metric, status.get("currentMetrics") or ()) for metric in spec.get("metrics") or ()]
    if "targetCPUUtilizationPercentage" in spec:  # autoscaling/v1
        current = status.get("currentCPUUtilizationPercentage")
        metrics = [f"cpu: {_known(current, '%')}/{spec['targetCPUUtilizationPercentage']}%"]
    shown = ", ".join(metrics[:_MOST_METRICS]) or NONE
    if len(metrics) > _MOST_METRICS:
        shown += f" + {len(metrics) - _MOST_METRICS} more..."
    return [
        _name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        shown,
        str(spec.get("minReplicas", "<unset>")),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        _age(obj, now),
    ]


def _metric(metric: Obj, current: Iterable[Obj]) -> str:
    """What a metric is and should be."""
    kind = metric["type"]
    field = kind[:1].lower() + kind[1:]
    wanted = metric.get(field) or {}
    name = wanted.get("name") or (wanted.get("metric") or {}).get("name", "")
    found = next((entry.get(field) or {} for entry in current if _measures(entry, kind, name)), {}).get("current") or {}
    target = wanted.get("target") or {}
    prefix = f"{name}: " if kind in ("Resource", "ContainerResource") else ""
    if "averageUtilization" in target:
        return f"{prefix}{_known(found.get('averageUtilization'), '%')}/{target['averageUtilization']}%"
    if "averageValue" in target:
        average = "" if kind in ("Resource", "ContainerResource", "Pods") else " (avg)"
        return f"{prefix}{_known(found.get('averageValue'))}/{target['averageValue']}{average}"
    return f"{prefix}{_known(found.get('value'))}/{target.get('value', '<auto>')}"


def _measures(entry: Obj, kind: str, name: str) -> bool:
    measured = entry.get(kind[:1].lower() + kind[1:]) or {}
    return entry.get("type") == kind and name in (measured.get("name"), (measured.get("metric") or {}).get("name"))


def _known(value: Any, unit: str = "") -> str:
    return "<unknown>" if value is None else f"{value}{unit}"


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), _selector(_spec(obj).get("podSelector")), _age(obj, now)]


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    spec = _spec(obj)
    parameters = spec.get("parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    return [_name(obj), spec.get("controller", ""), shown, _age(obj, now)]


_MOST_ENDPOINTS = 3


def _listed(texts: list[str]) -> str:
    """The first three, and how many more there are."""
    more = f" + {len(texts) - _MOST_ENDPOINTS} more..." if len(texts) > _MOST_ENDPOINTS else ""
    return ",".join(texts[:_MOST_ENDPOINTS]) + more


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    found = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in subset.get("addresses") or ()
    ]
    return [_name(obj), _listed(found) or NONE, _age(obj, now)]


def _endpoint_slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        _name(obj),
        obj.get("addressType", ""),
        _listed(ports) or "<unset>",
        _listed(addresses) or "<unset>",
        _age(obj, now),
    ]


def _revision(obj: Obj, now: datetime) -> list[Any]:
    owner = next((ref for ref in obj["metadata"].get("ownerReferences") or () if ref.get("controller")), None)
    group = owner["apiVersion"].partition("/") if owner else ("", "", "")
    kind = f"{owner['kind'].lower()}{'.' + group[0] if group[1] else ''}/{owner['name']}" if owner else NONE
    return [_name(obj), kind, str(obj.get("revision", 0)), _age(obj, now)]


def _runtime_class(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), obj.get("handler", ""), _age(obj, now)]


BUILTIN: dict[tuple[str, str], Callable[[Obj, datetime], list[Any]]] = {
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("", "Secret"): _secret,
    ("", "ConfigMap"): _config_map,
    ("", "Event"): _event,
    ("", "Node"): _node,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("autoscaling", "Scale"): _scale,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("rbac.authorization.k8s.io", "Role"): _stamped,
    ("rbac.authorization.k8s.io", "ClusterRole"): _stamped,
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("coordination.k8s.io", "Lease"): _lease,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("", "ResourceQuota"): _quota,
    ("", "LimitRange"): _stamped,
    ("", "Endpoints"): _endpoints,
    ("", "ReplicationController"): _replica_set,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("apps", "ControllerRevision"): _revision,
    ("node.k8s.io", "RuntimeClass"): _runtime_class,
}
