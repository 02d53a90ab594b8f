"""What is wrong with the objects of a release: workloads that do not come up, the Pod at fault, what its last Event says.

The worst Pod speaks for its workload: one that cannot start before one that starts again and again, before one that is not
ready, before one that waits for a node. A workload without Pods speaks by its own Events (a quota, a policy).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cozystack.planner.diagnosis.evidence import WORKLOADS, Evidence, Obj, condition, name_of, namespace_of, ref
from cozystack.planner.diagnosis.messages import read


class Fault(NamedTuple):
    """``links`` lead from the workload to the object at fault, each with what it says; ``rank`` 0 is the worst."""

    cause: str
    links: tuple[tuple[str, str], ...]
    unblock: str
    commands: tuple[str, ...] = ()
    rank: int = 5


_WAITING = {
    "ImagePullBackOff": "image",
    "ErrImagePull": "image",
    "InvalidImageName": "image",
    "ErrImageNeverPull": "image",
    "RegistryUnavailable": "image",
    "CreateContainerConfigError": "config",
    "CreateContainerError": "container",
    "RunContainerError": "container",
    "CrashLoopBackOff": "crash",
}
_MANY_RESTARTS = 3


def faults(evidence: Evidence, objects: Iterable[Obj]) -> list[Fault]:
    """What is wrong with the objects of one release, the worst first."""
    found: list[Fault] = []
    for obj in objects:
        kind = obj.get("kind")
        if kind in WORKLOADS:
            found += _workload(evidence, obj)
        elif kind == "Pod":
            found += _pod(evidence, obj, ())
        elif kind == "PersistentVolumeClaim":
            found += _claim(evidence, obj, ())
        elif kind == "Service":
            found += _service(evidence, obj)
    return sorted(found, key=lambda fault: (fault.rank, fault.links))


def _workload(evidence: Evidence, obj: Obj) -> Iterator[Fault]:
    says = _unready(obj)
    if not says:
        return
    above = ((ref(obj), says),)
    below = [fault for pod in evidence.pods(obj) for fault in _pod(evidence, pod, above)]
    if below:
        # Its Pods are equal: one of them is enough.
        yield min(below, key=lambda fault: (fault.rank, fault.links))
        return
    for child in (obj, *evidence.owned(obj)):
        for event in evidence.events(child):
            if event.get("reason") in ("FailedCreate", "ReplicaSetCreateError", "FailedUpdate"):
                message = str(event.get("message", ""))
                reading = read(message)
                link = (ref(child), message)
                if 'serviceaccount "' in message and "not found" in message:
                    account = message.partition('serviceaccount "')[2].partition('"')[0]
                    advice = f"create ServiceAccount {namespace_of(obj)}/{account}"
                    yield Fault("missing-service-account", (*above, link), advice, rank=0)
                else:
                    yield Fault(
                        reading.cause if reading else "pods-not-created",
                        (*above, link) if child is not obj else ((ref(obj), message),),
                        reading.advice if reading else f"see the events of {ref(child)}",
                        rank=0,
                    )
                return
    if obj.get("kind") == "Job":
        failed = condition(obj, "Failed")
        if failed.get("status") == "True":
            reason = failed.get("reason", "")
            cause = "job-deadline" if reason == "DeadlineExceeded" else "job-failed"
            advice = (
                "give the Job more time, or find out what it waits for"
                if cause == "job-deadline"
                else "correct what the Job does; its Pods are gone"
            )
            yield Fault(cause, ((ref(obj), _one_line(f"{reason}: {failed.get('message', '')}")),), advice, _logs(obj), rank=1)
            return
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        yield Fault(
            "no-progress", ((ref(obj), str(progressing.get("message", says))),), f"see kubectl describe {_kubectl(obj)}", rank=4
        )
        return
    yield Fault("not-ready", above, f"wait for {ref(obj)}", rank=6)


def _unready(obj: Obj) -> str:
    """How a workload says that it is not up; empty when it is."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kind = obj.get("kind")
    if kind == "Job":
        if condition(obj, "Complete").get("status") == "True":
            return ""
        failed = condition(obj, "Failed")
        if failed.get("status") == "True":
            return f"the Job has failed ({failed.get('reason', '')})"
        return "the Job is not complete"
    if kind == "DaemonSet":
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    else:
        wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0) or 0
    if kind == "ReplicaSet" and not wanted:
        return ""
    updated = status.get("updatedReplicas", status.get("updatedNumberScheduled", ready)) or 0
    if ready < wanted:
        return f"{ready} of {wanted} Pods are ready"
    return f"{updated} of {wanted} Pods are up to date" if kind != "ReplicaSet" and updated < wanted else ""


def _pod(evidence: Evidence, pod: Obj, above: tuple[tuple[str, str], ...]) -> Iterator[Fault]:
    status = pod.get("status") or {}
    phase = status.get("phase")
    meta = pod.get("metadata") or {}
    if phase == "Succeeded" or (phase == "Running" and condition(pod, "Ready").get("status") == "True"):
        return
    if meta.get("deletionTimestamp"):
        finalizers = ", ".join(meta.get("finalizers") or ())
        says = f"it is being deleted{' and held by ' + finalizers if finalizers else ''}"
        yield Fault("pod-terminating", (*above, (ref(pod), says)), f"wait until {ref(pod)} is gone", rank=4)
        return
    if status.get("reason") in ("Evicted", "NodeLost", "NodeAffinity", "OutOfcpu", "OutOfmemory", "Preempting"):
        says = _one_line(f"{status['reason']}: {status.get('message', '')}")
        yield Fault(
            "evicted", (*above, (ref(pod), says)), "free resources on the node, or give the Pod requests that fit", rank=2
        )
        return
    for container, init in _containers(status):
        fault = _container(evidence, pod, container, init, above)
        if fault is not None:
            yield fault
            return
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield _unscheduled(evidence, pod, str(scheduled.get("message", "")), above)
        return
    for event in evidence.events(pod):
        fault = _event(pod, event, above)
        if fault is not None:
            yield fault
            return
    if phase == "Failed":
        yield Fault(
            "pod-failed",
            (*above, (ref(pod), str(status.get("message") or "it has failed"))),
            "see its logs",
            _logs(pod),
            rank=1,
        )
        return
    gates = [str(gate.get("conditionType")) for gate in (pod.get("spec") or {}).get("readinessGates") or ()]
    closed = [gate for gate in gates if condition(pod, gate).get("status") != "True"]
    if closed:
        named = ", ".join(closed)
        yield Fault("readiness-gate", (*above, (ref(pod), f"it waits for {named}")), f"see who sets {named}", rank=4)
        return
    yield Fault("starting", (*above, (ref(pod), "it is starting")), f"wait for {ref(pod)}", rank=6)


def _containers(status: Obj) -> Iterator[tuple[Obj, bool]]:
    for container in status.get("initContainerStatuses") or ():
        yield container, True
    for container in status.get("containerStatuses") or ():
        yield container, False


def _container(evidence: Evidence, pod: Obj, container: Obj, init: bool, above: tuple[tuple[str, str], ...]) -> Fault | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    name = str(container.get("name", ""))
    what = f"{'init container' if init else 'container'} {name}"
    trouble = _WAITING.get(reason)
    if trouble == "image":
        return _image(evidence, pod, container, what, reason, str(waiting.get("message", "")), above)
    if trouble == "config":
        message = str(waiting.get("message", ""))
        link = (ref(pod), _one_line(f"{what}: {message}"))
        missing = _missing(message)
        advice = (
            f"create {missing[0]} {namespace_of(pod)}/{missing[1]}"
            if missing
            else "create what it takes its configuration from"
        )
        return Fault("missing-configuration", (*above, link), advice, rank=0)
    if trouble == "container":
        link = (ref(pod), _one_line(f"{what} cannot be started: {waiting.get('message', '')}"))
        return Fault("container-cannot-start", (*above, link), "correct its command, or what is mounted into it", rank=0)
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    restarts = int(container.get("restartCount", 0))
    crashed = trouble == "crash" or (
        ended and ended.get("exitCode", 0) != 0 and (restarts >= _MANY_RESTARTS or "terminated" in state)
    )
    if not crashed:
        return None
    commands = (f"kubectl -n {namespace_of(pod)} logs {name_of(pod)} -c {name} --previous",)
    if ended.get("reason") == "OOMKilled":
        link = (ref(pod), f"{what} was killed for its memory, {restarts} times")
        return Fault("out-of-memory", (*above, link), f"raise the memory limit of container {name}", commands, rank=1)
    code = ended.get("exitCode")
    says = f"{what} ended with exit code {code}" if code is not None else f"{what} ends again and again"
    says += f", {restarts} times" if restarts else ""
    if ended.get("message"):
        says += f": {ended['message']}"
    liveness = next((each for each in evidence.events(pod) if "Liveness probe failed" in str(each.get("message", ""))), None)
    if liveness is not None and code in (None, 137, 143):
        link = (ref(pod), _one_line(str(liveness.get("message"))))
        advice = f"make container {name} answer its liveness probe, or give it more time"
        return Fault("liveness-probe", (*above, link), advice, commands, rank=1)
    return Fault(
        "crash-loop", (*above, (ref(pod), _one_line(says))), f"see the last words of container {name}", commands, rank=1
    )


def _image(
    evidence: Evidence, pod: Obj, container: Obj, what: str, reason: str, message: str, above: tuple[tuple[str, str], ...]
) -> Fault:
    image = str(container.get("image", ""))
    told = [str(event.get("message", "")) for event in evidence.events(pod) if "pull" in str(event.get("message", "")).lower()]
    words = next((text for text in (message, *told) if read(text) is not None), message or (told[0] if told else reason))
    link = (ref(pod), _one_line(f"{what}: {words}"))
    reading = read(words)
    lower = words.lower()
    if reason == "InvalidImageName" or "invalid reference format" in lower:
        return Fault("invalid-image-name", (*above, link), f'correct the image "{image}"', rank=0)
    if "toomanyrequests" in lower or "rate limit" in lower:
        return Fault("registry-rate-limit", (*above, link), "log in to the registry, or mirror the image", rank=0)
    if "no match for platform" in lower or "no matching manifest" in lower:
        return Fault("image-for-other-platform", (*above, link), f"take an image for this machine instead of {image}", rank=0)
    if reading is not None and reading.cause == "registry-login":
        return Fault("image-login", (*above, link), f"give the Pod an imagePullSecret for {image}", rank=0)
    if (reading is not None and reading.cause == "artifact-not-found") or "not found" in lower:
        return Fault("image-not-found", (*above, link), f"correct the image {image}, or push it", rank=0)
    if reading is not None:
        return Fault("image-" + reading.cause, (*above, link), f"make the registry of {image} reachable from the nodes", rank=0)
    return Fault("image-cannot-be-pulled", (*above, link), f"see why {image} cannot be pulled", rank=0)


def _unscheduled(evidence: Evidence, pod: Obj, message: str, above: tuple[tuple[str, str], ...]) -> Fault:
    link = (ref(pod), _one_line(message or "no node takes it"))
    lower = message.lower()
    if "unbound immediate persistentvolumeclaims" in lower or "persistentvolumeclaim" in lower:
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not name:
                continue
            claim = evidence.find("PersistentVolumeClaim", namespace_of(pod), str(name))
            if claim is None:
                return Fault(
                    "missing-claim", (*above, link), f"create PersistentVolumeClaim {namespace_of(pod)}/{name}", rank=1
                )
            for fault in _claim(evidence, claim, (*above, link)):
                return fault
        return Fault("unbound-claim", (*above, link), "see the PersistentVolumeClaims of the Pod", rank=1)
    if "insufficient" in lower:
        what = ", ".join(sorted({word.rstrip(".,") for word in lower.split("insufficient ")[1:] for word in word.split()[:1]}))
        return Fault("no-room", (*above, link), f"add a node, or lower the requests ({what})", rank=2)
    if "taint" in lower:
        return Fault("taints", (*above, link), "take the taint away, or give the Pod a toleration", rank=2)
    if "node affinity" in lower or "node selector" in lower or "topology spread" in lower:
        return Fault("no-matching-node", (*above, link), "label a node as the Pod asks for, or change its affinity", rank=2)
    if "no nodes available" in lower or "0/0 nodes" in lower:
        return Fault("no-nodes", (*above, link), "add a node to the cluster", rank=2)
    if "free ports" in lower:
        return Fault("port-in-use", (*above, link), "free the host port, or add a node", rank=2)
    return Fault("unschedulable", (*above, link), "see what the scheduler says", rank=2)


def _event(pod: Obj, event: Obj, above: tuple[tuple[str, str], ...]) -> Fault | None:
    reason, message = str(event.get("reason", "")), str(event.get("message", ""))
    link = (ref(pod), _one_line(message))
    match reason:
        case "FailedMount" | "FailedAttachVolume":
            missing = _missing(message)
            if missing:
                return Fault(
                    "missing-configuration", (*above, link), f"create {missing[0]} {namespace_of(pod)}/{missing[1]}", rank=1
                )
            return Fault("volume-not-mounted", (*above, link), "see the driver of the volume", rank=1)
        case "FailedCreatePodSandBox" | "NetworkNotReady":
            return Fault("no-network", (*above, link), "see the network plugin of the node", rank=1)
        case "Unhealthy":
            probe = "startup" if "Startup" in message else "readiness"
            return Fault(f"{probe}-probe", (*above, link), f"make the Pod answer its {probe} probe", _logs(pod), rank=3)
        case "FailedPostStartHook" | "FailedPreStopHook":
            return Fault("lifecycle-hook", (*above, link), "correct the hook of the container", rank=2)
    return None


def _claim(evidence: Evidence, claim: Obj, above: tuple[tuple[str, str], ...]) -> Iterator[Fault]:
    status, spec = claim.get("status") or {}, claim.get("spec") or {}
    if status.get("phase") == "Bound":
        return
    if status.get("phase") == "Lost":
        link = (ref(claim), "its volume is gone")
        yield Fault("lost-volume", (*above, link), "restore the PersistentVolume, or the data from a backup", rank=0)
        return
    events = evidence.events(claim)
    says = _one_line(str(events[0].get("message", ""))) if events else "it is not bound"
    link = (ref(claim), says)
    name = spec.get("storageClassName")
    if name and "storageclass" in says.lower() and "not found" in says.lower():
        yield Fault("missing-storage-class", (*above, link), f"create StorageClass {name}, or name another", rank=1)
    elif not name and ("no persistent volumes available" in says.lower() or not events):
        advice = "mark a StorageClass as the default one, or name one in the claim"
        yield Fault("no-storage-class", (*above, link), advice, rank=1)
    elif any(event.get("reason") == "ProvisioningFailed" for event in events):
        yield Fault("provisioning-failed", (*above, link), f"see the provisioner of StorageClass {name}", rank=1)
    elif any(event.get("reason") == "ExternalProvisioning" for event in events) or "waiting for a volume to be created" in says:
        yield Fault("no-provisioner", (*above, link), f"install the driver of StorageClass {name}", rank=1)
    elif "first consumer" not in says:
        yield Fault("unbound-claim", (*above, link), "see why no volume is bound", rank=4)


def _service(evidence: Evidence, service: Obj) -> Iterator[Fault]:
    spec = service.get("spec") or {}
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not ingress:
        events = evidence.events(service)
        says = _one_line(str(events[0].get("message", ""))) if events else "it has no address"
        advice = "give the load balancer (MetalLB, a cloud) addresses to hand out"
        yield Fault("no-load-balancer-address", ((ref(service), says),), advice, rank=3)


def _missing(message: str) -> tuple[str, str] | None:
    """The ConfigMap or Secret that a message says is not there."""
    for kind in ("configmap", "secret"):
        start = message.lower().find(f'{kind} "')
        if start >= 0 and "not found" in message:
            name = message[start + len(kind) + 2 :].partition('"')[0]
            return ("ConfigMap" if kind == "configmap" else "Secret"), name
    return None


def _logs(obj: Obj) -> tuple[str, ...]:
    return (f"kubectl -n {namespace_of(obj)} logs {_kubectl(obj)}",)


def _kubectl(obj: Obj) -> str:
    kind = str(obj.get("kind", "")).lower()
    return f"{kind}/{name_of(obj)}"


def _one_line(text: str) -> str:
    line = " ".join(text.split()).strip(": ")
    return line if len(line) <= 400 else line[:397] + "..."


__all__ = ["Fault", "faults"]
