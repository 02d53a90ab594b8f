"""Fetch artifacts over HTTP, checked against their digests; each is fetched once."""

from __future__ import annotations

from collections import OrderedDict

import aiohttp

from cozystack.api.flux import Artifact
from cozystack.oci import digest_of, read_archive

MOST_BYTES = 256 * 1024 * 1024


class FetchError(Exception):
    """An artifact that cannot be fetched, or is not what its digest says."""


class Fetcher:
    """Keeps the files of the last ``capacity`` artifacts, which many readers ask for one after the other."""

    def __init__(self, *, capacity: int = 8) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._files: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        self._capacity = capacity

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def content(self, artifact: Artifact) -> bytes:
        """The bytes of an artifact; raises ``FetchError``."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        try:
            async with self._session.get(artifact.url) as response:
                if response.status != 200:
                    raise FetchError(f"{artifact.url} answered {response.status}")
                content = await response.content.read(MOST_BYTES + 1)
                while not response.content.at_eof() and len(content) <= MOST_BYTES:
                    content += await response.content.read(MOST_BYTES)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FetchError(f"{artifact.url} cannot be fetched: {error}") from error
        if len(content) > MOST_BYTES:
            raise FetchError(f"{artifact.url} is larger than {MOST_BYTES} bytes")
        if artifact.digest and digest_of(content) != artifact.digest:
            raise FetchError(f"{artifact.url} does not have the digest {artifact.digest}")
        return content

    async def files(self, artifact: Artifact) -> dict[str, bytes]:
        """The files of an artifact by path; do not change the answer; raises ``FetchError`` and ``UnsafeArchive``."""
        key = artifact.digest or f"{artifact.url} {artifact.revision}"
        found = self._files.get(key)
        if found is None:
            found = read_archive(await self.content(artifact))
            self._files[key] = found
            while len(self._files) > self._capacity:
                self._files.popitem(last=False)
        else:
            self._files.move_to_end(key)
        return found
