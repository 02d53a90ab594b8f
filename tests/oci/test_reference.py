"""References to artifacts."""

from __future__ import annotations

import pytest

from cozystack.oci import InvalidReference, Reference
from cozystack.oci.client import is_loopback

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("oci://ghcr.io/acme/packages", Reference("ghcr.io", "acme/packages")),
        ("oci://ghcr.io/acme/packages:v1.2", Reference("ghcr.io", "acme/packages", "v1.2")),
        (f"oci://ghcr.io/a@{DIGEST}", Reference("ghcr.io", "a", "", DIGEST)),
        (f"oci://localhost:5000/a/b_c/d--e.f:1@{DIGEST}", Reference("localhost:5000", "a/b_c/d--e.f", "1", DIGEST)),
        ("oci://[::1]:5000/a:x", Reference("[::1]:5000", "a", "x")),
    ],
)
def test_a_reference_is_read_and_written(text: str, reference: Reference) -> None:
    assert Reference.parse(text) == reference
    assert Reference.parse(text.removeprefix("oci://")) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "does not start with the host of a registry"),
        ("oci://ghcr.io", "does not start with the host of a registry"),
        ("https://ghcr.io/a", "does not start with the host of a registry"),
        ("oci:///a", "does not start with the host of a registry"),
        ("oci://user@ghcr.io/a", "does not start with the host of a registry"),
        ("oci://ghcr.io/", "has no valid repository name"),
        ("oci://ghcr.io/Acme", "has no valid repository name"),
        ("oci://ghcr.io/a//b", "has no valid repository name"),
        ("oci://ghcr.io/a/../b", "has no valid repository name"),
        ("oci://ghcr.io/a?b", "has no valid repository name"),
        ("oci://ghcr.io/a:", "has no valid tag"),
        ("oci://ghcr.io/a:-x", "has no valid tag"),
        ("oci://ghcr.io/a:b/c", "has no valid tag"),
        ("oci://ghcr.io/a:" + "x" * 129, "has no valid tag"),
        ("oci://ghcr.io/a@", "has no valid digest"),
        ("oci://ghcr.io/a@sha256:abc", "has no valid digest"),
        ("oci://ghcr.io/a@" + DIGEST.upper(), "has no valid digest"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        Reference.parse(text)

    assert str(refused.value) == f'"{text}" {complaint}'


def test_the_registry_is_asked_for_the_digest_else_the_tag_else_latest() -> None:
    asked = [Reference("h", "p", "t", DIGEST), Reference("h", "p", "t"), Reference("h", "p")]

    assert [reference.version for reference in asked] == [DIGEST, "t", "latest"]
    assert {reference.repository for reference in asked} == {"h/p"}


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::1]:5000"])
def test_this_machine_is_known_by_its_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["ghcr.io", "127.example.com", "127.0.0.1.example.com:80", "localhost.example.com", "10.0.0.1"]
)
def test_a_host_that_only_looks_like_this_machine_is_another_one(host: str) -> None:
    assert not is_loopback(host)
