"""The platform's own source, from the flags to the release that all else comes from (specification, operator 2.3 to 2.5)."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

from cozystack.api.crds import crds
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    CUSTOM_RESOURCE_DEFINITIONS,
    HELM_RELEASES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
)
from cozystack.operator.platform import RefError, package_source, parse_platform_source, source_object
from support.operator import Obj, World, package

DIGEST = "sha256:" + "0123456789abcdef" * 4
PLATFORM = ("--install-crds", "--install-flux", "--platform-source-url=oci://registry.example.org/packages")


def objects(url: str, ref: str = "", name: str = "cozystack-platform", secret: str = "", **more: Any) -> tuple[Obj, str, str]:
    """The source object, and kind and name that the PackageSource refers to it by."""
    source = parse_platform_source(url=url, ref=ref, name=name, secret=secret, **more)
    assert source is not None
    reference = package_source(source).spec.source_ref
    assert reference is not None
    return source_object(source), reference.kind, f"{package_source(source).metadata.name} from {reference.name}"


def made(kind: str, spec: Obj, name: str = "cozystack-platform") -> tuple[Obj, str, str]:
    source = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "cozy-system"},
        "spec": {"interval": "5m0s", **spec},
    }
    return source, kind, f"cozystack.{name} from {name}"


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"url": " oci://r/x "}, made("OCIRepository", {"url": "oci://r/x"})),
        (
            {"url": "oci://r/x", "ref": f"tag=v1,digest={DIGEST}", "secret": "pull"},
            made("OCIRepository", {"url": "oci://r/x", "ref": {"tag": "v1", "digest": DIGEST}, "secretRef": {"name": "pull"}}),
        ),
        ({"url": "oci://r/x", "insecure": True}, made("OCIRepository", {"url": "oci://r/x", "insecure": True})),
        ({"url": "https://r/x"}, made("GitRepository", {"url": "https://r/x"})),
        ({"url": "http://r/x", "name": "acme"}, made("GitRepository", {"url": "http://r/x"}, "acme")),
        (
            {"url": "ssh://git@r/x", "ref": "branch=main,commit=0123abcd", "secret": "key"},
            made(
                "GitRepository",
                {
                    "url": "ssh://git@r/x",
                    "ref": {"branch": "main", "commit": "0123abcd"},
                    "secretRef": {"name": "key"},
                },
            ),
        ),
    ],
)
def test_the_objects_of_the_platform_follow_from_the_flags(flags: Obj, wanted: tuple[Obj, str, str]) -> None:
    assert objects(**flags) == wanted


@pytest.mark.parametrize(
    ("url", "ref", "taken"),
    [
        ("oci://r/x", "", True),
        ("oci://r/x", "tag=v1", True),
        ("oci://r/x", f"digest={DIGEST}", True),
        ("oci://r/x", "semver=>=1.0.0", True),
        ("oci://r/x", "semver=>=1.0.0,semverFilter=.*-rc.*", True),
        ("oci://r/x", f"tag=v1,digest={DIGEST}", True),
        ("oci://r/x", "branch=main", False),
        ("oci://r/x", "digest=md5:0123", False),
        ("oci://r/x", "digest=sha256:abc", False),
        ("https://r/x", "", True),
        ("https://r/x", "branch=main", True),
        ("https://r/x", "commit=0123abc", True),
        ("https://r/x", "commit=0123ABCDEF0123ABCDEF0123ABCDEF0123ABCDEF", True),
        ("https://r/x", "tag=v1,branch=main", True),
        ("https://r/x", "name=refs/heads/main", True),
        ("https://r/x", f"digest={DIGEST}", False),
        ("https://r/x", "commit=012", False),
        ("https://r/x", "commit=0123abg", False),
        ("https://r/x", "semverFilter=x", False),
    ],
)
def test_references_of_either_kind(url: str, ref: str, taken: bool) -> None:
    try:
        objects(url, ref)
    except RefError:
        assert not taken
    else:
        assert taken


async def test_a_package_for_the_platform_becomes_the_release_that_others_wait_for(bare: World) -> None:
    bare.start(*PLATFORM)
    await bare.settle(10)
    await bare.put(package("cozystack.cozystack-platform", variant="isp-full"))
    await bare.settle()
    generator = await bare.get(ARTIFACT_GENERATORS, "cozy-system/cozystack.cozystack-platform")
    assert [each["name"] for each in generator["spec"]["artifacts"]] == [
        f"cozystack-cozystack-platform-{variant}-platform"
        for variant in ("default", "isp-full", "isp-hosted", "isp-full-generic")
    ]
    release = await bare.get(HELM_RELEASES, "cozy-system/cozystack-platform")
    assert release["spec"]["chartRef"] == {
        "kind": "ExternalArtifact",
        "name": "cozystack-cozystack-platform-isp-full-platform",
        "namespace": "cozy-system",
    }
    assert "valuesFrom" not in release["spec"]
    assert release["metadata"]["annotations"]["cozyhr.cozystack.io/values-files"] == "values.yaml,values-isp-full.yaml"


def squatter() -> Obj:
    """A definition by another name for the same kind; the names of ours are not accepted while it is there."""
    crd = copy.deepcopy(crds()[0])
    crd["metadata"] = {"name": "bundles.cozystack.io"}
    crd["spec"]["names"] = {"plural": "bundles", "singular": "bundle", "kind": "Package", "listKind": "PackageList"}
    return crd


async def test_a_definition_that_is_not_established_is_waited_for_and_named(
    bare: World, caplog: pytest.LogCaptureFixture
) -> None:
    await bare.put(squatter())
    await bare.settle()
    with caplog.at_level(logging.WARNING):
        bare.start(*PLATFORM)
        await bare.settle(300)
    told = [record for record in caplog.records if "CRD is not accepted" in record.getMessage()]
    assert len(told) == 1
    assert not await bare.exists(CUSTOM_RESOURCE_DEFINITIONS, "helmreleases.helm.toolkit.fluxcd.io")
    await bare.delete(CUSTOM_RESOURCE_DEFINITIONS, "bundles.cozystack.io")
    await bare.settle(1)
    await bare.edit(CUSTOM_RESOURCE_DEFINITIONS, "packages.cozystack.io", {"metadata": {"annotations": {"looked-at": "again"}}})
    await bare.settle(60)
    assert await bare.names(OCI_REPOSITORIES) == ["cozy-system/cozystack-platform"]
    assert await bare.names(PACKAGE_SOURCES) == ["cozystack.cozystack-platform"]
