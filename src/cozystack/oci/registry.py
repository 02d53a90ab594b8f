"""A small OCI registry on loopback: blobs and manifests as files, addressed by their content.

Enough of the distribution specification for any client to push and pull. It survives restarts: everything is a file that is
written whole or not at all.
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web

from cozystack.oci.archive import digest_of
from cozystack.oci.client import MANIFEST, MOST_LAYER

_NAME = r"{name:[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*}"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Registry:
    """Serve the content of a folder; ``start`` returns the port."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._names = folder / "repositories"
        self._uploads: dict[str, bytearray] = {}
        self._runner: web.AppRunner | None = None
        app = web.Application(client_max_size=MOST_LAYER)
        app.router.add_get("/v2/", self._root)
        app.router.add_get(f"/v2/{_NAME}/tags/list", self._tags)
        app.router.add_route("*", f"/v2/{_NAME}/blobs/uploads/{{upload:[0-9a-f]*}}", self._upload)
        app.router.add_route("*", f"/v2/{_NAME}/blobs/{{digest}}", self._blob)
        app.router.add_route("*", f"/v2/{_NAME}/manifests/{{reference}}", self._manifest)
        self._app = app

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; raises ``OSError`` when the port is taken."""
        runner = web.AppRunner(self._app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        bound: Any = runner.addresses[0]
        return int(bound[1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _root(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        folder = self._names / name / "_tags"
        if not folder.is_dir():
            return _error(404, "NAME_UNKNOWN", f"there is no repository {name}")
        return web.json_response(
            {"name": name, "tags": sorted(path.name for path in folder.iterdir() if _TAG.fullmatch(path.name))}
        )

    async def _blob(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        path = self._path(digest)
        if request.method == "POST" and digest == "uploads":
            return self._begin(request)
        if request.method not in ("GET", "HEAD"):
            return _error(405, "UNSUPPORTED", "blobs are read or uploaded")
        if path is None or not path.is_file():
            return _error(404, "BLOB_UNKNOWN", f"there is no blob {digest}")
        return _content(request, path.read_bytes(), "application/octet-stream", digest)

    def _begin(self, request: web.Request) -> web.Response:
        upload = secrets.token_hex(16)
        self._uploads[upload] = bytearray()
        location = f"/v2/{request.match_info['name']}/blobs/uploads/{upload}"
        return web.Response(status=202, headers={"Location": location, "Range": "0-0", "Docker-Upload-UUID": upload})

    async def _upload(self, request: web.Request) -> web.Response:
        upload, name = request.match_info["upload"], request.match_info["name"]
        if request.method == "POST" and not upload:
            digest = request.query.get("digest", "")
            if digest:
                return self._store(name, await request.read(), digest)
            return self._begin(request)
        if upload not in self._uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
        content = self._uploads[upload]
        if request.method == "PATCH":
            content += await request.read()
            headers = {"Location": request.path, "Range": f"0-{max(0, len(content) - 1)}"}
            return web.Response(status=202, headers=headers)
        if request.method == "DELETE":
            del self._uploads[upload]
            return web.Response(status=204)
        if request.method != "PUT":
            return _error(405, "UNSUPPORTED", "an upload is continued, finished or given up")
        content += await request.read()
        del self._uploads[upload]
        return self._store(name, bytes(content), request.query.get("digest", ""))

    def _store(self, name: str, content: bytes, digest: str) -> web.Response:
        path = self._path(digest)
        if path is None or digest_of(content) != digest:
            return _error(400, "DIGEST_INVALID", "the content does not have that digest")
        _write(path, content)
        location = f"/v2/{name}/blobs/{digest}"
        return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})

    async def _manifest(self, request: web.Request) -> web.Response:
        name, reference = request.match_info["name"], request.match_info["reference"]
        is_digest = _DIGEST.fullmatch(reference) is not None
        if not is_digest and not _TAG.fullmatch(reference):
            return _error(400, "TAG_INVALID", f"{reference} is neither a tag nor a digest")
        tag = self._names / name / "_tags" / reference
        if request.method == "PUT":
            return await self._put_manifest(request, name, reference, tag, is_digest=is_digest)
        digest = reference if is_digest else tag.read_text() if tag.is_file() else ""
        path = self._path(digest)
        known = self._names / name / "_manifests" / digest.removeprefix("sha256:")
        if path is None or not path.is_file() or not known.is_file():
            return _error(404, "MANIFEST_UNKNOWN", f"there is no manifest {name}:{reference}")
        if request.method == "DELETE":
            (known if is_digest else tag).unlink()
            for other in tag.parent.glob("*") if is_digest else ():
                if other.read_text() == digest:
                    other.unlink()
            return web.Response(status=202)
        if request.method not in ("GET", "HEAD"):
            return _error(405, "UNSUPPORTED", "manifests are read, put or deleted")
        return _content(request, path.read_bytes(), known.read_text() or MANIFEST, digest)

    async def _put_manifest(
        self, request: web.Request, name: str, reference: str, tag: Path, *, is_digest: bool
    ) -> web.Response:
        content = await request.read()
        digest = digest_of(content)
        if is_digest and digest != reference:
            return _error(400, "DIGEST_INVALID", "the manifest does not have that digest")
        try:
            manifest = json.loads(content)
        except ValueError:
            return _error(400, "MANIFEST_INVALID", "the manifest is not JSON")
        try:
            parts = [manifest["config"], *manifest.get("layers", [])] if "config" in manifest else manifest.get("layers", [])
            digests = [str(part["digest"]) for part in parts]
        except (AttributeError, KeyError, TypeError):
            return _error(400, "MANIFEST_INVALID", "the manifest is not one of an artifact")
        for blob_digest in digests:
            path = self._path(blob_digest)
            if path is None or not path.is_file():
                return _error(400, "MANIFEST_BLOB_UNKNOWN", f"the blob {blob_digest} was not uploaded")
        blob = self._path(digest)
        if blob is not None:
            _write(blob, content)
        _write(self._names / name / "_manifests" / digest.removeprefix("sha256:"), request.content_type.encode())
        if not is_digest:
            _write(tag, digest.encode())
        location = f"/v2/{name}/manifests/{digest}"
        return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})

    def _path(self, digest: str) -> Path | None:
        return self._blobs / digest.removeprefix("sha256:") if _DIGEST.fullmatch(digest) else None


def _content(request: web.Request, content: bytes, media_type: str, digest: str) -> web.Response:
    headers = {"Docker-Content-Digest": digest, "Content-Type": media_type, "Content-Length": str(len(content))}
    return web.Response(body=content if request.method == "GET" else None, headers=headers)


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all. What a crash leaves behind begins with a dot, as no tag does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    part.write_bytes(content)
    part.replace(path)
