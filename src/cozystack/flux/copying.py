"""The copy operations of an ArtifactGenerator, as a function over files.

``@alias/path/**`` is everything below a folder, ``@alias/file`` one file, other patterns are globs; ``@artifact/folder/`` is a
folder of the artifact, ``@artifact/file`` a file of it. A later operation overwrites, merges (YAML) or extracts (archives).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from posixpath import basename, normpath

from cozystack.api import yaml
from cozystack.api.flux import Copy
from cozystack.helm import deep_merge
from cozystack.oci import read_archive

Files = Mapping[str, bytes]


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
        for path, content in found.items():
            if operation.strategy == "Merge" and path in result:
                content = _merged(result[path], content, path)
            if operation.strategy == "Extract":
                for name, inner in read_archive(content).items():
                    result[_clean(f"{target.rstrip('/')}/{name}")] = inner
                continue
            result[path] = content
    return result


def _split(text: str) -> tuple[str, str]:
    """``@alias/path`` as alias and path."""
    alias, _, path = text.removeprefix("@").partition("/")
    return alias, path


def _clean(path: str) -> str:
    """A path inside the artifact; raises ``CopyError`` when it leads out of it."""
    cleaned = normpath(path.strip("/") or ".")
    if cleaned.startswith(("..", "/")):
        raise CopyError(f'"{path}" leads out of its folder')
    return cleaned


def _select(pattern: str, target: str, files: Files, exclude: tuple[str, ...]) -> dict[str, bytes]:
    """The files that a pattern selects, by their paths in the artifact."""
    into_folder = target.endswith("/") or not target
    folder = target.strip("/")
    if pattern.endswith("**") and (pattern == "**" or pattern.endswith("/**")):
        base = _clean(pattern[:-2]) if pattern != "**" else "."
        prefix = "" if base == "." else f"{base}/"
        found = {path[len(prefix) :]: content for path, content in files.items() if path.startswith(prefix)}
    elif any(char in pattern for char in "*?["):
        matcher = _glob(_clean(pattern))
        found = {basename(path): content for path, content in files.items() if matcher.fullmatch(path)}
    else:
        path = _clean(pattern)
        if path in files:
            name = f"{folder}/{basename(path)}".strip("/") if into_folder else folder
            return {_clean(name): files[path]}
        prefix = f"{path}/"
        parent = basename(path)
        found = {f"{parent}/{p[len(prefix) :]}": content for p, content in files.items() if p.startswith(prefix)}
    kept = {path: content for path, content in found.items() if not any(_glob(e).fullmatch(path) for e in exclude)}
    return {_clean(f"{folder}/{path}"): content for path, content in kept.items()}


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    """A glob in which ``*`` stays within a folder and ``**`` does not."""
    parts = [translate(part).removeprefix("(?s:").removesuffix(")\\Z").removesuffix(")\\z") for part in pattern.split("**")]
    return re.compile(".*".join(part.replace(".*", "[^/]*") for part in parts))


def _merged(base: bytes, over: bytes, path: str) -> bytes:
    try:
        left, right = yaml.load(base, source=path), yaml.load(over, source=path)
    except yaml.YamlError as error:
        raise CopyError(f"values files cannot be merged: {error}") from error
    if (left is not None and not isinstance(left, dict)) or (right is not None and not isinstance(right, dict)):
        raise CopyError(f"{path} is not a map, so it cannot be merged")
    return yaml.dump(deep_merge(left or {}, right or {})).encode()
