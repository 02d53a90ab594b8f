"""Regular expressions in linear time: the syntax and the meaning of RE2, which expressions of users need.

Python's own engine tries one way after the other, and some patterns have more ways than there is time. Here a pattern becomes
an automaton whose states are computed when they are first reached, so a text is read once, whatever the pattern. A match is the
leftmost one, and of those at one place the one that the pattern prefers: read forward to find where it ends, then backward with
the pattern reversed to find where it begins. Assertions that need the next character (``\\b``, lines) are followed step by step
instead, in time that grows with the size of the pattern.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any, Final

MOST_INSTRUCTIONS: Final = 20_000
MOST_REPEATS: Final = 1000
MOST_STATES: Final = 2000
DEEPEST: Final = 200


class PatternError(ValueError):
    """A pattern that RE2 refuses, in its words."""

    def __init__(self, why: str, part: str) -> None:
        super().__init__(f"error parsing regexp: {why}: `{part}`")


class _Chars:
    """Characters: ranges of code points, or all others."""

    __slots__ = ("negated", "one", "ranges")

    def __init__(self, ranges: tuple[tuple[int, int], ...], *, negated: bool = False) -> None:
        self.ranges = ranges
        self.negated = negated
        self.one = ranges[0][0] if len(ranges) == 1 and ranges[0][0] == ranges[0][1] and not negated else -1

    def has(self, code: int) -> bool:
        if self.one >= 0:
            return code == self.one
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


# Trees: ("chars", _Chars), ("cat", items), ("alt", items), ("repeat", item, least, most, greedy), ("assert", kind), ("empty",)
_Tree = tuple[Any, ...]

_DIGITS: Final = ((48, 57),)
_WORD: Final = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final = ((9, 10), (12, 13), (32, 32))
_LAST: Final = 0x10FFFF
_POSIX: Final = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGITS,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_ESCAPES: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_PERL: Final = {"d": _DIGITS, "w": _WORD, "s": _SPACE}


def _others(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    found, at = [], 0
    for low, high in sorted(ranges):
        if low > at:
            found.append((at, low - 1))
        at = max(at, high + 1)
    if at <= _LAST:
        found.append((at, _LAST))
    return tuple(found)


@lru_cache(maxsize=64)
def _category(name: str) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for code in range(_LAST + 1):
        if unicodedata.category(chr(code)).startswith(name):
            if found and found[-1][1] == code - 1:
                found[-1] = (found[-1][0], code)
            else:
                found.append((code, code))
    return tuple(found)


class _Reader:
    """Reads a pattern; raises ``PatternError``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._fold = self._multi = self._dot_all = self._ungreedy = False
        self._depth = 0

    def whole(self) -> _Tree:
        tree = self._alternatives()
        if self._at < len(self._text):
            raise PatternError("unexpected )", self._text)
        return tree

    def _alternatives(self) -> _Tree:
        self._depth += 1
        if self._depth > DEEPEST:
            raise PatternError("expression nests too deeply", self._text)
        flags = (self._fold, self._multi, self._dot_all, self._ungreedy)
        items = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            items.append(self._sequence())
        self._fold, self._multi, self._dot_all, self._ungreedy = flags
        self._depth -= 1
        return items[0] if len(items) == 1 else ("alt", items)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _sequence(self) -> _Tree:
        items: list[_Tree] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            start = self._at
            item = self._item()
            if item is not None:
                items.append(self._repeated(item, start))
        return items[0] if len(items) == 1 else ("cat", items)

    def _repeated(self, item: _Tree, start: int) -> _Tree:
        before = -1
        while True:
            at = self._at
            bounds = self._bounds()
            if bounds is None:
                return item
            if before >= 0:
                raise PatternError("invalid nested repetition operator", self._text[before : self._at])
            least, most = bounds
            if most > MOST_REPEATS or least > MOST_REPEATS or 0 <= most < least:
                raise PatternError("invalid repeat count", self._text[at : self._at])
            greedy = not self._ungreedy
            if self._peek() == "?":
                self._at += 1
                greedy = not greedy
            before = at
            item = ("repeat", item, least, most, greedy)

    def _bounds(self) -> tuple[int, int] | None:
        char = self._peek()
        if char in ("*", "+", "?") and char:
            self._at += 1
            return {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[char]
        if char != "{":
            return None
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(end, self._at + 1)].partition(",")
        if end < 0 or not low.isdecimal() or not (high == "" or high.isdecimal()):
            return None
        self._at = end + 1
        return int(low), (int(high) if high else -1) if comma else int(low)

    def _item(self) -> _Tree | None:
        char = self._text[self._at]
        self._at += 1
        match char:
            case "(":
                return self._group()
            case "[":
                return ("chars", self._class())
            case ".":
                return ("chars", _Chars(((0, _LAST),)) if self._dot_all else _Chars(((10, 10),), negated=True))
            case "^":
                return ("assert", "line start" if self._multi else "start")
            case "$":
                return ("assert", "line end" if self._multi else "end")
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise PatternError("missing argument to repetition operator", char)
        return self._char(ord(char))

    def _char(self, code: int) -> _Tree:
        return ("chars", self._folded(((code, code),)))

    def _folded(self, ranges: tuple[tuple[int, int], ...], *, negated: bool = False) -> _Chars:
        if self._fold:
            more = []
            for low, high in ranges:
                if high - low > 1000:
                    continue
                for code in range(low, high + 1):
                    for other in {chr(code).lower(), chr(code).upper()}:
                        if len(other) == 1 and ord(other) != code:
                            more.append((ord(other), ord(other)))
            ranges = (*ranges, *more)
        return _Chars(ranges, negated=negated)

    def _group(self) -> _Tree | None:
        if self._peek() != "?":
            return self._closed(self._at - 1)
        start = self._at - 1
        rest = self._text[self._at :]
        for opening in ("?P<", "?<"):
            if rest.startswith(opening) and rest[len(opening) : len(opening) + 1] not in ("=", "!"):
                end = rest.find(">")
                name = rest[len(opening) : end]
                if end < 0 or not name.replace("_", "a").isalnum():
                    raise PatternError("invalid named capture", self._text[start : self._at + max(end, 0) + 1])
                self._at += end + 1
                return self._closed(start)
        flags = (self._fold, self._multi, self._dot_all, self._ungreedy)
        on, self._at = True, self._at + 1
        while True:
            flag = self._peek()
            self._at += 1
            match flag:
                case "i":
                    self._fold = on
                case "m":
                    self._multi = on
                case "s":
                    self._dot_all = on
                case "U":
                    self._ungreedy = on
                case "-" if on:
                    on = False
                case ":":
                    tree = self._closed(start)
                    self._fold, self._multi, self._dot_all, self._ungreedy = flags
                    return tree
                case ")":
                    return None
                case _:
                    raise PatternError("invalid or unsupported Perl syntax", self._text[start : self._at])

    def _closed(self, start: int) -> _Tree:
        tree = self._alternatives()
        if self._peek() != ")":
            raise PatternError("missing closing )", self._text)
        self._at += 1
        return tree

    def _escape(self) -> _Tree | None:
        char = self._peek()
        if not char:
            raise PatternError("trailing backslash at end of expression", "")
        assertion = {"A": "start", "z": "end", "b": "boundary", "B": "no boundary"}.get(char)
        if assertion is not None:
            self._at += 1
            return ("assert", assertion)
        if char == "Q":
            end = self._text.find("\\E", self._at)
            inner = self._text[self._at + 1 : end if end >= 0 else len(self._text)]
            self._at = end + 2 if end >= 0 else len(self._text)
            return ("cat", [self._char(ord(each)) for each in inner])
        ranges = self._named_class()
        if ranges is not None:
            return ("chars", self._folded(ranges))
        return self._char(self._escaped())

    def _named_class(self) -> tuple[tuple[int, int], ...] | None:
        """``\\d``, ``\\pL`` and their like, after the backslash."""
        char = self._peek()
        if char.lower() in _PERL and char:
            self._at += 1
            ranges = _PERL[char.lower()]
            return ranges if char.islower() else _others(ranges)
        if char in ("p", "P") and char:
            start = self._at - 1
            self._at += 1
            name = self._peek()
            self._at += 1
            if name == "{":
                end = self._text.find("}", self._at)
                name = self._text[self._at : end]
                self._at = end + 1
            negated = (char == "P") is not name.startswith("^")
            name = name.lstrip("^")
            ranges = _category(name) if len(name) in (1, 2) and name.isalpha() else ()
            if not ranges:
                raise PatternError("invalid character class range", self._text[start : self._at])
            return _others(ranges) if negated else ranges
        return None

    def _escaped(self) -> int:
        """The code point of an escape, after the backslash."""
        char = self._peek()
        start = self._at - 1
        self._at += 1
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char == "x":
            if self._peek() == "{":
                end = self._text.find("}", self._at)
                digits = self._text[self._at + 1 : max(end, self._at + 1)]
                self._at = end + 1
            else:
                digits = self._text[self._at : self._at + 2]
                self._at += 2
            try:
                return int(digits, 16)
            except ValueError:
                raise PatternError("invalid escape sequence", self._text[start : self._at]) from None
        if char in "01234567" and (char == "0" or self._peek() in tuple("01234567")):
            digits = char
            while len(digits) < 3 and self._peek() in tuple("01234567"):
                digits += self._peek()
                self._at += 1
            return int(digits, 8)
        if char.isascii() and char.isalnum():
            raise PatternError("invalid escape sequence", self._text[start : self._at])
        return ord(char)

    def _class(self) -> _Chars:
        start = self._at - 1
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while True:
            char = self._peek()
            if not char:
                raise PatternError("missing closing ]", self._text[start:])
            if char == "]" and not first:
                self._at += 1
                break
            first = False
            if self._text.startswith("[:", self._at) and ":]" in self._text[self._at :]:
                end = self._text.index(":]", self._at)
                name = self._text[self._at + 2 : end]
                found = _POSIX.get(name.lstrip("^"))
                if found is None:
                    raise PatternError("invalid character class range", self._text[self._at : end + 2])
                ranges += _others(found) if name.startswith("^") else found
                self._at = end + 2
                continue
            if char == "\\":
                self._at += 1
                named = self._named_class()
                if named is not None:
                    ranges += named
                    continue
                self._at -= 1
            low_at = self._at
            low = self._class_char()
            high = low
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._class_char()
                if high < low:
                    raise PatternError("invalid character class range", self._text[low_at : self._at])
            ranges.append((low, high))
        return self._folded(tuple(ranges), negated=negated)

    def _class_char(self) -> int:
        char = self._peek()
        self._at += 1
        if char != "\\":
            return ord(char)
        if not self._peek():
            raise PatternError("trailing backslash at end of expression", "")
        return self._escaped()


# Programs: (kind, ...) with kinds "chars" (set, next), "split" (first, second), "assert" (what, next), "match".
_CHARS, _SPLIT, _ASSERT, _MATCH, _JUMP = range(5)
_Instruction = tuple[Any, ...]
_MIRRORED: Final = {"start": "end", "end": "start", "line start": "line end", "line end": "line start"}


def _may_be_empty(tree: _Tree) -> bool:
    """Whether it matches nothing at all."""
    match tree[0]:
        case "chars":
            return False
        case "cat":
            return all(map(_may_be_empty, tree[1]))
        case "alt":
            return any(map(_may_be_empty, tree[1]))
        case "repeat":
            return tree[2] == 0 or _may_be_empty(tree[1])
    return True


class _Builder:
    """Instructions for a tree, or for the tree read backward."""

    def __init__(self, *, backward: bool) -> None:
        self.program: list[_Instruction] = []
        self._backward = backward

    def _emit(self, *instruction: Any) -> int:
        if len(self.program) >= MOST_INSTRUCTIONS:
            raise PatternError("expression too large", "")
        self.program.append(instruction)
        return len(self.program) - 1

    def build(self, tree: _Tree) -> list[_Instruction]:
        self._add(tree)
        self._emit(_MATCH)
        return self.program

    def _add(self, tree: _Tree) -> None:
        match tree[0]:
            case "chars":
                self._emit(_CHARS, tree[1], len(self.program) + 1)
            case "assert":
                kind = _MIRRORED.get(tree[1], tree[1]) if self._backward else tree[1]
                self._emit(_ASSERT, kind, len(self.program) + 1)
            case "cat":
                for item in reversed(tree[1]) if self._backward else tree[1]:
                    self._add(item)
            case "alt":
                ends = []
                for item in tree[1][:-1]:
                    split = self._emit(_SPLIT, 0, 0)
                    self._add(item)
                    ends.append(self._emit(_JUMP, 0))
                    self.program[split] = (_SPLIT, split + 1, len(self.program))
                self._add(tree[1][-1])
                for end in ends:
                    self.program[end] = (_JUMP, len(self.program))
            case "repeat":
                self._repeat(*tree[1:])

    def _repeat(self, item: _Tree, least: int, most: int, greedy: bool) -> None:
        if most < 0:
            self._add_forever(item, least, greedy)
            return
        for _ in range(least):
            self._add(item)
        splits = []
        for _ in range(most - least):
            splits.append(self._emit(_SPLIT, 0, 0))
            self._add(item)
        for split in splits:
            self._set_split(split, greedy)

    def _add_forever(self, item: _Tree, least: int, greedy: bool) -> None:
        """An item that may be empty is tried once before it is repeated, so that what it prefers is preferred."""
        if least == 0 and not _may_be_empty(item):
            split = self._emit(_SPLIT, 0, 0)
            self._add(item)
            self._emit(_JUMP, split)
            self._set_split(split, greedy)
            return
        optional = self._emit(_SPLIT, 0, 0) if least == 0 else None
        for _ in range(least - 1):
            self._add(item)
        start = len(self.program)
        self._add(item)
        again = self._emit(_SPLIT, 0, 0)
        self.program[again] = (_SPLIT, start, again + 1) if greedy else (_SPLIT, again + 1, start)
        if optional is not None:
            self._set_split(optional, greedy)

    def _set_split(self, split: int, greedy: bool) -> None:
        end = len(self.program)
        self.program[split] = (_SPLIT, split + 1, end) if greedy else (_SPLIT, end, split + 1)


_State = tuple[int, ...]


class _Automaton:
    """A program that is followed along a text; states are lists of instructions, the preferred first.

    A state ends at the first match in it (what comes later is not wanted) unless the longest match is looked for. Assertions of
    the end stay in the state, since only the end can tell.
    """

    def __init__(self, program: list[_Instruction], *, anchored: bool, longest: bool) -> None:
        self._program = program
        self._anchored = anchored
        self._longest = longest
        self._known: dict[_State, int] = {}
        self._states: list[_State] = []
        self._matching: list[bool] = []
        self._next: list[dict[str, int]] = []

    def run(self, text: str, start: int, stop: int, step: int, *, at_edge: bool, first: bool = False) -> int:
        """Where the match ends that begins at ``start`` or, unless anchored, behind it; -1 when there is none. The first end
        that is found when ``first``. ``at_edge``: whether the text begins at ``start``."""
        state = self._number(self._closure([0], at_start=at_edge, at_end=False))
        matching, following = self._matching, self._next
        found, at = -1, start
        while True:
            if matching[state]:
                found = at
                if first:
                    return found
            if at == stop:
                break
            char = text[at] if step > 0 else text[at - 1]
            target = following[state].get(char)
            if target is None:
                if len(self._states) > MOST_STATES:
                    kept = self._states[state]
                    self._forget()
                    matching, following = self._matching, self._next
                    state = self._number(kept)
                target = self._step(state, char)
            state = target
            at += step
            if not self._states[state]:
                return found
        if self._matches_at_end(state, at_edge=at_edge and start == stop):
            found = at
        return found

    def _forget(self) -> None:
        self._known, self._states, self._matching, self._next = {}, [], [], []

    def _number(self, state: _State) -> int:
        number = self._known.get(state)
        if number is None:
            number = self._known[state] = len(self._states)
            self._states.append(state)
            self._matching.append(any(self._program[at][0] == _MATCH for at in state))
            self._next.append({})
        return number

    def _step(self, state: int, char: str) -> int:
        code = ord(char)
        seeds = []
        cut = False
        for at in self._states[state]:
            instruction = self._program[at]
            if instruction[0] == _CHARS and instruction[1].has(code):
                seeds.append(instruction[2])
            elif instruction[0] == _MATCH:
                cut = True
        if not self._anchored and not cut:
            seeds.append(0)
        number = self._number(self._closure(seeds, at_start=False, at_end=False))
        self._next[state][char] = number
        return number

    def _closure(self, seeds: list[int], *, at_start: bool, at_end: bool) -> _State:
        program = self._program
        found: list[int] = []
        seen: set[int] = set()
        stack = seeds[::-1]
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            instruction = program[at]
            kind = instruction[0]
            if kind == _JUMP:
                stack.append(instruction[1])
            elif kind == _SPLIT:
                stack.append(instruction[2])
                stack.append(instruction[1])
            elif kind == _ASSERT:
                if instruction[1] == "start":
                    if at_start:
                        stack.append(instruction[2])
                elif at_end:
                    stack.append(instruction[2])
                else:
                    found.append(at)
            else:
                found.append(at)
                if kind == _MATCH and not self._longest:
                    break
        return tuple(found)

    def _matches_at_end(self, state: int, *, at_edge: bool) -> bool:
        closed = self._closure(list(self._states[state]), at_start=at_edge, at_end=True)
        return any(self._program[at][0] == _MATCH for at in closed)


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        try:
            tree = _Reader(text).whole()
            self._program = _Builder(backward=False).build(tree)
            self._forward = _Automaton(self._program, anchored=False, longest=False)
            self._backward = _Automaton(_Builder(backward=True).build(tree), anchored=True, longest=True)
        except RecursionError:
            raise PatternError("expression nests too deeply", text) from None
        self._plain = all(each[0] != _ASSERT or each[1] in ("start", "end") for each in self._program)

    def search(self, text: str) -> bool:
        """Whether it matches somewhere in the text."""
        if not self._plain:
            return self._slow(text, 0) is not None
        return self._forward.run(text, 0, len(text), 1, at_edge=True, first=True) >= 0

    def find(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Where the leftmost match from ``start`` on begins and ends."""
        if not self._plain:
            return self._slow(text, start)
        end = self._forward.run(text, start, len(text), 1, at_edge=start == 0)
        if end < 0:
            return None
        begin = self._backward.run(text, end, start, -1, at_edge=end == len(text))
        if start > 0 and begin < 0:
            return None
        return begin, end

    def find_all(self, text: str, most: int = -1) -> list[str]:
        """The matches that do not overlap, at most ``most`` unless that is negative."""
        found: list[str] = []
        at, last = 0, -1
        while at <= len(text) and (most < 0 or len(found) < most):
            place = self.find(text, at)
            if place is None:
                break
            begin, end = place
            if end > begin or begin != last:
                found.append(text[begin:end])
            last = end
            at = end if end > at else at + 1
            if end == begin:
                at = max(at, end + 1)
        return found

    def _slow(self, text: str, start: int) -> tuple[int, int] | None:
        """Step by step, with all assertions: threads are (instruction, where it began), the preferred first."""
        threads: list[tuple[int, int]] = []
        found: tuple[int, int] | None = None
        for at in range(start, len(text) + 1):
            if found is None:
                threads.append((0, at))
            seen: set[int] = set()
            waiting: list[tuple[int, int]] = []
            for instruction, began in threads:
                if self._follow(instruction, began, text, at, seen, waiting):
                    found = (began, at)
                    break
            if not waiting and found is not None:
                return found
            code = ord(text[at]) if at < len(text) else -1
            threads = [(self._program[each][2], began) for each, began in waiting if self._program[each][1].has(code)]
            if code < 0:
                break
        return found

    def _follow(self, first: int, began: int, text: str, at: int, seen: set[int], waiting: list[tuple[int, int]]) -> bool:
        """Follow what needs no character; whether that is a match."""
        stack = [first]
        while stack:
            place = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            instruction = self._program[place]
            match instruction[0]:
                case 3:
                    return True
                case 4:
                    stack.append(instruction[1])
                case 1:
                    stack += [instruction[2], instruction[1]]
                case 2:
                    if _holds(instruction[1], text, at):
                        stack.append(instruction[2])
                case _:
                    waiting.append((place, began))
        return False


def _holds(kind: str, text: str, at: int) -> bool:
    match kind:
        case "start":
            return at == 0
        case "end":
            return at == len(text)
        case "line start":
            return at == 0 or text[at - 1] == "\n"
        case "line end":
            return at == len(text) or text[at] == "\n"
    boundary = (at > 0 and _is_word(text[at - 1])) is not (at < len(text) and _is_word(text[at]))
    return boundary is (kind == "boundary")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


@lru_cache(maxsize=512)
def compiled(text: str) -> Pattern:
    """Raises ``PatternError``."""
    return Pattern(text)
