"""The platform's own source and PackageSource, from the flags that name them.

Pure: flags in, objects out. The reference grammar and its checks follow the specification, operator 2.3–2.5; unlike the
original everything is checked before the first write, and every fault of a reference is reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cozystack.api import names
from cozystack.api.cozystack import (
    API_VERSION,
    Component,
    HealthCheckExpr,
    Install,
    PackageSource,
    PackageSourceSpec,
    SourceRef,
    Variant,
)
from cozystack.api.flux import SOURCE_API
from cozystack.api.meta import JSON, ObjectMeta

_KEYS = {
    "OCIRepository": ("digest", "semver", "semverFilter", "tag"),
    "GitRepository": ("branch", "tag", "semver", "name", "commit"),
}
# The platform's release is done when every object it brings is accepted, not when everything runs (decision D2): with Ready
# it would hold Helm's wait for the whole installation.
_ACCEPTED = (
    "has(status.conditions) && status.conditions.exists("
    "c, c.type == 'Accepted' && c.status == 'True' && c.observedGeneration == metadata.generation)"
)
_HEALTH = tuple(HealthCheckExpr(api_version=API_VERSION, kind=kind, current=_ACCEPTED) for kind in ("Package", "PackageSource"))
# Each preset is a values file that is laid over the chart's own (specification, packages 3.1).
_PRESETS = ("isp-full", "isp-hosted", "isp-full-generic")


class RefError(ValueError):
    """The platform source cannot be what the flags say; ``faults`` holds one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class PlatformSource:
    kind: Literal["OCIRepository", "GitRepository"]
    name: str
    url: str
    ref: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    insecure: bool = False
    path: str = ""
    """Folder of the packages in the source; empty for the usual one."""

    @property
    def folder(self) -> str:
        """An artifact holds packages at its root, a repository in ``packages`` (weakness operator-B6)."""
        return self.path or ("/packages" if self.kind == "GitRepository" else "/")


def parse_platform_source(
    *, url: str, ref: str, name: str, secret: str, insecure: bool = False, path: str = ""
) -> PlatformSource | None:
    """The source that the flags describe, or nothing when no URL is given; raises ``RefError``."""
    url = url.strip()
    if not url:
        given = {"ref": ref.strip(), "secret": secret, "path": path, "insecure": insecure}
        without = [f"--platform-source-{name} is for --platform-source-url" for name, value in given.items() if value]
        if without:
            raise RefError(without)
        return None
    faults: list[str] = []
    kind: Literal["OCIRepository", "GitRepository"] | None = None
    if url.startswith("oci://"):
        kind = "OCIRepository"
    elif url.startswith(("https://", "http://", "ssh://")):
        kind = "GitRepository"
    else:
        faults.append(f'--platform-source-url must start with oci://, https://, http:// or ssh:// (got "{url}")')
    if kind is not None and not re.fullmatch(r"[a-z]+://[^\s/]\S*", url):
        faults.append(f'--platform-source-url names no host (got "{url}")')
    if secret and not names.is_dns_subdomain(secret):
        faults.append(f'--platform-source-secret must be a valid object name (got "{secret}")')
    if insecure and kind == "GitRepository":
        faults.append("--platform-source-insecure is for oci:// sources")
    if ".." in path.split("/"):
        faults.append(f'--platform-source-path must stay within the source (got "{path}")')
    entries: dict[str, str] = {}
    try:
        entries = parse_ref(ref)
    except RefError as error:
        faults += error.faults
    if kind is not None:
        faults += _ref_faults(kind, entries)
    if faults or kind is None:
        raise RefError(faults)
    return PlatformSource(kind, name, url, entries, secret, insecure, path)


def parse_ref(text: str) -> dict[str, str]:
    """``tag=v1,digest=sha256:...`` as a map; the last of a repeated key wins; raises ``RefError``."""
    entries: dict[str, str] = {}
    faults: list[str] = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not equals or not key or not value:
            faults.append(f'--platform-source-ref: "{piece}" is not key=value')
        entries[key] = value
    if faults:
        raise RefError(faults)
    return entries


def _ref_faults(kind: str, ref: dict[str, str]) -> list[str]:
    known = _KEYS[kind]
    faults = [
        f'--platform-source-ref: "{key}" is not a key of {kind}, which has {", ".join(known)}'
        for key in ref
        if key not in known
    ]
    if kind == "OCIRepository" and "digest" in ref and not re.fullmatch(r"sha256:[0-9a-f]{64}", ref["digest"]):
        faults.append(f'--platform-source-ref: digest must be sha256: and 64 hexadecimal digits (got "{ref["digest"]}")')
    if kind == "GitRepository" and "commit" in ref and not re.fullmatch(r"[0-9a-fA-F]{7,64}", ref["commit"]):
        faults.append(f'--platform-source-ref: commit must be at least 7 hexadecimal digits (got "{ref["commit"]}")')
    return faults


def source_object(source: PlatformSource) -> dict[str, JSON]:
    """The OCIRepository or GitRepository, for server-side apply (specification, operator 2.3)."""
    spec: dict[str, JSON] = {"url": source.url, "interval": "5m0s"}
    if source.ref:
        spec["ref"] = dict(source.ref)
    if source.secret:
        spec["secretRef"] = {"name": source.secret}
    if source.insecure:
        spec["insecure"] = True
    return {
        "apiVersion": SOURCE_API,
        "kind": source.kind,
        "metadata": {"name": source.name, "namespace": names.SYSTEM_NAMESPACE},
        "spec": spec,
    }


def package_source(source: PlatformSource) -> PackageSource:
    """The PackageSource of the platform itself (specification, operator 2.5)."""
    return PackageSource(
        api_version=API_VERSION,
        kind="PackageSource",
        metadata=ObjectMeta(
            name=f"cozystack.{source.name}",
            annotations={names.SKIP_VALUES_ANNOTATION: "true"},
        ),
        spec=PackageSourceSpec(
            source_ref=SourceRef(kind=source.kind, name=source.name, namespace=names.SYSTEM_NAMESPACE, path=source.folder),
            variants=(
                _variant(names.DEFAULT_VARIANT, "values.yaml"),
                *(_variant(preset, "values.yaml", f"values-{preset}.yaml") for preset in _PRESETS),
            ),
        ),
    )


def _variant(name: str, *values_files: str) -> Variant:
    return Variant(
        name=name,
        components=(
            Component(
                name="platform",
                path="core/platform",
                values_files=values_files,
                install=Install(
                    namespace=names.SYSTEM_NAMESPACE, release_name="cozystack-platform", health_check_exprs=_HEALTH
                ),
            ),
        ),
    )
