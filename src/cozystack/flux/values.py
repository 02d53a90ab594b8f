"""The values of a HelmRelease: those it takes from Secrets and ConfigMaps in their order, then its own over them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from cozystack.api import yaml
from cozystack.api.flux import HelmRelease, ValuesFrom, values_of
from cozystack.api.meta import Key
from cozystack.helm import deep_merge, set_path

Read = Callable[[str, Key], Awaitable[dict[str, str] | None]]
"""The data of a Secret or ConfigMap (kind, key), ``None`` when there is no such object."""


class ValuesError(ValueError):
    """Values that cannot be composed, in one sentence. Never holds a value itself."""


async def compose(release: HelmRelease, read: Read) -> dict[str, Any]:
    """The values to give to Helm; raises ``ValuesError``."""
    result: dict[str, Any] = {}
    for reference in release.spec.values_from:
        key = Key(release.metadata.namespace, reference.name)
        data = await read(reference.kind, key)
        name = reference.values_key or "values.yaml"
        if data is None and reference.optional:
            continue
        if data is None or name not in data:
            what = "is not there" if data is None else f'has no key "{name}"'
            raise ValuesError(f"could not resolve {reference.kind} values reference '{key}': it {what}")
        text = _text(reference, data[name], key)
        if reference.target_path:
            result = set_path(result, reference.target_path, _scalar(text))
        else:
            result = deep_merge(result, _map(reference, text, key, name))
    own: dict[str, Any] = deep_merge(result, values_of(release.spec))
    return own


def digest_of_values(values: dict[str, Any]) -> str:
    """``sha256:...`` of the values, independent of the order of their keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _text(reference: ValuesFrom, content: str, key: Key) -> str:
    if reference.kind != "Secret":
        return content
    try:
        return base64.b64decode(content, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValuesError(f"the Secret '{key}' holds something that is not text") from None


def _map(reference: ValuesFrom, text: str, key: Key, name: str) -> dict[str, Any]:
    try:
        value = yaml.load(text, source=f"{reference.kind} {key}, key {name}")
    except yaml.YamlError as error:
        # The message of the parser may quote the text, which may be secret; the line says enough.
        raise ValuesError(f"{reference.kind} '{key}', key \"{name}\", line {error.line}: not YAML") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValuesError(f"{reference.kind} '{key}', key \"{name}\" does not hold a map")
    return value


def _scalar(text: str) -> Any:
    """What Helm's ``--set`` makes of a text; one in quotes stays a text."""
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    if stripped in ("true", "false"):
        return stripped == "true"
    if stripped == "null":
        return None
    try:
        return int(stripped) if stripped == str(int(stripped)) else text
    except ValueError:
        return text
