"""``x-kubernetes-validations``: the rules of a custom resource, compiled with its schema and evaluated with its values.

A ``Validator`` mirrors the schema as far as there are rules in it. A rule that uses ``oldSelf`` is a transition rule: it is
evaluated when there is an old value at its place, which for items of lists means a list with keys. A fault of a value that has
not changed is a warning (ratcheting), so that an object from the time before a rule can still be edited.

All rules together may cost ``BUDGET``; behind it nothing is evaluated and the object is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cozystack.apiserver.cel.declarations import Declared, declare, escaped
from cozystack.apiserver.cel.environment import PER_CALL_LIMIT, CompileError, Environment, LimitExceeded, Program
from cozystack.apiserver.cel.types import optional_of
from cozystack.apiserver.cel.values import ABSENT, NO_OVERLOAD, EvalError, Optional, equal
from cozystack.apiserver.schema.check import FieldError, invalid, required

Raw = dict[str, Any]

NOWHERE: Final = "<nil>"
"""The path of the root, as Kubernetes writes it."""
BUDGET: Final = 10_000_000
"""What all rules of an object may cost together."""
LONGEST_MESSAGE: Final = 5 * 1024
_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(slots=True)
class Rule:
    """One rule. ``fault`` is why it cannot be compiled, ``message_fault`` why its message cannot."""

    raw: Raw
    program: Program | None = None
    fault: str = ""
    message: Program | None = None
    message_fault: str = ""
    path: str = ""

    @property
    def uses_old(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.names

    @property
    def optional_old(self) -> bool:
        return bool(self.raw.get("optionalOldSelf"))

    @property
    def shown(self) -> str:
        return ((self.raw.get("message") or "") or (self.raw.get("rule") or "")).strip()

    @property
    def text(self) -> str:
        """What is said when the rule does not hold, unless its expression for that says something."""
        message = (self.raw.get("message") or "").strip()
        return message or f"failed rule: {self.shown}"


def compile_rules(raw_rules: list[Raw], node: Declared, schema: Raw) -> list[Rule]:
    """The rules at one node of a schema."""
    if not raw_rules:
        return []
    fields, sizes = node.struct_fields(), node.sizes
    plain = Environment({"self": node.type, "oldSelf": node.type}, fields=fields, sizes=sizes)
    optional = Environment({"self": node.type, "oldSelf": optional_of(node.type)}, fields=fields, sizes=sizes)
    return [_compiled(raw, optional if raw.get("optionalOldSelf") else plain, schema) for raw in raw_rules]


def _compiled(raw: Raw, environment: Environment, schema: Raw) -> Rule:
    rule = Rule(raw)
    text = raw.get("rule") or ""
    if not text.strip():
        return rule
    try:
        program = environment.compile(text)
    except CompileError as error:
        rule.fault = _fault(error)
        return rule
    if program.type.kind != "bool":
        rule.fault = "cel expression must evaluate to a bool"
        return rule
    rule.program = program
    message = raw.get("messageExpression") or ""
    if message:
        try:
            compiled = environment.compile(message)
        except CompileError as error:
            rule.message_fault = f"messageExpression {_fault(error)}"
            return rule
        if compiled.type.kind != "string":
            rule.message_fault = "messageExpression must evaluate to a string"
            return rule
        rule.message = compiled
    if raw.get("fieldPath"):
        rule.path = field_path(raw["fieldPath"], schema) or ""
    return rule


def _fault(error: CompileError) -> str:
    text = str(error)
    return text if text.startswith("program instantiation failed") else f"compilation failed: {text}"


def field_path(text: str, schema: Raw) -> str | None:
    """A path such as ``.spec['a-b'].c`` as it is shown, or nothing when the schema has no such field."""
    shown, at = "", 0
    node: Any = schema
    while at < len(text):
        if text[at] == ".":
            end = min((place for place in (text.find(".", at + 1), text.find("[", at + 1)) if place >= 0), default=len(text))
            name, at = text[at + 1 : end], end
        elif text.startswith("['", at):
            end = at + 2
            while end < len(text) and text[end] != "'":
                end += 2 if text[end] == "\\" else 1
            if not text.startswith("']", end):
                return None
            name, at = text[at + 2 : end].replace("\\'", "'").replace("\\\\", "\\"), end + 2
        else:
            return None
        if not name or not isinstance(node, dict):
            return None
        if node.get("properties") is not None:
            node = node["properties"].get(name)
            shown = f"{shown}.{name}" if shown else name
        elif isinstance(node.get("additionalProperties"), dict):
            node = node["additionalProperties"]
            shown = f"{shown}[{name}]"
        else:
            return None
        if node is None:
            return None
    return shown


@dataclass(slots=True)
class Validator:
    """The rules at a node of a schema, and of all below it."""

    node: Declared
    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, Validator] = field(default_factory=dict)
    additional: Validator | None = None
    items: Validator | None = None
    all_of: list[Validator] = field(default_factory=list)


def validator(schema: Raw, *, root: bool = True) -> Validator | None:
    """The rules of a schema; nothing when it has none."""
    if not has_rules(schema):
        return None
    node = declare(schema, "selfType", root=root)
    return _validator(schema, schema, node) if node is not None else None


def has_rules(schema: Any) -> bool:
    """Whether there are rules in a schema."""
    if not isinstance(schema, dict):
        return False
    if schema.get("x-kubernetes-validations"):
        return True
    inner = (schema.get("items"), schema.get("additionalProperties"))
    return any(map(has_rules, inner)) or any(map(has_rules, schema.get("properties", {}).values()))


def _validator(rules_schema: Raw, schema: Raw, node: Declared) -> Validator | None:
    """``rules_schema`` is where the rules are: the schema itself, or a part of its ``allOf``."""
    found = Validator(node, compile_rules(rules_schema.get("x-kubernetes-validations") or [], node, schema))
    for name, inner in rules_schema.get("properties", {}).items():
        own = schema.get("properties", {}).get(name)
        if own is None:
            continue
        child = (node.fields or {}).get(escaped(name)) or declare(own, "selfType")
        below = _validator(inner, own, child) if child is not None else None
        if below is not None:
            found.properties[name] = below
    for word in ("additionalProperties", "items"):
        inner, own = rules_schema.get(word), schema.get(word)
        if isinstance(inner, dict) and isinstance(own, dict) and node.item is not None:
            below = _validator(inner, own, node.item)
            if word == "items":
                found.items = below
            else:
                found.additional = below
    for part in rules_schema.get("allOf", ()):
        below = _validator(part, schema, node)
        if below is not None:
            found.all_of.append(below)
    return found if found.rules or found.properties or found.additional or found.items or found.all_of else None


# Evaluation


@dataclass(slots=True)
class Findings:
    """What rules have to say about an object."""

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    budget: int = BUDGET


def evaluate(found: Validator, new: Any, old: Any = None, *, budget: int = BUDGET) -> Findings:
    """Evaluate all rules for a value, which may replace an old one."""
    findings = Findings(budget=budget)
    _Evaluation(findings).visit(found, NOWHERE, new, old, _Change(new, old) if old is not None else None, None)
    return findings


class _Change:
    """A value and the one that it replaces at the same place."""

    __slots__ = ("_same", "new", "old")

    def __init__(self, new: Any, old: Any) -> None:
        self.new = new
        self.old = old
        self._same: bool | None = None

    @property
    def is_same(self) -> bool:
        if self._same is None:
            self._same = self.new is self.old or equal(self.new, self.old)
        return self._same

    def key(self, name: str) -> _Change | None:
        if isinstance(self.new, dict) and isinstance(self.old, dict) and name in self.new and name in self.old:
            return _Change(self.new[name], self.old[name])
        return None


class _Spent(Exception):  # noqa: N818
    """Nothing more is evaluated."""


class _Evaluation:
    def __init__(self, findings: Findings) -> None:
        self._found = findings

    def visit(self, node: Validator, path: str, new: Any, old: Any, change: _Change | None, nearest: _Change | None) -> None:
        try:
            self._visit(node, path, new, old, change, nearest)
        except _Spent:
            pass

    def _visit(self, node: Validator, path: str, new: Any, old: Any, change: _Change | None, nearest: _Change | None) -> None:
        if new is None:
            return
        if node.rules:
            self._rules(node, path, new, old, change, nearest)
        for part in node.all_of:
            self._visit(part, path, new, old, None, nearest)
        if isinstance(new, list) and node.items is not None:
            self._items(node, node.items, path, new, old, change, nearest)
        elif isinstance(new, dict):
            before = old if isinstance(old, dict) else {}
            for name, value in new.items():
                if node.additional is not None:
                    self._below(node.additional, f"{path}[{name}]", value, before.get(name), name, change, nearest)
                below = node.properties.get(name)
                if below is not None:
                    inner = name if path == NOWHERE else f"{path}.{name}"
                    self._below(below, inner, value, before.get(name), name, change, nearest)

    def _below(
        self, node: Validator, path: str, new: Any, old: Any, name: str, change: _Change | None, nearest: _Change | None
    ) -> None:
        if change is None:
            self._visit(node, path, new, old, None, nearest)
        else:
            self._visit(node, path, new, old, change.key(name), change)

    def _items(
        self,
        node: Validator,
        items: Validator,
        path: str,
        new: list[Any],
        old: Any,
        change: _Change | None,
        nearest: _Change | None,
    ) -> None:
        keys = node.node.raw.get("x-kubernetes-list-map-keys") or ()
        keyed = node.node.raw.get("x-kubernetes-list-type") == "map" and keys
        known = {_key(item, keys): item for item in old} if keyed and isinstance(old, list) else {}
        for index, item in enumerate(new):
            before = known.get(_key(item, keys)) if known else None
            inner = _Change(item, before) if change is not None and before is not None else None
            self._visit(items, f"{path}[{index}]", item, before, inner, change if change is not None else nearest)

    def _rules(self, node: Validator, path: str, new: Any, old: Any, change: _Change | None, nearest: _Change | None) -> None:
        found = self._found
        kind = node.node.raw.get("type", "")
        if found.budget <= 0:
            self._stop(path, kind, _OUT_OF_BUDGET)
        names: dict[str, Any] | None = None
        for rule in node.rules:
            if rule.fault:
                found.errors.append(invalid(path, kind, f"rule compile error: {rule.fault}"))
                continue
            if rule.program is None or (rule.uses_old and old is None and not rule.optional_old):
                continue
            try:
                if names is None:
                    names = {"self": node.node.value(new)}
                known = names
                if rule.uses_old:
                    before = node.node.value(old) if old is not None else None
                    wrapped = Optional(before) if old is not None else ABSENT
                    known = {**names, "oldSelf": wrapped if rule.optional_old else before}
                holds, cost = rule.program.evaluate(known, PER_CALL_LIMIT)
            except EvalError as error:
                self._spend(error.cost, path, kind)
                self._failed(rule, path, kind, error)
                continue
            self._spend(cost, path, kind)
            if holds is not True:
                self._broken(rule, path, kind, new, known, change, nearest)

    def _failed(self, rule: Rule, path: str, kind: str, error: EvalError) -> None:
        if isinstance(error, LimitExceeded):
            text = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.shown}"
            self._stop(path, kind, text)
        text = f"{error} evaluating rule: {rule.shown}"
        if str(error).startswith(NO_OVERLOAD):
            text = (
                f"'{error}': call arguments did not match a supported operator, function or macro signature for rule: "
                f"{rule.shown}"
            )
        self._found.errors.append(invalid(path, kind, text))

    def _broken(
        self,
        rule: Rule,
        path: str,
        kind: str,
        new: Any,
        names: Mapping[str, Any],
        change: _Change | None,
        nearest: _Change | None,
    ) -> None:
        text = rule.text
        place = path if not rule.path else rule.path if path == NOWHERE else f"{path}.{rule.path}"
        if rule.message is not None:
            text = self._told(rule, names, place, kind) or text
        error = _error(place, kind, new, text, rule.raw.get("reason") or "")
        unchanged = change if change is not None else nearest
        if not rule.uses_old and unchanged is not None and unchanged.is_same:
            self._found.warnings.append(str(error))
        else:
            self._found.errors.append(error)

    def _told(self, rule: Rule, names: Mapping[str, Any], path: str, kind: str) -> str:
        """What the expression for the message says; empty when it says nothing that can be shown."""
        if rule.message is None:
            return ""
        shown = f'"{rule.raw.get("messageExpression", "")}"'
        try:
            value, cost = rule.message.evaluate(names, PER_CALL_LIMIT)
        except LimitExceeded:
            why = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
            self._stop(path, kind, f"{why}: {shown}")
        except EvalError as error:
            self._found.budget -= error.cost
            return ""
        if cost > self._found.budget:
            why = "messageExpression evaluation failed due to running out of cost budget"
            self._stop(path, kind, f"{why}, no further validation rules will be run")
        self._found.budget -= cost
        text = str(value).strip()
        return text if len(text.encode()) <= LONGEST_MESSAGE and "\n" not in text else ""

    def _spend(self, cost: int, path: str, kind: str) -> None:
        if cost > self._found.budget:
            self._stop(path, kind, _OUT_OF_BUDGET)
        self._found.budget -= cost

    def _stop(self, path: str, kind: str, text: str) -> None:
        self._found.errors.append(invalid(path, kind, text))
        self._found.budget = -1
        raise _Spent


def _key(item: Any, keys: Any) -> Any:
    return tuple(repr(item.get(key)) if isinstance(item, dict) else "" for key in keys)


def _error(path: str, kind: str, value: Any, text: str, reason: str) -> FieldError:
    # What is an object or a list is not shown.
    shown = "" if kind in ("object", "array") else f": {invalid('', value, '').message[len('Invalid value: ') : -2]}"
    match reason:
        case "FieldValueForbidden":
            return FieldError(path, "Forbidden", f"Forbidden: {text}")
        case "FieldValueRequired":
            return required(path, text)
        case "FieldValueDuplicate":
            return FieldError(path, "Duplicate value", f"Duplicate value{shown}")
    return FieldError(path, "Invalid value", f"Invalid value{shown}: {text}")
