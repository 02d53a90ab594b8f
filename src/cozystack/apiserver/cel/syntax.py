"""The text of an expression as a tree: tokens, grammar, macros.

Positions are offsets in code points. A node's position is where the reference implementation reports its errors: the operator
of an operation, the parenthesis of a call, the dot of a selection. Macros are expanded while parsing, so nobody behind this
module knows of ``has``, ``all`` or ``map``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from cozystack.apiserver.cel.types import ERROR, Type
from cozystack.apiserver.cel.values import Uint

MOST_CHARACTERS: Final = 100_000
DEEPEST: Final = 250
ACCUMULATOR: Final = "@result"


class Node:
    """A part of an expression. ``type`` is what the checker found out."""

    __slots__ = ("pos", "type")

    def __init__(self, pos: int) -> None:
        self.pos = pos
        self.type: Type = ERROR


class Literal(Node):
    __slots__ = ("value",)

    def __init__(self, pos: int, value: Any) -> None:
        super().__init__(pos)
        self.value = value


class Ident(Node):
    __slots__ = ("name",)

    def __init__(self, pos: int, name: str) -> None:
        super().__init__(pos)
        self.name = name


class Select(Node):
    """``operand.field``, or whether it is there (``test``)."""

    __slots__ = ("field", "operand", "test")

    def __init__(self, pos: int, operand: Node, field: str, *, test: bool = False) -> None:
        super().__init__(pos)
        self.operand = operand
        self.field = field
        self.test = test


class Call(Node):
    """A function or an operator; ``overloads`` are the identifiers of those that fit."""

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, pos: int, function: str, args: list[Node], target: Node | None = None) -> None:
        super().__init__(pos)
        self.function = function
        self.args = args
        self.target = target
        self.overloads: tuple[str, ...] = ()


class ListOf(Node):
    """``optional`` are the indices of items that are left out when they have no value."""

    __slots__ = ("items", "optional")

    def __init__(self, pos: int, items: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(pos)
        self.items = items
        self.optional = optional


class MapOf(Node):
    __slots__ = ("entries",)

    def __init__(self, pos: int, entries: list[tuple[Node, Node, bool]]) -> None:
        super().__init__(pos)
        self.entries = entries


class Message(Node):
    """``Name{field: value}``."""

    __slots__ = ("name",)

    def __init__(self, pos: int, name: str) -> None:
        super().__init__(pos)
        self.name = name


class Fold(Node):
    """A comprehension: ``accu`` begins as ``init`` and becomes ``step`` for each element as long as ``condition`` holds."""

    __slots__ = ("accu", "condition", "first", "init", "over", "result", "second", "step")

    def __init__(
        self, pos: int, over: Node, names: tuple[str, str], accu: str, init: Node, condition: Node, step: Node, result: Node
    ) -> None:
        super().__init__(pos)
        self.over = over
        self.first, self.second = names
        self.accu = accu
        self.init = init
        self.condition = condition
        self.step = step
        self.result = result


class Problems(Exception):  # noqa: N818 - it collects them
    """What is wrong with an expression: (position, message) pairs."""

    def __init__(self, text: str, found: list[tuple[int, str]]) -> None:
        super().__init__(shown(text, found))


def shown(text: str, found: list[tuple[int, str]]) -> str:
    """Problems with the line of the expression that they are in."""
    parts = []
    for pos, message in found:
        before = text[:pos]
        line = before.count("\n")
        column = pos - (before.rfind("\n") + 1)
        snippet = text.split("\n")[line].replace("\t", " ")
        marks = "".join("\uff0e" if ord(char) > 127 else "." for char in snippet[:column])
        mark = "\uff3e" if column < len(snippet) and ord(snippet[column]) > 127 else "^"
        parts.append(f"ERROR: <input>:{line + 1}:{column + 1}: {message}\n | {snippet}\n | {marks}{mark}")
    return "\n".join(parts)


_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\r\n\f]+|//[^\n]*)
  | (?P<text>(?:[rR]?[bB]?|[bB]?[rR]?)(?:\"\"\"|'''|"|'))
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<int>0x[0-9a-fA-F]+[uU]?|\d+[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
  | (?P<op>==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%])
    """,
    re.VERBOSE,
)
_START: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_PRECEDENCE: Final = {
    "||": 1,
    "&&": 2,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "==": 3,
    "!=": 3,
    "in": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}
_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}


class _Token:
    __slots__ = ("kind", "pos", "text", "value")

    def __init__(self, kind: str, text: str, pos: int, value: Any = None) -> None:
        self.kind = kind
        self.text = text
        self.pos = pos
        self.value = value

    @property
    def starts(self) -> bool:
        """Whether an operand can begin with it."""
        return self.kind in ("text", "float", "int", "name", "bytes") or self.text in ("[", "{", "(", ".", "-", "!")


def parse(text: str) -> Node:
    """The tree of an expression; raises ``Problems``."""
    if len(text) > MOST_CHARACTERS:
        message = f"expression code point size exceeds limit: size: {len(text)}, limit {MOST_CHARACTERS}"
        raise Problems(text, [(0, message)])
    try:
        return _Parser(text).whole()
    except RecursionError:
        raise Problems(text, [(0, f"expression recursion limit exceeded: {DEEPEST}")]) from None


class _Stop(Exception):  # noqa: N818
    """Nothing sensible can be read any more."""


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[tuple[int, str]] = []
        self._tokens = self._lexed()
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        try:
            node = self._expression()
            token = self._next
            if token.kind != "end":
                follows = self._tokens[self._at + 1]
                word = "extraneous" if follows.kind == "end" else "mismatched"
                self._wrong(token, f"{word} input '{token.text}' expecting <EOF>")
        except _Stop:
            node = Literal(0, None)
        if self._found:
            raise Problems(self._text, sorted(self._found, key=lambda each: each[0]))
        return node

    # Tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _skip(self, text: str) -> bool:
        token = self._tokens[self._at]
        if token.kind == "op" and token.text == text:
            self._at += 1
            return True
        return False

    def _need(self, text: str, expecting: str = "") -> None:
        if not self._skip(text):
            token = self._next
            shown_text = token.text if token.kind != "end" else "<EOF>"
            if token.kind == "end" and text in (")", "]", "}"):
                self._stop(token, f"missing '{text}' at '<EOF>'")
            self._stop(token, f"mismatched input '{shown_text}' expecting {expecting or repr(text)}")

    def _wrong(self, token: _Token, message: str) -> None:
        self._found.append((token.pos, f"Syntax error: {message}"))

    def _stop(self, token: _Token, message: str) -> None:
        self._wrong(token, message)
        raise _Stop

    def _lexed(self) -> list[_Token]:
        text, at = self._text, 0
        tokens: list[_Token] = []
        while at < len(text):
            match = _TOKEN.match(text, at)
            kind = match.lastgroup if match is not None else ""
            if match is None or kind is None or not kind:
                # A lone half of an operator takes the next character with it.
                length = 2 if text[at] in "=&|" else 1
                self._found.append((at, f"Syntax error: token recognition error at: '{text[at : at + length]}'"))
                at += length
                continue
            if kind == "text":
                at = self._lex_text(match.group(), at, tokens)
                continue
            if kind != "space":
                tokens.append(_Token(kind, match.group(), at))
            at = match.end()
        tokens.append(_Token("end", "<EOF>", len(text)))
        return tokens

    def _lex_text(self, start: str, at: int, tokens: list[_Token]) -> int:
        """A literal text or bytes that begins at ``at``; where it ends."""
        text = self._text
        quote = start.lstrip("rRbB")
        raw = "r" in start.lower()
        end = at + len(start)
        while True:
            if end >= len(text) or (len(quote) == 1 and text[end] in "\r\n"):
                self._found.append((at, f"Syntax error: token recognition error at: '{text[at:end]}'"))
                return end
            if text.startswith(quote, end):
                break
            end += 2 if text[end] == "\\" and not raw else 1
        inner = text[at + len(start) : end]
        end += len(quote)
        is_bytes = "b" in start.lower()
        try:
            value: Any = _unescaped(inner, raw=raw, is_bytes=is_bytes)
        except ValueError as error:
            self._found.append((at, f"Syntax error: {error}"))
            value = b"" if is_bytes else ""
        tokens.append(_Token("bytes" if is_bytes else "text", text[at:end], at, value))
        return end

    # Grammar

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise RecursionError
        node = self._operation(1)
        if self._next.text == "?" and self._next.kind == "op":
            pos = self._take().pos
            yes = self._operation(1)
            self._need(":")
            node = Call(pos, "_?_:_", [node, yes, self._expression()])
        self._depth -= 1
        return node

    def _operation(self, lowest: int) -> Node:
        left = self._unary()
        while True:
            token = self._next
            rank = _PRECEDENCE.get(token.text, 0) if token.kind in ("op", "name") else 0
            if rank < lowest or rank == 0:
                return left
            if rank <= 2:
                left = self._logical(left, token.text, rank)
                continue
            self._take()
            name = "@in" if token.text == "in" else f"_{token.text}_"
            left = Call(token.pos, name, [left, self._operation(rank + 1)])

    def _logical(self, left: Node, operator: str, rank: int) -> Node:
        """A chain of one logical operator, as a balanced tree: a long chain shall not be a deep one."""
        terms, places = [left], []
        while self._next.text == operator and self._next.kind == "op":
            places.append(self._take().pos)
            terms.append(self._operation(rank + 1))

        def balanced(low: int, high: int) -> Node:
            middle = (low + high + 1) // 2
            one = terms[middle] if middle == low else balanced(low, middle - 1)
            two = terms[middle + 1] if middle == high else balanced(middle + 1, high)
            return Call(places[middle], f"_{operator}_", [one, two])

        return balanced(0, len(places) - 1)

    def _unary(self) -> Node:
        token = self._next
        if token.kind == "op" and token.text in ("!", "-"):
            operator = token.text
            count = 0
            while self._skip(operator):
                count += 1
            follows = self._next
            if operator == "-" and count == 1 and follows.kind in ("int", "float"):
                count = 0
                node = self._member(self._number(self._take(), negative=True, pos=self._tokens[self._at - 2].pos))
            else:
                node = self._member(self._primary())
            return Call(token.pos, f"{operator}_", [node]) if count % 2 else node
        return self._member(self._primary())

    def _primary(self) -> Node:
        token = self._take()
        if not token.starts and self._next.starts and token.kind != "end":
            # As the reference does: one token too many is left out, and reading goes on.
            self._wrong(token, f"extraneous input '{token.text}' expecting {_START}")
            token = self._take()
        match token.kind:
            case "text" | "bytes":
                return Literal(token.pos, token.value)
            case "int" | "float":
                return self._number(token)
            case "name":
                return self._named(token)
        match token.text if token.kind == "op" else "":
            case "(":
                node = self._expression()
                self._need(")")
                return node
            case "[":
                return self._list(token.pos)
            case "{":
                return self._map(token.pos)
            case ".":
                name = self._take()
                if name.kind != "name":
                    self._stop(name, f"mismatched input '{name.text}' expecting IDENTIFIER")
                return self._named(name)
        self._stop(token, f"mismatched input '{token.text}' expecting {_START}")
        raise _Stop

    def _number(self, token: _Token, *, negative: bool = False, pos: int | None = None) -> Node:
        at = token.pos if pos is None else pos
        sign = "-" if negative else ""
        if token.kind == "float":
            return Literal(at, float(sign + token.text))
        text = token.text.lower()
        unsigned = text.endswith("u")
        text = text.rstrip("u")
        number = int(sign + text, 16 if text.startswith("0x") else 10)
        if unsigned:
            if not 0 <= number < 2**64:
                self._found.append((at, "invalid uint literal"))
            return Literal(at, Uint(number % 2**64))
        if not -(2**63) <= number < 2**63:
            self._found.append((at, "invalid int literal"))
        return Literal(at, number)

    def _named(self, token: _Token) -> Node:
        if token.text in ("true", "false", "null"):
            return Literal(token.pos, {"true": True, "false": False, "null": None}[token.text])
        if token.text == "in":
            self._stop(token, f"mismatched input 'in' expecting {_START}")
        if token.text in _RESERVED:
            self._found.append((token.pos, f"reserved identifier: {token.text}"))
        if self._next.text == "(" and self._next.kind == "op":
            pos = self._next.pos
            return self._called(pos, token.text, self._arguments(), None)
        return Ident(token.pos, token.text)

    def _member(self, node: Node) -> Node:
        while True:
            token = self._next
            if token.kind != "op":
                return node
            if token.text == ".":
                node = self._selected(node, self._take().pos)
            elif token.text == "[":
                pos = self._take().pos
                optional = self._skip("?")
                index = self._expression()
                self._need("]")
                node = Call(pos, "_[?_]" if optional else "_[_]", [node, index])
            elif token.text == "{" and (name := qualified(node)):
                pos = self._take().pos
                self._map(pos, fields=True)
                node = Message(pos, name)
            else:
                return node

    def _selected(self, node: Node, pos: int) -> Node:
        optional = self._skip("?")
        name = self._take()
        if name.kind not in ("name", "quoted") or name.text == "in":
            self._stop(name, f"no viable alternative at input '.{name.text if name.kind != 'end' else ''}'")
        field = name.text.strip("`")
        if optional:
            return Call(pos, "_?._", [node, Literal(name.pos, field)])
        if self._next.text == "(" and self._next.kind == "op" and name.kind == "name":
            opening = self._next.pos
            return self._called(opening, field, self._arguments(), node)
        return Select(pos, node, field)

    def _arguments(self) -> list[Node]:
        self._need("(")
        args: list[Node] = []
        if self._skip(")"):
            return args
        if self._next.kind == "end":
            expected = _START.replace("'(', ", "'(', ')', ")
            self._stop(self._next, f"mismatched input '<EOF>' expecting {expected}")
        while True:
            args.append(self._expression())
            if not self._skip(","):
                break
        self._need(")")
        return args

    def _list(self, pos: int) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while not self._skip("]"):
            if items:
                self._need(",", "{',', ']'}")
                if self._next.kind == "end":
                    self._need("]")
                if self._skip("]"):
                    break
            if self._skip("?"):
                optional.add(len(items))
            items.append(self._expression())
        return ListOf(pos, items, frozenset(optional))

    def _map(self, pos: int, *, fields: bool = False) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._skip("}"):
            if entries:
                self._need(",", "{',', '}'}")
                if self._skip("}"):
                    break
            optional = self._skip("?")
            key: Node = Ident(self._take().pos, "") if fields else self._expression()
            self._need(":")
            entries.append((key, self._expression(), optional))
        return MapOf(pos, entries)

    def _called(self, pos: int, name: str, args: list[Node], target: Node | None) -> Node:
        macro = _MACROS.get((name, len(args), target is not None))
        if macro is not None:
            try:
                return macro(pos, target if target is not None else args[0], args)
            except _BadMacro as error:
                self._found.append((error.pos, str(error)))
                return Literal(pos, None)
        return Call(pos, name, args, target)


def qualified(node: Node | None) -> str:
    """``a.b.c`` as a text, or nothing when the node is something else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        before = qualified(node.operand)
        return f"{before}.{node.field}" if before else ""
    return ""


def children(node: Node) -> list[Node]:
    """The parts of a node, in the order in which they are read."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [*([node.target] if node.target is not None else []), *node.args]
        case ListOf():
            return node.items
        case MapOf():
            return [part for key, value, _ in node.entries for part in (key, value)]
        case Fold():
            return [node.over, node.init, node.condition, node.step, node.result]
    return []


def literal_text(node: Node) -> str:
    """The text that a node is written as; empty when it is no literal."""
    return str(node.value) if isinstance(node, Literal) else ""


_HEX_DIGITS: Final = {"x": 2, "X": 2, "u": 4, "U": 8}


def _unescaped(text: str, *, raw: bool, is_bytes: bool) -> str | bytes:
    """What a literal means; raises ``ValueError``."""
    parts: list[str] = []
    data = bytearray()

    def add(char: str, code: int = -1) -> None:
        if not is_bytes:
            parts.append(char or chr(code))
        elif code >= 0:
            data.append(code)
        else:
            data.extend(char.encode())

    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "\\" or raw:
            add(char)
            continue
        escape = text[at] if at < len(text) else ""
        at += 1
        if escape in _ESCAPES:
            add(_ESCAPES[escape])
        elif escape in _HEX_DIGITS:
            digits = text[at : at + _HEX_DIGITS[escape]]
            at += len(digits)
            code = int(digits, 16) if len(digits) == _HEX_DIGITS[escape] else -1
            if code < 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000 or (is_bytes and escape in "uU"):
                raise ValueError("invalid escape")
            add("", code)
        elif escape in "0123":
            digits = text[at - 1 : at + 2]
            at += 2
            code = int(digits, 8) if len(digits) == 3 else -1
            if code < 0:
                raise ValueError("invalid escape")
            add("", code)
        else:
            raise ValueError("invalid escape")
    return bytes(data) if is_bytes else "".join(parts)


# Macros


class _BadMacro(Exception):  # noqa: N818
    def __init__(self, pos: int, message: str) -> None:
        super().__init__(message)
        self.pos = pos


_Macro = Callable[[int, Node, list[Node]], Node]


def _accu(pos: int) -> Node:
    return Ident(pos, ACCUMULATOR)


def _name_of(node: Node, why: str = "argument must be a simple name") -> str:
    if not isinstance(node, Ident):
        raise _BadMacro(node.pos, why)
    if node.name == ACCUMULATOR or node.name == "__result__":
        raise _BadMacro(node.pos, "iteration variable overwrites accumulator variable")
    return node.name


def _names_of(args: list[Node], count: int) -> tuple[str, str]:
    if count == 1:
        return _name_of(args[0]), ""
    names = _name_of(args[0]), _name_of(args[1])
    if names[0] == names[1]:
        raise _BadMacro(args[1].pos, f"duplicate variable name: {names[0]}")
    return names


def _has(pos: int, target: Node, args: list[Node]) -> Node:
    if not isinstance(args[0], Select) or args[0].test:
        raise _BadMacro(args[0].pos, "invalid argument to has() macro")
    return Select(pos, args[0].operand, args[0].field, test=True)


def _fold(pos: int, target: Node, names: tuple[str, str], init: Node, condition: Node, step: Node, result: Node) -> Node:
    return Fold(pos, target, names, ACCUMULATOR, init, condition, step, result)


def _all(count: int) -> _Macro:
    def expand(pos: int, target: Node, args: list[Node]) -> Node:
        condition = Call(pos, "@not_strictly_false", [_accu(pos)])
        step = Call(pos, "_&&_", [_accu(pos), args[count]])
        return _fold(pos, target, _names_of(args, count), Literal(pos, True), condition, step, _accu(pos))

    return expand


def _exists(count: int) -> _Macro:
    def expand(pos: int, target: Node, args: list[Node]) -> Node:
        condition = Call(pos, "@not_strictly_false", [Call(pos, "!_", [_accu(pos)])])
        step = Call(pos, "_||_", [_accu(pos), args[count]])
        return _fold(pos, target, _names_of(args, count), Literal(pos, False), condition, step, _accu(pos))

    return expand


def _exists_one(count: int) -> _Macro:
    def expand(pos: int, target: Node, args: list[Node]) -> Node:
        more = Call(pos, "_+_", [_accu(pos), Literal(pos, 1)])
        step = Call(pos, "_?_:_", [args[count], more, _accu(pos)])
        result = Call(pos, "_==_", [_accu(pos), Literal(pos, 1)])
        return _fold(pos, target, _names_of(args, count), Literal(pos, 0), Literal(pos, True), step, result)

    return expand


def _filter(pos: int, target: Node, args: list[Node]) -> Node:
    name = _name_of(args[0], "argument is not an identifier")
    longer = Call(pos, "_+_", [_accu(pos), ListOf(pos, [Ident(args[0].pos, name)])])
    step = Call(pos, "_?_:_", [args[1], longer, _accu(pos)])
    return _fold(pos, target, (name, ""), ListOf(pos, []), Literal(pos, True), step, _accu(pos))


def _map_macro(count: int) -> _Macro:
    """``map`` and ``transformList``: the last argument, for those elements where the one before it holds."""

    def expand(pos: int, target: Node, args: list[Node]) -> Node:
        if count == 1:
            _name_of(args[0], "argument is not an identifier")
        step: Node = Call(pos, "_+_", [_accu(pos), ListOf(pos, [args[-1]])])
        if len(args) == count + 2:
            step = Call(pos, "_?_:_", [args[count], step, _accu(pos)])
        return _fold(pos, target, _names_of(args, count), ListOf(pos, []), Literal(pos, True), step, _accu(pos))

    return expand


def _transform_map(*, entry: bool) -> _Macro:
    def expand(pos: int, target: Node, args: list[Node]) -> Node:
        names = _names_of(args, 2)
        parts = [_accu(pos), args[-1]] if entry else [_accu(pos), Ident(pos, names[0]), args[-1]]
        step: Node = Call(pos, "cel.@mapInsert", parts)
        if len(args) == 4:
            step = Call(pos, "_?_:_", [args[2], step, _accu(pos)])
        return _fold(pos, target, names, MapOf(pos, []), Literal(pos, True), step, _accu(pos))

    return expand


def _bound(pos: int, name: str, value: Node, body: Node) -> Node:
    """``body`` with a name for a value."""
    return Fold(pos, ListOf(pos, []), ("#unused", ""), name, value, Literal(pos, False), Ident(pos, name), body)


def _opt_map(pos: int, target: Node, args: list[Node]) -> Node:
    if not isinstance(args[0], Ident):
        raise _BadMacro(args[0].pos, "optMap() variable name must be a simple identifier")
    value = _bound(pos, args[0].name, Call(pos, "value", [], target), args[1])
    return Call(
        pos, "_?_:_", [Call(pos, "hasValue", [], target), Call(pos, "optional.of", [value]), Call(pos, "optional.none", [])]
    )


def _opt_flat_map(pos: int, target: Node, args: list[Node]) -> Node:
    if not isinstance(args[0], Ident):
        raise _BadMacro(args[0].pos, "optFlatMap() variable name must be a simple identifier")
    value = _bound(pos, args[0].name, Call(pos, "value", [], target), args[1])
    return Call(pos, "_?_:_", [Call(pos, "hasValue", [], target), value, Call(pos, "optional.none", [])])


def _sort_by(pos: int, target: Node, args: list[Node]) -> Node:
    if not isinstance(target, Ident | Select | ListOf | Fold | Call):
        raise _BadMacro(
            target.pos, "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        )
    name = "@__sortBy_input__"
    keys = _map_macro(1)(pos, Ident(pos, name), args)
    return _bound(pos, name, target, Call(pos, "@sortByAssociatedKeys", [keys], Ident(pos, name)))


_MACROS: Final[dict[tuple[str, int, bool], _Macro]] = {
    ("has", 1, False): _has,
    ("all", 2, True): _all(1),
    ("all", 3, True): _all(2),
    ("exists", 2, True): _exists(1),
    ("exists", 3, True): _exists(2),
    ("exists_one", 2, True): _exists_one(1),
    ("existsOne", 2, True): _exists_one(1),
    ("exists_one", 3, True): _exists_one(2),
    ("existsOne", 3, True): _exists_one(2),
    ("map", 2, True): _map_macro(1),
    ("map", 3, True): _map_macro(1),
    ("filter", 2, True): _filter,
    ("transformList", 3, True): _map_macro(2),
    ("transformList", 4, True): _map_macro(2),
    ("transformMap", 3, True): _transform_map(entry=False),
    ("transformMap", 4, True): _transform_map(entry=False),
    ("transformMapEntry", 3, True): _transform_map(entry=True),
    ("transformMapEntry", 4, True): _transform_map(entry=True),
    ("optMap", 2, True): _opt_map,
    ("optFlatMap", 2, True): _opt_flat_map,
    ("sortBy", 2, True): _sort_by,
}
