"""YAML files, folders and standard input as objects, each with the file and line where it starts.

A folder is walked in lexical order for ``.yaml`` and ``.yml``, past the charts in it; a file is read whatever it is called;
``-`` is standard input. Streams are split by a YAML parser, so a ruler in a comment or a certificate splits nothing
(cozypkg-F1). What is neither a Package nor a PackageSource, nor a list of them, is an error that names its place (cozypkg-F2).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from cozystack.api import yaml
from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.cozypkg.errors import CommandError

Wanted: TypeAlias = Package | PackageSource

SOURCES = Path("core/platform/sources")
"""Where a package repository has its PackageSources; of such a folder nothing else is read, the rest being charts."""

CHART = "Chart.yaml"
_MOST_BYTES = 64 << 20
"""Of one file. What a thousand clusters hold is a tenth of it, and a device never ends."""

_TYPES: dict[str, type[Package] | type[PackageSource]] = {"Package": Package, "PackageSource": PackageSource}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object stands; ``line`` counts from 1. For people: ``file:line``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Found:
    """An object, where it stands, and its values as they were written (unknown fields included)."""

    object: Wanted
    place: Place
    value: dict[str, Any]


def read_all(paths: Iterable[str], stdin: Callable[[], str]) -> list[Found]:
    """Every object of the paths, in order; raises ``CommandError`` at the first that cannot be one.

    ``stdin`` gives what standard input holds. A path without any object is an error: it was meant to hold something.
    """
    found: list[Found] = []
    for path in paths:
        of_path = list(_read(path, stdin))
        if not of_path:
            raise CommandError(f"{'standard input' if path == '-' else path} holds no Package and no PackageSource")
        found += of_path
    return found


def read_some(paths: Iterable[str], stdin: Callable[[], str]) -> list[Found]:
    """The same for paths that stand for a world, which may be empty."""
    return [found for path in paths for found in _read(path, stdin)]


def _read(path: str, stdin: Callable[[], str]) -> Iterator[Found]:
    if path == "-":
        yield from parse(stdin(), source="standard input")
        return
    for file in files_below(path):
        yield from parse(content_of(file), source=str(file))


def files_below(path: str | Path) -> list[Path]:
    """The file itself, or the YAML files of a folder in lexical order; raises ``CommandError``, also when there are none.

    Of a package repository these are its PackageSources. Charts below the folder are left out: their files are no objects.
    """
    place = Path(path)
    if not place.is_dir():
        return [place]
    if (place / SOURCES).is_dir():
        place /= SOURCES
    found = []
    try:
        for folder, folders, names in os.walk(place, onerror=_raise):
            folders[:] = sorted(name for name in folders if not Path(folder, name, CHART).is_file())
            found += [Path(folder, name) for name in sorted(names) if name.endswith((".yaml", ".yml"))]
    except OSError as error:
        raise unreadable(error, path) from error
    if not found:
        raise CommandError(f"{path} holds no YAML files")
    return found


def _raise(error: OSError) -> None:
    raise error


def content_of(path: Path) -> bytes:
    """What a file holds; raises ``CommandError``."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(error, path) from error
    if len(content) > _MOST_BYTES:
        raise CommandError(f"{path} holds more than {_MOST_BYTES >> 20} MiB: that is no file with Packages")
    return content


def unreadable(error: OSError | ValueError, path: str | Path) -> CommandError:
    """A file or folder that cannot be read, as a sentence."""
    if isinstance(error, OSError):
        return CommandError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}")
    return CommandError(f"{str(path)!r} is no name of a file: {error}")


def parse(text: str | bytes, *, source: str) -> Iterator[Found]:
    """The objects of one stream; raises ``CommandError`` with file and line."""
    try:
        documents = yaml.load_all(text, source=source)
    except yaml.YamlError as error:
        raise broken(error) from error
    for document in documents:
        yield from _objects(document.value, Place(source, document.line))


def broken(error: yaml.YamlError) -> CommandError:
    """What is wrong in a text, with file, line and column, as far as they are known."""
    if not (error.source and error.column):
        return CommandError(str(error))
    return CommandError(f"{error.source}:{error.line}:{error.column}: {error.message}")


def _objects(value: Any, place: Place) -> Iterator[Found]:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise CommandError(f"{place}: this is no Kubernetes object: it has no kind")
    items = value.get("items")
    if kind.endswith("List") and isinstance(items, list):
        for item in items:
            filled = item
            if isinstance(item, dict) and kind != "List":
                filled = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List"), **item}
            yield from _objects(filled, place)
        return
    if kind not in _TYPES:
        raise CommandError(f"{place}: a Package or PackageSource is expected, not a {kind}")
    version = value.get("apiVersion")
    if version != API_VERSION:
        raise CommandError(f'{place}: {kind} of apiVersion "{version or ""}"; it is {API_VERSION}')
    try:
        found: Wanted = msgspec.convert(value, _TYPES[kind])
    except msgspec.ValidationError as error:
        raise CommandError(f"{place}: {kind} {_name(value)}: {misfit(error)}") from error
    if not found.metadata.name:
        raise CommandError(f"{place}: the {kind} has no name")
    yield Found(found, place, value)


def misfit(error: msgspec.ValidationError) -> str:
    """What does not fit an object's type, in the words of a person: ``spec.variant is a list, not text``."""
    text, _, where = str(error).partition(" - at `$")
    path = where.rstrip("`").lstrip(".") or "it"
    if expected := _EXPECTED.fullmatch(text):
        wanted = " or ".join(_WORDS.get(each, each) for each in expected[1].split(" | ") if each != "null")
        return f"{path} is {_WORDS.get(expected[2], expected[2])}, not {wanted}"
    if missing := _MISSING.fullmatch(text):
        return f"{path} has no {missing[1]}"
    return str(error)


_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}


def _name(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name", "without a name")) if isinstance(metadata, dict) else "without a name"


def values_of_file(file: Path | None) -> dict[str, Any] | None:
    """The map that a YAML file holds, none where no file is named; raises ``CommandError``."""
    if file is None:
        return None
    try:
        found = yaml.load(content_of(file), source=str(file))
    except yaml.YamlError as error:
        raise broken(error) from error
    if found is not None and not isinstance(found, dict):
        raise CommandError(f"{file}: values are a map")
    return found or {}
