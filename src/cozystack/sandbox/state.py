"""The state folder: everything that a sandbox leaves behind, and who uses it now.

``state.json`` holds the format's version, the ports and what was asked for; it is written whole. A lock on the file ``lock``
lasts as long as the process that took it, so a sandbox that was killed leaves none behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from cozystack.sandbox.errors import SandboxError

FORMAT: Final = 1
PORTS: Final = ("api", "registry", "source", "watcher")
# What may lie in a folder that is not the state of a sandbox yet.
_UNCLAIMED: Final = frozenset(("lock", "sandbox.log"))


class StateError(SandboxError):
    """A state folder that cannot be used, in one sentence."""


class Settings(msgspec.Struct, rename="camel"):
    """The content of ``state.json``."""

    format: int = FORMAT
    ports: dict[str, int] = {}
    variant: str = ""
    source: str = ""
    """Where the packages came from: a folder, or the URL of a Git or OCI repository."""
    helm: str = "auto"
    helm_binary: str = ""


class State:
    """One state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def database(self) -> Path:
        return self.folder / "api.sqlite"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def registry(self) -> Path:
        return self.folder / "registry"

    @property
    def pods(self) -> Path:
        return self.folder / "pods"

    @property
    def flux(self) -> Path:
        return self.folder / "flux"

    @property
    def log(self) -> Path:
        return self.folder / "sandbox.log"

    @property
    def exists(self) -> bool:
        return (self.folder / "state.json").is_file()

    def read(self) -> Settings:
        """What is stored, or what a new folder starts with; raises ``StateError``."""
        file = self.folder / "state.json"
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return Settings()
        except OSError as error:
            raise StateError(f"{file} cannot be read: {error.strerror}") from error
        try:
            found = msgspec.json.decode(content, type=Settings)
        except msgspec.DecodeError as error:
            raise StateError(f"{file} is damaged ({error}); `cozystack down --wipe` starts over") from error
        if found.format > FORMAT:
            raise StateError(
                f"{self.folder} was written by a newer version of this program "
                f"(format {found.format}, this one reads {FORMAT}); "
                "use that version, or another folder with --state-dir"
            )
        return found

    def write(self, settings: Settings) -> None:
        _write(self.folder / "state.json", msgspec.json.format(msgspec.json.encode(settings), indent=2))

    def write_private(self, path: Path, content: bytes) -> None:
        """A file that only its owner can read, whole or not at all."""
        _write(path, content)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder for this process alone; raises ``StateError`` when another one has it, or when it cannot be made."""
        try:
            if not self.exists and self.folder.is_dir() and any(self.folder.iterdir()):
                others = {path.name for path in self.folder.iterdir()} - _UNCLAIMED
                if others:
                    raise StateError(
                        f"{self.folder} is not empty and is not the state of a sandbox; name another with --state-dir"
                    )
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(f"{self.folder} cannot be used: {error.strerror}") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                owner = self.owner()
                by = f" (process {owner})" if owner else ""
                raise StateError(f"a sandbox is running already in {self.folder}{by}; `cozystack down` stops it") from None
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            yield
        finally:
            os.close(handle)

    def owner(self) -> int:
        """The process that has the folder, 0 when none has."""
        try:
            with (self.folder / "lock").open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    text = file.read().strip()
                    return int(text) if text.isdigit() else 0
        except OSError:
            return 0
        return 0

    def stop_owner(self) -> int:
        """Ask the process that has the folder to stop; which one, or 0."""
        owner = self.owner()
        if owner:
            os.kill(owner, signal.SIGTERM)
        return owner

    def wipe(self) -> None:
        """Remove the folder; raises ``StateError`` when it is not one of ours."""
        if not self.folder.exists():
            return
        if not self.exists and any(path.name not in _UNCLAIMED for path in self.folder.iterdir()):
            raise StateError(f"{self.folder} is not the state of a sandbox and is left alone")
        shutil.rmtree(self.folder)


def choose_ports(settings: Settings, *, api: int = 0) -> dict[str, int]:
    """The ports to use: those of last time, free ones for the rest; raises ``StateError`` when one is in use."""
    ports = {name: settings.ports.get(name, 0) for name in PORTS}
    if api:
        ports["api"] = api
    held = []
    try:
        for name, port in ports.items():
            listener = socket.socket()
            held.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                why = error.strerror or str(error)
                raise StateError(f"port {port} for the {_SAY[name]} cannot be used ({why.lower()}); {_WAY_ON[name]}") from error
            ports[name] = listener.getsockname()[1]
    finally:
        for listener in held:
            listener.close()
    return ports


_SAY = {"api": "API server", "registry": "registry", "source": "artifact server", "watcher": "artifact server"}
_WAY_ON = {
    "api": "stop what uses it, or choose another with --port",
    **dict.fromkeys(("registry", "source", "watcher"), "stop what uses it, or start over with `cozystack down --wipe`"),
}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    part.replace(path)
