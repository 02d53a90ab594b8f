"""What can go wrong with OCI artifacts.

OciError
├── InvalidReference   the reference cannot be read
├── UnsafeArchive      an archive that would leave its folder, or is too big
└── RegistryError      the registry refused or could not be reached
"""

from __future__ import annotations


class OciError(Exception):
    """Base of all errors of this package."""


class InvalidReference(OciError):  # noqa: N818 - it names what it is
    """A reference that is not ``oci://host/path[:tag][@digest]``."""


class UnsafeArchive(OciError):  # noqa: N818 - it names what it is
    """An archive with entries outside its folder, special files, or more than it may hold."""


class RegistryError(OciError):
    """The registry answered with an error; ``status`` is its HTTP status, 0 when it could not be reached."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
