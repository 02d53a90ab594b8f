"""What is wrong with the rules of a CRD: what cannot be compiled, what may cost too much, what cannot know its old value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from cozystack.apiserver.cel.declarations import LARGEST_REQUEST, declare
from cozystack.apiserver.cel.estimate import MOST
from cozystack.apiserver.cel.rules import Rule, compile_rules, field_path, has_rules
from cozystack.apiserver.schema.check import FieldError, invalid, required, unsupported

Raw = dict[str, Any]

RULE_LIMIT: Final = 10_000_000
"""What one rule may be estimated to cost, as often as it can be evaluated for one object."""
TOTAL_LIMIT: Final = 100_000_000
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_TOTAL: Final = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
_SHARE: Final = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"


def rule_errors(schema: Raw, path: str) -> list[FieldError]:
    """What is wrong with the rules of a structural schema."""
    if not has_rules(schema):
        return []
    found = _Inspection()
    found.visit(schema, path, often=1, root=True, uncorrelated="")
    if found.total > TOTAL_LIMIT:
        for place, _ in sorted(found.costly, key=lambda each: -each[1])[:4]:
            found.errors.append(_forbidden(place, _SHARE))
        found.errors.append(_forbidden(path, _over(_TOTAL, found.total, TOTAL_LIMIT)))
    return found.errors


@dataclass(slots=True)
class _Inspection:
    errors: list[FieldError] = field(default_factory=list)
    total: int = 0
    costly: list[tuple[str, int]] = field(default_factory=list)

    def visit(self, schema: Raw, path: str, *, often: int | None, uncorrelated: str, root: bool = False) -> bool:
        """Look at a node, those below it first; whether the schema is good. ``often``: how many of it an object can have."""
        good = True
        for name, inner in schema.get("properties", {}).items():
            good &= self.visit(inner, f"{path}.properties[{name}]", often=often, uncorrelated=uncorrelated)
        inner = schema.get("additionalProperties")
        if isinstance(inner, dict):
            more = _times(often, schema.get("maxProperties"))
            good &= self.visit(inner, f"{path}.additionalProperties", often=more, uncorrelated=uncorrelated)
        inner = schema.get("items")
        if isinstance(inner, dict):
            more = _times(often, schema.get("maxItems"))
            lost = uncorrelated or (path if schema.get("x-kubernetes-list-type") != "map" else "")
            good &= self.visit(inner, f"{path}.items", often=more, uncorrelated=lost)
        rules = schema.get("x-kubernetes-validations") or []
        for index, rule in enumerate(rules):
            faults = _faults(rule, schema, f"{path}.x-kubernetes-validations[{index}]")
            self.errors += faults
            good &= not faults
        if rules and good:
            self._compile(rules, schema, path, often, uncorrelated, root)
        return good

    def _compile(self, rules: list[Raw], schema: Raw, path: str, often: int | None, uncorrelated: str, root: bool) -> None:
        node = declare(schema, "selfType", root=root or bool(schema.get("x-kubernetes-embedded-resource")))
        if node is None:
            return
        times = often if often is not None else LARGEST_REQUEST // (node.smallest + 1)
        for index, rule in enumerate(compile_rules(rules, node, schema)):
            place = f"{path}.x-kubernetes-validations[{index}]"
            cost = min(rule.program.cost.high * times, MOST) if rule.program is not None else 0
            self._spend(f"{place}.rule", "estimated rule cost", cost)
            if rule.fault:
                self.errors.append(FieldError(f"{place}.rule", "Invalid value", _of(rule, rule.fault)))
            if rule.message_fault:
                self.errors.append(FieldError(f"{place}.messageExpression", "Invalid value", _of(rule, rule.message_fault)))
            elif rule.message is not None:
                self._spend(f"{place}.messageExpression", "estimated messageExpression cost", rule.message.cost.high)
            if rule.uses_old:
                if uncorrelated:
                    why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
                    self.errors.append(invalid(f"{place}.rule", rule.raw.get("rule"), why))
            elif rule.raw.get("optionalOldSelf") is not None:
                why = "may not be set if oldSelf is not used in rule"
                self.errors.append(invalid(f"{place}.optionalOldSelf", rule.raw["optionalOldSelf"], why))

    def _spend(self, path: str, name: str, cost: int) -> None:
        if cost > RULE_LIMIT:
            self.errors.append(_forbidden(path, _over(name, cost, RULE_LIMIT)))
        self.total = min(self.total + cost, MOST)
        if cost >= TOTAL_LIMIT // 100:
            self.costly.append((path, cost))


def _times(often: int | None, most: int | None) -> int | None:
    return None if often is None or most is None else min(often * most, MOST)


def _forbidden(path: str, text: str) -> FieldError:
    return FieldError(path, "Forbidden", f"Forbidden: {text}")


def _over(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


def _of(rule: Rule, text: str) -> str:
    """A fault of a rule, which is shown whole."""
    raw = rule.raw
    whole = {
        "Rule": raw.get("rule", ""),
        "Message": raw.get("message", ""),
        "MessageExpression": raw.get("messageExpression", ""),
        "Reason": raw.get("reason"),
        "FieldPath": raw.get("fieldPath", ""),
        "OptionalOldSelf": raw.get("optionalOldSelf"),
    }
    shown = json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        shown = shown.replace(char, f"\\u{ord(char):04x}")
    return f"Invalid value: {shown}: {text}"


def _faults(rule: Raw, schema: Raw, path: str) -> list[FieldError]:
    """What can be seen without compiling."""
    text, message = rule.get("rule") or "", rule.get("message") or ""
    expression, place = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
    found: list[FieldError] = []
    if not text.strip():
        found.append(required(f"{path}.rule", "rule is not specified"))
    elif message and not message.strip():
        found.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif _has_lines(message.strip()):
        found.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    elif _has_lines(text.strip()) and not message.strip():
        found.append(required(f"{path}.message", "message must be specified if rule contains line breaks"))
    if expression and not expression.strip():
        found.append(required(f"{path}.messageExpression", "messageExpression must be non-empty if specified"))
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        found.append(unsupported(f"{path}.reason", rule["reason"], _REASONS))
    if place and not place.strip():
        found.append(invalid(f"{path}.fieldPath", place, "must be non-empty if specified"))
    if _has_lines(place):
        found.append(invalid(f"{path}.fieldPath", place, "must not contain line breaks"))
    if place and field_path(place, schema) is None:
        found.append(invalid(f"{path}.fieldPath", place, "must be a valid path"))
    return found


def _has_lines(text: str) -> bool:
    return "\n" in text or "\r" in text
