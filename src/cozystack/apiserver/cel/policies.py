"""The expressions of admission: of policies, and the conditions of webhooks.

``object``, ``oldObject`` and ``params`` have no types, since one expression may be for many kinds; ``request``,
``namespaceObject`` and ``variables`` have. Whatever cannot be compiled is a fault of the policy, which is refused for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from cozystack.apiserver.cel.environment import CompileError, Environment, Program
from cozystack.apiserver.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, Type, list_of, map_of, parse_type, struct
from cozystack.apiserver.schema.check import FieldError, invalid, required, unsupported

Obj = dict[str, Any]

GROUP: Final = "admissionregistration.k8s.io"
_TEXTS: Final = list_of(STRING)
_LABELS: Final = map_of(STRING, STRING)


_KIND: Final = struct("kubernetes.GroupVersionKind")
_RESOURCE: Final = struct("kubernetes.GroupVersionResource")
_FIELDS: Final[dict[str, dict[str, Type]]] = {
    "kubernetes.GroupVersionKind": {"group": STRING, "version": STRING, "kind": STRING},
    "kubernetes.GroupVersionResource": {"group": STRING, "version": STRING, "resource": STRING},
    "kubernetes.UserInfo": {"username": STRING, "uid": STRING, "groups": _TEXTS, "extra": map_of(STRING, _TEXTS)},
    "kubernetes.AdmissionRequest": {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": STRING,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": STRING,
        "name": STRING,
        "__namespace__": STRING,
        "operation": STRING,
        "userInfo": struct("kubernetes.UserInfo"),
        "dryRun": BOOL,
        "options": DYN,
    },
    "kubernetes.NamespaceSpec": {"finalizers": _TEXTS},
    "kubernetes.NamespaceCondition": {
        "status": STRING,
        "type": STRING,
        "lastTransitionTime": TIMESTAMP,
        "message": STRING,
        "reason": STRING,
    },
    "kubernetes.NamespaceStatus": {"conditions": list_of(struct("kubernetes.NamespaceCondition")), "phase": STRING},
    "kubernetes.NamespaceMetadata": {
        "name": STRING,
        "generateName": STRING,
        "__namespace__": STRING,
        "labels": _LABELS,
        "annotations": _LABELS,
        "UID": STRING,
        "creationTimestamp": TIMESTAMP,
        "deletionGracePeriodSeconds": INT,
        "deletionTimestamp": TIMESTAMP,
        "generation": INT,
        "resourceVersion": STRING,
        "finalizers": _TEXTS,
    },
    "kubernetes.Namespace": {
        "metadata": struct("kubernetes.NamespaceMetadata"),
        "spec": struct("kubernetes.NamespaceSpec"),
        "status": struct("kubernetes.NamespaceStatus"),
    },
    "kubernetes.authorization.Authorizer": {"requestResource": parse_type("kubernetes.authorization.ResourceCheck")},
}
_VARIABLES: Final = "kubernetes.variables"


class Typed(NamedTuple):
    """What ``object`` is, when it is known: its type, the fields of the types in it, and how it is called."""

    type: Type
    fields: Mapping[str, Mapping[str, Type]]
    name: str


def _environment(
    of: Typed | None, *, params: bool, authorizer: bool, variables: tuple[tuple[str, Type], ...] | None = None
) -> Environment:
    if of is None:
        return _untyped(params, authorizer, variables)
    return _made(of, params, authorizer, variables)


@lru_cache(maxsize=256)
def _untyped(params: bool, authorizer: bool, variables: tuple[tuple[str, Type], ...] | None) -> Environment:
    return _made(Typed(DYN, {}, ""), params, authorizer, variables)


def _made(of: Typed, params: bool, authorizer: bool, variables: tuple[tuple[str, Type], ...] | None) -> Environment:
    names = {
        "object": of.type,
        "oldObject": of.type,
        "request": struct("kubernetes.AdmissionRequest"),
        "namespaceObject": struct("kubernetes.Namespace"),
    }
    if params:
        names["params"] = DYN
    if authorizer:
        names["authorizer"] = parse_type("kubernetes.authorization.Authorizer")
    fields: dict[str, Mapping[str, Type]] = {**_FIELDS, **of.fields}
    if variables is not None:
        names["variables"] = struct(_VARIABLES)
        fields[_VARIABLES] = dict(variables)
    return Environment(names, fields=fields)


@dataclass(slots=True)
class Expression:
    """An expression where it stands: its path in the object, and its program or why there is none."""

    text: str
    path: str
    name: str = ""
    program: Program | None = None
    fault: str = ""


@dataclass(slots=True)
class Validation:
    expression: Expression
    message: Expression | None
    raw: Obj

    @property
    def text(self) -> str:
        """What is said when it does not hold, unless an expression says something else."""
        return (self.raw.get("message") or "").strip() or f"failed expression: {self.expression.text.strip()}"


@dataclass(slots=True)
class Policy:
    """A ValidatingAdmissionPolicy, compiled."""

    conditions: list[Expression] = field(default_factory=list)
    variables: list[Expression] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    annotations: list[Expression] = field(default_factory=list)

    @property
    def expressions(self) -> list[Expression]:
        parts = [part for each in self.validations for part in (each.expression, each.message) if part is not None]
        return [*self.conditions, *self.variables, *parts, *self.annotations]


def compile_conditions(conditions: list[Obj], path: str, *, params: bool = False, of: Typed | None = None) -> list[Expression]:
    """The ``matchConditions`` of a webhook or a policy."""
    environment = _environment(of, params=params, authorizer=True)
    return [
        _compiled(environment, each.get("expression") or "", f"{path}[{index}].expression", ("bool",), each.get("name") or "")
        for index, each in enumerate(conditions)
    ]


def compile_policy(spec: Obj, of: Typed | None = None) -> Policy:
    """A policy, for objects of any type or of a known one; what cannot be compiled carries its fault."""
    params = spec.get("paramKind") is not None
    found = Policy(compile_conditions(spec.get("matchConditions") or [], "spec.matchConditions", params=params, of=of))
    known: tuple[tuple[str, Type], ...] = ()
    composed = bool(spec.get("variables"))
    for index, each in enumerate(spec.get("variables") or []):
        environment = _environment(of, params=params, authorizer=True, variables=known)
        path = f"spec.variables[{index}].expression"
        variable = _compiled(environment, each.get("expression") or "", path, (), each.get("name") or "")
        found.variables.append(variable)
        known = (*known, (variable.name, variable.program.type if variable.program is not None else DYN))
    variables = known if composed else None
    environment = _environment(of, params=params, authorizer=True, variables=variables)
    telling = _environment(of, params=params, authorizer=False, variables=variables)
    for index, each in enumerate(spec.get("validations") or []):
        path = f"spec.validations[{index}]"
        expression = _compiled(environment, each.get("expression") or "", f"{path}.expression", ("bool",))
        text = each.get("messageExpression") or ""
        message = _compiled(telling, text, f"{path}.messageExpression", ("string",)) if text.strip() else None
        found.validations.append(Validation(expression, message, each))
    for index, each in enumerate(spec.get("auditAnnotations") or []):
        path = f"spec.auditAnnotations[{index}].valueExpression"
        text = (each.get("valueExpression") or "").strip()
        found.annotations.append(_compiled(environment, text, path, ("string", "null_type"), each.get("key") or ""))
    return found


def _compiled(environment: Environment, text: str, path: str, types: tuple[str, ...], name: str = "") -> Expression:
    found = Expression(text, path, name)
    if not text.strip():
        return found
    try:
        program = environment.compile(text)
    except CompileError as error:
        message = str(error)
        found.fault = message if message.startswith("program instantiation failed") else f"compilation failed: {message}"
        return found
    if types and program.type.name not in types:
        wanted = types[0] if len(types) == 1 else f"one of [{' '.join(types)}]"
        found.fault = f"must evaluate to {wanted} but got {_shown(program.type)}"
        return found
    found.program = program
    return found


def _shown(type_: Type) -> str:
    return f"{type_.name}({', '.join(map(_shown, type_.params))})" if type_.params else type_.name


def status(obj: Obj, kinds: Iterable[Typed]) -> Obj:
    """The status of a policy: which generation has been looked at, and what would be wrong for objects of those kinds."""
    warnings: dict[str, list[str]] = {}
    for kind in kinds:
        policy = compile_policy(obj.get("spec") or {}, kind)
        judged = [part for each in policy.validations for part in (each.expression, each.message) if part is not None]
        for each in judged:
            if each.fault:
                text = each.fault.removeprefix("compilation failed: ")
                warnings.setdefault(each.path, []).append(f"{kind.name}: {text}")
    checked: Obj = {}
    if warnings:
        checked["expressionWarnings"] = [{"fieldRef": path, "warning": "\n".join(texts)} for path, texts in warnings.items()]
    return {
        **(obj.get("status") or {}),
        "observedGeneration": obj["metadata"].get("generation", 1),
        "typeChecking": checked,
    }


# What is wrong with an object


def definition_errors(kind: str, obj: Obj) -> list[FieldError]:
    """What is wrong with a policy, a binding or the conditions of webhooks."""
    checks = _CHECKS.get(kind)
    return checks(obj) if checks is not None else []


_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


def _policy_errors(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return [required("spec")]
    found: list[FieldError] = []
    if spec.get("failurePolicy", "Fail") not in ("Fail", "Ignore"):
        found.append(unsupported("spec.failurePolicy", spec["failurePolicy"], ("Fail", "Ignore")))
    kind = spec.get("paramKind")
    if kind is not None:
        found += [required(f"spec.paramKind.{name}") for name in ("apiVersion", "kind") if not kind.get(name)]
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.append(required("spec.matchConstraints"))
    elif not constraints.get("resourceRules"):
        found.append(required("spec.matchConstraints.resourceRules"))
    found += _condition_errors(spec.get("matchConditions") or [], "spec.matchConditions")
    for index, each in enumerate(spec.get("variables") or []):
        name = each.get("name") or ""
        if not name.strip():
            found.append(required(f"spec.variables[{index}].name", "name is not specified"))
        elif not _IDENTIFIER.fullmatch(name):
            found.append(invalid(f"spec.variables[{index}].name", name, "must be a valid CEL identifier"))
        if not (each.get("expression") or "").strip():
            found.append(required(f"spec.variables[{index}].expression", "expression is not specified"))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        why = "validations or auditAnnotations must contain at least one item"
        found += [required("spec.validations", why), required("spec.auditAnnotations", why)]
    for index, each in enumerate(spec.get("validations") or []):
        found += _validation_errors(each, f"spec.validations[{index}]")
    for index, each in enumerate(spec.get("auditAnnotations") or []):
        if not (each.get("valueExpression") or "").strip():
            why = "valueExpression is not specified"
            found.append(required(f"spec.auditAnnotations[{index}].valueExpression", why))
    compiled = compile_policy(spec).expressions
    return found + [invalid(each.path, each.text, each.fault) for each in compiled if each.fault]


def _validation_errors(raw: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    message, expression = raw.get("message") or "", raw.get("messageExpression") or ""
    if not (raw.get("expression") or "").strip():
        found.append(required(f"{path}.expression", "expression is not specified"))
    if expression and not expression.strip():
        found.append(invalid(f"{path}.messageExpression", expression, "must be non-empty if specified"))
    if message and not message.strip():
        found.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        found.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    if raw.get("reason") is not None and raw["reason"] not in _REASONS:
        found.append(unsupported(f"{path}.reason", raw["reason"], _REASONS))
    return found


def _condition_errors(conditions: list[Obj], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    if len(conditions) > 64:
        found.append(FieldError(path, "Too many", f"Too many: {len(conditions)}: must have at most 64 items"))
    for index, each in enumerate(conditions):
        name = each.get("name") or ""
        if not (each.get("expression") or "").strip():
            found.append(required(f"{path}[{index}].expression"))
        if not name:
            found.append(required(f"{path}[{index}].name"))
        elif name in seen:
            found.append(FieldError(f"{path}[{index}].name", "Duplicate value", f'Duplicate value: "{name}"'))
        seen.add(name)
    return found


_ACTIONS: Final = ("Audit", "Deny", "Warn")


def _binding_errors(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return [required("spec")]
    found: list[FieldError] = []
    if not spec.get("policyName"):
        found.append(required("spec.policyName"))
    ref = spec.get("paramRef")
    if ref is not None:
        found += _param_ref_errors(ref, "spec.paramRef")
    actions = spec.get("validationActions") or []
    if not actions:
        found.append(required("spec.validationActions"))
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            found.append(unsupported(f"spec.validationActions[{index}]", action, _ACTIONS))
        elif action in actions[:index]:
            found.append(FieldError(f"spec.validationActions[{index}]", "Duplicate value", f'Duplicate value: "{action}"'))
    if "Deny" in actions and "Warn" in actions:
        shown = "[" + ",".join(f'"{action}"' for action in actions) + "]"
        why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
        message = f"Invalid value: {shown}: {why}headers serves no purpose)"
        found.append(FieldError("spec.validationActions", "Invalid value", message))
    return found


def _param_ref_errors(ref: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    name, selector = ref.get("name"), ref.get("selector")
    if name and selector is not None:
        both = "Forbidden: name and selector are mutually exclusive"
        found += [FieldError(f"{path}.{word}", "Forbidden", both) for word in ("name", "selector")]
    if not name and selector is None:
        found.append(required(path, "one of name or selector must be specified"))
    action = ref.get("parameterNotFoundAction")
    if not action:
        found.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in ("Deny", "Allow"):
        found.append(unsupported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow")))
    return found


def _webhook_errors(obj: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    for index, webhook in enumerate(obj.get("webhooks") or []):
        conditions = webhook.get("matchConditions") or []
        path = f"webhooks[{index}].matchConditions"
        found += _condition_errors(conditions, path)
        found += [invalid(each.path, each.text, each.fault) for each in compile_conditions(conditions, path) if each.fault]
    return found


_CHECKS: Final[dict[str, Callable[[Obj], list[FieldError]]]] = {
    "ValidatingAdmissionPolicy": _policy_errors,
    "ValidatingAdmissionPolicyBinding": _binding_errors,
    "ValidatingWebhookConfiguration": _webhook_errors,
    "MutatingWebhookConfiguration": _webhook_errors,
}
