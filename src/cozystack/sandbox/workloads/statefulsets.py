"""StatefulSets: Pods by ordinal, each after the one before is available, and the claims that outlive them."""

from __future__ import annotations

import copy
from datetime import datetime

from cozystack.sandbox.workloads.actions import (
    Action,
    Create,
    Note,
    Obj,
    available,
    changed_metadata,
    delete,
    has_ended,
    is_deleting,
    is_ready,
    owner,
    pod_from,
    status_action,
)
from cozystack.sandbox.workloads.claiming import claimed
from cozystack.sandbox.workloads.revisions import kept_revisions, revision_name, template_of

REVISION_LABEL = "controller-revision-hash"
_COMPONENT = "statefulset-controller"
_ALWAYS = ("replicas", "availableReplicas", "collisionCount")


def reconcile_stateful_set(
    stateful_set: Obj, pods: list[Obj], claims: list[Obj], revisions: list[Obj], now: datetime
) -> list[Action]:
    """Actions for a StatefulSet, given the Pods and the claims of its namespace, and its own revisions.

    Pods below the partition of a rolling update are made of the template of the last revision that was complete.
    """
    if is_deleting(stateful_set):
        return []
    meta, spec = stateful_set["metadata"], stateful_set["spec"]
    revision = revision_name(stateful_set)
    current = stateful_set.get("status", {}).get("currentRevision") or revision
    found, actions = claimed(stateful_set, pods)
    every = [pod for pod in found if pod["metadata"]["name"].rpartition("-")[2].isdecimal()]
    first, replicas = (spec.get("ordinals") or {}).get("start", 0), spec.get("replicas", 1)
    wanted = [f"{meta['name']}-{ordinal}" for ordinal in range(first, first + replicas)]
    known = {claim["metadata"]["name"]: claim for claim in claims}
    moment = _Moment(stateful_set, {pod["metadata"]["name"]: pod for pod in every}, wanted, known, now)
    actions += moment.made_and_removed(revision, current, template_of(revisions, current))
    live = [pod for pod in every if not is_deleting(pod)]
    steady, again = available(every, spec.get("minReadySeconds", 0), now)
    ready, updated = sum(map(is_ready, every)), sum(_revision(pod) == revision for pod in live)
    rolling = (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    shown = revision if rolling and updated == ready == len(every) == replicas else current
    used = {revision, shown, *map(_revision, live)}
    status = {
        "observedGeneration": meta.get("generation", 1),
        "replicas": len(every),
        "readyReplicas": ready,
        "availableReplicas": steady,
        "currentReplicas": sum(_revision(pod) == shown for pod in live),
        "updatedReplicas": updated,
        "currentRevision": shown,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    return [
        *kept_revisions(stateful_set, revisions, used),
        *actions,
        *status_action(stateful_set, status, always=_ALWAYS),
        *again,
    ]


class _Moment:
    """A StatefulSet with its Pods and claims by name at one moment."""

    def __init__(self, stateful_set: Obj, pods: dict[str, Obj], wanted: list[str], claims: dict[str, Obj], now: datetime):
        self._set = stateful_set
        self._spec: Obj = stateful_set["spec"]
        self._pods = pods
        self._wanted = wanted
        self._claims = claims
        self._now = now
        self._rolling: Obj = (self._spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        first = (self._spec.get("ordinals") or {}).get("start", 0)
        self._partition = first + self._rolling.get("partition", 0)
        self._parallel = self._spec.get("podManagementPolicy") == "Parallel"

    def made_and_removed(self, revision: str, current: str, old_template: Obj | None) -> list[Action]:
        """Pods and claims that are to come and to go now: what is missing, then what is too many, then what is outdated."""
        actions: list[Action] = []
        waits = False
        for name in self._wanted:
            pod = self._pods.get(name)
            if pod is not None and not has_ended(pod):
                actions += self._claims_owned(name, None)
            elif pod is not None and not is_deleting(pod):
                actions += self._deleted(pod)
            elif pod is None:
                old = _ordinal(name) < self._partition and old_template is not None and current != revision
                template = old_template if old and old_template is not None else self._spec["template"]
                actions += self._made(name, template, current if old else revision)
            if not self._parallel and not self._is_available(pod):
                waits = True
                break
        if waits:
            return actions
        surplus = sorted((pod for name, pod in self._pods.items() if name not in self._wanted), key=_place, reverse=True)
        actions += self._given_up(surplus)
        strategy = (self._spec.get("updateStrategy") or {}).get("type", "RollingUpdate")
        if strategy == "RollingUpdate" and (self._parallel or not surplus):
            actions += self._updated(revision)
        return actions

    def _made(self, name: str, template: Obj, revision: str) -> list[Action]:
        claims = [
            self._claim_made(claim, claim_name, name)
            for claim in self._spec.get("volumeClaimTemplates", ())
            if (claim_name := f"{claim['metadata']['name']}-{name}") not in self._claims
        ]
        pod = _stateful_pod(self._set, template, name, revision)
        return [*claims, self._created(pod, f"Pod {name}", "successful")]

    def _created(self, item: Obj, what: str, how: str) -> Create:
        text = f"{what} in StatefulSet {self._set['metadata']['name']}"
        told = Note(self._set, _COMPONENT, "SuccessfulCreate", f"Create {text} {how}")
        return Create(item, told, Note(self._set, _COMPONENT, "FailedCreate", f"Create {text} failed error: ", warning=True))

    def _claim_made(self, template: Obj, claim_name: str, pod: str) -> Create:
        claim = _claim(self._set, template, claim_name)
        if self._policy("whenDeleted") == "Delete":
            claim["metadata"]["ownerReferences"] = [owner(self._set)]
        return self._created(claim, f"Claim {claim_name} Pod {pod}", "success")

    def _given_up(self, surplus: list[Obj]) -> list[Action]:
        """Pods beyond the number that is wanted, from the last on; their claims first learn whom they go with."""
        actions: list[Action] = []
        unhealthy = [pod for pod in surplus if not is_ready(pod)]
        for pod in surplus:
            if is_deleting(pod):
                if self._parallel:
                    continue
                break
            moved = self._claims_owned(pod["metadata"]["name"], pod)
            if moved or self._parallel or pod not in unhealthy[:-1]:
                actions += moved or self._deleted(pod)
            if not self._parallel:
                break
        return actions

    def _updated(self, revision: str) -> list[Action]:
        """Pods of an old template that go now, from the last on, so that no more than may be unavailable are."""
        pods = [self._pods.get(name) for name in reversed(self._wanted)]
        away = [pod for pod in pods if not self._is_available(pod)]
        budget = _share(self._rolling.get("maxUnavailable", 1), len(self._wanted)) - len(away)
        outdated = [
            pod
            for pod in pods
            if pod is not None and _place(pod) >= self._partition and _revision(pod) != revision and not is_deleting(pod)
        ]
        gone: list[Obj] = []
        if self._parallel:
            gone = [pod for pod in outdated if pod in away and not has_ended(pod)]
            outdated = [pod for pod in outdated if pod not in away]
        gone += outdated[: max(0, budget)]
        return [action for pod in gone for action in self._deleted(pod)]

    def _is_available(self, pod: Obj | None) -> bool:
        if pod is None or is_deleting(pod):
            return False
        return available([pod], self._spec.get("minReadySeconds", 0), self._now)[0] == 1

    def _deleted(self, pod: Obj) -> list[Action]:
        text = f"Delete Pod {pod['metadata']['name']} in StatefulSet {self._set['metadata']['name']} successful"
        return [delete(pod, Note(self._set, _COMPONENT, "SuccessfulDelete", text))]

    def _policy(self, when: str) -> str:
        return str((self._spec.get("persistentVolumeClaimRetentionPolicy") or {}).get(when, "Retain"))

    def _claims_owned(self, pod_name: str, condemned: Obj | None) -> list[Action]:
        """The claims of a Pod go with the set, with the Pod when that is ``condemned``, or with nobody, as the policy says."""
        wanted = None
        if condemned is not None and self._policy("whenScaled") == "Delete":
            wanted = owner(condemned)
        elif self._policy("whenDeleted") == "Delete":
            wanted = owner(self._set)
        actions: list[Action] = []
        for template in self._spec.get("volumeClaimTemplates", ()):
            claim = self._claims.get(f"{template['metadata']['name']}-{pod_name}")
            if claim is None or is_deleting(claim):
                continue
            live = claim["metadata"].get("ownerReferences", [])
            uids = {self._set["metadata"]["uid"]}
            others = [each for each in live if each["uid"] not in uids and (each["kind"], each["name"]) != ("Pod", pod_name)]
            owners = [*others, wanted] if wanted is not None else others
            if owners != live:
                actions.append(changed_metadata(claim, ownerReferences=owners or None))
        return actions


def _stateful_pod(stateful_set: Obj, template: Obj, name: str, revision: str) -> Obj:
    spec, prefix = stateful_set["spec"], f"{stateful_set['metadata']['name']}-"
    names = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())]
    volumes = [v for v in template.get("spec", {}).get("volumes", ()) if v["name"] not in names]
    volumes += [{"name": each, "persistentVolumeClaim": {"claimName": f"{each}-{name}"}} for each in names]
    extra = {"volumes": volumes} if volumes else {}
    if spec.get("serviceName"):
        extra["subdomain"] = spec["serviceName"]
    labels = {
        "apps.kubernetes.io/pod-index": str(_ordinal(name)),
        "statefulset.kubernetes.io/pod-name": name,
        REVISION_LABEL: revision,
    }
    return pod_from(template, stateful_set, name=name, prefix=prefix, labels=labels, hostname=name, **extra)


def _claim(stateful_set: Obj, template: Obj, name: str) -> Obj:
    claim = copy.deepcopy(template)
    labels = {**stateful_set["spec"]["selector"].get("matchLabels", {}), **claim["metadata"].get("labels", {})}
    metadata: Obj = {"name": name, "namespace": stateful_set["metadata"]["namespace"], "labels": labels}
    if claim["metadata"].get("annotations"):
        metadata["annotations"] = claim["metadata"]["annotations"]
    claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    claim.pop("status", None)
    return claim


def _revision(pod: Obj) -> str:
    return str(pod["metadata"].get("labels", {}).get(REVISION_LABEL, ""))


def _place(pod: Obj) -> int:
    return _ordinal(pod["metadata"]["name"])


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])


def _share(amount: int | str, of: int) -> int:
    if isinstance(amount, int):
        return amount
    return max(1, of * int(amount.removesuffix("%") or 0) // 100)
