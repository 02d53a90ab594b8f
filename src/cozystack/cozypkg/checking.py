"""Files with Packages and PackageSources, looked at for faults: each with its rule, file, line and column.

Reading does not stop at the first fault: what can be read is judged, what cannot is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml as _yaml

from cozystack.api import yaml
from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.api.crds import crds
from cozystack.apiserver.schema import Schema, from_crd, unknown_fields, validate
from cozystack.cozypkg.world import World
from cozystack.planner.linting import RULES, Finding, lint
from cozystack.planner.problems import Ref

_KINDS: dict[str, Any] = {"Package": Package, "PackageSource": PackageSource}
_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")


@dataclass(slots=True)
class Read:
    """What was read, where each object stands, and what could not be."""

    world: World
    findings: list[Finding] = field(default_factory=list)
    nodes: dict[Ref, tuple[str, Any]] = field(default_factory=dict)
    """The file of each object and its YAML node."""

    def place(self, finding: Finding) -> Finding:
        """The finding with file, line and column, as near as they are known."""
        if finding.line or finding.subject not in self.nodes:
            return finding
        file, node = self.nodes[finding.subject]
        found = locate(node, finding.field)
        return msgspec.structs.replace(finding, file=file, line=found.start_mark.line + 1, column=found.start_mark.column + 1)


def read(texts: Iterable[tuple[str, bytes]], *, templates: bool = False) -> Read:
    """The objects of files (name, content). ``templates``: a file with ``{{`` is Helm's, and passed over."""
    result = Read(World("files", live=False))
    for file, content in texts:
        if templates and b"{{" in content:
            continue
        try:
            documents = yaml.load_all(content, source=file)
            nodes = list(filter(None, _yaml.compose_all(content, Loader=_yaml.CSafeLoader)))
        except yaml.YamlError as error:
            result.findings.append(
                Finding(
                    rule=RULES["syntax"],
                    message=error.message,
                    fix="correct the file",
                    file=file,
                    line=error.line,
                    column=error.column,
                )
            )
            continue
        by_line = {node.start_mark.line + 1: node for node in nodes}
        for document in documents:
            _take(result, document.value, file, by_line.get(document.line))
    return result


def _take(result: Read, value: Any, file: str, node: Any) -> None:
    line = node.start_mark.line + 1 if node is not None else 0
    kind = value.get("kind") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for number, item in enumerate(value["items"]):
            filled = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
            _take(result, {**filled, **item} if isinstance(item, dict) else item, file, locate(node, f"items[{number}]"))
        return
    if not isinstance(kind, str) or kind not in _KINDS or value.get("apiVersion") != API_VERSION:
        what = f"{kind} of {value.get('apiVersion')}" if isinstance(kind, str) else "no Kubernetes object"
        message = f"this is {what}, not a Package or PackageSource of {API_VERSION}"
        result.findings.append(
            Finding(rule=RULES["unknown-kind"], message=message, fix="move it to another file", file=file, line=line)
        )
        return
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    subject = Ref(kind, name if isinstance(name, str) else "")
    faults = list(_schema_findings(kind, value, subject))
    if not subject.name:
        faults.append(
            Finding(
                rule=RULES["schema"],
                message=f"the {kind} has no name",
                fix="set metadata.name",
                subject=subject,
                field="metadata",
            )
        )
    result.nodes.setdefault(subject, (file, node))
    placed = Read(result.world, nodes={subject: (file, node)})
    result.findings += (placed.place(finding) for finding in faults)
    table: dict[str, Any] = result.world.packages if kind == "Package" else result.world.sources
    if subject.name in table:
        first, first_node = result.nodes[subject]
        message = f"{subject} is in {first}:{first_node.start_mark.line + 1} too"
        result.findings.append(
            Finding(
                rule=RULES["duplicate-object"], message=message, fix="remove one of them", subject=subject, file=file, line=line
            )
        )
        return
    try:
        obj = msgspec.convert(value, _KINDS[kind])
    except msgspec.ValidationError as error:
        if not faults:
            result.findings.append(
                Finding(
                    rule=RULES["schema"], message=str(error), fix="correct the field", subject=subject, file=file, line=line
                )
            )
        return
    if subject.name:
        table[subject.name] = obj


def _schema_findings(kind: str, value: dict[str, Any], subject: Ref) -> Iterator[Finding]:
    schema = _schemas()[kind]
    for error in validate(schema, value):
        yield Finding(rule=RULES["schema"], message=str(error), fix="correct the field", subject=subject, field=error.path)
    for path in unknown_fields(schema, value):
        message = f"{kind} has no field {path}"
        yield Finding(
            rule=RULES["unknown-field"], message=message, fix="remove it, or correct its name", subject=subject, field=path
        )


_cached: dict[str, Schema] = {}


def _schemas() -> dict[str, Schema]:
    if not _cached:
        for definition in crds():
            spec = definition["spec"]
            _cached[spec["names"]["kind"]] = from_crd(spec["versions"][0]["schema"]["openAPIV3Schema"])
    return _cached


def locate(node: Any, path: str) -> Any:
    """The YAML node at a path such as ``spec.variants[default].components[0].path``, or the nearest one above it."""
    for key, index in _STEP.findall(path):
        found = None
        if isinstance(node, _yaml.MappingNode):
            found = next((value for name, value in node.value if name.value == (key or index)), None)
        elif isinstance(node, _yaml.SequenceNode):
            if (index or key).isdecimal() and int(index or key) < len(node.value):
                found = node.value[int(index or key)]
            else:
                found = next((item for item in node.value if _named(item) == (index or key)), None)
        if found is None:
            return node
        node = found
    return node


def _named(node: Any) -> str:
    if not isinstance(node, _yaml.MappingNode):
        return ""
    return next((str(value.value) for name, value in node.value if name.value == "name"), "")


def check_files(texts: Iterable[tuple[str, bytes]]) -> list[Finding]:
    """The findings of files that hold Packages and PackageSources."""
    found = read(texts)
    return ordered([*found.findings, *(found.place(finding) for finding in lint(found.world.catalogue()))])


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(findings), key=lambda each: (each.file, each.line, each.column, each.rule.id, each.message))
