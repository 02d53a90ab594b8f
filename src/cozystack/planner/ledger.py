"""The ledger: what became of every step, as one ConfigMap that a person can read.

One key a step (``0056.remove-leftovers``), and ``baseline``: the number below which nothing is recorded, because the cluster
was there before the ledger was. Values are YAML texts. Lists and texts are bounded: the object never outgrows the API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cozystack.api import yaml
from cozystack.api.meta import Key
from cozystack.api.names import SYSTEM_NAMESPACE

NAME: Final = "cozystack-migrations"
"""Of the ledger, the Lease, and the runner's Job and rights."""
VERSION_NAME: Final = "cozystack-version"
MANAGER: Final = "cozystack-migrate"
BASELINE: Final = "baseline"

Outcome = Literal["running", "done", "failed", "skipped"]
SETTLED: Final = frozenset({"done", "skipped"})
_LONGEST_LIST = 50
_LONGEST_TEXT = 400
_T = TypeVar("_T")
_KEY = re.compile(r"(\d+)\.(.+)")


class MalformedLedger(Exception):  # noqa: N818 - it names a state
    """The ledger is there and cannot be read; the sentence names the key at fault."""


class Baseline(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """From which number on the ledger is complete, and why from there: ``fresh``, ``found`` or what a person said."""

    number: int
    why: str = ""
    at: str = ""


class Record(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What became of one step. ``changed`` and ``left`` hold the first few; the rest is counted."""

    outcome: Outcome
    attempts: int = 1
    started: str = ""
    finished: str = ""
    by: str = ""
    digest: str = ""
    error: str = ""
    changed: tuple[str, ...] = ()
    changed_more: int = 0
    left: tuple[str, ...] = ()
    left_more: int = 0
    reason: str = ""
    way_back: str | UnsetType | None = UNSET
    """What an older release makes of it, None when there is no way back; unset where nobody wrote it down."""


class StepId(msgspec.Struct, frozen=True, order=True):
    """A step as it is recorded: its number orders, its name identifies."""

    number: int
    name: str

    @property
    def key(self) -> str:
        return f"{self.number:04d}.{self.name}"

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class Ledger(msgspec.Struct, frozen=True):
    """All that is known of the past."""

    baseline: Baseline
    records: Mapping[StepId, Record] = {}

    def settled(self, name: str) -> bool:
        """Whether the step of that name need not run any more."""
        return any(step.name == name and record.outcome in SETTLED for step, record in self.records.items())

    @property
    def settled_numbers(self) -> frozenset[int]:
        return frozenset(step.number for step, record in self.records.items() if record.outcome in SETTLED)

    def record(self, name: str) -> Record | None:
        return next((record for step, record in self.records.items() if step.name == name), None)


def ledger_key(namespace: str = SYSTEM_NAMESPACE) -> Key:
    return Key(namespace, NAME)


def version_key(namespace: str = SYSTEM_NAMESPACE) -> Key:
    return Key(namespace, VERSION_NAME)


def read_ledger(data: Mapping[str, str]) -> Ledger:
    """The ledger in the data of its ConfigMap; keys that are not ours are skipped. Raises ``MalformedLedger``."""
    if BASELINE not in data:
        raise MalformedLedger(f'the ledger has no key "{BASELINE}"')
    records = {}
    for key, text in data.items():
        found = _KEY.fullmatch(key)
        if found is not None:
            records[StepId(int(found[1]), found[2])] = _decode(key, text, Record)
    return Ledger(_decode(BASELINE, data[BASELINE], Baseline), dict(sorted(records.items())))


def write_value(value: Baseline | Record) -> str:
    """A value as it stands in the ConfigMap."""
    return yaml.dump(msgspec.to_builtins(value))


def bounded(items: list[str]) -> tuple[tuple[str, ...], int]:
    """The first of ``items``, none too long, and how many are left out."""
    kept = tuple(shortened(item) for item in items[:_LONGEST_LIST])
    return kept, len(items) - len(kept)


def shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _decode(key: str, text: str, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(yaml.load(text, source=key), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise MalformedLedger(f'the ledger\'s key "{key}" cannot be read: {error}') from error
