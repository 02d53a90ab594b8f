"""Artifacts as files, and the HTTP server that they are fetched from.

A file is written whole or not at all and named after its content, so a reader never sees half of one. Of each object the newest
two are kept: whoever has just read the older URL can still fetch it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from cozystack.oci import digest_of

KEPT = 2


class ArtifactStorage:
    """``advertised`` is the host and port under which the server is reached, as it stands in URLs."""

    def __init__(self, folder: Path, *, advertised: str = "") -> None:
        self.folder = folder
        self.advertised = advertised
        self._runner: web.AppRunner | None = None

    async def serve(self, host: str, port: int) -> int:
        """Serve the folder; the port; raises ``OSError`` when it is taken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        app = web.Application()
        app.router.add_static("/", self.folder)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        bound: Any = runner.addresses[0]
        if not self.advertised:
            self.advertised = f"{host}:{bound[1]}"
        return int(bound[1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def put(self, kind: str, namespace: str, name: str, content: bytes) -> tuple[str, str]:
        """Store an artifact of an object; its path and digest."""
        digest = digest_of(content)
        folder = self.folder / kind.lower() / namespace / name
        path = folder / f"{digest.removeprefix('sha256:')}.tar.gz"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(content)
            part.replace(path)
        else:
            path.touch()
        older = sorted((file for file in folder.glob("*.tar.gz") if file != path), key=lambda file: file.stat().st_mtime)
        for file in older[: len(older) - (KEPT - 1)]:
            file.unlink(missing_ok=True)
        return path.relative_to(self.folder).as_posix(), digest

    def has(self, path: str) -> bool:
        return bool(path) and (self.folder / path).is_file()

    def url(self, path: str) -> str:
        return f"http://{self.advertised}/{path}"

    def drop(self, kind: str, namespace: str, name: str) -> None:
        """Forget every artifact of an object."""
        folder = self.folder / kind.lower() / namespace / name
        for file in folder.glob("*"):
            file.unlink(missing_ok=True)
        if folder.is_dir():
            folder.rmdir()
