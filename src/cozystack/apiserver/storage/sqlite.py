"""Objects in memory, and every change in a SQLite file before it is acknowledged.

Write-ahead logging, and the disk is waited for at checkpoints only: a process that is killed at any moment loses nothing that
it acknowledged; a machine that loses power may lose the last moments but never the file. One process at a time has the file
open.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from cozystack.apiserver.storage.interface import StateInUse, StateTooNew, StateUnusable, Stored
from cozystack.apiserver.storage.memory import MemoryStorage

FORMAT: Final = 1
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS objects (resource TEXT, namespace TEXT, name TEXT, version INTEGER, body BLOB,"
    " PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID",
    # The last deletion of each resource: what is gone counts for the version, and for how far back a watch may begin.
    "CREATE TABLE IF NOT EXISTS deletions (resource TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID",
)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Without Python's cyclic collector, which would look through everything again and again; nothing here has cycles."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


class SqliteStorage(MemoryStorage):
    """See the module; raises ``StateUnusable`` when the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._last: dict[str, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise StateUnusable(f"{path} cannot be opened: {error}.") from error
        try:
            self._open(path)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise StateInUse(f"{path} is in use by another process ({error}).") from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise StateUnusable(f"{path} is not a state file of this program: {error}.") from error
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        super().close()
        self._database.close()

    def _open(self, path: Path) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        (found,) = run("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise StateTooNew(
                f"The state folder is from a newer version of this program: {path} has format {found}, known here is {FORMAT}."
            )
        for table in _TABLES:
            run(table)
        run(f"PRAGMA user_version={FORMAT}")
        for resource, version in run("SELECT resource, version FROM deletions"):
            self._reached(resource, version)
        with _collector_off():
            self._load()
        for resource, shelf in self._shelves.items():
            shelf.keys.sort()
            shelf.compacted = self._last[resource]

    def _load(self) -> None:
        """Everything that is there."""
        decode, share = msgspec.json.Decoder().decode, self._sharing.share
        rows = self._database.execute(
            "SELECT resource, namespace, name, version, body FROM objects ORDER BY resource, namespace, name"
        )
        for resource, namespace, name, version, body in rows:
            shelf = self._shelf(resource)
            obj = decode(body)
            share(obj)
            shelf.objects[namespace, name] = Stored(resource, namespace, name, obj, version)
            shelf.keys.append((namespace, name))
            self._reached(resource, version)

    def _reached(self, resource: str, version: int) -> None:
        self._last[resource] = max(self._last.get(resource, 0), version)
        self._version = max(self._version, version)

    def _compacted(self, resource: str) -> int:
        return self._last.get(resource, 0)

    def _persist(self, stored: Stored) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
            (stored.resource, stored.namespace, stored.name, stored.version, stored.encoded),
        )

    def _forget(self, stored: Stored, version: int) -> None:
        run = self._database.execute
        run("BEGIN")
        run(
            "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?",
            (stored.resource, stored.namespace, stored.name),
        )
        run("INSERT OR REPLACE INTO deletions VALUES (?, ?)", (stored.resource, version))
        run("COMMIT")
