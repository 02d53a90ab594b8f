"""Which resources the server has: the built-in ones, read from what kube-apiserver serves, and those of CRDs."""

from __future__ import annotations

import functools
import gzip
import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from cozystack.apiserver.cel.rules import Validator, has_rules, validator
from cozystack.apiserver.golang import Filling, Shape, filling, shape_of
from cozystack.apiserver.schema import ANY, Schema, from_crd, from_openapi

_STORED_ELSEWHERE: Final = {("events.k8s.io", "events"): "/events"}
_STORED_AS: Final = {"/events": "v1", "autoscaling/horizontalpodautoscalers": "autoscaling/v2"}


class SchemaLoader(Protocol):
    def __call__(self) -> Schema: ...


@dataclass(slots=True, eq=False)
class ResourceInfo:
    """One resource in one version."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: tuple[dict[str, Any], ...] = ()
    custom: bool = False
    selectable_fields: tuple[str, ...] = ()
    scale: dict[str, str] | None = None
    raw_schema: dict[str, Any] | None = None
    storage_version: str = ""
    """The ``apiVersion`` in which objects are stored."""
    has_rules: bool = False
    """Whether its schema has rules of its own (``x-kubernetes-validations``)."""
    _loader: SchemaLoader | None = None
    _schema: Schema | None = None
    _rules: Validator | None = None
    _go: tuple[Shape, Filling] | None = None
    _empty: dict[str, Any] | None = None

    api_version: str = ""
    storage_key: str = ""
    """Where objects are stored: the same for every version, and for Events in both of their groups."""
    list_kind: str = ""

    def __post_init__(self) -> None:
        self.api_version = f"{self.group}/{self.version}" if self.group else self.version
        self.storage_key = _STORED_ELSEWHERE.get((self.group, self.plural), f"{self.group}/{self.plural}")
        self.list_kind = self.list_kind or f"{self.kind}List"
        self.storage_version = self.storage_version or _STORED_AS.get(self.storage_key, self.api_version)

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def schema(self) -> Schema:
        if self._schema is None:
            self._schema = self._loader() if self._loader is not None else ANY
        return self._schema

    @property
    def go(self) -> tuple[Shape, Filling] | None:
        """The Go type of a built-in kind, and what is to be filled in of it; nothing for other kinds, and for definitions."""
        if self._go is None and not self.custom:
            shape = shape_of(self.api_version, self.kind)
            if shape is not None:
                self._go = shape, filling(shape, self.schema)
        return self._go

    @property
    def empty(self) -> dict[str, Any] | None:
        """An object of a built-in kind that nobody has set anything in."""
        if self._empty is None and self.go is not None:
            self._empty = self.go[1].empty()
        return self._empty

    @property
    def rules(self) -> Validator | None:
        """The rules of the schema, compiled when they are first needed."""
        if self.has_rules and self._rules is None and self.raw_schema is not None:
            self._rules = validator(self.raw_schema)
        return self._rules


# Resources of built-in groups that are answered but never stored.
EPHEMERAL = frozenset(
    {
        "tokenreviews",
        "selfsubjectreviews",
        "localsubjectaccessreviews",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "subjectaccessreviews",
        "bindings",
        "componentstatuses",
    }
)


class Registry:
    """All resources by group, version and plural."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], ResourceInfo] = {}
        self._kinds: dict[tuple[str, str, str], ResourceInfo] = {}
        self._preferred: dict[str, list[str]] = {}
        self._documents = _documents()
        self.generation = 0
        """Grows with every change, so that what is computed from the registry can be kept."""
        self._read_builtin()

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        return self._resources.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        return self._kinds.get((group, version, kind))

    def any_version(self, group: str, plural: str) -> ResourceInfo | None:
        return next((info for info in self._resources.values() if info.group == group and info.plural == plural), None)

    def __iter__(self) -> Iterator[ResourceInfo]:
        return iter(self._resources.values())

    def groups(self) -> list[str]:
        """Groups in the order they came; the core group is the empty one."""
        return list(self._preferred)

    def versions(self, group: str) -> list[str]:
        """Versions of a group that have resources, the preferred first."""
        return self._preferred.get(group, [])

    def in_version(self, group: str, version: str) -> list[ResourceInfo]:
        return [info for info in self._resources.values() if info.group == group and info.version == version]

    def builtin_document(self, path: str) -> bytes | None:
        """The OpenAPI document at a path such as ``apis/apps/v1``, as bytes."""
        return self._documents.raw(path)

    def builtin_paths(self) -> list[str]:
        return self._documents.paths()

    def add(self, info: ResourceInfo) -> None:
        self._resources[info.group, info.version, info.plural] = info
        self._kinds[info.group, info.version, info.kind] = info
        versions = self._preferred.setdefault(info.group, [])
        if info.version not in versions:
            versions.append(info.version)
            versions.sort(key=_version_rank)
        self.generation += 1

    def set_crd(self, crd: dict[str, Any]) -> None:
        """Serve what a CRD describes, and nothing else of it."""
        self.remove_crd(crd)
        for info in crd_resources(crd):
            self.add(info)

    def remove_crd(self, crd: dict[str, Any]) -> None:
        spec = crd["spec"]
        group, plural = spec["group"], spec["names"]["plural"]
        for key, info in list(self._resources.items()):
            if info.group == group and info.plural == plural and info.custom:
                del self._resources[key]
                self._kinds.pop((info.group, info.version, info.kind), None)
        left = {info.version for info in self._resources.values() if info.group == group}
        versions = [version for version in self._preferred.get(group, []) if version in left]
        if versions:
            self._preferred[group] = versions
        else:
            self._preferred.pop(group, None)
        self.generation += 1

    def _read_builtin(self) -> None:
        files = importlib.resources.files("cozystack.apiserver.data")
        discovery = msgspec.json.decode((files / "discovery.json").read_bytes())
        columns = msgspec.json.decode((files / "columns.json").read_bytes())
        for document in (discovery["api"], discovery["apis"]):
            for group in document["items"]:
                name = group.get("metadata", {}).get("name", "")
                for version in group["versions"]:
                    for item in version["resources"]:
                        self.add(self._builtin(name, version["version"], item, columns))

    def _builtin(self, group: str, version: str, item: dict[str, Any], columns: dict[str, Any]) -> ResourceInfo:
        kind = item["responseKind"]
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        column_key = f"{group}/{version}/{item['resource']}" if group else f"{version}/{item['resource']}"

        def load() -> Schema:
            return self._documents.schema(path, group, version, kind["kind"])

        return ResourceInfo(
            group=group,
            version=version,
            plural=item["resource"],
            singular=item.get("singularResource", ""),
            kind=kind["kind"],
            namespaced=item["scope"] == "Namespaced",
            verbs=tuple(item["verbs"]),
            short_names=tuple(item.get("shortNames", ())),
            categories=tuple(item.get("categories", ())),
            subresources={sub["subresource"]: sub for sub in item.get("subresources", ())},
            columns=tuple(columns.get(column_key, ())),
            _loader=load,
        )


@functools.cache
def _documents() -> _Documents:
    """One for all servers of a process: what is embedded is the same for each, and none of them changes it."""
    return _Documents()


class _Documents:
    """The embedded OpenAPI documents; each is parsed when it is first needed, and each of its schemas read once."""

    def __init__(self) -> None:
        self._raw: dict[str, bytes] = {}
        self._parsed: dict[str, dict[str, Any]] = {}
        self._by_kind: dict[str, dict[tuple[str, str, str], str]] = {}
        self._schemas: dict[tuple[str, str, str, str], Schema] = {}

    def _read(self) -> None:
        data = (importlib.resources.files("cozystack.apiserver.data") / "openapi-v3.json.gz").read_bytes()
        documents = msgspec.json.decode(gzip.decompress(data), type=dict[str, msgspec.Raw])
        self._raw = {path: bytes(document) for path, document in documents.items()}

    def raw(self, path: str) -> bytes | None:
        if not self._raw:
            self._read()
        return self._raw.get(path)

    def paths(self) -> list[str]:
        if not self._raw:
            self._read()
        return list(self._raw)

    def schema(self, path: str, group: str, version: str, kind: str) -> Schema:
        key = path, group, version, kind
        if key not in self._schemas:
            self._schemas[key] = self._read_schema(path, group, version, kind)
        return self._schemas[key]

    def _read_schema(self, path: str, group: str, version: str, kind: str) -> Schema:
        document = self._parsed.get(path)
        if document is None:
            raw = self.raw(path)
            if raw is None:
                return ANY
            document = self._parsed[path] = msgspec.json.decode(raw)
            self._by_kind[path] = {
                (gvk.get("group", ""), gvk["version"], gvk["kind"]): name
                for name, schema in document["components"]["schemas"].items()
                for gvk in schema.get("x-kubernetes-group-version-kind", ())
            }
        name = self._by_kind[path].get((group, version, kind))
        return ANY if name is None else from_openapi(document, name)


def crd_resources(crd: dict[str, Any]) -> list[ResourceInfo]:
    """One resource for each version that a CRD serves."""
    spec, names = crd["spec"], crd["spec"]["names"]
    accepted = (crd.get("status") or {}).get("acceptedNames") or names
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    found = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        raw = (version.get("schema") or {}).get("openAPIV3Schema") or {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
        subresources = version.get("subresources") or {}
        found.append(
            ResourceInfo(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                kind=names["kind"],
                list_kind=names.get("listKind") or "",
                storage_version=f"{spec['group']}/{stored}",
                namespaced=spec["scope"] == "Namespaced",
                verbs=("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"),
                short_names=tuple(accepted.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources={
                    name: {
                        "subresource": name,
                        "responseKind": (
                            {"group": "autoscaling", "version": "v1", "kind": "Scale"}
                            if name == "scale"
                            else {"group": spec["group"], "version": version["name"], "kind": names["kind"]}
                        ),
                        "verbs": ["get", "patch", "update"],
                    }
                    for name in subresources
                },
                columns=tuple(version.get("additionalPrinterColumns") or ()),
                custom=True,
                selectable_fields=tuple(item["jsonPath"] for item in version.get("selectableFields") or ()),
                scale=subresources.get("scale"),
                raw_schema=raw,
                has_rules=has_rules(raw),
                _loader=_crd_loader(raw),
            )
        )
    return found


def _crd_loader(raw: dict[str, Any]) -> SchemaLoader:
    def load() -> Schema:
        return from_crd(raw)

    return load


def _version_rank(version: str) -> tuple[int, int, int]:
    """v2 before v1 before v1beta1 before v1alpha1, as Kubernetes ranks them."""
    digits = version.removeprefix("v")
    for rank, word in ((1, "beta"), (2, "alpha")):
        if word in digits:
            major, _, minor = digits.partition(word)
            return (rank, -int(major or 0), -int(minor or 0)) if major.isdecimal() else (3, 0, 0)
    return (0, -int(digits), 0) if digits.isdecimal() else (3, 0, 0)
