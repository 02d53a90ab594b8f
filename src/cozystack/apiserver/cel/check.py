"""The types of an expression: what each part is, which overloads a call can mean, and what cannot be.

Errors are collected, in the words of the reference checker; a part with an error has the error type, which fits everything, so
that one mistake is one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.syntax import (
    Call,
    Fold,
    Ident,
    ListOf,
    Literal,
    MapOf,
    Message,
    Node,
    Problems,
    Select,
    children,
    literal_text,
    qualified,
)
from cozystack.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    UINT,
    Substitution,
    Type,
    fresh_copy,
    is_optional,
    list_of,
    map_of,
    most_general,
    optional_of,
)
from cozystack.apiserver.cel.values import Uint

Fields = Mapping[str, Mapping[str, Type]]
"""The fields of each struct type, by its name."""

_LITERALS: Final[dict[type, Type]] = {
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}


class Scope(NamedTuple):
    """What an expression may refer to."""

    variables: Mapping[str, Type]
    fields: Fields
    functions: Functions


def check(text: str, root: Node, scope: Scope) -> Type:
    """Give every node its type and every call its overloads; the type of the whole. Raises ``Problems``."""
    checker = _Checker(scope)
    checker.visit(root)
    if checker.found:
        raise Problems(text, sorted(checker.found, key=lambda each: each[0]))
    checker.finish(root)
    return root.type


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._local: list[dict[str, Type]] = []
        self._known = Substitution()
        self.found: list[tuple[int, str]] = []

    def visit(self, node: Node) -> Type:
        node.type = _VISITS[type(node)](self, node)
        return node.type

    def finish(self, node: Node) -> None:
        """Replace what is still open by ``dyn``."""
        node.type = self._known.resolved(node.type, unknown=DYN)
        for child in children(node):
            self.finish(child)

    def _wrong(self, node: Node, message: str) -> Type:
        self.found.append((node.pos, message))
        return ERROR

    def _undeclared(self, node: Node, name: str) -> Type:
        return self._wrong(node, f"undeclared reference to '{name}' (in container '')")

    def _literal(self, node: Literal) -> Type:
        return _LITERALS[type(node.value)]

    def _ident(self, node: Ident) -> Type:
        for scope in reversed(self._local):
            if node.name in scope:
                return scope[node.name]
        found = self._scope.variables.get(node.name) or self._scope.functions.type_names.get(node.name)
        return found if found is not None else self._undeclared(node, node.name)

    def _select(self, node: Select) -> Type:
        full = qualified(node)
        named = self._scope.functions.type_names.get(full) if full else None
        if named is not None:
            return named
        result = self._field(node, node.operand, node.field, optional=False)
        return BOOL if node.test else self._known.resolved(result)

    def _field(self, node: Node, operand: Node, field: str, *, optional: bool) -> Type:
        type_ = self._known.resolved(self.visit(operand))
        wrapped = is_optional(type_)
        if wrapped:
            type_ = type_.params[0]
        result = ERROR
        if type_.kind == "map":
            result = type_.params[1]
        elif type_.kind == "struct" or type_.name in self._scope.fields:
            fields = self._scope.fields.get(type_.name, {})
            found = fields.get(field)
            if found is None and isinstance(node, Select) and f"__{field}__" in fields:
                # A word of the language is a field's name behind a dot, escaped or not.
                node.field = f"__{field}__"
                found = fields[node.field]
            result = found if found is not None else self._wrong(node, f"undefined field '{field}'")
        elif type_.kind == "param":
            self._known.assignable(DYN, type_)
            result = DYN
        else:
            if type_.kind not in ("dyn", "error"):
                self._wrong(node, f"type '{type_}' does not support field selection")
            result = DYN
        return optional_of(result) if wrapped or optional else result

    def _call(self, node: Call) -> Type:
        functions = self._scope.functions
        if node.function == "_?._":
            result = self._field(node, node.args[0], literal_text(node.args[1]), optional=True)
            node.overloads = ("select_optional_field",)
            return self._known.resolved(result)
        for arg in node.args:
            self.visit(arg)
        if node.target is not None:
            prefix = qualified(node.target)
            full = f"{prefix}.{node.function}" if prefix else ""
            if full and functions.has(full):
                node.function, node.target = full, None
            else:
                self.visit(node.target)
        if not functions.has(node.function):
            return self._undeclared(node, node.function)
        return self._overload(node)

    def _overload(self, node: Call) -> Type:
        parts = [node.target, *node.args] if node.target is not None else node.args
        args = tuple(part.type for part in parts)
        if node.function in ("_&&_", "_||_"):
            return self._logical(node, args)
        result: Type | None = None
        fitting: list[str] = []
        for overload in self._scope.functions.overloads(node.function, member=node.target is not None):
            if len(overload.params) != len(args):
                continue
            wanted = fresh_copy((overload.result, *overload.params), self._known)
            if not self._known.all_assignable(args, wanted[1:]):
                continue
            fitting.append(overload.name)
            given = self._known.resolved(wanted[0])
            if result is None:
                result = given
            elif result.kind != "dyn" and given != result:
                result = DYN
        if result is None:
            shown = [str(self._known.resolved(arg, unknown=DYN)) for arg in args]
            receiver = f"{shown.pop(0)}." if node.target is not None else ""
            return self._wrong(
                node, f"found no matching overload for '{node.function}' applied to '{receiver}({', '.join(shown)})'"
            )
        node.overloads = tuple(fitting)
        return result

    def _logical(self, node: Call, args: tuple[Type, ...]) -> Type:
        result = BOOL
        for arg, type_ in zip(node.args, args, strict=True):
            if not self._known.assignable(type_, BOOL):
                result = self._wrong(arg, f"expected type 'bool' but found '{type_}'")
        node.overloads = ("logical_and" if node.function == "_&&_" else "logical_or",)
        return result

    def _joined(self, node: Node, before: Type | None, now: Type) -> Type:
        if before is None:
            return now
        if self._known.assignable(before, now):
            return most_general(before, now)
        return DYN

    def _unwrapped(self, node: Node) -> Type:
        if is_optional(node.type):
            return node.type.params[0]
        if node.type.kind != "dyn":
            self._wrong(node, f"expected type '{optional_of(node.type)}' but found '{node.type}'")
        return node.type

    def _list(self, node: ListOf) -> Type:
        item: Type | None = None
        for index, each in enumerate(node.items):
            self.visit(each)
            type_ = self._unwrapped(each) if index in node.optional else each.type
            item = self._joined(each, item, type_)
        return list_of(item if item is not None else self._known.fresh())

    def _map(self, node: MapOf) -> Type:
        key: Type | None = None
        value: Type | None = None
        for left, right, optional in node.entries:
            key = self._joined(left, key, self.visit(left))
            self.visit(right)
            value = self._joined(right, value, self._unwrapped(right) if optional else right.type)
        if key is None or value is None:
            return map_of(self._known.fresh(), self._known.fresh())
        return map_of(key, value)

    def _message(self, node: Message) -> Type:
        return self._undeclared(node, node.name)

    def _fold(self, node: Fold) -> Type:
        self.visit(node.over)
        accu = self.visit(node.init)
        over = self._known.resolved(node.over.type)
        first, second = ERROR, ERROR
        if over.kind == "list":
            first, second = (INT, over.params[0]) if node.second else (over.params[0], ERROR)
        elif over.kind == "map":
            first, second = over.params
        elif over.kind in ("dyn", "error", "param"):
            self._known.assignable(DYN, over)
            first = second = DYN
        else:
            self._wrong(
                node.over, f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            )
        self._local.append({node.accu: accu})
        self._local.append({node.first: first, **({node.second: second} if node.second else {})})
        self.visit(node.condition)
        self._expect(node.condition, BOOL)
        self.visit(node.step)
        self._expect(node.step, accu)
        self._local.pop()
        self.visit(node.result)
        self._local.pop()
        return self._known.resolved(node.result.type)

    def _expect(self, node: Node, type_: Type) -> None:
        if not self._known.assignable(type_, node.type):
            self._wrong(node, f"expected type '{type_}' but found '{node.type}'")


_VISITS: Final[dict[type[Node], Any]] = {
    Literal: _Checker._literal,
    Ident: _Checker._ident,
    Select: _Checker._select,
    Call: _Checker._call,
    ListOf: _Checker._list,
    MapOf: _Checker._map,
    Message: _Checker._message,
    Fold: _Checker._fold,
}
