"""What every Pod is given: an account with its token, a priority, time to leave a node that is gone, a runtime."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.plugins.write import Write

Obj = dict[str, Any]

_MIRROR: Final = "kubernetes.io/config.mirror"
_TOKEN: Final = "kube-api-access-"
_TOKEN_PLACE: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS: Final = 3607
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_NEEDS_SECRETS: Final = "kubernetes.io/enforce-mountable-secrets"
_PATIENCE: Final = 300
_CLASSES: Final = "scheduling.k8s.io/priorityclasses"
_RUNTIMES: Final = "node.k8s.io/runtimeclasses"
SYSTEM_PRIORITIES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Classes that every cluster begins with."""


# Accounts


def give_account(write: Write) -> None:
    """A new Pod runs as an account, and finds its token in each container, unless it does not want to."""
    if not write.is_new or write.subresource:
        return
    spec, metadata = write.obj["spec"], write.obj["metadata"]
    if _MIRROR in (metadata.get("annotations") or ()):
        return
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = write.found("/serviceaccounts", name)
    if account is None:
        if name != "default":
            why = f'serviceaccount "{name}" not found'
            raise write.forbidden(f"error looking up service account {write.namespace}/{name}: {why}")
        # It is on its way, as in every namespace.
        account = {}
    wants = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wants:
        _mount(write, spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": each.get("name", "")} for each in account["imagePullSecrets"]]
    enforced = ((account.get("metadata") or {}).get("annotations") or {}).get(_NEEDS_SECRETS, "")
    if enforced.lower() in ("1", "t", "true"):
        _judge_secrets(write, account, name)


def _mount(write: Write, spec: Obj) -> None:
    volumes = spec.get("volumes") or []
    known = next((volume["name"] for volume in volumes if volume["name"].startswith(_TOKEN)), "")
    name = known or _TOKEN + "".join(write.random.choice(_LETTERS) for _ in range(5))
    needed = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == _TOKEN_PLACE for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": _TOKEN_PLACE}]
                needed = True
    if needed and not known:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_sources()}]


def _token_sources() -> Obj:
    here = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [here]}},
        ],
        "defaultMode": 0o644,
    }


def _judge_secrets(write: Write, account: Obj, name: str) -> None:
    """Of an account that says so, a Pod may use the Secrets alone that the account names."""
    spec = write.obj["spec"]
    allowed = {each.get("name") for each in account.get("secrets") or ()}
    ending = f"is not allowed because service account {name} does not reference that"
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName", "") if "secret" in volume else None
        if secret is not None and secret not in allowed:
            raise write.forbidden(f'volume with secret.secretName="{secret}" {ending} secret')
    for field, shown in (("initContainers", "init container"), ("containers", "container")):
        for container in spec.get(field) or ():
            who = f"{shown} {container['name']} with"
            for entry in container.get("env") or ():
                reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
                if reference is not None and reference.get("name") not in allowed:
                    what = f'envVar {entry["name"]} referencing secret.secretName="{reference.get("name", "")}"'
                    raise write.forbidden(f"{who} {what} {ending} secret")
            for source in container.get("envFrom") or ():
                reference = source.get("secretRef")
                if reference is not None and reference.get("name") not in allowed:
                    what = f'envFrom referencing secret.secretName="{reference.get("name", "")}"'
                    raise write.forbidden(f"{who} {what} {ending} secret")
    pulls = {each.get("name") for each in account.get("imagePullSecrets") or ()}
    for index, each in enumerate(spec.get("imagePullSecrets") or ()):
        if each.get("name") not in pulls:
            raise write.forbidden(f'imagePullSecrets[{index}].name="{each.get("name", "")}" {ending} imagePullSecret')


# Priorities


def give_priority(write: Write) -> None:
    """A Pod has the priority of its class, or of the class that is the default."""
    spec = write.obj["spec"]
    if write.subresource:
        return
    if write.old is not None:
        before = write.old.get("spec") or {}
        for name in ("priority", "preemptionPolicy"):
            if name not in spec and name in before:
                spec[name] = before[name]
        return
    number, policy = 0, "PreemptLowerPriority"
    name = spec.get("priorityClassName")
    if name:
        found = write.found(_CLASSES, name, everywhere=True)
        if found is None and name not in SYSTEM_PRIORITIES:
            raise write.forbidden(f"no PriorityClass with name {name} was found")
        number = found.get("value", 0) if found is not None else SYSTEM_PRIORITIES[name]
        policy = (found or {}).get("preemptionPolicy", policy)
    else:
        chosen = _default_class(write)
        if chosen is not None:
            spec["priorityClassName"] = chosen["metadata"]["name"]
            number, policy = chosen.get("value", 0), chosen.get("preemptionPolicy", policy)
    computed = "priority admission controller computed"
    if spec.get("priority", number) != number:
        why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; {computed} {number}"
        raise write.forbidden(f"{why} from the given PriorityClass name")
    if spec.get("preemptionPolicy", policy) != policy:
        why = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec;"
        raise write.forbidden(f"{why} {computed} {policy} from the given PriorityClass name")
    spec["priority"], spec["preemptionPolicy"] = number, policy


def _default_class(write: Write) -> Obj | None:
    """Of several default classes, the one with the lowest priority."""
    chosen: Obj | None = None
    for stored in write.storage.objects(_CLASSES):
        each = stored.object
        if each.get("globalDefault") and (chosen is None or each.get("value", 0) < chosen.get("value", 0)):
            chosen = each
    return chosen


def judge_priority_class(write: Write) -> None:
    """One class at most is the default."""
    if not write.obj.get("globalDefault"):
        return
    for stored in write.storage.objects(_CLASSES):
        if stored.object.get("globalDefault") and stored.name != write.name:
            why = f"PriorityClass {stored.name} is already marked as default. Only one default can exist"
            raise write.forbidden(why)


# Tolerations


def give_tolerations(write: Write) -> None:
    """A Pod stays for a while on a node that does not answer, unless it says otherwise."""
    if write.subresource:
        return
    spec = write.obj["spec"]
    tolerations = spec.get("tolerations") or []
    for taint in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(each, taint) for each in tolerations):
            more = {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _PATIENCE}
            tolerations = [*tolerations, more]
    spec["tolerations"] = tolerations


def _tolerates(toleration: Obj, taint: str) -> bool:
    return toleration.get("key", "") in (taint, "") and toleration.get("effect", "") in ("NoExecute", "")


# Runtimes


def give_runtime(write: Write) -> None:
    """What a runtime costs, and where it can run, is added to the Pods that want it."""
    name = write.obj["spec"].get("runtimeClassName")
    if not write.is_new or write.subresource or not name:
        return
    found = _runtime(write, name)
    overhead = (found.get("overhead") or {}).get("podFixed")
    spec = write.obj["spec"]
    if overhead:
        if spec.get("overhead", overhead) != overhead:
            why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            raise write.forbidden(why)
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        selector = spec.setdefault("nodeSelector", {})
        if selector.get(key, value) != value:
            why = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
            raise write.forbidden(f"{why}{selector[key]}")
        selector[key] = value
    more = [each for each in scheduling.get("tolerations") or () if each not in (spec.get("tolerations") or ())]
    if more:
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *more]


def judge_runtime(write: Write) -> None:
    """What a Pod says that its runtime costs must be what the runtime says."""
    spec = write.obj["spec"]
    if write.is_new and not write.subresource and spec.get("overhead"):
        name = spec.get("runtimeClassName")
        defined = ((_runtime(write, name).get("overhead") or {}).get("podFixed")) if name else None
        if not defined:
            raise write.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _runtime(write: Write, name: str) -> Obj:
    found = write.found(_RUNTIMES, name, everywhere=True)
    if found is None:
        raise write.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found
