"""What StatefulSets and DaemonSets remember of their templates: ControllerRevisions, which ``kubectl rollout`` reads."""

from __future__ import annotations

from typing import Any

from cozystack.sandbox.workloads.actions import Action, Create, Obj, Patch, delete, owned_by, owner, short_hash

_LABEL = {"StatefulSet": "controller.kubernetes.io/hash", "DaemonSet": "controller-revision-hash"}


def revision_name(workload: Obj) -> str:
    """The name of the revision of the present template."""
    return f"{workload['metadata']['name']}-{short_hash(workload['spec']['template'])}"


def kept_revisions(workload: Obj, revisions: list[Obj], used: set[str]) -> list[Action]:
    """Make or raise the revision of the present template, and forget old ones that nobody in ``used`` names."""
    name, mine = revision_name(workload), owned_by(workload, revisions)
    current = next((item for item in mine if item["metadata"]["name"] == name), None)
    highest = max((item["revision"] for item in mine if item is not current), default=0)
    actions: list[Action] = []
    if current is None:
        actions.append(Create(_revision(workload, name, highest + 1)))
    elif current["revision"] <= highest:
        place = current["metadata"]
        actions.append(Patch("ControllerRevision", place["namespace"], name, {"revision": highest + 1}))
    idle = [item for item in mine if item is not current and item["metadata"]["name"] not in used]
    keep = workload["spec"].get("revisionHistoryLimit", 10)
    oldest_first = sorted(idle, key=lambda item: int(item["revision"]))
    return actions + [delete(item) for item in oldest_first[: max(0, len(idle) - keep)]]


def template_of(revisions: list[Obj], name: str) -> dict[str, Any] | None:
    """The template that a revision remembers."""
    for item in revisions:
        if item["metadata"]["name"] == name:
            return {key: value for key, value in item["data"]["spec"]["template"].items() if key != "$patch"}
    return None


def _revision(workload: Obj, name: str, number: int) -> Obj:
    meta, spec = workload["metadata"], workload["spec"]
    labels = spec["template"].get("metadata", {}).get("labels", {})
    metadata: Obj = {
        "name": name,
        "namespace": meta["namespace"],
        "labels": {**labels, _LABEL[workload["kind"]]: name.rpartition("-")[2]},
        "ownerReferences": [owner(workload)],
    }
    if meta.get("annotations"):
        # The cause of a change is read there.
        metadata["annotations"] = dict(meta["annotations"])
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": number,
        "data": {"spec": {"template": {**spec["template"], "$patch": "replace"}}},
    }
