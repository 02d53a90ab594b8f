"""The YAML dialect of Kubernetes, read and written.

Kubernetes reads YAML by go-yaml's rules and turns it into JSON: ``y`` and ``on`` are booleans, ``1e3`` is a number, ``014`` is
octal, and there are no timestamps, no base-60 numbers and no ``=``. PyYAML differs in each of these (measured), so both its
loader and its dumper get resolvers of their own here; what is written is quoted wherever that dialect would misread it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml as _yaml

from cozystack.api.meta import JSON

try:
    from yaml import CSafeDumper as _Dumper
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, otherwise the same
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


class YamlError(ValueError):
    """A text that is not YAML, or not YAML that Kubernetes would read.

    ``source`` is the name of the text (a file), ``line`` and ``column`` count from 1 and are 0 where they are not known.
    """

    def __init__(self, message: str, *, source: str = "", line: int = 0, column: int = 0) -> None:
        place = f"{source}:{line}" if source and line else source or (f"line {line}" if line else "")
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.source = source
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a stream and where it starts."""

    value: JSON
    source: str
    line: int


_BOOLS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NULL = re.compile(r"~|null|Null|NULL|")

_RESOLVERS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("tag:yaml.org,2002:bool", re.compile(rf"(?:{'|'.join(_BOOLS)})\Z"), "yYnNtTfFoO"),
    ("tag:yaml.org,2002:int", re.compile(rf"(?:{_INT.pattern})\Z"), "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        re.compile(rf"(?:{_FLOAT.pattern}|{_SPECIAL_FLOAT.pattern})\Z"),
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:null", re.compile(rf"(?:{_NULL.pattern})\Z"), "~nN\0"),
    ("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), "<"),
)


class _KubernetesLoader(_Loader):
    twice: list[tuple[int, str]] | None = None
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


class _KubernetesDumper(_Dumper):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts twice: an anchor in a manifest surprises people."""
        return True


for _class in (_KubernetesLoader, _KubernetesDumper):
    for _tag, _pattern, _first in _RESOLVERS:
        for _char in _first:
            _class.yaml_implicit_resolvers.setdefault("" if _char == "\0" else _char, []).append((_tag, _pattern))


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits.startswith("0") and digits.isdigit() and len(digits) > 1:
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _construct_float(loader: Any, node: Any) -> int | float:
    """A whole number is an integer in JSON, however it was written."""
    value = float(_yaml.constructor.SafeConstructor.construct_yaml_float(loader, node))
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _construct_bool(loader: Any, node: Any) -> bool:
    return _BOOLS[loader.construct_scalar(node)]


def _construct_map(loader: Any, node: Any) -> Iterator[dict[str, Any]]:
    """A map with string keys, as JSON has them; a key that stands twice is an error, or noted where the loader notes them."""
    result: dict[str, Any] = {}
    yield result
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, _yaml.ScalarNode) and key.value != "<<":
            if key.value in seen and loader.twice is not None:
                loader.twice.append((key.start_mark.line + 1, key.value))
            elif key.value in seen:
                raise _yaml.constructor.ConstructorError(
                    None, None, f'the key "{key.value}" stands twice in one map', key.start_mark
                )
            seen.add(key.value)
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        result[_key(loader.construct_object(key_node, deep=True), key_node)] = loader.construct_object(value_node, deep=True)


def _key(key: Any, node: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    if key is None:
        return "null"
    raise _yaml.constructor.ConstructorError(None, None, "a key is neither text nor a number", node.start_mark)


_KubernetesLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_KubernetesLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_KubernetesLoader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)
_KubernetesLoader.add_constructor("tag:yaml.org,2002:map", _construct_map)


def load_all(text: str | bytes, *, source: str = "", twice: list[tuple[int, str]] | None = None) -> list[Document]:
    """Every document of a stream that is not empty, in order; raises ``YamlError`` with the line at fault.

    A key that stands twice in a map is an error, unless ``twice`` is given: it gets line and key, and the last value counts.
    """
    loader = None
    documents: list[Document] = []
    try:
        loader = _KubernetesLoader(text)
        loader.twice = twice
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node) if node is not None else None
            if node is not None and value is not None:
                documents.append(Document(value, source, node.start_mark.line + 1))
    except _yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.problem, error.context) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlError(message, source=source, line=line, column=column) from error
    except (_yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise YamlError(str(error).splitlines()[0] if str(error) else "not YAML", source=source) from error
    finally:
        if loader is not None:
            loader.dispose()
    return documents


def load(text: str | bytes, *, source: str = "") -> JSON:
    """The value of a stream of one document, ``None`` for an empty one; raises ``YamlError``."""
    documents = load_all(text, source=source)
    if len(documents) > 1:
        raise YamlError("one document was expected, there are more", source=source, line=documents[1].line)
    return documents[0].value if documents else None


def dump(value: JSON) -> str:
    """``value`` in block style, keys in the order they have."""
    text: str = _yaml.dump(
        value,
        Dumper=_KubernetesDumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=120,
    )
    return text


def dump_all(values: Iterable[JSON]) -> str:
    """A stream of documents."""
    return "---\n".join(dump(value) for value in values)
