"""The same, and every change in a SQLite file before it is acknowledged.

Write-ahead logging without waiting for the disk: a process that is killed at any moment loses nothing that it acknowledged; a
machine that loses power may lose the last moments, which a sandbox can bear.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from cozystack.apiserver.storage.memory import Storage, Stored

FORMAT = 1


class StateTooNew(Exception):  # noqa: N818 - it names what it is
    """The file was written by a newer version of this program."""


class SqliteStorage(Storage):
    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise ValueError(f"{path} is not a state file of this program: {error}") from error
        except BaseException:
            self._database.close()
            raise

    def _open(self, path: Path) -> None:
        run = self._database.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=OFF")
        (found,) = run("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise StateTooNew(f"{path} was written by a newer version of this program (format {found}, known is {FORMAT})")
        run("PRAGMA user_version=1")
        run(
            "CREATE TABLE IF NOT EXISTS objects (resource TEXT, namespace TEXT, name TEXT, version INTEGER, body BLOB,"
            " PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID"
        )
        run("CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER)")
        for resource, namespace, name, version, body in run("SELECT resource, namespace, name, version, body FROM objects"):
            stored = Stored(resource, namespace, name, msgspec.json.decode(body), version)
            self._objects.setdefault(resource, {})[namespace, name] = stored
            self.version = max(self.version, version)
        counted = run("SELECT version FROM counter").fetchone()
        self.version = max(self.version, counted[0] if counted else 0)
        self._start = self.version

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
        run("INSERT OR REPLACE INTO counter VALUES (1, ?)", (version,))
        run("COMMIT")

    def close(self) -> None:
        super().close()
        self._database.close()
