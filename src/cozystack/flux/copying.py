"""The copy operations of an ArtifactGenerator, as a function over files.

``@alias/path/**`` is everything below a folder, ``@alias/path/`` the folder itself, ``@alias/file`` one file, other patterns
are globs; ``@artifact/folder/`` is a folder of the artifact, ``@artifact/file`` a file of it. A later operation overwrites,
merges (YAML) or extracts (archives). Patterns to exclude are read from the source's root and from the folder that is copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from posixpath import basename, normpath

from cozystack.api import yaml
from cozystack.api.flux import Copy
from cozystack.helm import deep_merge
from cozystack.oci import read_archive

Files = Mapping[str, bytes]

_ARCHIVES = (".tgz", ".tar.gz")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?[^\]]+\]|[^*?\[]+")
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class CopyError(ValueError):
    """A copy operation that cannot be done, in one sentence."""


def build(operations: Iterable[Copy], sources: Mapping[str, Files]) -> dict[str, bytes]:
    """The files of an artifact; raises ``CopyError``."""
    result: dict[str, bytes] = {}
    for operation in operations:
        alias, pattern = _split(operation.from_)
        if alias not in sources:
            raise CopyError(f'"{operation.from_}" names the source {alias}, which there is not')
        _, target = _split(operation.to)
        found = _select(pattern, target, sources[alias], operation.exclude)
        if not found:
            raise CopyError(f'"{operation.from_}" finds nothing in its source')
        if operation.strategy == "Extract":
            for archive in _archives(operation.from_, pattern, sources[alias], found):
                for name, inner in read_archive(archive).items():
                    result[_clean(f"{target.rstrip('/')}/{name}")] = inner
            continue
        for path, content in found.items():
            merges = operation.strategy == "Merge" and path in result
            result[path] = _merged(result[path], content, path) if merges else content
    return result


def _split(text: str) -> tuple[str, str]:
    """``@alias/path`` as alias and path."""
    alias, _, path = text.removeprefix("@").partition("/")
    return alias, path


def _clean(path: str) -> str:
    """A path inside the artifact, "." its root; raises ``CopyError`` when it leads out of it."""
    cleaned = normpath(path.strip("/") or ".")
    if cleaned == ".." or cleaned.startswith("../"):
        raise CopyError(f'"{path}" leads out of its folder')
    return cleaned


def _is_glob(pattern: str) -> bool:
    return any(char in pattern for char in "*?[")


def _select(pattern: str, target: str, files: Files, exclude: tuple[str, ...]) -> dict[str, bytes]:
    """The files that a pattern selects, by their paths in the artifact."""
    into_folder = target.endswith("/") or not target
    folder = target.strip("/")
    prefix = ""
    if pattern == "**" or pattern.endswith("/**"):
        prefix = _prefix(pattern[:-2])
        found = {path: path.removeprefix(prefix) for path in files if path.startswith(prefix)}
    elif _is_glob(pattern):
        matcher = _glob(_clean(pattern))
        prefix = _prefix(pattern[: min(pattern.find(char) for char in "*?[" if char in pattern)].rpartition("/")[0])
        found = {path: basename(path) for path in files if matcher.fullmatch(path)}
    else:
        path = _clean(pattern)
        if path in files:
            name = _clean(f"{folder}/{basename(path)}" if into_folder else folder)
            if name == ".":
                raise CopyError(f'"@artifact/{target}" names no file')
            return {name: files[path]}
        prefix = _prefix(pattern)
        parent = f"{basename(path)}/" if prefix else ""
        found = {path: parent + path.removeprefix(prefix) for path in files if path.startswith(prefix)}
    unwanted = [_glob(each) for each in exclude]
    return {
        _clean(f"{folder}/{name}"): files[path]
        for path, name in found.items()
        if not any(each.fullmatch(path) or each.fullmatch(path.removeprefix(prefix)) for each in unwanted)
    }


def _prefix(folder: str) -> str:
    """What the paths of all files of a folder start with."""
    cleaned = _clean(folder)
    return "" if cleaned == "." else f"{cleaned}/"


def _archives(text: str, pattern: str, files: Files, found: Mapping[str, bytes]) -> list[bytes]:
    """The archives among the files that were found: a glob passes over the others, a file has to be one."""
    if not _is_glob(pattern) and not (_clean(pattern) in files and pattern.endswith(_ARCHIVES)):
        raise CopyError(f'"{text}" is no archive (.tgz or .tar.gz), so it cannot be extracted')
    return [content for path, content in found.items() if path.endswith(_ARCHIVES)]


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    """A glob in which ``*``, ``?`` and ``[...]`` stay within a folder and ``**`` is any number of folders, none included."""
    tokens = [token[0] for token in _TOKEN.finditer(pattern)]
    try:
        if "".join(tokens) == pattern:
            return re.compile("".join(map(_expression, tokens)), re.DOTALL)
    except re.error:
        pass
    raise CopyError(f'"{pattern}" is not a pattern')


def _expression(token: str) -> str:
    """The regular expression of one part of a glob."""
    if token in _WILD:
        return _WILD[token]
    if token.startswith("["):
        negated = token[1] in "!^"
        inner = "".join(char if char == "-" else re.escape(char) for char in token[1 + negated : -1])
        return f"(?!/)[{'^' if negated else ''}{inner}]"
    return re.escape(token)


def _merged(base: bytes, over: bytes, path: str) -> bytes:
    try:
        left, right = yaml.load(base, source=path), yaml.load(over, source=path)
    except yaml.YamlError as error:
        raise CopyError(f"values files cannot be merged: {error}") from error
    if (left is not None and not isinstance(left, dict)) or (right is not None and not isinstance(right, dict)):
        raise CopyError(f"{path} is not a map, so it cannot be merged")
    return yaml.dump(deep_merge(left or {}, right or {})).encode()
