"""Push and pull artifacts in Flux's media types.

An artifact is a manifest with one layer, a ``tar.gz`` of a folder, and an empty configuration. Registries on loopback are
spoken to over plain HTTP, others over TLS unless told otherwise; logging in follows the registry's challenge (basic or bearer).
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from cozystack.oci.archive import digest_of, pack
from cozystack.oci.errors import OciError, RegistryError
from cozystack.oci.reference import Reference

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.cncf.flux.config.v1+json"
LAYER: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"
MOST_MANIFEST: Final = 4 * 1024 * 1024
MOST_LAYER: Final = 256 * 1024 * 1024
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials of one registry; they do not show in its text."""

    username: str = ""
    password: str = field(default="", repr=False)


class _Layer(msgspec.Struct, rename="camel"):
    """What we read of a manifest's layer."""

    media_type: str
    digest: Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Pulled:
    """A manifest and the bytes of its content layer."""

    digest: str
    manifest: dict[str, Any]
    layer: bytes

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.manifest.get("annotations") or {})


def logins_from_docker_config(data: bytes) -> dict[str, Login]:
    """Logins by host from a ``.dockerconfigjson``; raises ``OciError``."""
    try:
        auths = json.loads(data).get("auths") or {}
        found = {}
        for host, entry in auths.items():
            username, password = entry.get("username", ""), entry.get("password", "")
            if entry.get("auth"):
                username, _, password = base64.b64decode(entry["auth"].strip(), validate=True).decode().partition(":")
            found[host.removeprefix("https://").removeprefix("http://").split("/")[0]] = Login(username, password)
    except (ValueError, AttributeError, TypeError) as error:
        raise OciError("the docker configuration cannot be read") from error
    return found


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine by its address or as ``localhost``."""
    name = re.sub(r":\d+$", "", host) if host.startswith("[") or host.count(":") == 1 else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        # A name, and one that starts with "127." is nobody's address.
        return False


class RegistryClient:
    """Requests to registries over one session; close it, or use it as a context."""

    def __init__(self, *, logins: Mapping[str, Login] | None = None, insecure: bool = False) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._logins = dict(logins or {})
        self._insecure = insecure
        self._tokens: dict[str, str] = {}

    async def __aenter__(self) -> RegistryClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def resolve(self, reference: Reference) -> str:
        """The digest that a reference stands for now; raises ``RegistryError``."""
        digest, _ = await self._manifest(reference)
        return digest

    async def tags(self, reference: Reference) -> list[str]:
        status, _, body = await self._request("GET", reference, "tags/list")
        self._expect(status, (200,), reference, "its tags cannot be listed")
        try:
            return [str(tag) for tag in json.loads(body).get("tags") or ()]
        except (ValueError, AttributeError, TypeError) as error:
            raise RegistryError(f"{reference}: the registry's list of tags cannot be read") from error

    async def pull(self, reference: Reference, *, media_type: str = "") -> Pulled:
        """The artifact; of several layers the first, or the first of ``media_type``; raises ``RegistryError``."""
        digest, manifest = await self._manifest(reference)
        try:
            layers = msgspec.convert(manifest.get("layers") or [], list[_Layer])
        except msgspec.ValidationError as error:
            raise RegistryError(f"{reference}: the manifest is not one of an artifact: {error}") from error
        layer = next((layer for layer in layers if not media_type or layer.media_type == media_type), None)
        if layer is None:
            raise RegistryError(f"{reference} has no layer{f' of type {media_type}' if media_type else ''}")
        if layer.size > MOST_LAYER:
            raise RegistryError(f"{reference} is larger than {MOST_LAYER} bytes")
        status, _, body = await self._request("GET", reference, f"blobs/{layer.digest}")
        self._expect(status, (200,), reference, "its content cannot be read")
        if digest_of(body) != layer.digest:
            raise RegistryError(f"{reference}: the content is not what its manifest says")
        return Pulled(digest, manifest, body)

    async def push(self, reference: Reference, layer: bytes, *, annotations: Mapping[str, str]) -> str:
        """Push a layer as an artifact under the reference's tag; its digest; raises ``RegistryError``."""
        config = b"{}"
        for blob in (config, layer):
            await self._push_blob(reference, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
            "annotations": dict(annotations),
        }
        body = msgspec.json.encode(manifest)
        status, _, _ = await self._request(
            "PUT", reference, f"manifests/{reference.tag or 'latest'}", body=body, headers={"Content-Type": MANIFEST}
        )
        self._expect(status, (201,), reference, "its manifest cannot be pushed")
        return digest_of(body)

    async def _push_blob(self, reference: Reference, blob: bytes) -> None:
        digest = digest_of(blob)
        status, _, _ = await self._request("HEAD", reference, f"blobs/{digest}")
        if status == 200:
            return
        status, headers, _ = await self._request("POST", reference, "blobs/uploads/")
        self._expect(status, (202,), reference, "an upload cannot be started")
        location = urljoin(self._base(reference), headers.get("Location", ""))
        separator = "&" if "?" in location else "?"
        status, _, _ = await self._send(
            "PUT",
            reference,
            f"{location}{separator}digest={digest}",
            body=blob,
            headers={"Content-Type": "application/octet-stream"},
        )
        self._expect(status, (201,), reference, "content cannot be uploaded")

    async def _manifest(self, reference: Reference) -> tuple[str, dict[str, Any]]:
        status, _, body = await self._request("GET", reference, f"manifests/{reference.version}", headers={"Accept": MANIFEST})
        self._expect(status, (200,), reference, "it cannot be found" if status == 404 else "its manifest cannot be read")
        digest = digest_of(body)
        if reference.digest and digest != reference.digest:
            raise RegistryError(f"{reference}: the manifest does not have that digest")
        try:
            manifest = json.loads(body)
        except ValueError as error:
            raise RegistryError(f"{reference}: the manifest is not JSON") from error
        if not isinstance(manifest, dict) or len(body) > MOST_MANIFEST:
            raise RegistryError(f"{reference}: the manifest is not one of an artifact")
        return digest, manifest

    async def _request(
        self, method: str, reference: Reference, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = f"{self._base(reference)}v2/{reference.path}/{path}"
        return await self._send(method, reference, url, body=body, headers=headers)

    async def _send(
        self, method: str, reference: Reference, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request, and once more when the registry asks who we are."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        scope = f"{reference.host}/{reference.path}"
        for attempt in range(2):
            sent = dict(headers or {})
            # An upload may be sent elsewhere; who we are is for the registry alone.
            if scope in self._tokens and _origin(url) == _origin(self._base(reference)):
                sent["Authorization"] = self._tokens[scope]
            try:
                async with self._session.request(method, url, data=body or None, headers=sent) as response:
                    content = await _read(response, MOST_LAYER)
                    if content is None:
                        raise RegistryError(f"{reference}: the registry's answer is larger than {MOST_LAYER} bytes")
                    if response.status == 401 and attempt == 0:
                        challenge = response.headers.get("WWW-Authenticate", "")
                        if await self._log_in(reference, challenge, scope):
                            continue
                    return response.status, response.headers, content
            except (aiohttp.ClientError, TimeoutError) as error:
                raise RegistryError(f"{reference.host} cannot be reached: {error}") from error
        raise RegistryError(f"{reference}: the registry does not accept the login", status=401)

    async def _log_in(self, reference: Reference, challenge: str, scope: str) -> bool:
        """Answer the registry's challenge; whether there is an answer."""
        login = self._logins.get(reference.host)
        kind, _, rest = challenge.partition(" ")
        basic = ""
        if login is not None:
            basic = "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        if kind.lower() == "basic":
            if basic:
                self._tokens[scope] = basic
            return bool(basic)
        parts = dict(_CHALLENGE.findall(rest))
        if kind.lower() != "bearer" or "realm" not in parts or self._session is None:
            return False
        query = {name: parts[name] for name in ("service", "scope") if name in parts}
        async with self._session.get(parts["realm"], params=query, headers={"Authorization": basic} if basic else {}) as answer:
            if answer.status != 200:
                return False
            content = await _read(answer, MOST_MANIFEST)
        try:
            body = json.loads(content or b"")
            token = body.get("token") or body.get("access_token")
        except (ValueError, AttributeError):
            return False
        if token:
            self._tokens[scope] = f"Bearer {token}"
        return bool(token)

    def _base(self, reference: Reference) -> str:
        scheme = "http" if self._insecure or is_loopback(reference.host) else "https"
        return f"{scheme}://{reference.host}/"

    def _expect(self, status: int, wanted: tuple[int, ...], reference: Reference, failure: str) -> None:
        if status not in wanted:
            raise RegistryError(f"{reference}: {failure} (the registry answered {status})", status=status)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body, or nothing when it is longer than ``most`` bytes."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > most:
            return None
    return bytes(content)


async def push_folder(
    client: RegistryClient, reference: Reference, folder: Path, *, source: str, revision: str, created: str
) -> str:
    """Pack a folder and push it; the digest of the artifact, the same for the same content and annotations."""
    annotations = {
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.source": source,
        "org.opencontainers.image.revision": revision,
    }
    return await client.push(reference, pack(folder), annotations=annotations)
