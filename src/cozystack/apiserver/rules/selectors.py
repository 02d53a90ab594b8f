"""Label selectors in objects: what is wrong with one, and what it selects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cozystack.apiserver.rules.faults import forbidden, invalid
from cozystack.apiserver.rules.names import qualified_faults, value_faults
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]


def label_errors(labels: Obj, path: str) -> Iterator[FieldError]:
    """What is wrong with labels."""
    for key, value in labels.items():
        yield from (invalid(path, key, fault) for fault in qualified_faults(key))
        yield from (invalid(path, value, fault) for fault in value_faults(value))


def selector_errors(selector: Obj, path: str) -> Iterator[FieldError]:
    """What is wrong with a ``metav1.LabelSelector``."""
    yield from label_errors(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, rule in enumerate(selector.get("matchExpressions") or ()):
        where, operator, values = f"{path}.matchExpressions[{index}]", rule.get("operator", ""), rule.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                yield forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            yield invalid(f"{where}.operator", operator, "not a valid selector operator")
        key = rule.get("key", "")
        yield from (invalid(f"{where}.key", key, fault) for fault in qualified_faults(key))
        for place, value in enumerate(values):
            yield from (invalid(f"{where}.values[{place}]", value, fault) for fault in value_faults(value))


def matches(selector: Obj, labels: Obj) -> bool:
    """Whether a selector selects something with these labels. An empty one selects everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        value, values = labels.get(rule.get("key", "")), rule.get("values") or ()
        kept = {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not kept.get(rule.get("operator", ""), False):
            return False
    return True
