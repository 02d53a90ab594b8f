"""The roles and bindings that every cluster begins with, as ``policy.yaml`` has them.

``bootstrap`` makes what is missing. What is there keeps what somebody has added to it, and gets back what somebody has taken
away, unless its annotation says that it shall be left alone.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from cozystack.api import yaml
from cozystack.apiserver.objects import Objects, WriteOptions
from cozystack.apiserver.rbac.aggregation import Aggregation
from cozystack.apiserver.rbac.authorizer import GROUP, compiled
from cozystack.apiserver.rbac.rules import missing

Obj = dict[str, Any]

AUTO_UPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
_MANAGER: Final = "kube-apiserver"
_LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_JOINS: Final = "rbac.authorization.k8s.io/aggregate-to-"
_CONTROLLER: Final = "system:controller:"


class Built(NamedTuple):
    """An object of the beginning."""

    plural: str
    namespace: str
    object: Obj


def bootstrap(objects: Objects) -> None:
    """Make what every cluster begins with, or bring it back."""
    for built in policy():
        info = objects.resource(GROUP, "v1", built.plural)
        name = built.object["metadata"]["name"]
        stored = objects.find(info, built.namespace, name)
        if stored is None:
            objects.create(info, built.namespace, built.object, WriteOptions(manager=_MANAGER))
            continue
        patch = _repair(stored.object, built.object)
        if patch:
            objects.patch(info, built.namespace, name, "merge", patch, WriteOptions(manager=_MANAGER))
    aggregation = Aggregation(objects)
    aggregation.settle()
    aggregation.close()


@functools.cache
def policy() -> tuple[Built, ...]:
    """All of it, roles before bindings. Nobody changes the objects."""
    text = importlib.resources.files(__package__).joinpath("policy.yaml").read_bytes()
    document: Any = yaml.load(text)
    return tuple(_built(document))


def _built(document: Obj) -> Iterator[Built]:
    bindings = []
    for name, said in document["clusterRoles"].items():
        role: Obj = {"metadata": _metadata(name, said.get("joins", ()))}
        if "gathers" in said:
            role["aggregationRule"] = {
                "clusterRoleSelectors": [{"matchLabels": {_JOINS + to: "true"}} for to in said["gathers"]]
            }
        else:
            role["rules"] = [_rule(line) for line in said["rules"]]
        yield Built("clusterroles", "", role)
        if "to" in said:
            bindings.append(_binding("ClusterRole", name, name, said["to"], ""))
    for controller, lines in document["controllers"].items():
        name = _CONTROLLER + controller
        yield Built("clusterroles", "", {"metadata": _metadata(name), "rules": [_rule(line) for line in lines]})
        bindings.append(_binding("ClusterRole", name, name, [f"account kube-system:{controller}"], ""))
    for namespace, roles in document["roles"].items():
        for name, said in roles.items():
            yield Built("roles", namespace, {"metadata": _metadata(name), "rules": [_rule(line) for line in said["rules"]]})
            bindings.append(_binding("Role", name, said.get("binding", name), said["to"], namespace))
    yield from bindings


def _metadata(name: str, joins: Iterable[str] = ()) -> Obj:
    labels = {**_LABELS, **{_JOINS + to: "true" for to in joins}}
    return {"name": name, "labels": labels, "annotations": {AUTO_UPDATE: "true"}}


def _rule(line: str) -> Obj:
    """A ``PolicyRule`` from a line of the file."""
    parts = [part.split(",") for part in line.split()]
    if len(parts) == 2:
        return {"nonResourceURLs": parts[1], "verbs": parts[0]}
    rule: Obj = {"apiGroups": ["" if group == "core" else group for group in parts[1]], "resources": parts[2]}
    if len(parts) == 4:
        rule["resourceNames"] = parts[3]
    return {**rule, "verbs": parts[0]}


def _binding(kind: str, role: str, name: str, to: Sequence[str], namespace: str) -> Built:
    binding: Obj = {"metadata": _metadata(name), "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}}
    if to:
        binding["subjects"] = [_subject(text) for text in to]
    return Built("rolebindings" if namespace else "clusterrolebindings", namespace, binding)


def _subject(text: str) -> Obj:
    kind, name = text.split(" ")
    if kind == "account":
        namespace, _, name = name.partition(":")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind.capitalize(), "name": name}


def _repair(there: Obj, built: Obj) -> Obj:
    """What has to be added to an object that is there; nothing when it has it all, or wants none of it."""
    metadata = there["metadata"]
    if (metadata.get("annotations") or {}).get(AUTO_UPDATE) != "true":
        return {}
    patch: Obj = {}
    lacking = {
        key: value for key, value in built["metadata"]["labels"].items() if (metadata.get("labels") or {}).get(key) != value
    }
    if lacking:
        patch["metadata"] = {"labels": lacking}
    if "rules" in built:
        rules = there.get("rules") or []
        taken = [rule for rule in built["rules"] if missing(compiled(rules), compiled([rule]))]
        if taken:
            patch["rules"] = [*rules, *taken]
    if "subjects" in built:
        subjects = there.get("subjects") or []
        known = [_key(subject) for subject in subjects]
        away = [subject for subject in built["subjects"] if _key(subject) not in known]
        if away:
            patch["subjects"] = [*subjects, *away]
    if "aggregationRule" in built and not there.get("aggregationRule"):
        patch["aggregationRule"] = built["aggregationRule"]
    return patch


def _key(subject: Obj) -> tuple[str, str, str]:
    return (subject["kind"], subject.get("namespace", ""), subject["name"])
