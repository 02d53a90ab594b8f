"""Package repositories to a registry and back. The registry is a real one, in a thread of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from support.cozypkg import call
from support.packages import PACKAGES


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "acme"
    for part in ("core/platform", "system/metallb"):
        shutil.copytree(PACKAGES / part, folder / part)
    return folder


def test_what_is_pushed_comes_back_and_is_verified(registry: str, repository: Path, tmp_path: Path) -> None:
    reference = f"oci://{registry}/acme:v1"
    pushed = call("push", repository, reference)
    assert pushed.code == 0
    assert pushed.out.startswith(f"oci://{registry}/acme@sha256:")
    pulled = call("pull", reference, tmp_path / "back")
    assert pulled.out == pushed.out
    files = {path.relative_to(repository): path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    back = tmp_path / "back"
    assert {path.relative_to(back): path.read_bytes() for path in back.rglob("*") if path.is_file()} == files
    verified = call("verify", reference, "--against", back)
    assert verified.both == f"{pushed.out.strip()}: {len(files)} files, as they should be\nexit code 0\n"


def test_the_same_files_have_the_same_digest_in_any_folder(registry: str, repository: Path, tmp_path: Path) -> None:
    other = shutil.copytree(repository, tmp_path / "elsewhere" / "copy")
    first = call("push", repository, f"oci://{registry}/one:a", "-o", "json")
    second = call("push", other, f"oci://{registry}/two:b", "-o", "json")
    assert msgspec.json.decode(first.out)["digest"] == msgspec.json.decode(second.out)["digest"]


def test_a_difference_is_named(registry: str, repository: Path) -> None:
    reference = f"oci://{registry}/acme:v1"
    call("push", repository, reference)
    (repository / "system/metallb/values.yaml").write_text("replicas: 5\n")
    (repository / "system/metallb/README.md").unlink(missing_ok=True)
    (repository / "NEW.md").write_text("new\n")
    result = call("verify", reference, "--against", repository, "-o", "json")
    assert result.code == 2
    found = {(each["how"], each["path"]) for each in msgspec.json.decode(result.out)["differences"]}
    assert {("added", "NEW.md"), ("changed", "system/metallb/values.yaml")} <= found


def test_a_folder_that_is_not_empty_is_left_alone(registry: str, repository: Path, tmp_path: Path) -> None:
    reference = f"oci://{registry}/acme:v1"
    call("push", repository, reference)
    place = tmp_path / "mine"
    place.mkdir()
    (place / "letter.txt").write_text("dear")
    assert call("pull", reference, place).both == f"cozypkg: {place} is there already and not empty\nexit code 1\n"
    assert [path.name for path in place.iterdir()] == ["letter.txt"]


def test_what_is_not_there_is_said_in_one_sentence(registry: str, tmp_path: Path) -> None:
    result = call("pull", f"oci://{registry}/acme:v9", tmp_path / "back")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "acme:v9" in result.err
    assert not (tmp_path / "back").exists()


def test_a_registry_that_cannot_be_reached_is_named(repository: Path) -> None:
    result = call("push", repository, "oci://127.0.0.1:1/acme:v1")
    assert result.code == 1
    assert "127.0.0.1:1" in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("push", ".", "registry.example.org/acme:v1"), "does not start with oci://"),
        (("push", ".", "oci://"), "oci://"),
        (("verify", "http://x"), "does not start with oci://"),
    ],
)
def test_references_are_checked_before_anything_is_done(args: tuple[str, ...], says: str) -> None:
    result = call(*args)
    assert result.code == 1
    assert says in result.err


OF_SOMEBODY = {
    "sources/anvil.yaml": """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.anvil}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - {name: default, components: [{name: anvil, path: charts/anvil, install: {namespace: acme-anvil}}]}
""",
    "charts/anvil/Chart.yaml": "apiVersion: v2\nname: anvil\nversion: 0.0.0\n",
    "charts/anvil/templates/anvil.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: {{ .Release.Name }}}\n",
}


def test_a_repository_of_somebody_else_needs_no_platform(registry: str, tmp_path: Path) -> None:
    """Charts are what is pushed; PackageSources stand wherever they like, also in another repository."""
    folder = tmp_path / "acme"
    for path, text in OF_SOMEBODY.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    reference = f"oci://{registry}/acme:v1"
    pushed = call("push", folder, reference)
    assert pushed.code == 0
    assert (
        call("verify", reference, "--against", folder).both
        == f"{pushed.out.strip()}: 3 files, as they should be\nexit code 0\n"
    )
    assert call("list", "-f", folder, "-o", "name").both == "acme.anvil\nexit code 0\n"
    linted = call("lint", folder, env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert linted.both == "no faults\nrendering 1 of 1 releases\nexit code 0\n"
    (folder / "sources/anvil.yaml").unlink()
    assert call("push", folder, f"oci://{registry}/acme:v2").code == 0
    assert call("lint", folder).both == f"cozypkg: {folder} holds charts, and no PackageSource that names one\nexit code 1\n"


def test_only_a_package_repository_is_pushed(tmp_path: Path) -> None:
    result = call("push", tmp_path, "oci://127.0.0.1:1/acme:v1")
    assert result.code == 1
    assert result.err == f"cozypkg: {tmp_path} is not a package repository: there is no folder with a Chart.yaml in it\n"
