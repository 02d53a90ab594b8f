"""A checked expression as functions of Python, with the count of what evaluating it costs.

Every node becomes a closure over a ``Frame``, which holds the variables and counts cost units as kube-apiserver does: one for
each name, field and index, for calls what their overload says, nothing for literals and what can be computed beforehand. The
count is compared with the limit at every step of a loop and after every call whose cost depends on its arguments, so an
evaluation ends after a bounded number of steps, whatever the expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cozystack.apiserver.cel import regex
from cozystack.apiserver.cel.functions import Functions, Overload
from cozystack.apiserver.cel.syntax import Call, Fold, Ident, ListOf, Literal, MapOf, Node, Select, children, literal_text
from cozystack.apiserver.cel.types import Type
from cozystack.apiserver.cel.values import (
    ABSENT,
    NO_OVERLOAD,
    EvalError,
    Fields,
    Optional,
    TypeValue,
    equal,
    lookup,
    shown,
    size_of,
)

Step = Callable[["Frame"], Any]

LIST_COST: Final = 10
MAP_COST: Final = 30


class CostExceeded(Exception):  # noqa: N818 - it names what has happened
    """The evaluation has cost more than it may."""


class Frame:
    """One evaluation: variables, and what it has cost so far."""

    __slots__ = ("cost", "limit", "names")

    def __init__(self, names: dict[str, Any], limit: int) -> None:
        self.names = names
        self.cost = 0
        self.limit = limit


class Lazy(Fields):
    """Named values that are computed when they are first asked for."""

    __slots__ = ("_compute", "_known")

    def __init__(self, compute: Mapping[str, Callable[[], Any]]) -> None:
        self._compute = compute
        self._known: dict[str, Any] = {}

    def field(self, name: str) -> Any:
        """Raises ``EvalError``, each time when it did the first time."""
        if name not in self._known:
            try:
                self._known[name] = self._compute[name]()
            except EvalError as error:
                self._known[name] = error
            except KeyError:
                raise EvalError(f"no such key: {name}") from None
        value = self._known[name]
        if isinstance(value, EvalError):
            raise value
        return value


class PlanError(Exception):
    """A part that can be computed beforehand, and has no value."""


class _Constant:
    """A step whose value is known."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, frame: Frame) -> Any:
        return self.value


# Functions of one argument that are computed beforehand when it is known.
_CONVERSIONS: Final = frozenset(["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"])


def plan(root: Node, functions: Functions) -> Step:
    """Raises ``PlanError``."""
    return _Planner(functions).step(root)


class _Planner:
    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def step(self, node: Node) -> Step:
        return _STEPS[type(node)](self, node)  # type: ignore[no-any-return]

    def _literal(self, node: Literal) -> Step:
        return _Constant(node.value)

    def _ident(self, node: Ident) -> Step:
        name = node.name
        if node.type.kind == "type" and name in self._functions.type_names:
            return _type_constant(node.type)

        def ident(frame: Frame) -> Any:
            frame.cost += 1
            value = frame.names[name]
            if isinstance(value, EvalError):
                raise value
            return value

        return ident

    def _base(self, node: Node) -> Step:
        """The operand of a selection or an index: what is no name or path is one itself, and costs as one."""
        step = self.step(node)
        if isinstance(node, Ident | Select) or (isinstance(node, Call) and node.function in _INDEXES):
            return step

        def relative(frame: Frame) -> Any:
            value = step(frame)
            frame.cost += 1
            return value

        return relative

    def _select(self, node: Select) -> Step:
        if node.type.kind == "type" and not node.test:
            return _type_constant(node.type)
        operand, name = self._base(node.operand), node.field
        if node.test:

            def test(frame: Frame) -> bool:
                value = operand(frame)
                if type(value) is dict:
                    return name in value
                if isinstance(value, Optional):
                    return value.present and isinstance(value.value, dict) and name in value.value
                if isinstance(value, Fields):
                    value.field(name)
                    return True
                raise EvalError(NO_OVERLOAD)

            return test

        def select(frame: Frame) -> Any:
            value = operand(frame)
            frame.cost += 1
            if type(value) is dict:
                try:
                    return value[name]
                except KeyError:
                    raise EvalError(f"no such key: {name}") from None
            return _of_other(value, name)

        return select

    def _call(self, node: Call) -> Step:
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node)  # type: ignore[no-any-return]
        parts = [node.target, *node.args] if node.target is not None else node.args
        steps = [self.step(part) for part in parts]
        candidates = self._functions.overloads(node.function, member=node.target is not None)
        chosen = [each for each in candidates if each.name in node.overloads]
        only = chosen[0] if len(chosen) == 1 else None
        if node.function in _CONVERSIONS and len(steps) == 1 and isinstance(steps[0], _Constant):
            return self._folded(candidates, (steps[0].value,))
        if node.function in ("find", "findAll", "matches") and len(steps) > 1 and isinstance(steps[1], _Constant):
            try:
                regex.compiled(steps[1].value)
            except regex.PatternError as error:
                raise PlanError(str(error)) from error
        if only is not None and all(_certain(part.type) for part in parts):
            return _direct(only, steps)
        return _dispatched(only, candidates, steps)

    def _folded(self, candidates: list[Overload], args: tuple[Any, ...]) -> Step:
        try:
            return _Constant(_resolved(candidates, args)(*args))
        except EvalError as error:
            raise PlanError(str(error)) from error

    def _logical(self, node: Call) -> Step:
        left, right = self.step(node.args[0]), self.step(node.args[1])
        decisive = node.function == "_||_"

        def logical(frame: Frame) -> Any:
            failed: EvalError | None = None
            try:
                one = left(frame)
                if one is decisive:
                    return decisive
                if one is not (not decisive):
                    failed = EvalError(NO_OVERLOAD)
            except EvalError as error:
                failed = error
            try:
                two = right(frame)
            except EvalError:
                if failed is not None:
                    raise failed from None
                raise
            if two is decisive:
                return decisive
            if failed is not None:
                raise failed
            if two is not (not decisive):
                raise EvalError(NO_OVERLOAD)
            return not decisive

        return logical

    def _conditional(self, node: Call) -> Step:
        condition = self.step(node.args[0])
        yes, no = self._branch(node.args[1]), self._branch(node.args[2])

        def conditional(frame: Frame) -> Any:
            value = condition(frame)
            if value is True:
                return yes(frame)
            if value is False:
                return no(frame)
            raise EvalError(NO_OVERLOAD)

        return conditional

    def _branch(self, node: Node) -> Step:
        """A branch of a condition, or an index: one that is a path costs one less, as it is no step of its own there."""
        step = self.step(node)
        if not isinstance(node, Ident | Select) or isinstance(step, _Constant) or (isinstance(node, Select) and node.test):
            return step

        def path(frame: Frame) -> Any:
            value = step(frame)
            frame.cost -= 1
            return value

        return path

    def _not_strictly_false(self, node: Call) -> Step:
        inner = self.step(node.args[0])

        def not_false(frame: Frame) -> bool:
            frame.cost += 1
            try:
                return inner(frame) is not False
            except EvalError:
                return True

        return not_false

    def _in(self, node: Call) -> Step:
        left, right = self.step(node.args[0]), self.step(node.args[1])
        if isinstance(right, _Constant) and isinstance(right.value, list) and node.overloads == ("in_list",):
            known = right.value
            if not known:
                return _Constant(False)
            if all(isinstance(each, str | int | float | bytes) for each in known):
                return lambda frame: _contains(known, left(frame))
        by_size = node.overloads == ("in_list",)

        def within(frame: Frame) -> bool:
            item, container = left(frame), right(frame)
            frame.cost += size_of(container) if by_size else 1
            if frame.cost > frame.limit:
                raise CostExceeded
            return _contains(container, item)

        return within

    def _equals(self, node: Call) -> Step:
        left, right = self.step(node.args[0]), self.step(node.args[1])
        expected = node.function == "_==_"

        def same(frame: Frame) -> bool:
            one, two = left(frame), right(frame)
            if type(one) is int or type(one) is bool:
                frame.cost += 1
            else:
                frame.cost += (min(size_of(one), size_of(two)) + 9) // 10
                if frame.cost > frame.limit:
                    raise CostExceeded
            return equal(one, two) is expected

        return same

    def _index(self, node: Call) -> Step:
        container, index = self._base(node.args[0]), self._branch(node.args[1])
        optional = node.function == "_[?_]"
        if not optional and isinstance(index, _Constant) and type(index.value) is str:
            key = index.value

            def by_key(frame: Frame) -> Any:
                value = container(frame)
                frame.cost += 1
                if type(value) is dict:
                    try:
                        return value[key]
                    except KeyError:
                        raise EvalError(f"no such key: {key}") from None
                return _at(value, key)

            return by_key
        if optional:

            def maybe_at(frame: Frame) -> Any:
                value, place = container(frame), index(frame)
                found = _maybe_at(value, place)
                frame.cost += found.present
                return found

            return maybe_at

        def at(frame: Frame) -> Any:
            value = container(frame)
            place = index(frame)
            frame.cost += 1
            return _at(value, place)

        return at

    def _opt_select(self, node: Call) -> Step:
        operand = self._base(node.args[0])
        name = literal_text(node.args[1])

        def select(frame: Frame) -> Optional:
            found = _maybe_at(operand(frame), name)
            frame.cost += found.present
            return found

        return select

    def _or_value(self, node: Call) -> Step:
        first, second = (self.step(part) for part in children(node))

        def value(frame: Frame) -> Any:
            found = first(frame)
            if not isinstance(found, Optional):
                raise EvalError(NO_OVERLOAD)
            return found.value if found.present else second(frame)

        def either(frame: Frame) -> Any:
            found = first(frame)
            if not isinstance(found, Optional):
                raise EvalError(NO_OVERLOAD)
            return found if found.present else second(frame)

        return value if node.function == "orValue" else either

    def _list(self, node: ListOf) -> Step:
        steps = [self.step(item) for item in node.items]
        if not node.optional:
            if all(isinstance(step, _Constant) for step in steps):
                return _Constant([step.value for step in steps if isinstance(step, _Constant)])

            def made(frame: Frame) -> list[Any]:
                items = [step(frame) for step in steps]
                frame.cost += LIST_COST
                return items

            return made
        flagged = [(step, index in node.optional) for index, step in enumerate(steps)]

        def chosen(frame: Frame) -> list[Any]:
            frame.cost += LIST_COST
            items = []
            for step, optional in flagged:
                item = step(frame)
                if not optional:
                    items.append(item)
                elif not isinstance(item, Optional):
                    raise EvalError(NO_OVERLOAD)
                elif item.present:
                    items.append(item.value)
            return items

        return chosen

    def _map(self, node: MapOf) -> Step:
        entries = [(self.step(key), self.step(value), optional) for key, value, optional in node.entries]
        known = all(
            isinstance(key, _Constant) and isinstance(value, _Constant) and not optional for key, value, optional in entries
        )

        def made(frame: Frame) -> dict[Any, Any]:
            result: dict[Any, Any] = {}
            for key_step, value_step, optional in entries:
                key, value = key_step(frame), value_step(frame)
                if optional:
                    if not isinstance(value, Optional):
                        raise EvalError(NO_OVERLOAD)
                    if not value.present:
                        continue
                    value = value.value
                if not isinstance(key, str | int):
                    raise EvalError(f"unsupported key type: {shown(key)}")
                if not known and lookup(result, key)[0]:
                    raise EvalError(f"Failed with repeated key {shown(key)}")
                result[key] = value
            frame.cost += MAP_COST
            return result

        if known:
            try:
                return _Constant(made(Frame({}, 0)))
            except EvalError:
                return made
        return made

    def _fold(self, node: Fold) -> Step:
        over, init = self.step(node.over), self.step(node.init)
        condition, step, result = self.step(node.condition), self.step(node.step), self.step(node.result)
        first, second, accu = node.first, node.second, node.accu
        always = isinstance(condition, _Constant) and condition.value is True
        # A literal list that only grows is grown in place.
        bound = isinstance(condition, _Constant) and condition.value is False

        decisive = _quantifier(node)
        if decisive is not None and isinstance(node.step, Call):
            return _quantified(node, over, self.step(node.step.args[1]), decisive=decisive)
        if bound:

            def with_name(frame: Frame) -> Any:
                names = frame.names
                before = names.get(accu, names)
                names[accu] = init(frame)
                try:
                    return result(frame)
                finally:
                    _restore(names, accu, before)

            return with_name

        def fold(frame: Frame) -> Any:
            names = frame.names
            elements = _elements(over(frame), pairs=bool(second))
            kept = [(name, names.get(name, names)) for name in (accu, first, second)]
            names[accu] = init(frame)
            try:
                for element in elements:
                    if second:
                        names[first], names[second] = element
                    else:
                        names[first] = element
                    if not always and not condition(frame):
                        break
                    try:
                        names[accu] = step(frame)
                    except EvalError as error:
                        names[accu] = error
                        if always:
                            raise
                    if frame.cost > frame.limit:
                        raise CostExceeded
                for name, before in kept[1:]:
                    _restore(names, name, before)
                return result(frame)
            finally:
                for name, before in kept:
                    _restore(names, name, before)

        return fold


_STEPS: Final[dict[type[Node], Any]] = {
    Literal: _Planner._literal,
    Ident: _Planner._ident,
    Select: _Planner._select,
    Call: _Planner._call,
    ListOf: _Planner._list,
    MapOf: _Planner._map,
    Fold: _Planner._fold,
}
_INDEXES: Final = frozenset(("_[_]", "_[?_]", "_?._", "_?_:_"))
_SPECIAL: Final[dict[str, Any]] = {
    "_&&_": _Planner._logical,
    "_||_": _Planner._logical,
    "_?_:_": _Planner._conditional,
    "_==_": _Planner._equals,
    "_!=_": _Planner._equals,
    "_[_]": _Planner._index,
    "_[?_]": _Planner._index,
    "_?._": _Planner._opt_select,
    "@in": _Planner._in,
    "@not_strictly_false": _Planner._not_strictly_false,
    "orValue": _Planner._or_value,
    "or": _Planner._or_value,
}


def _quantifier(node: Fold) -> bool | None:
    """The value that decides: false for ``all``, true for ``exists``; nothing for what is neither."""
    condition, step, result = node.condition, node.step, node.result
    if not isinstance(condition, Call) or condition.function != "@not_strictly_false" or not isinstance(result, Ident):
        return None
    if not isinstance(step, Call) or not isinstance(step.args[0], Ident) or step.args[0].name != node.accu:
        return None
    return step.function == "_||_" if step.function in ("_&&_", "_||_") else None


def _quantified(node: Fold, over: Step, holds: Step, *, decisive: bool) -> Step:
    """``all`` or ``exists``, at the costs of the loop that they stand for."""
    first, second = node.first, node.second
    # The accumulator, twice; whether to go on; for ``exists`` also the negation of it.
    each = 4 if decisive else 3
    last = each - 1

    def quantified(frame: Frame) -> Any:
        names = frame.names
        elements = _elements(over(frame), pairs=bool(second))
        kept, kept_second = names.get(first, names), names.get(second, names)
        failed: EvalError | None = None
        limit = frame.limit
        count = len(elements)
        try:
            for index, element in enumerate(elements, 1):
                if second:
                    names[first], names[second] = element
                else:
                    names[first] = element
                frame.cost += each
                try:
                    value = holds(frame)
                    if value is decisive:
                        frame.cost += 1 + (last if index < count else 0)
                        return decisive
                    if not isinstance(value, bool):
                        raise EvalError(NO_OVERLOAD)
                except EvalError as error:
                    if failed is None:
                        failed = error
                if frame.cost > limit:
                    raise CostExceeded
        finally:
            _restore(names, first, kept)
            if second:
                _restore(names, second, kept_second)
        frame.cost += 1
        if failed is not None:
            raise failed
        return not decisive

    return quantified


def _restore(names: dict[str, Any], name: str, before: Any) -> None:
    if before is names:
        names.pop(name, None)
    else:
        names[name] = before


def _type_constant(type_: Type) -> _Constant:
    return _Constant(TypeValue(type_.params[0].name if type_.params else "type"))


def _certain(type_: Type) -> bool:
    """Whether values have this type for sure."""
    return type_.kind not in ("dyn", "param", "error", "null")


def _resolved(candidates: list[Overload], args: tuple[Any, ...]) -> Callable[..., Any]:
    for overload in candidates:
        if overload.accepts(args):
            return overload.impl
    raise EvalError(NO_OVERLOAD)


def _direct(overload: Overload, steps: list[Step]) -> Step:
    """A call of the one overload that it can mean."""
    impl, cost = overload.impl, overload.cost
    if cost is None and len(steps) == 1:
        one = steps[0]

        def unary(frame: Frame) -> Any:
            value = one(frame)
            frame.cost += 1
            return impl(value)

        return unary
    if cost is None and len(steps) == 2:
        left, right = steps

        def binary(frame: Frame) -> Any:
            value, other = left(frame), right(frame)
            frame.cost += 1
            return impl(value, other)

        return binary
    return _dispatched(overload, [overload], steps)


def _dispatched(only: Overload | None, candidates: list[Overload], steps: list[Step]) -> Step:
    """A call whose overload is found by the values that come. Its cost is that of the one overload that was found before."""
    cost = only.cost if only is not None else _common_cost(candidates)
    single = only if len(candidates) == 1 else None

    def call(frame: Frame) -> Any:
        args = tuple([step(frame) for step in steps])
        if single is not None:
            if not single.accepts(args):
                raise EvalError(NO_OVERLOAD)
            value = single.impl(*args)
        else:
            value = _resolved(candidates, args)(*args)
        frame.cost += 1 if cost is None else cost(args, value)
        if frame.cost > frame.limit:
            raise CostExceeded
        return value

    return call


def _common_cost(candidates: list[Overload]) -> Any:
    """The cost of a function that does not depend on the overload."""
    costs = {overload.cost for overload in candidates}
    cost = costs.pop() if len(costs) == 1 else None
    return cost if cost is not None and getattr(cost, "by_function", False) else None


def _elements(value: Any, *, pairs: bool) -> Any:
    if isinstance(value, dict):
        return list(value.items()) if pairs else list(value)
    if isinstance(value, list):
        return list(enumerate(value)) if pairs else value
    raise EvalError(NO_OVERLOAD)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, list):
        return any(equal(item, each) for each in container)
    if isinstance(container, dict):
        return lookup(container, item)[0]
    raise EvalError(NO_OVERLOAD)


def _of_other(value: Any, name: str) -> Any:
    """A field of what is no map."""
    if isinstance(value, Optional):
        return _maybe_at(value, name)
    if isinstance(value, Fields):
        return value.field(name)
    raise EvalError(f"no such key: {name}" if value is None else NO_OVERLOAD)


def _place(value: list[Any], index: Any) -> int:
    if isinstance(index, int) and type(index) is not bool:
        return int(index)
    if isinstance(index, float) and index.is_integer():
        return int(index)
    raise EvalError(f"unsupported index type '{type(index).__name__}' in list")


def _at(value: Any, index: Any) -> Any:
    if isinstance(value, dict):
        found, item = lookup(value, index)
        if not found:
            raise EvalError(f"no such key: {shown(index)}")
        return item
    if isinstance(value, list):
        place = _place(value, index)
        if not 0 <= place < len(value):
            raise EvalError(f"index out of bounds: {place}")
        return value[place]
    if isinstance(value, Optional):
        return _maybe_at(value, index)
    if isinstance(value, Fields) and isinstance(index, str):
        return value.field(index)
    raise EvalError(NO_OVERLOAD)


def _maybe_at(value: Any, index: Any) -> Optional:
    if isinstance(value, Optional):
        return _maybe_at(value.value, index) if value.present else ABSENT
    if isinstance(value, dict):
        found, item = lookup(value, index)
        return Optional(item) if found else ABSENT
    if isinstance(value, list):
        place = _place(value, index)
        return Optional(value[place]) if 0 <= place < len(value) else ABSENT
    raise EvalError(NO_OVERLOAD)


__all__ = ["CostExceeded", "Frame", "Lazy", "PlanError", "plan"]
