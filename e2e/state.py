"""The state folder of one cluster: certificates, data, logs, and ``state.json``, which says what runs and where."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from e2e.errors import E2eError

DEFAULT: Final = Path(".cozystack") / "e2e"
PORTS: Final = ("etcd", "etcd-peer", "api", "controller-manager", "registry", "source-controller", "source-watcher")


class Running(msgspec.Struct, rename="camel"):
    """The content of ``state.json``, written when everything is up and whenever a process is started again."""

    pid: int
    url: str
    token: str
    ports: dict[str, int]
    pids: dict[str, int] = {}


class State:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.certificates = self.folder / "pki"
        self.etcd = self.folder / "etcd"
        self.logs = self.folder / "logs"
        self.pods = self.folder / "pods"
        self.flux = self.folder / "flux"
        self.registry = self.folder / "registry"
        self.kubeconfig = self.folder / "kubeconfig"
        self.audit = self.folder / "audit.log"
        self._file = self.folder / "state.json"

    def read(self) -> Running:
        """What runs; raises ``E2eError`` when nothing does."""
        if not self.owner():
            raise E2eError(f"nothing runs in {self.folder}; `python -m e2e up` starts it")
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError) as error:
            raise E2eError(f"what runs in {self.folder} is not ready yet") from error

    def write(self, running: Running) -> None:
        self.private(self._file, msgspec.json.format(msgspec.json.encode(running), indent=2))

    def forget(self) -> None:
        """Say that nothing is ready."""
        self._file.unlink(missing_ok=True)

    def private(self, path: Path, content: bytes) -> None:
        """A file that only its owner can read, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        part.replace(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder for this process alone; raises ``E2eError`` when another one has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise E2eError(f"a cluster runs already in {self.folder} (process {self.owner()})") from None
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            file.flush()
            yield

    def owner(self) -> int:
        """The process that keeps the cluster running; 0 when none does."""
        try:
            with (self.folder / "lock").open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    text = file.read()
                    return int(text) if text.isdigit() else 0
        except OSError:
            return 0
        return 0

    def wipe(self) -> None:
        """Remove the folder; raises ``E2eError`` when a cluster runs in it, or when it is none of ours."""
        if self.owner():
            raise E2eError(f"a cluster runs in {self.folder}; `python -m e2e down` stops it")
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / "lock").exists():
            raise E2eError(f"{self.folder} is not the state of a cluster and is left alone")
        shutil.rmtree(self.folder, ignore_errors=True)


def free_ports() -> dict[str, int]:
    """A free port of loopback for everything that listens."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    try:
        return {name: listener.getsockname()[1] for name, listener in zip(PORTS, held, strict=True)}
    finally:
        for listener in held:
            listener.close()
