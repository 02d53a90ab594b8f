"""ValidatingAdmissionPolicies: expressions that a write has to satisfy, without anybody being asked over a network.

A policy says which writes it is about and what has to hold; a binding turns it on, narrows it, gives it parameters and says
what a failure means: a refusal (``Deny``), a warning (``Warn``), a note in the audit log (``Audit``). A policy that cannot
decide follows its failure policy. Policies are never asked about policies, bindings and webhook configurations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cozystack.apiserver.admission.conditions import ConditionsFailed, Decide, conditions_hold, names_of
from cozystack.apiserver.admission.matching import Operation, Write, is_exempt, rule_accepts, selector_accepts, selectors_accept
from cozystack.apiserver.cel import EvalError
from cozystack.apiserver.cel.plan import Lazy
from cozystack.apiserver.cel.policies import Expression, Policy, Validation, compile_policy
from cozystack.apiserver.errors import ApiError, forbidden
from cozystack.apiserver.resources import Registry, ResourceInfo
from cozystack.apiserver.storage import Storage, Stored

Obj = dict[str, Any]

BUDGET: Final = 10_000_000
"""What the expressions of one policy may cost for one write."""
LONGEST_MESSAGE: Final = 5 * 1024
LONGEST_ANNOTATION: Final = 10 * 1024
FAILURES: Final = "validation.policy.admission.k8s.io/validation_failure"
_KEY: Final = "admissionregistration.k8s.io/validatingadmissionpolicies"
_BINDINGS_KEY: Final = "admissionregistration.k8s.io/validatingadmissionpolicybindings"
_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"
_CODES: Final = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(slots=True)
class Verdict:
    """What policies say: a refusal, warnings, and what the audit log shall say."""

    error: ApiError | None = None
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Bound:
    """A policy and its bindings. ``compiled`` is made when a write is first about it."""

    name: str
    spec: Obj
    bindings: list[tuple[str, Obj]]
    compiled: Policy | None = None

    @property
    def policy(self) -> Policy:
        if self.compiled is None:
            self.compiled = compile_policy(self.spec)
        return self.compiled

    @property
    def fails(self) -> bool:
        """Whether a failure to decide refuses."""
        return bool(self.spec.get("failurePolicy", "Fail") != "Ignore")


@dataclass(slots=True)
class _Failure:
    """A validation that did not hold, or could not be evaluated: ``index`` is its place in the policy."""

    index: int
    message: str
    reason: str = ""


class _Misconfigured(Exception):  # noqa: N818
    """A binding that cannot be applied."""


class Policies:
    """See the module. ``decide`` answers what expressions ask their ``authorizer``."""

    def __init__(self, storage: Storage, registry: Registry, decide: Decide) -> None:
        self._storage = storage
        self._registry = registry
        self._decide = decide
        self._read: tuple[object, object, list[_Bound]] | None = None

    def concern(self, info: ResourceInfo, operation: Operation, subresource: str = "") -> bool:
        """Whether any policy may have to be asked about such a write."""
        bound = self._bound()
        if not bound or is_exempt(info):
            return False
        return any(self._version(each.spec.get("matchConstraints"), info, operation, subresource, "") for each in bound)

    def validate(self, write: Write) -> Verdict:
        """What all policies say about a write."""
        verdict = Verdict()
        if is_exempt(write.info):
            return verdict
        denied: list[ApiError] = []
        failures: list[Obj] = []
        namespace = self._namespace_of(write)
        for bound in self._bound():
            version = self._matches(bound.spec.get("matchConstraints"), write, namespace)
            if not version:
                continue
            unknown = self._unknown_kind(bound.spec.get("paramKind"))
            if unknown:
                if bound.fails:
                    denied.append(_denial(write, bound.name, "", f"failed to configure policy: {unknown}"))
                continue
            shown = self._registry.find(write.info.group, version, write.info.plural) or write.info
            for name, binding in bound.bindings:
                resources = binding.get("matchResources")
                if resources is not None and not self._matches(resources, write, namespace):
                    continue
                try:
                    params = self._params(bound.spec.get("paramKind"), binding.get("paramRef"), write)
                except _Misconfigured as error:
                    if bound.fails:
                        denied.append(_denial(write, bound.name, name, f"failed to configure binding: {error}"))
                    continue
                for param in params:
                    names = names_of(write, shown, namespace, self._decide) | {"params": param}
                    found = _Evaluation(bound, names)
                    self._tell(bound.name, name, binding, write, found.failures(), verdict, denied, failures)
                    for key, value in found.annotations():
                        _annotate(verdict.annotations, f"{bound.name}/{key}", value)
                    denied += [_denial(write, bound.name, name, text) for text in found.annotation_faults]
        if failures:
            verdict.annotations[FAILURES] = json.dumps(failures, separators=(",", ":"))
        verdict.error = denied[0] if denied else None
        return verdict

    def _tell(
        self,
        policy: str,
        name: str,
        binding: Obj,
        write: Write,
        found: list[_Failure],
        verdict: Verdict,
        denied: list[ApiError],
        failures: list[Obj],
    ) -> None:
        actions = binding.get("validationActions") or []
        for failure in found:
            if "Deny" in actions:
                denied.append(_denial(write, policy, name, failure.message, failure.reason))
            if "Warn" in actions:
                verdict.warnings.append(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{name}': {failure.message}"
                )
            if "Audit" in actions:
                failures.append(
                    {
                        "message": failure.message,
                        "policy": policy,
                        "binding": name,
                        "expressionIndex": failure.index,
                        "validationActions": actions,
                    }
                )

    # Which

    def _bound(self) -> list[_Bound]:
        """Policies with bindings, read again when one of either has changed: the storage then gives another list."""
        policies, bindings = self._storage.objects(_KEY), self._storage.objects(_BINDINGS_KEY)
        kept = self._read
        if kept is not None and kept[0] is policies and kept[1] is bindings:
            return kept[2]
        before = {each.name: each for each in kept[2]} if kept is not None else {}
        found = []
        for stored in policies:
            spec = stored.object.get("spec") or {}
            of_policy = [
                (each.name, each.object.get("spec") or {})
                for each in bindings
                if (each.object.get("spec") or {}).get("policyName") == stored.name
            ]
            if of_policy:
                known = before.get(stored.name)
                compiled = known.compiled if known is not None and known.spec is spec else None
                found.append(_Bound(stored.name, spec, of_policy, compiled))
        self._read = (policies, bindings, found)
        return found

    def _matches(self, resources: Obj | None, write: Write, namespace: Obj | None) -> str:
        """The version in which a write is asked about; empty when it is not."""
        resources = resources or {}
        version = self._version(resources, write.info, write.operation, write.subresource, write.name)
        return version if version and selectors_accept(resources, write, namespace) else ""

    def _version(self, resources: Obj | None, info: ResourceInfo, operation: Operation, subresource: str, name: str) -> str:
        resources = resources or {}
        versions = [info.version]
        if resources.get("matchPolicy", "Equivalent") == "Equivalent":
            others = self._registry.versions(info.group)
            versions += [each for each in others if self._registry.find(info.group, each, info.plural) is not None]
        if name and any(
            _accepts(rule, info, version, subresource, operation, name)
            for rule in resources.get("excludeResourceRules") or ()
            for version in versions
        ):
            return ""
        rules = resources.get("resourceRules")
        if not rules:
            return info.version
        for version in versions:
            if any(_accepts(rule, info, version, subresource, operation, name) for rule in rules):
                return version
        return ""

    def _namespace_of(self, write: Write) -> Obj | None:
        stored = self._storage.get("/namespaces", "", write.namespace) if write.info.namespaced else None
        return stored.object if isinstance(stored, Stored) else None

    def _unknown_kind(self, kind: Obj | None) -> str:
        """Why parameters of that kind cannot be had; empty when they can."""
        group, _, version = ((kind or {}).get("apiVersion") or "").rpartition("/")
        name = (kind or {}).get("kind") or ""
        if kind is None or self._registry.by_kind(group, version, name) is not None:
            return ""
        return f"failed to find resource referenced by paramKind: '{kind.get('apiVersion')}, Kind={name}'"

    def _params(self, kind: Obj | None, ref: Obj | None, write: Write) -> list[Obj | None]:
        """The parameters that a binding gives; raises ``_Misconfigured``."""
        if kind is None or ref is None:
            return [None]
        group, _, version = kind.get("apiVersion", "").rpartition("/")
        info = self._registry.by_kind(group, version, kind.get("kind", ""))
        if info is None:
            return [None]
        namespace = ref.get("namespace") or ""
        if namespace and not info.namespaced:
            raise _Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        if info.namespaced and not namespace:
            namespace = write.namespace
            if not namespace:
                why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                raise _Misconfigured(why)
        found: list[Obj | None] = []
        if ref.get("name"):
            stored = self._storage.get(info.storage_key, namespace, ref["name"])
            found = [stored.object] if isinstance(stored, Stored) else []
        else:
            for each in self._storage.objects(info.storage_key, namespace):
                if selector_accepts(ref.get("selector"), each.object["metadata"].get("labels") or {}):
                    found.append(each.object)
        if not found and ref.get("parameterNotFoundAction", "Deny") == "Deny":
            raise _Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found


def _accepts(rule: Obj, info: ResourceInfo, version: str, subresource: str, operation: Operation, name: str) -> bool:
    names = rule.get("resourceNames")
    if names and name and name not in names:
        return False
    return rule_accepts(rule, info, version, subresource, operation)


class _Evaluation:
    """One policy, one write, one parameter."""

    def __init__(self, bound: _Bound, names: dict[str, Any]) -> None:
        self._bound = bound
        self._policy = bound.policy
        self._names = names
        self._budget = BUDGET
        self._pending = 0
        self._matched = True
        self.annotation_faults: list[str] = []
        if self._policy.variables:
            compute = {each.name: self._computing(each) for each in self._policy.variables}
            self._names = {**names, "variables": Lazy(compute)}

    def _computing(self, variable: Expression) -> Callable[[], Any]:
        def compute() -> Any:
            if variable.program is None:
                raise EvalError(f'composited variable "{variable.name}" fails to compile: {variable.fault}')
            try:
                value, cost = variable.program.evaluate(self._names)
            except EvalError as error:
                self._pending += error.cost
                raise EvalError(f'composited variable "{variable.name}" fails to evaluate: {error}') from error
            self._pending += cost
            return value

        return compute

    def _evaluated(self, expression: Expression) -> Any:
        """The value; raises ``EvalError`` with what is said of it, ``_Misconfigured`` when nothing more can be evaluated."""
        if expression.program is None:
            raise EvalError(f"compilation error: {expression.fault}")
        self._pending = 0
        failed: EvalError | None = None
        value: Any = None
        try:
            value, cost = expression.program.evaluate(self._names)
        except EvalError as error:
            failed, cost = error, error.cost
        cost += self._pending
        if cost > self._budget:
            raise _Misconfigured(_OUT_OF_BUDGET)
        self._budget -= cost
        if failed is not None:
            raise EvalError(f"expression '{expression.text}' resulted in error: {failed}")
        return value

    def failures(self) -> list[_Failure]:
        """What does not hold, in the order of the policy; what cannot be evaluated too, unless failures are ignored."""
        fails = self._bound.fails
        try:
            if self._policy.conditions and not conditions_hold(self._policy.conditions, self._names):
                self._matched = False
                return []
        except ConditionsFailed as error:
            self._matched = False
            return [_Failure(0, str(error))] if fails else []
        found: list[_Failure] = []
        for index, each in enumerate(self._policy.validations):
            try:
                holds = self._evaluated(each.expression)
            except EvalError as error:
                found += [_Failure(index, str(error))] if fails else []
                continue
            except _Misconfigured as error:
                return [_Failure(0, str(error))] if fails else []
            if holds is not True:
                found.append(_Failure(index, self._message(each), each.raw.get("reason") or "Invalid"))
        return found

    def _message(self, validation: Validation) -> str:
        if validation.message is not None:
            try:
                text = str(self._evaluated(validation.message)).strip()
            except (EvalError, _Misconfigured):
                text = ""
            if text and "\n" not in text and len(text.encode()) <= LONGEST_MESSAGE:
                return text
        return validation.text

    def annotations(self) -> Iterator[tuple[str, str]]:
        """What the audit log shall say."""
        if not self._matched:
            return
        self._budget = BUDGET
        for each in self._policy.annotations:
            try:
                value = self._evaluated(each)
            except (EvalError, _Misconfigured) as error:
                if self._bound.fails:
                    self.annotation_faults.append(str(error))
                continue
            text = value.strip() if isinstance(value, str) else ""
            if text:
                yield each.name, text[:LONGEST_ANNOTATION]


def _annotate(annotations: dict[str, str], key: str, value: str) -> None:
    before = annotations.get(key)
    if before is None:
        annotations[key] = value
    elif value not in before.split(", "):
        annotations[key] = f"{before}, {value}"


def _denial(write: Write, policy: str, binding: str, why: str, reason: str = "") -> ApiError:
    bound = f" with binding '{binding}'" if binding else ""
    message = f"ValidatingAdmissionPolicy '{policy}'{bound} denied request: {why}"
    info = write.info
    error = forbidden(info.plural, info.group, write.name, message)
    error.reason = reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error


__all__ = ["Policies", "Verdict"]
