"""How much an expression can cost at most, before it is ever evaluated, from the sizes that a schema allows.

kube-apiserver refuses rules of a CRD by this number, so it is computed as there: costs are ranges, a value has a path from a
variable (``self``, ``items``, ``@items``), and a ``Sizes`` says how large what is at a path can be. A loop costs its step as
often as its range is long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.syntax import ACCUMULATOR, Call, Fold, Ident, ListOf, Literal, MapOf, Node, Select, qualified
from cozystack.apiserver.cel.types import Type

MOST: Final = 2**64 - 1


class Range(NamedTuple):
    """From ``low`` to ``high``; what is larger than 64 bits is the largest such number."""

    low: int
    high: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.low + other.low, MOST), min(self.high + other.high, MOST))

    def times(self, other: Range) -> Range:
        return Range(min(self.low * other.low, MOST), min(self.high * other.high, MOST))

    def by(self, factor: float) -> Range:
        return Range(_scaled(self.low, factor), _scaled(self.high, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


def _scaled(number: int, factor: float) -> int:
    found = math.ceil(float(number) * factor)
    return MOST if found >= 2**64 else found


Path = tuple[str, ...]
Sizes = Callable[[Path], Range | None]
"""How large what is at a path can be, when anything is known of it."""

UNKNOWN: Final = Range(0, MOST)
ZERO: Final = Range(0, 0)
ONE: Final = Range(1, 1)


class _Local(NamedTuple):
    path: Path
    size: Range | None
    entry: _Entry | None


class _Entry(NamedTuple):
    kind: str
    key: Range
    value: Range

    def union(self, other: _Entry | None) -> _Entry | None:
        return None if other is None else _Entry(self.kind, self.key.union(other.key), self.value.union(other.value))


class _Part(NamedTuple):
    """An argument of a call, as its costs see it."""

    node: Node | None
    type: Type
    path: Path
    size: Range | None


def estimate(root: Node, functions: Functions, sizes: Sizes) -> Range:
    """The least and the most that evaluating the expression costs."""
    return _Estimator(functions, sizes).cost(root)


class _Estimator:
    def __init__(self, functions: Functions, sizes: Sizes) -> None:
        self._functions = functions
        self._declared = sizes
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, _Entry] = {}
        self._local: dict[str, list[_Local]] = {}

    def cost(self, node: Node) -> Range:
        match node:
            case Ident():
                local = self._local.get(node.name)
                self._paths[id(node)] = local[-1].path if local else (node.name,)
                return ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Fold():
                bound = isinstance(node.over, ListOf) and not node.over.items and node.accu != ACCUMULATOR
                return self._bind(node) if bound else self._fold(node)
        return ZERO

    def _select(self, node: Select) -> Range:
        if node.type.kind == "type" and not node.test:
            self._paths[id(node)] = (qualified(node),)
            return ONE
        cost = self.cost(node.operand)
        if node.test:
            return cost
        if node.operand.type.kind in ("map", "struct", "param"):
            cost = cost.plus(ONE)
        self._paths[id(node)] = (*self._path(node.operand), node.field)
        return cost

    def _list(self, node: ListOf) -> Range:
        cost, size = Range(10, 10), Range(MOST if node.items else 0, 0)
        for item in node.items:
            cost = cost.plus(self.cost(item))
            size = size.union(self._size(item) or UNKNOWN)
        self._entries[id(node)] = _Entry("list", ONE, size)
        return cost

    def _map(self, node: MapOf) -> Range:
        cost = Range(30, 30)
        least = MOST if node.entries else 0
        keys, values = Range(least, 0), Range(least, 0)
        for key, value, _ in node.entries:
            cost = cost.plus(self.cost(key)).plus(self.cost(value))
            keys = keys.union(self._size(key) or UNKNOWN)
            values = values.union(self._size(value) or UNKNOWN)
        self._entries[id(node)] = _Entry("map", keys, values)
        return cost

    def _bind(self, node: Fold) -> Range:
        cost = self.cost(node.over).plus(self.cost(node.init))
        self._push(node.accu, self._path(node.init), self._size(node.init), self._entry(node.init))
        cost = cost.plus(self.cost(node.result))
        self._local[node.accu].pop()
        self._copy_sizes(node, node.result)
        return cost

    def _fold(self, node: Fold) -> Range:
        cost = self.cost(node.over).plus(self.cost(node.init))
        self._push(node.accu, self._path(node.init), self._size(node.init), self._entry(node.init))
        entry, path = self._entry(node.over), self._path(node.over)
        is_list = (entry.kind if entry is not None else node.over.type.kind) == "list"
        key, value = (entry.key, entry.value) if entry is not None else (None, None)
        if node.second:
            self._push(node.first, (*path, "@indices" if is_list else "@keys"), key, None)
            self._push(node.second, (*path, "@items" if is_list else "@values"), value, None)
        elif is_list:
            self._push(node.first, (*path, "@items"), value, None)
        else:
            self._push(node.first, (*path, "@keys"), key, None)
        loop = self.cost(node.step)
        loop = loop.plus(self.cost(node.condition))
        self._local[node.first].pop()
        if node.second:
            self._local[node.second].pop()
        cost = cost.plus(self.cost(node.result))
        self._local[node.accu].pop()
        count = self._size(node.over) or UNKNOWN
        cost = cost.plus(count.times(loop))
        if isinstance(node.init, Literal):
            size = self._size(node.init)
            if size is not None:
                self._sizes[id(node)] = size
        elif isinstance(node.init, ListOf | MapOf):
            self._sizes[id(node)] = count
            grown = self._entry(node.step)
            if grown is not None:
                self._entries[id(node)] = grown
        return cost

    def _push(self, name: str, path: Path, size: Range | None, entry: _Entry | None) -> None:
        self._local.setdefault(name, []).append(_Local(path, size, entry))

    # Calls

    def _call(self, node: Call) -> Range:
        if node.function == "dyn":
            cost = self.cost(node.args[0]).plus(ONE)
            self._copy_sizes(node, node.args[0])
            return cost
        costs = [self.cost(arg) for arg in node.args]
        args = [self._part(arg) for arg in node.args]
        own = ZERO
        target = None
        if node.target is not None:
            own = self.cost(node.target)
            target = self._part(node.target)
        total = ZERO
        for each in costs:
            total = total.plus(each)
        found: Range | None = None
        result: Range | None = None
        for overload in node.overloads:
            cost, size = self._overload(node, overload, target, args, costs, total)
            found = cost if found is None else found.union(cost)
            if size is not None:
                result = size if result is None else result.union(size)
            if overload in ("index_list", "index_map") and node.args:
                entry = self._entry(node.args[0])
                result = entry.value if entry is not None else None
                self._paths[id(node)] = (*self._path(node.args[0]), "@items" if overload == "index_list" else "@values")
            if result is None:
                result = self._size(node)
        if result is not None:
            self._sizes[id(node)] = result
        return own.plus(found if found is not None else ZERO)

    def _overload(
        self, node: Call, overload: str, target: _Part | None, args: list[_Part], costs: list[Range], total: Range
    ) -> tuple[Range, Range | None]:
        by_overload = self._extension(overload, target, args)
        if by_overload is not None:
            return by_overload[0].plus(total), by_overload[1]
        known = self._function(node.function, overload, target, args)
        if known is not None:
            return known[0].plus(total), known[1]
        match overload:
            case "string_format" if target is not None:
                return _size(target).by(0.1).plus(total), None
            case "string_to_bytes":
                size = _size(args[0])
                return size.by(0.1).plus(total), Range(size.low, size.high * 4 % 2**64)
            case "bytes_to_string":
                size = _size(args[0])
                return size.by(0.1).plus(total), Range(size.low // 4, size.high)
            case "strings_quote":
                size = _size(args[0])
                return size.by(0.1).plus(total), Range((size.low + 2) % 2**64, (size.high * 2 + 2) % 2**64)
            case "starts_with_string" | "ends_with_string":
                return _size(args[0]).by(0.1).plus(total), None
            case "in_list":
                return _size(args[1]).by(1).plus(total), None
            case "matches" | "matches_string":
                text, pattern = (target, args[0]) if target is not None else (args[0], args[1])
                return _size(text).plus(ONE).by(0.1).times(_size(pattern).by(0.25)).plus(total), None
            case "contains_string" if target is not None:
                return _size(target).by(0.1).times(_size(args[0]).by(0.1)).plus(total), None
            case "logical_and" | "logical_or":
                return Range(costs[0].low, costs[0].plus(costs[1]).high), None
            case "conditional":
                return self._conditional(node, args, costs)
            case "add_string" | "add_bytes" | "add_list":
                return self._sum(node, overload, args, total)
        if overload in _COMPARING:
            high = min(_size(args[0]).high, _size(args[1]).high)
            return Range(1 if high > 0 else 0, high).by(0.1).plus(total), None
        return ONE.plus(total), None

    def _conditional(self, node: Call, args: list[_Part], costs: list[Range]) -> tuple[Range, Range | None]:
        one, two = self._entry(node.args[1]), self._entry(node.args[2])
        merged = one.union(two) if one is not None else None
        if merged is not None:
            self._entries[id(node)] = merged
        return costs[0].plus(costs[1].union(costs[2])), _size(args[1]).union(_size(args[2]))

    def _sum(self, node: Call, overload: str, args: list[_Part], total: Range) -> tuple[Range, Range | None]:
        size = _size(args[0]).plus(_size(args[1]))
        one, two = self._entry(node.args[0]), self._entry(node.args[1])
        merged = one.union(two) if one is not None else None
        if merged is not None:
            self._entries[id(node)] = merged
        return (ONE if overload == "add_list" else size.by(0.1)).plus(total), size

    def _extension(self, overload: str, target: _Part | None, args: list[_Part]) -> tuple[Range, Range | None] | None:
        """Functions of the list and set extensions."""
        if overload.startswith("list_sets_"):
            factor = 2 if "equivalent" in overload else 1
            return self._declared_size(args[0]).times(self._declared_size(args[1])).by(factor).plus(ONE), None
        if overload == "lists_range":
            return _allocating(1, _fixed(_number(args[0], MOST)))
        if target is None:
            return None
        size = self._declared_size(target)
        match overload:
            case "list_slice":
                return _allocating(1, _fixed((_number(args[1], size.high) - _number(args[0], 0)) % 2**64))
            case "list_reverse":
                return _allocating(1, size)
            case "list_flatten" | "list_flatten_int":
                return _allocating(float(_number(args[0], MOST) if args else 1), size)
            case "list_distinct":
                return _allocating(2.0, size.times(size))
        if overload.endswith("_sort"):
            return _allocating(_sort_factor(overload), size.times(size))
        if overload.endswith("_sortByAssociatedKeys"):
            keys = self._declared_size(args[0])
            return _allocating(_sort_factor(overload), keys.times(keys))
        return None

    def _function(
        self, function: str, overload: str, target: _Part | None, args: list[_Part]
    ) -> tuple[Range, Range | None] | None:
        """Functions that Kubernetes gives a cost of its own, by their names."""
        if function in _NOMINAL or overload == "cidr_ip":
            return ONE, None
        if function in _TRAVERSING and target is not None:
            return self._traversed(function, target), None
        if target is not None:
            found = self._of_text(function, target, args)
            if found is not None:
                return found
        match function:
            case "check":
                return Range(350_000, 350_000), None
            case "fieldSelector" | "labelSelector":
                size = self._declared_size(args[0])
                return Range(10, 10).plus(size.by(0.1)).plus(size.by(0.5).by(50)), None
            case "url":
                size = self._declared_size(args[0])
                return size.by(0.1), size
            case "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver":
                return self._declared_size(args[0]).by(0.1), None
            case "ip.isCanonical":
                return self._declared_size(args[0]).by(0.2), None
            case "containsIP" | "containsCIDR":
                cost = Range(8, 32).by(0.1)
                if function == "containsCIDR":
                    cost = cost.plus(Range(4, 16).by(0.1)).plus(ONE)
                if overload.endswith("_string"):
                    cost = cost.plus(self._declared_size(args[0]).by(0.1))
                return cost, None
            case "validate":
                return self._declared_size(args[0]).by(0.1).by(128 * 0.25), None
            case "_==_" if args[0].type == args[1].type and args[0].type.name in _SIMPLE:
                if args[0].type.name == "kubernetes.NamedFormat":
                    return Range(1, 64).by(0.1), None
                return ONE, None
        return None

    def _traversed(self, function: str, target: _Part) -> Range:
        size, item = self._declared_size(target), ONE
        if target.type.params:
            inner = target.type.params[0]
            if inner.kind in ("string", "bytes"):
                found = self._declared((*target.path, "@items")) if target.path else None
                item = item.plus((found if found is not None else UNKNOWN).by(0.1))
            return size.times(item)
        return size.times(ONE) if function == "includes" else size.by(0.1)

    def _of_text(self, function: str, target: _Part, args: list[_Part]) -> tuple[Range, Range | None] | None:
        """Functions of texts that make new ones."""
        size = self._declared_size(target)
        match function:
            case "lowerAscii" | "upperAscii" | "substring" | "trim":
                return size.by(0.1), size
            case "replace":
                return size.by(0.2), _replaced(size, self._declared_size(args[0]), self._declared_size(args[1]))
            case "split":
                high = _number(args[1], size.high) if len(args) > 1 else size.high
                return size.by(0.2), Range(0, high)
            case "join":
                total = ZERO
                if target.type.params:
                    found = self._declared((*target.path, "@items")) if target.path else None
                    total = size.times(found if found is not None else UNKNOWN)
                if args:
                    between = Range(max(size.low - 1, 0), max(size.high - 1, 0))
                    total = total.plus(self._declared_size(args[0]).times(between))
                return total.by(0.1), total
            case "find" | "findAll":
                pattern = self._declared_size(args[0]).by(0.25)
                return size.plus(ONE).by(0.1).times(pattern), Range(0, size.high)
        return None

    def _declared_size(self, part: _Part) -> Range:
        if part.size is not None:
            return part.size
        found = self._declared(part.path) if part.path else None
        return found if found is not None else UNKNOWN

    # What is known of a node

    def _part(self, node: Node) -> _Part:
        path = self._path(node)
        if path and path[0] == ACCUMULATOR:
            path = ()
        return _Part(node, node.type, path, self._size(node))

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident) and self._local.get(node.name):
            return self._local[node.name][-1].path
        return self._paths.get(id(node), ())

    def _size(self, node: Node) -> Range | None:
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        match node:
            case Literal():
                return _fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
            case ListOf():
                return _fixed(len(node.items))
            case MapOf():
                return _fixed(len(node.entries))
        path = self._path(node)
        found = self._declared(path) if path else None
        if found is not None:
            self._sizes[id(node)] = found
            return found
        if _is_scalar(node.type):
            return ONE
        if isinstance(node, Ident) and self._local.get(node.name):
            return self._local[node.name][-1].size
        return None

    def _entry(self, node: Node) -> _Entry | None:
        known = self._entries.get(id(node))
        if known is None and isinstance(node, Ident) and self._local.get(node.name):
            known = self._local[node.name][-1].entry
        return known

    def _copy_sizes(self, to: Node, node: Node) -> None:
        size, entry = self._size(node), self._entry(node)
        if size is not None:
            self._sizes[id(to)] = size
        if entry is not None:
            self._entries[id(to)] = entry


_COMPARING: Final = frozenset(
    ["equals", "not_equals"]
    + [f"{word}_{type_}" for word in ("less", "less_equals", "greater", "greater_equals") for type_ in ("string", "bytes")]
)
_TRAVERSING: Final = frozenset(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"))
_NOMINAL: Final = frozenset(
    [
        "serviceAccount",
        "path",
        "group",
        "resource",
        "subresource",
        "namespace",
        "name",
        "allowed",
        "reason",
        "error",
        "errored",
        "masked",
        "prefixLength",
        "family",
        "isUnspecified",
        "isLoopback",
        "isLinkLocalMulticast",
        "isLinkLocalUnicast",
        "isGlobalUnicast",
        "format.named",
        "sign",
        "asInteger",
        "isInteger",
        "asApproximateFloat",
        "isGreaterThan",
        "isLessThan",
        "compareTo",
        "add",
        "sub",
        "major",
        "minor",
        "patch",
        "getScheme",
        "getHostname",
        "getHost",
        "getPort",
        "getEscapedPath",
        "getQuery",
    ]
)
_SIMPLE: Final = frozenset(
    ("net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.NamedFormat", "kubernetes.URL")
)


def _size(part: _Part) -> Range:
    return part.size if part.size is not None else UNKNOWN


def _fixed(size: int) -> Range:
    return Range(size, size)


def _allocating(factor: float, size: Range) -> tuple[Range, Range]:
    return size.by(factor).plus(Range(11, 11)), size


def _sort_factor(overload: str) -> float:
    return 2.1 if overload.startswith(("list_string", "list_bytes")) else 2.0


def _number(part: _Part, otherwise: int) -> int:
    """What is written there as a number."""
    value = part.node.value if isinstance(part.node, Literal) else None
    return max(value, 0) if type(value) is int else otherwise


def _replaced(size: Range, old: Range, new: Range) -> Range:
    """How long a text is in which one part is replaced by another."""
    if old.low == 0:
        most, kept_most = (size.high + 1 if size.high < MOST else MOST), size.high
    elif new.high <= old.low:
        most, kept_most = 0, size.high
    else:
        most, kept_most = math.ceil(float(size.high) / float(old.low)), 0
    if old.high == 0:
        least, kept_least = (size.low + 1 if size.low < MOST else MOST), size.low
    elif old.high <= new.low:
        least, kept_least = 0, size.low
    else:
        least, kept_least = math.ceil(float(size.low) / float(old.high)), 0
    return Range(least, min(most, MOST)).times(new).plus(Range(kept_least, kept_most))


def _is_scalar(type_: Type) -> bool:
    if type_.kind == "opaque" and type_.name == "optional_type":
        return _is_scalar(type_.params[0])
    return type_.kind in ("bool", "double", "duration", "int", "timestamp", "uint")
