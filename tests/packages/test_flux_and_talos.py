"""The charts of the core that no preset installs: Flux in one Pod, and the profiles of Talos images."""

from __future__ import annotations

import json

from cozystack import __version__
from cozystack.api import yaml
from cozystack.api.meta import Key
from cozystack.apiserver.schema import structural_errors
from cozystack.operator.fluxinstall import flux_crds, flux_objects
from support.packages import FLUX_CRDS, PACKAGES, Helm, Schemas, identity, is_pinned

FLUX = PACKAGES / "core" / "flux-aio"
TALOS = PACKAGES / "core" / "talos"


def test_helm_has_nothing_to_say_against_them(helm: Helm) -> None:
    messages = [*helm.lint(FLUX), *helm.lint(TALOS)]
    assert [message for message in messages if message.severity != "info"] == []


def test_every_object_is_one_that_the_api_server_takes(helm: Helm, schemas: Schemas) -> None:
    found = [*helm.render(FLUX, Key("cozy-fluxcd", "flux")).everything, *helm.render(TALOS, Key("cozy-system", "t")).everything]
    assert [f"{identity(item)}: {fault}" for item in found for fault in schemas.faults(item)] == []


def test_flux_is_the_one_that_the_operator_installs(helm: Helm) -> None:
    """All but the namespace, which is made with the release."""
    found = helm.render(FLUX, Key("cozy-fluxcd", "flux"))
    installed = {identity(item): item for item in flux_objects(registry="ghcr.io/fluxcd")}
    del installed["v1 Namespace cozy-fluxcd"]
    assert {identity(item): item for item in found.objects} == installed


def test_its_settings_are_those_that_the_operator_has(helm: Helm) -> None:
    values = {"registry": "mirror.acme.test/flux/", "apiServer": {"host": "localhost", "port": 7445}}
    found = helm.render(FLUX, Key("cozy-fluxcd", "flux"), values)
    installed = flux_objects(registry="mirror.acme.test/flux/", api_host="localhost", api_port="7445")
    assert found.of_kind("Deployment")["flux"] == next(item for item in installed if item["kind"] == "Deployment")


def test_its_crds_are_those_that_the_operator_installs(helm: Helm) -> None:
    files = {path.name: json.loads(path.read_bytes()) for path in FLUX_CRDS.glob("*.json")}
    assert [f"{crd['metadata']['name']}.json" for crd in flux_crds()] == sorted(files)
    assert [crd["spec"] for crd in flux_crds()] == [files[name]["spec"] for name in sorted(files)]
    versions = [version for crd in files.values() for version in crd["spec"]["versions"]]
    assert [str(e) for version in versions for e in structural_errors(version["schema"]["openAPIV3Schema"])] == []


def test_the_profiles_of_talos_are_for_one_version_and_what_the_platform_needs(helm: Helm) -> None:
    data = helm.render(TALOS, Key("cozy-system", "talos")).of_kind("ConfigMap")["talos-profiles"]["data"]
    profiles = {name: yaml.load(text, source=name) for name, text in data.items()}
    assert {name: profile["output"]["kind"] for name, profile in profiles.items()} == {
        "installer.yaml": "installer",
        "iso.yaml": "iso",
        "metal.yaml": "image",
    }
    inputs = [profile["input"] for profile in profiles.values()]
    assert inputs == [inputs[0]] * len(inputs)
    images = [extension["imageRef"] for extension in inputs[0]["systemExtensions"]]
    assert all(is_pinned(image) for image in images)
    assert {"drbd", "zfs"} <= {image.rpartition("/")[2].partition(":")[0] for image in images}
    (version,) = {profile["version"] for profile in profiles.values()}
    kernel_modules = [image for image in images if "/drbd:" in image or "/zfs:" in image]
    assert all(image.endswith(f"-{version}") for image in kernel_modules)


def test_the_platforms_own_image_is_that_of_this_version() -> None:
    installer = yaml.load((PACKAGES / "core/installer/values.yaml").read_text(), source="installer")["cozystackOperator"]
    platform = yaml.load((PACKAGES / "core/platform/values.yaml").read_text(), source="platform")
    tag = installer["image"].rpartition(":")[2]
    assert (tag, installer["platformSourceRef"]) == (__version__, f"tag={__version__}")
    assert platform["migrations"]["image"] == installer["image"]
