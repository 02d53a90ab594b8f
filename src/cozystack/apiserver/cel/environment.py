"""Expressions compiled: what they may refer to, and what they become.

``Environment`` is what a group of expressions has in common: its variables with their types, the fields of struct types, the
sizes that values can have. It keeps what it has compiled, since the same rules come again with every write.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cozystack.apiserver.cel.check import Fields, Scope, check
from cozystack.apiserver.cel.estimate import MOST, Range, Sizes, estimate
from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.library import all_functions
from cozystack.apiserver.cel.library.texts import format_fault
from cozystack.apiserver.cel.plan import CostExceeded, Frame, PlanError, plan
from cozystack.apiserver.cel.regex import PatternError, compiled
from cozystack.apiserver.cel.syntax import Call, Ident, ListOf, Literal, MapOf, Node, Problems, children, parse
from cozystack.apiserver.cel.types import Type
from cozystack.apiserver.cel.values import EvalError, parse_duration, parse_timestamp

PER_CALL_LIMIT: Final = 1_000_000
"""What one evaluation may cost."""


class CompileError(ValueError):
    """An expression that cannot be evaluated, whatever the values are; the message shows where."""


class LimitExceeded(EvalError):  # noqa: N818 - it names what has happened
    """An evaluation that was given up because it costs too much."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class Program:
    """A compiled expression. ``cost`` is the range of what evaluating it can cost; ``names`` are the variables that it uses."""

    __slots__ = ("_step", "cost", "names", "text", "type")

    def __init__(self, text: str, root: Node, functions: Functions, sizes: Sizes) -> None:
        self.text = text
        self.type = root.type
        self.names = frozenset(_names(root))
        try:
            self._step = plan(root, functions)
        except PlanError as error:
            raise CompileError(f"program instantiation failed: {error}") from error
        self.cost: Range = estimate(root, functions, sizes)

    def evaluate(self, names: Mapping[str, Any], limit: int = PER_CALL_LIMIT) -> tuple[Any, int]:
        """The value and what it has cost. Raises ``EvalError``, which tells the cost as its ``cost``."""
        frame = Frame(dict(names), limit)
        try:
            value = self._step(frame)
            if frame.cost > limit:
                raise CostExceeded
        except CostExceeded:
            error: EvalError = LimitExceeded()
        except EvalError as found:
            error = found
        except RecursionError:
            error = EvalError("expression nests too deeply")
        except KeyError as missing:
            error = EvalError(f"no such attribute(s): {missing.args[0]}")
        else:
            return value, frame.cost
        error.cost = min(frame.cost, MOST)
        raise error


class Environment:
    """See the module. Without ``sizes`` nothing is known of how large values can be."""

    def __init__(
        self, variables: Mapping[str, Type], *, fields: Fields | None = None, sizes: Sizes = lambda path: None
    ) -> None:
        self._scope = Scope(variables, fields or {}, all_functions())
        self._sizes = sizes
        self.compile = lru_cache(maxsize=1024)(self._compile)

    def _compile(self, text: str) -> Program:
        """Raises ``CompileError``."""
        try:
            root = parse(text)
            check(text, root, self._scope)
            found = _literal_faults(root) + _mixed_literals(root)
            if found:
                raise Problems(text, sorted(found))
            return Program(text, root, self._scope.functions, self._sizes)
        except Problems as problems:
            raise CompileError(str(problems)) from None
        except RecursionError:
            raise CompileError("ERROR: <input>:-1:0: expression recursion limit exceeded: 250") from None


def _names(node: Node) -> list[str]:
    found = [node.name] if isinstance(node, Ident) else []
    for child in children(node):
        found += _names(child)
    return found


def _literal_faults(node: Node) -> list[tuple[int, str]]:
    """Literals that can never be what the function wants: times, durations, patterns."""
    found: list[tuple[int, str]] = []
    if isinstance(node, Call):
        last = node.args[-1] if node.args else None
        if isinstance(last, Literal) and isinstance(last.value, str):
            try:
                if node.function == "duration":
                    parse_duration(last.value)
                elif node.function == "timestamp":
                    parse_timestamp(last.value)
                elif node.function == "matches":
                    compiled(last.value)
            except (EvalError, PatternError):
                found.append((last.pos, f"invalid {node.function} argument"))
        if node.function == "format" and isinstance(node.target, Literal) and isinstance(last, ListOf):
            fault = format_fault(node.target.value, [item.type for item in last.items])
            if fault is not None:
                found.append((node.pos if fault[0] < 0 else last.items[fault[0]].pos, fault[1]))
    for child in children(node):
        found += _literal_faults(child)
    return found


def _mixed_literals(node: Node) -> list[tuple[int, str]]:
    """Items of lists and entries of maps that have different types; the arguments of ``format`` may."""
    if isinstance(node, Call) and node.function == "format":
        return []
    found: list[tuple[int, str]] = []
    if isinstance(node, ListOf):
        found += _mixed(node.items, [index in node.optional for index in range(len(node.items))])
    elif isinstance(node, MapOf):
        found += _mixed([key for key, _, _ in node.entries], [False] * len(node.entries))
        found += _mixed([value for _, value, _ in node.entries], [optional for _, _, optional in node.entries])
    for child in children(node):
        found += _mixed_literals(child)
    return found


def _mixed(nodes: list[Node], optional: list[bool]) -> list[tuple[int, str]]:
    first: Type | None = None
    for node, unwrap in zip(nodes, optional, strict=True):
        type_ = node.type.params[0] if unwrap and node.type.params else node.type
        if first is not None and type_ != first:
            return [(node.pos, f"expected type '{first}' but found '{type_}'")]
        first = type_
    return []


__all__ = ["PER_CALL_LIMIT", "CompileError", "Environment", "LimitExceeded", "Program"]
