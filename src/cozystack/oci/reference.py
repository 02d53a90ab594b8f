"""References to artifacts: ``oci://host[:port]/path[:tag][@digest]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cozystack.oci.errors import InvalidReference

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")
_PATH = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference, with or without ``oci://``; raises ``InvalidReference``."""
        rest, at, digest = text.removeprefix("oci://").partition("@")
        host, slash, path = rest.partition("/")
        path, colon, tag = path.partition(":")
        if not slash or not _HOST.fullmatch(host):
            raise InvalidReference(f'"{text}" does not start with the host of a registry')
        if not _PATH.fullmatch(path):
            raise InvalidReference(f'"{text}" has no valid repository name')
        if colon and not _TAG.fullmatch(tag):
            raise InvalidReference(f'"{text}" has no valid tag')
        if at and not _DIGEST.fullmatch(digest):
            raise InvalidReference(f'"{text}" has no valid digest')
        return cls(host, path, tag, digest)

    @property
    def version(self) -> str:
        """What to ask the registry for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.host}/{self.path}{tag}{digest}"
