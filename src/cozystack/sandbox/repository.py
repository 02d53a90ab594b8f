"""The platform's package repository: checked, packed as an OCI artifact, pushed.

A folder is packed here, the same bytes for the same content, so an unchanged folder is an unchanged artifact. Git and OCI
repositories are named to the operator, whose Flux fetches them itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from cozystack.api import yaml
from cozystack.api.cozystack import PackageSource
from cozystack.oci import InvalidReference, OciError, Reference, RegistryClient
from cozystack.oci.repository import pack_repository, push_repository
from cozystack.sandbox.errors import SandboxError

INSTALLER = "core/installer"
PLATFORM = "core/platform"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the packages come from; ``location`` is an absolute folder or a URL, ``ref`` what to take of a URL."""

    kind: Literal["folder", "git", "oci"]
    location: str
    ref: str = ""
    insecure: bool = False

    def __str__(self) -> str:
        return self.location


def own_packages() -> Path | None:
    """The repository that comes with a checkout of this project; nothing when there is no checkout."""
    folder = Path(__file__).resolve().parents[3] / "packages"
    return folder if (folder / PLATFORM / "Chart.yaml").is_file() else None


def parse_source(text: str, *, ref: str = "", insecure: bool = False) -> Source:
    """What ``--platform-source`` names; raises ``SandboxError``."""
    if not text:
        own = own_packages()
        if own is None:
            raise SandboxError("this installation comes without packages; name a repository with --platform-source")
        return Source("folder", str(own))
    if text.startswith("oci://"):
        try:
            reference = Reference.parse(text)
        except InvalidReference as error:
            raise SandboxError(f"--platform-source: {error}") from error
        named = f"digest={reference.digest}" if reference.digest else f"tag={reference.tag}" if reference.tag else ""
        return Source("oci", f"oci://{reference.repository}", ref or named or "tag=latest", insecure)
    if re.match(r"(https?|ssh)://", text):
        return Source("git", text, ref or "branch=main")
    if "://" in text:
        raise SandboxError(f'--platform-source: "{text}" is neither a folder nor an oci://, https://, http:// or ssh:// URL')
    return Source("folder", str(Path(text).expanduser().absolute()))


def check_folder(folder: Path) -> None:
    """Raises ``SandboxError`` with the file (and line) of the first thing that makes a folder no package repository."""
    if not folder.is_dir():
        raise SandboxError(
            f"the package repository {folder} does not exist" if not folder.exists() else f"{folder} is not a folder"
        )
    if not (folder / PLATFORM / "Chart.yaml").is_file():
        raise SandboxError(f"{folder} is not a package repository: it has no {PLATFORM}/Chart.yaml")
    for chart in sorted(folder.glob("*/*/Chart.yaml")):
        _check_chart(chart, folder)
    for source in sorted((folder / PLATFORM / "sources").glob("*.yaml")):
        _check_source(source, folder)


def _check_chart(file: Path, root: Path) -> None:
    content = _load(file, root)
    for field in ("name", "version"):
        if not isinstance(content, dict) or not isinstance(content.get(field), str):
            raise SandboxError(f"{file.relative_to(root)}: a chart needs a {field}")
    for values in sorted(file.parent.glob("values*.yaml")):
        found = _load(values, root)
        if found is not None and not isinstance(found, dict):
            raise SandboxError(f"{values.relative_to(root)}: values are a map")


def _check_source(file: Path, root: Path) -> None:
    text = file.read_bytes()
    if b"{{" in text:
        return  # a template: Helm will say what is wrong with it
    value = _load(file, root)
    if not isinstance(value, dict) or value.get("kind") != "PackageSource":
        return
    try:
        source = msgspec.convert(value, PackageSource)
    except msgspec.ValidationError as error:
        raise SandboxError(f"{file.relative_to(root)}: {error}") from error
    for variant in source.spec.variants:
        for component in variant.components:
            if not (root / component.path).is_dir():
                raise SandboxError(
                    f"{file.relative_to(root)}: PackageSource {source.metadata.name}, variant {variant.name}, "
                    f'component {component.name}: the path "{component.path}" is not in the repository'
                )


def _load(file: Path, root: Path) -> Any:
    try:
        return yaml.load(file.read_bytes(), source=str(file.relative_to(root)))
    except yaml.YamlError as error:
        raise SandboxError(str(error)) from error
    except OSError as error:
        raise SandboxError(f"{file} cannot be read: {error.strerror}") from error


async def push(folder: Path, reference: Reference, client: RegistryClient, *, layer: bytes | None = None) -> str:
    """Push a folder in Flux's media types; the digest of the artifact; raises ``SandboxError``."""
    try:
        return await push_repository(layer if layer is not None else pack_repository(folder), reference, client)
    except OciError as error:
        raise SandboxError(f"the packages cannot be pushed: {error}") from error
