"""OCI artifacts: pack a folder, push it, pull it, and a registry that holds it."""

from __future__ import annotations

from cozystack.oci.archive import digest_of, pack, pack_files, read_archive, unpack
from cozystack.oci.client import LAYER, Login, Pulled, RegistryClient, logins_from_docker_config, push_folder
from cozystack.oci.errors import InvalidReference, OciError, RegistryError, UnsafeArchive
from cozystack.oci.reference import Reference
from cozystack.oci.registry import Registry

__all__ = [
    "LAYER",
    "InvalidReference",
    "Login",
    "OciError",
    "Pulled",
    "Reference",
    "Registry",
    "RegistryClient",
    "RegistryError",
    "UnsafeArchive",
    "digest_of",
    "logins_from_docker_config",
    "pack",
    "pack_files",
    "push_folder",
    "read_archive",
    "unpack",
]
