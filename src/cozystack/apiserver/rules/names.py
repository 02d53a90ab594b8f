"""Names of objects, keys and values of labels: what is wrong with a text, in the words of Kubernetes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.rules.faults import invalid
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_PART_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_QUALIFIED_RULE: Final = (
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_CONFIG_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_NAMES: Final = frozenset({("", "Namespace"), ("", "Service"), ("apps", "StatefulSet")})
# Names of these are free, but for characters that would break a path.
_PATH_NAMES: Final = frozenset({"rbac.authorization.k8s.io"})
# A CronJob's Jobs are named for it, with eleven characters more.
_LONGEST_CRON_JOB: Final = 52


def name_errors(info: ResourceInfo, name: str) -> list[FieldError]:
    """What is wrong with the name of an object of this kind."""
    path = "metadata.name"
    if not name:
        return [required(path, "name or generateName is required")]
    if info.group in _PATH_NAMES:
        bad = name in (".", "..") or "/" in name or "%" in name
        return [invalid(path, name, "may not be '.', '..' or contain '/' or '%'")] if bad else []
    faults = label_faults(name) if (info.group, info.kind) in _LABEL_NAMES else subdomain_faults(name)
    if not faults and (info.group, info.kind) == ("batch", "CronJob") and len(name) > _LONGEST_CRON_JOB:
        faults = (f"must be no more than {_LONGEST_CRON_JOB} characters",)
    return [invalid(path, name, fault) for fault in faults]


def label_faults(text: str) -> tuple[str, ...]:
    """What keeps a text from being a DNS label."""
    faults = [] if len(text) <= 63 else ["must be no more than 63 characters"]
    if _LABEL.fullmatch(text) is None:
        faults.append("must not contain dots" if _SUBDOMAIN.fullmatch(text) else _LABEL_RULE)
    return tuple(faults)


def subdomain_faults(text: str) -> tuple[str, ...]:
    """What keeps a text from being a DNS subdomain."""
    faults = [] if len(text) <= 253 else ["must be no more than 253 characters"]
    if _SUBDOMAIN.fullmatch(text) is None:
        faults.append(_SUBDOMAIN_RULE)
    return tuple(faults)


def config_key_faults(text: str) -> tuple[str, ...]:
    """What keeps a text from being the key of a ConfigMap or a Secret."""
    faults = [] if len(text) <= 253 else ["must be no more than 253 characters"]
    if _CONFIG_KEY.fullmatch(text) is None:
        faults.append(_CONFIG_KEY_RULE)
    if text in (".", ".."):
        faults.append(f"must not be '{text}'")
    elif text.startswith(".."):
        faults.append("must not start with '..'")
    return tuple(faults)


@lru_cache(2048)
def qualified_faults(text: str) -> tuple[str, ...]:
    """What keeps a text from being the key of a label: a name with an optional prefix."""
    faults = []
    prefix, slash, name = text.partition("/")
    if not slash:
        name = text
    elif "/" in name:
        return (_QUALIFIED_RULE,)
    elif not prefix:
        faults.append("prefix part must be non-empty")
    else:
        faults += [f"prefix part {fault}" for fault in subdomain_faults(prefix)]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    if _QUALIFIED.fullmatch(name) is None:
        faults.append(_NAME_PART_RULE)
    return tuple(faults)


@lru_cache(2048)
def value_faults(text: str) -> tuple[str, ...]:
    """What keeps a text from being the value of a label."""
    faults = [] if len(text) <= 63 else ["must be no more than 63 bytes"]
    if text and _QUALIFIED.fullmatch(text) is None:
        faults.append(_VALUE_RULE)
    return tuple(faults)
