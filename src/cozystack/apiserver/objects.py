"""The write path: every object that changes goes through here, whoever changes it.

Synchronous and without I/O of its own: HTTP handlers and the controllers inside the server call the same methods. A write that
changes nothing stores nothing and keeps the resource version. What is refused is refused with the ``ApiError`` that Kubernetes
would answer, before anything is stored.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from cozystack.api.time import format_time
from cozystack.apiserver import addresses, crds, deletion, errors, fields, golang, rules
from cozystack.apiserver.cel import policies
from cozystack.apiserver.cel.rules import NOWHERE, Validator, evaluate
from cozystack.apiserver.cel.typing import types_of
from cozystack.apiserver.conversion import converted
from cozystack.apiserver.defaults import default
from cozystack.apiserver.deletion import DeleteOptions
from cozystack.apiserver.fields.sets import same
from cozystack.apiserver.generations import has_generation, is_new_generation
from cozystack.apiserver.patch import PatchError, json_patch, merge_patch, strategic_merge_patch
from cozystack.apiserver.plugins import Plugins
from cozystack.apiserver.preparing import prepare_change, prepare_new
from cozystack.apiserver.resets import resets, with_status_of
from cozystack.apiserver.resources import Registry, ResourceInfo
from cozystack.apiserver.schema import FieldError, apply_defaults, coerced, prune, unknown_fields, validate, validate_change
from cozystack.apiserver.schema.check import invalid
from cozystack.apiserver.schema.model import MISSING
from cozystack.apiserver.storage import Storage, Stored, VersionMismatch

__all__ = ["MOST_BYTES", "Changed", "DeleteOptions", "Objects", "WriteOptions"]

Obj = dict[str, Any]

MOST_BYTES: Final = 3 * 1024 * 1024
_TWICE: Final = "Duplicate value"
_NULL: Final = 'Invalid value: "null": '
# With such a fault, an object is not what its rules are written for.
_BLOCKING: Final = frozenset(("Unsupported value", "Required value", "Too long", "Too many"))
_LISTS_OF_METADATA: Final = ("ownerReferences", "managedFields", "finalizers")
_RANDOM_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_PREFIX: Final = 58
_SCHEME: Final = "pkg/runtime/scheme.go:111"
"""Where Kubernetes says that a kind is not known."""
# The server alone sets these.
_OWN_METADATA: Final = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
)
# A status of these comes with the object: whoever makes it knows it.
_BORN_WITH_STATUS: Final = frozenset({("", "Node")})
# These can be made by writing to their name.
_MADE_BY_REPLACING: Final = frozenset(
    {
        ("", "Event"),
        ("", "Endpoints"),
        ("", "LimitRange"),
        ("", "Service"),
        ("coordination.k8s.io", "Lease"),
        ("coordination.k8s.io", "LeaseCandidate"),
        ("events.k8s.io", "Event"),
        ("node.k8s.io", "RuntimeClass"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
    }
)


@dataclass(slots=True)
class WriteOptions:
    """What a request says about how to write. ``warnings``, and ``annotations`` for the audit log, are filled by the write."""

    manager: str = "unknown"
    dry_run: bool = False
    force: bool = False
    field_validation: str = "Warn"
    subresource: str = ""
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


class Changed(Exception):  # noqa: N818 - it names what has happened
    """An object is not what a write was prepared for; it has to be prepared again."""


class Objects:
    """See the module. ``clock`` gives the time; ``new_uid`` and ``rng`` are what else is not determined by the input."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
        rng: random.Random | None = None,
    ) -> None:
        self.storage = storage
        self.registry = registry if registry is not None else Registry()
        self._clock = clock
        self._new_uid = new_uid
        self._random = rng if rng is not None else random.Random()  # noqa: S311 - names, no secrets
        self._plugins = Plugins(storage, self._random)
        for stored in storage.objects(crds.KEY):
            if crds.established(stored.object):
                self.registry.set_crd(stored.object)

    # Reading

    def find(self, info: ResourceInfo, namespace: str, name: str) -> Stored | None:
        stored = self.storage.get(info.storage_key, namespace if info.namespaced else "", name)
        return self.served(info, stored) if stored is not None else None

    def get(self, info: ResourceInfo, namespace: str, name: str) -> Stored:
        """Raises ``ApiError`` when it is not there."""
        stored = self.find(info, namespace, name)
        if stored is None:
            raise errors.not_found(info.plural, info.group, name)
        return stored

    def all(self, info: ResourceInfo, namespace: str = "") -> list[Stored]:
        return [self.served(info, stored) for stored in self.storage.objects(info.storage_key, namespace)]

    def served(self, info: ResourceInfo, stored: Stored) -> Stored:
        """What is stored, in the version of ``info``."""
        version = info.api_version
        if stored.object.get("apiVersion") == version:
            return stored
        if stored.others is None:
            stored.others = {}
        other = stored.others.get(version)
        if other is None:
            obj = converted(stored.object, version)
            other = stored.others[version] = Stored(stored.resource, stored.namespace, stored.name, obj, stored.version)
        return other

    def now(self) -> str:
        return format_time(self._clock())

    # Writing

    def create(self, info: ResourceInfo, namespace: str, obj: Obj, options: WriteOptions) -> Obj:
        """Store a new object; raises ``ApiError``."""
        obj = self._received(info, namespace, obj, options)
        metadata = obj["metadata"]
        if metadata.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._generated(info, namespace, metadata["generateName"])
        self._refuse_what_would_not_last(info, namespace, metadata.get("name", ""))
        return self._store_new(info, namespace, obj, options)

    def _store_new(self, info: ResourceInfo, namespace: str, obj: Obj, options: WriteOptions, *, applied: bool = False) -> Obj:
        metadata = obj["metadata"]
        for name in _OWN_METADATA:
            metadata.pop(name, None)
        metadata["uid"] = self._new_uid()
        metadata["creationTimestamp"] = now = self.now()
        if has_generation(info):
            metadata["generation"] = 1
        if info.has_status and (info.group, info.kind) not in _BORN_WITH_STATUS:
            obj.pop("status", None)
        obj = self._defaulted(info, obj, typed=not applied)
        if not applied:
            # What plug-ins and the server itself add belongs to nobody.
            obj = fields.update(
                info.schema,
                None,
                obj,
                manager=options.manager,
                time=now,
                api_version=info.api_version,
                resets=resets(info, ""),
                empty=info.empty,
            )
        obj = self._prepared(info, obj, None)
        self._check(info, obj, None, options, options.warnings)
        if info.custom and applied:
            obj = prune(info.schema, obj)  # what may be null without being allowed to: it has no type
        self._admitted(info, obj, None, options)
        name = metadata["name"]
        if (there := self.find(info, namespace, name)) is not None:
            raise errors.already_exists(info.plural, info.group, name, going="deletionTimestamp" in there.object["metadata"])
        if options.dry_run:
            return obj
        return self._put(info, namespace, obj, expected=0).object

    def replace(self, info: ResourceInfo, namespace: str, name: str, obj: Obj, options: WriteOptions) -> Obj:
        """Store ``obj`` in the place of what is there; raises ``ApiError``."""
        obj = self._received(info, namespace, obj, options)
        if obj["metadata"].setdefault("name", name) != name:
            raise errors.bad_request(
                f"the name of the object ({obj['metadata']['name']}) does not match the name on the URL ({name})"
            )
        old = self.find(info, namespace, name)
        if old is None:
            if (info.group, info.kind) not in _MADE_BY_REPLACING or options.subresource:
                raise errors.not_found(info.plural, info.group, name)
            return self.create(info, namespace, obj, options)
        if info.custom and not obj["metadata"].get("resourceVersion"):
            must = invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(info.plural, info.group, name, [must])
        return self._write(info, namespace, old, obj, options)

    def patch(self, info: ResourceInfo, namespace: str, name: str, kind: str, patch: Any, options: WriteOptions) -> Obj:
        """Patch by ``kind`` (json, merge, strategic); raises ``ApiError``."""
        old = self.get(info, namespace, name)
        base = old.object
        try:
            if kind == "json":
                new = json_patch(base, patch)
            elif kind == "strategic" and not info.custom:
                new = strategic_merge_patch(info.schema, base, patch)
            elif kind == "merge":
                new = merge_patch(base, patch)
            else:
                raise errors.unsupported_media_type("application/strategic-merge-patch+json")
        except PatchError as error:
            if kind == "json":
                why = "the server rejected our request due to an error in our request"
                raise errors.ApiError(422, "Invalid", why, details={}) from error
            raise errors.ApiError(error.code, "BadRequest" if error.code == 400 else "", str(error)) from error
        if not isinstance(new, dict):
            raise errors.bad_request("the patch leaves no object")
        try:
            new = self._received(info, namespace, new if new.get("metadata") is not None else {**new, "metadata": {}}, options)
        except errors.NotDecoded as error:
            if kind == "strategic":
                raise
            text = msgspec.json.encode(new, order="sorted").decode()
            said = f"Invalid value: {msgspec.json.encode(text).decode()}: {error.why}"
            raise errors.invalid("", "", "", [FieldError("patch", "Invalid value", said)]) from error
        given = new["metadata"].get("name")
        if not given:
            raise errors.no_name(name)
        if given != name:
            raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        uid = new["metadata"].get("uid")
        if uid != base["metadata"]["uid"]:
            fault = invalid("metadata.uid", uid or "", "field is immutable")
            raise errors.invalid(info.kind, info.group, name, [fault])
        return self._write(info, namespace, old, new, options)

    def apply(self, info: ResourceInfo, namespace: str, name: str, applied: Obj, options: WriteOptions) -> tuple[Obj, bool]:
        """Server-side apply; the object and whether it is new; raises ``ApiError``."""
        sent = applied.get("metadata")
        applied = self._addressed(info, namespace, self._of_kind(info, applied))
        metadata = applied["metadata"]
        if not isinstance(sent, dict) or "namespace" not in sent:
            metadata.pop("namespace", None)
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if metadata.setdefault("name", name) != name:
            raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
        live = self.find(info, namespace, name)
        version = metadata.pop("resourceVersion", "")
        uid = metadata.pop("uid", "")
        if (version and (live is None or version != str(live.version))) or (
            uid and (live is None or uid != live.object["metadata"]["uid"])
        ):
            raise errors.conflict(info.plural, info.group, name)
        if live is None and options.subresource:
            raise errors.not_found(info.plural, info.group, name)
        for key in _OWN_METADATA:
            metadata.pop(key, None)
        try:
            new = fields.apply(
                info.schema,
                live.object if live is not None else None,
                applied,
                manager=options.manager,
                force=options.force,
                time=self.now(),
                api_version=info.api_version,
                subresource=options.subresource,
                resets=resets(info, options.subresource),
                empty=info.empty,
            )
        except fields.ApplyConflict as error:
            causes = [(conflict.owner, conflict.path) for conflict in error.conflicts]
            raise errors.apply_conflict(str(error), causes) from error
        if live is not None and new is live.object:
            return new, False
        new = self._coerced(info, new)
        if live is None:
            if info.namespaced:
                new["metadata"]["namespace"] = namespace
            self._refuse_what_would_not_last(info, namespace, name)
            return self._store_new(info, namespace, new, options, applied=True), True
        return self._write(info, namespace, live, new, options, applied=True), False

    def mutated(
        self, info: ResourceInfo, namespace: str, old: Stored | None, prepared: Obj, changed: Obj, options: WriteOptions
    ) -> Obj:
        """``prepared`` (what a dry run gave) as others have ``changed`` it: shaped and checked again; raises ``ApiError``.

        What they have changed belongs to nobody: who owns what was settled before they were asked."""
        new = self._received(info, namespace, changed, WriteOptions(field_validation="Ignore"))
        metadata, settled = new["metadata"], prepared["metadata"]
        for key in (*_OWN_METADATA, "name", "managedFields"):
            if key in settled:
                metadata[key] = settled[key]
            else:
                metadata.pop(key, None)
        if options.subresource == "status":
            new = {**prepared, "status": new.get("status")}
        elif info.has_status:
            new = {**new, "status": prepared.get("status")}
        if new.get("status") is None:
            new.pop("status", None)
        before = old.object if old is not None else None
        if not options.subresource:
            new = self._prepared(info, self._defaulted(info, new), before)
        if old is not None and not options.subresource and has_generation(info) and is_new_generation(info, old.object, new):
            new["metadata"]["generation"] = old.object["metadata"].get("generation", 0) + 1
        self._check(info, new, before, options, [])
        self._admitted(info, new, before, options)
        return new

    def store(self, info: ResourceInfo, namespace: str, old: Stored | None, new: Obj) -> Obj:
        """Store what a dry run gave. Raises ``Changed`` when what it was made from, ``old`` or nothing, is no longer there."""
        live = self.find(info, namespace, new["metadata"]["name"])
        if (live.version if live is not None else 0) != (old.version if old is not None else 0):
            raise Changed
        if old is None:
            self._refuse_what_would_not_last(info, namespace, new["metadata"]["name"])
            return self._put(info, namespace, new, expected=0).object
        if same(old.object, new):
            return old.object
        if "deletionTimestamp" in new["metadata"] and deletion.is_free(info, new):
            return self._gone(info, namespace, old, last=new)
        return self._put(info, namespace, new, expected=old.version).object

    def set_status(self, info: ResourceInfo, namespace: str, name: str, status: Obj, *, manager: str) -> Obj:
        """Replace the status of an object, as a controller of the server does."""
        old = self.get(info, namespace, name)
        new = {**old.object, "status": status, "metadata": dict(old.object["metadata"])}
        return self._write(info, namespace, old, new, WriteOptions(manager=manager, subresource="status"))

    def delete(self, info: ResourceInfo, namespace: str, name: str, options: DeleteOptions) -> tuple[Obj, bool]:
        """Delete, or mark for deletion; the object as it is now and whether it is gone; raises ``ApiError``."""
        self._plugins.delete(info, name)
        old = self.get(info, namespace, name)
        deletion.check_preconditions(info, old, options)
        new = deletion.marked(info, old.object, options, self.now())
        if options.dry_run or new is old.object:
            return new if new is not None else old.object, new is None
        if new is None:
            return self._gone(info, namespace, old), True
        return self._put(info, namespace, new, expected=old.version).object, False

    def finalize_namespace(self, name: str, spec_finalizers: list[str]) -> Obj:
        """Set ``spec.finalizers`` of a namespace, as its finalize subresource does; it goes when it is dying and free."""
        info = self.resource("", "v1", "namespaces")
        old = self.get(info, "", name)
        new = {**old.object, "metadata": dict(old.object["metadata"]), "spec": {"finalizers": spec_finalizers}}
        if "deletionTimestamp" in new["metadata"] and deletion.is_free(info, new):
            return self._gone(info, "", old)
        return self._put(info, "", new, expected=old.version).object

    def resource(self, group: str, version: str, plural: str) -> ResourceInfo:
        info = self.registry.find(group, version, plural)
        if info is None:
            raise errors.no_such_path()
        return info

    # The parts of a write

    def _received(self, info: ResourceInfo, namespace: str, obj: Any, options: WriteOptions) -> Obj:
        """``obj`` as a client sent it, in the form that its kind gives it; raises ``ApiError`` when it cannot have that."""
        obj = self._of_kind(info, obj)
        if not info.custom:
            sent = obj.get("metadata")
            obj = self._typed(info, _fresh(obj))
            if isinstance(sent, dict) and sent.get("managedFields") == []:
                obj["metadata"]["managedFields"] = []  # which says something, though Go does not write it
        obj = self._addressed(info, namespace, obj)
        if info.custom:
            self._read_metadata(info, obj["metadata"])
            if obj["metadata"].get("managedFields") == []:
                del obj["metadata"]["managedFields"]  # does not outlive the form that metadata has there
        _tidy(obj["metadata"])
        if options.field_validation != "Ignore":
            unknown = unknown_fields(info.schema, obj)
            if info.custom:
                unknown.sort()
            if unknown and options.field_validation == "Strict":
                listed = ", ".join(f'unknown field "{path}"' for path in unknown)
                raise errors.NotDecoded(info.kind, info.version, f"strict decoding error: {listed}")
            options.warnings += [f'unknown field "{path}"' for path in unknown]
        return coerced(info.schema, prune(info.schema, obj))  # type: ignore[no-any-return]

    def _of_kind(self, info: ResourceInfo, sent: Any) -> Obj:
        """What was ``sent``, which is of the kind that the URL says; raises ``ApiError`` when it is not."""
        if not isinstance(sent, dict):
            raise errors.bad_request("the body is not an object")
        said = {"apiVersion": sent.get("apiVersion") or info.api_version, "kind": sent.get("kind") or info.kind}
        obj: Obj = {**said, **sent, **said}
        if obj["kind"] == info.kind and obj["apiVersion"] == info.api_version:
            return obj
        if info.custom:
            if obj["apiVersion"] != info.api_version:
                raise errors.bad_request(
                    f"the API version in the data ({obj['apiVersion']}) does not match the expected one ({info.api_version})"
                )
            raise errors.bad_request(f"the kind in the data ({obj['kind']}) does not match the expected kind ({info.kind})")
        group, _, version = obj["apiVersion"].rpartition("/")
        other = self.registry.by_kind(group, version, obj["kind"])
        if other is not None and not other.custom:
            why = f"converting ({version}.{other.kind}) to ({_package(info.group)}.{info.kind}): unknown conversion"
        else:
            why = f'no kind "{obj["kind"]}" is registered for version "{obj["apiVersion"]}" in scheme "{_SCHEME}"'
        raise errors.bad_request(f'{obj["kind"]} in version "{version}" cannot be handled as a {info.kind}: {why}')

    def _coerced(self, info: ResourceInfo, merged: Obj) -> Obj:
        """What an apply gave, in the form of its kind: in custom resources a null stays, unless it is in the metadata."""
        if not info.custom:
            new = {**prune(info.schema, merged)}
            new["metadata"] = {**new["metadata"]}
        else:
            new = {**merged, "metadata": {**prune(info.schema.properties["metadata"], merged["metadata"])}}
        _tidy(new["metadata"])
        return coerced(info.schema, new)  # type: ignore[no-any-return]

    def _addressed(self, info: ResourceInfo, namespace: str, obj: Obj) -> Obj:
        """``obj`` with what the URL says; raises ``ApiError`` when the two disagree."""
        if not isinstance(obj.setdefault("metadata", {}), dict):
            why = f"json: cannot unmarshal {golang.json_type(obj['metadata'])} into Go value of type v1.ObjectMeta"
            raise errors.NotDecoded(info.kind, info.version, why)
        metadata = obj["metadata"] = dict(obj["metadata"])
        if info.namespaced:
            if metadata.setdefault("namespace", namespace) != namespace:
                raise errors.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        return obj

    def _defaulted(self, info: ResourceInfo, obj: Obj, *, typed: bool = True) -> Obj:
        """With defaults; raises ``ApiError``.

        ``typed``: whether it has the form of its types already, and shares nothing with others."""
        if info.custom:
            return apply_defaults(info.schema, obj)  # type: ignore[no-any-return]
        if not typed:
            obj = self._typed(info, _fresh(obj))
        default(info.group, info.kind, obj)
        if info.go is not None:
            info.go[1].fill(obj)
        return obj

    def _prepared(self, info: ResourceInfo, obj: Obj, old: Obj | None) -> Obj:
        """With what plug-ins and the kind itself make of it, ready to be judged; raises ``ApiError``."""
        if info.custom:
            return obj
        self._plugins.change(info, obj, old)
        if old is None:
            prepare_new(info.group, info.kind, obj, obj["metadata"]["creationTimestamp"])
        else:
            prepare_change(info.group, info.kind, obj, old)
        if info.group == "" and info.kind == "Service":
            addresses.allocate(obj, [stored.object for stored in self.storage.objects(info.storage_key)])
        if info.go is not None:
            info.go[1].fill(obj)
        return obj

    def _typed(self, info: ResourceInfo, obj: Obj) -> Obj:
        """``obj``, of a built-in kind, in the form that its types give it, in place; raises ``ApiError``."""
        if info.go is None:
            problems = (str(error) for error in validate(info.schema, obj) if "must be of type" in error.message)
            why = next(problems, "")
        else:
            try:
                golang.read(info.go[0], obj)
                return obj
            except golang.WrongType as error:
                why = str(error)
        if why:
            raise errors.NotDecoded(info.kind, info.version, why)
        return obj

    def _read_metadata(self, info: ResourceInfo, metadata: Obj) -> None:
        """Raises ``ApiError`` when the metadata of a custom resource has not the form that all metadata has."""
        if _is_metadata(metadata):
            return
        try:
            golang.read(golang.metadata_shape(), _fresh(metadata))
        except golang.WrongType as error:
            raise errors.NotDecoded(info.kind, info.version, str(error)) from error

    def _check(self, info: ResourceInfo, obj: Obj, old: Obj | None, options: WriteOptions, warnings: list[str]) -> None:
        """Raises ``ApiError`` when the object may not be stored. ``warnings`` gets what is only said."""
        name, subresource = obj["metadata"].get("name", ""), options.subresource
        found = rules.name_errors(info, name) if old is None else rules.change_errors(old, obj)
        found += rules.metadata_errors(obj)
        if info.custom:
            faults = validate_change(info.schema, obj, old) if old is not None else validate(info.schema, obj)
            found += _of_custom(faults, subresource)
        else:
            shape = obj if info.go is None else info.go[1].without_nulls(obj)
            faults = _of_builtin(validate(info.schema, shape))
            found += rules.builtin_errors(info, old, obj, faults) if subresource == "" else faults
        if crds.is_crd(info):
            # Definitions judge their rules themselves.
            found = [fault for fault in found if ".x-kubernetes-validations[" not in fault.path]
            found += crds.definition_errors(obj, old)
        if info.group == policies.GROUP:
            found += policies.definition_errors(info.kind, obj)
        if info.has_rules and info.rules is not None:
            found += _rule_errors(info.rules, obj, old, found, warnings)
        if info.group == "" and info.kind == "Service" and not found:
            others = (stored.object for stored in self.storage.objects(info.storage_key))
            found += addresses.faults(obj, old, others, dry_run=options.dry_run)
        if found:
            raise errors.invalid(info.kind, info.group, name, found)
        if subresource == "" and not info.custom and (old is None or _is_told_again(info, old, obj)):
            warnings += rules.warnings_of(obj, new=old is None)

    def _admitted(self, info: ResourceInfo, obj: Obj, old: Obj | None, options: WriteOptions) -> None:
        """Raises ``ApiError`` when a plug-in does not admit the object."""
        self._plugins.judge(
            info,
            obj,
            old,
            subresource=options.subresource,
            warnings=options.warnings,
            annotations=options.annotations,
        )

    def _owned(self, info: ResourceInfo, before: Obj, new: Obj, options: WriteOptions) -> Obj:
        """``new`` with the ownership that an update gives; what nobody owns is owned by nobody until it is applied."""
        entries = before["metadata"].get("managedFields")
        if not options.subresource:
            entries = new["metadata"].get("managedFields", entries)
        if not entries or entries == [{}]:
            metadata = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
            return {**new, "metadata": metadata}
        return fields.update(
            info.schema,
            before,
            new,
            manager=options.manager,
            time=self.now(),
            api_version=info.api_version,
            subresource=options.subresource,
            resets=resets(info, options.subresource),
        )

    def _write(
        self, info: ResourceInfo, namespace: str, old: Stored, new: Obj, options: WriteOptions, *, applied: bool = False
    ) -> Obj:
        """Bring ``old`` to ``new``; nothing is stored when they are equal."""
        before, name = old.object, old.name
        metadata = new["metadata"] = dict(new["metadata"])
        version = metadata.get("resourceVersion")
        if version and version != str(old.version):
            raise errors.conflict(info.plural, info.group, name)
        if metadata.get("uid") and metadata["uid"] != before["metadata"]["uid"]:
            wanted, there = metadata["uid"], before["metadata"]["uid"]
            place = f"{namespace}/{name}" if info.namespaced else name
            kind = {"custom": info.custom, "dry_run": options.dry_run}
            raise errors.other_uid(info.plural, info.group, place, **kind, wanted=wanted, there=there)
        if faults := rules.deletion_mark_errors(before["metadata"], metadata):
            raise errors.invalid(info.kind, info.group, name, faults)
        for key in _OWN_METADATA:
            if key in before["metadata"]:
                metadata[key] = before["metadata"][key]
            else:
                metadata.pop(key, None)
        if options.subresource == "status":
            new = with_status_of(info, before, new)
            if info.go is not None:
                if applied:
                    new = {**new, **self._typed(info, _fresh({"status": new.get("status")}))}
                info.go[1].fill_one(new, "status")
        elif info.has_status:
            new = dict(new)
            if "status" in before:
                new["status"] = before["status"]
            else:
                new.pop("status", None)
        if options.subresource == "":
            new = self._defaulted(info, new, typed=not applied)
        elif info.custom:
            new = apply_defaults(info.schema, new)
        if not applied:
            new = self._owned(info, before, new, options)
        if options.subresource == "":
            new = self._prepared(info, new, before)
        if fields.same_but_times(before, new):
            return before
        if options.subresource == "" and has_generation(info) and is_new_generation(info, before, new):
            new["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        self._check(info, new, before, options, options.warnings)
        self._admitted(info, new, before, options)
        if options.dry_run:
            return new
        if "deletionTimestamp" in new["metadata"] and deletion.is_free(info, new):
            return self._gone(info, namespace, old, last=new)
        return self._put(info, namespace, new, expected=old.version).object

    def _put(self, info: ResourceInfo, namespace: str, obj: Obj, *, expected: int) -> Stored:
        name = obj["metadata"]["name"]
        if crds.is_crd(info) and "deletionTimestamp" not in obj["metadata"]:
            others = (stored.object for stored in self.storage.objects(crds.KEY))
            obj = {**obj, "status": crds.status(obj, self.now(), crds.used_names(obj, others, self.registry))}
        if info.group == policies.GROUP and info.kind == "ValidatingAdmissionPolicy":
            obj = {**obj, "status": policies.status(obj, self._kinds_of_policy(obj))}
        obj = {**converted(obj, info.storage_version), "metadata": dict(obj["metadata"])}
        try:
            stored = self.storage.put(info.storage_key, namespace if info.namespaced else "", name, obj, expected=expected)
        except VersionMismatch as error:
            raise errors.conflict(info.plural, info.group, name) from error
        if crds.is_crd(info) and crds.established(obj):
            self.registry.set_crd(obj)
        return self.served(info, stored)

    def _kinds_of_policy(self, policy: Obj) -> Iterator[policies.Typed]:
        """The kinds that a policy names one by one, at most ten."""
        constraints = (policy.get("spec") or {}).get("matchConstraints") or {}
        named = [
            (group, version, resource)
            for rule in constraints.get("resourceRules") or ()
            for group in rule.get("apiGroups") or ()
            for version in rule.get("apiVersions") or ()
            for resource in rule.get("resources") or ()
        ]
        for group, version, resource in list(dict.fromkeys(named))[:10]:
            info = self.registry.find(group, version, resource)
            if info is not None:
                type_, found = types_of(info.schema, info.kind)
                yield policies.Typed(type_, found, f"{info.api_version}, Kind={info.kind}")

    def _gone(self, info: ResourceInfo, namespace: str, old: Stored, *, last: Obj | None = None) -> Obj:
        stored = self.storage.delete(info.storage_key, namespace if info.namespaced else "", old.name, expected=old.version)
        if crds.is_crd(info):
            self.registry.remove_crd(old.object)
            for other in list(self.storage.objects(crds.KEY)):
                # Somebody may have waited for these names.
                if crds.waits_for_names(other.object) and "deletionTimestamp" not in other.object["metadata"]:
                    self._put(info, "", other.object, expected=other.version)
        if last is not None:
            return last
        return stored.object if stored is not None else old.object

    def _refuse_what_would_not_last(self, info: ResourceInfo, namespace: str, name: str) -> None:
        """Nothing new comes into a namespace that goes, or of a definition that goes."""
        if info.custom and crds.is_going(self.storage.get(crds.KEY, "", f"{info.plural}.{info.group}")):
            why = "create not allowed while custom resource definition is terminating"
            raise errors.forbidden(info.plural, info.group, name, why)
        if not info.namespaced:
            return
        found = self.storage.get("/namespaces", "", namespace)
        if found is None:
            raise errors.not_found("namespaces", "", namespace)
        if "deletionTimestamp" in found.object["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise errors.forbidden(info.plural, info.group, name, why, causes=[cause])

    def _generated(self, info: ResourceInfo, namespace: str, prefix: str) -> str:
        for _ in range(8):
            name = prefix[:_LONGEST_PREFIX] + "".join(self._random.choice(_RANDOM_LETTERS) for _ in range(5))
            if self.find(info, namespace, name) is None:
                return name
        raise errors.already_exists(info.plural, info.group, prefix)


def _rule_errors(
    found: Validator, obj: Obj, old: Obj | None, faults: list[FieldError], warnings: list[str]
) -> list[FieldError]:
    """What the rules of a custom resource say; they are not asked when the object is of another shape than they expect."""
    if any(fault.kind in _BLOCKING or "must be of type" in fault.message for fault in faults):
        why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
        return [invalid(NOWHERE, None, f"{why} validation")]
    findings = evaluate(found, obj, old)
    warnings += findings.warnings
    return findings.errors


def _of_builtin(faults: list[FieldError]) -> list[FieldError]:
    """What counts of the faults that a schema finds: Kubernetes checks keys of lists only when it has to merge them, and Go
    writes null where nothing is."""
    return [
        fault
        for fault in faults
        if fault.kind != _TWICE and not fault.message.startswith(_NULL) and not fault.path.startswith("metadata.")
    ]


def _of_custom(faults: list[FieldError], subresource: str) -> list[FieldError]:
    """What counts of the faults that a schema finds: the metadata is judged otherwise, a status by itself."""
    if subresource == "status":
        return [
            replace(fault, message=fault.message.replace(f"{fault.path} in body", f"{fault.path[len('status.') :]} in body"))
            for fault in faults
            if fault.path.startswith("status")
        ]
    return [fault for fault in faults if not fault.path.startswith("metadata.")]


def _is_metadata(metadata: Obj) -> bool:
    """Whether its parts have their types; a second look is needed where one has not, or has another form."""
    if any(metadata.get(name, MISSING) in (0, False, "") for name in ("labels", "annotations", *_LISTS_OF_METADATA)):
        return False
    owners, entries, finalizers = (metadata.get(name) or () for name in _LISTS_OF_METADATA)
    for name in ("labels", "annotations"):
        texts = metadata.get(name) or {}
        if not isinstance(texts, dict) or not all(type(text) is str for text in texts.values()):
            return False
    for name in ("name", "generateName", "namespace", "resourceVersion", "uid"):
        if not isinstance(metadata.get(name, ""), str):
            return False
    if not all(
        isinstance(items, list | tuple) and all(isinstance(item, dict) for item in items) for items in (owners, entries)
    ):
        return False
    if any(type(owner.get(name, "")) is not str for owner in owners for name in ("apiVersion", "kind", "name", "uid")):
        return False
    return isinstance(finalizers, list | tuple) and all(type(finalizer) is str for finalizer in finalizers)


def _tidy(metadata: Obj) -> None:
    """Take out what is there with nothing in it."""
    for name in ("labels", "annotations", "ownerReferences", "finalizers"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def _is_told_again(info: ResourceInfo, old: Obj, new: Obj) -> bool:
    """Whether a change is worth warnings: of a Pod never, of what has generations when it is a new one."""
    if (info.group, info.kind) == ("", "Pod"):
        return False
    return not has_generation(info) or old["metadata"].get("generation") != new["metadata"].get("generation")


def _package(group: str) -> str:
    """The package in which Go has the kinds of a group."""
    return "core" if group in ("", "events.k8s.io") else group.partition(".")[0]


def _fresh(obj: Obj) -> Obj:
    """A copy that shares nothing with ``obj``."""
    copied: Obj = msgspec.json.decode(msgspec.json.encode(obj))
    return copied
