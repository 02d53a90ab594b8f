"""Build the programs of the control plane and of Flux, each once for a version of its module files.

Three modules without a line of Go name the programs as tools; they are apart because etcd, Kubernetes and Flux want different
versions of the same libraries. What was built lies in a folder of the user's cache that is named by the digest of the module's
files and of the flags, so another version never meets an old program, and a second call finds everything there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.errors import E2eError

MODULES: Final = Path(__file__).parent / "modules"
NO_GO: Final = "Go 1.26 or newer is needed to build the control plane and is not in the PATH; see https://go.dev/doc/install."
KUBERNETES: Final = "1.37.2"
_SAY_EVERY = 30.0
_STRIP = "-s -w"
_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_KUBERNETES_FLAGS = " ".join(
    (
        _STRIP,
        f"-X {_VERSION}.gitVersion=v{KUBERNETES}",
        f"-X {_VERSION}.gitMajor={_MAJOR}",
        f"-X {_VERSION}.gitMinor={_MINOR}",
        f"-X {_VERSION}.gitTreeState=clean",
    )
)


@dataclass(frozen=True, slots=True)
class Program:
    """What to build: the main package, and the module whose versions it is built with."""

    name: str
    module: str
    package: str
    flags: str = _STRIP


PROGRAMS: Final = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES_FLAGS),
    Program("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", _KUBERNETES_FLAGS),
    Program("source-controller", "flux", "github.com/fluxcd/source-controller"),
    Program("source-watcher", "flux", "github.com/fluxcd/source-watcher/v2/cmd"),
    Program("helm-controller", "flux", "github.com/fluxcd/helm-controller"),
)
CONTROL_PLANE: Final = tuple(program.name for program in PROGRAMS[:3])
FLUX: Final = tuple(program.name for program in PROGRAMS[3:])
EVERYTHING: Final = CONTROL_PLANE + FLUX


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where programs are kept."""
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home(), ".cache")
    return Path(base) / "cozystack" / "e2e"


def path_of(program: Program, folder: Path) -> Path:
    """Where a program is, or will be."""
    return folder / f"{program.module}-{_digest(program)}" / program.name


def missing(names: Sequence[str], folder: Path) -> list[Program]:
    """What of these is to be built."""
    return [program for program in PROGRAMS if program.name in names and not path_of(program, folder).is_file()]


def binaries(names: Sequence[str] = EVERYTHING, folder: Path | None = None) -> dict[str, Path]:
    """Where these programs are; raises ``E2eError`` when one was not built yet."""
    folder = folder or cache_folder()
    if left := missing(names, folder):
        listed = ", ".join(program.name for program in left)
        raise E2eError(f"not built yet: {listed}; `python -m e2e build` builds them")
    return {program.name: path_of(program, folder) for program in PROGRAMS if program.name in names}


def build(names: Sequence[str] = EVERYTHING, folder: Path | None = None) -> dict[str, Path]:
    """Build what of these is missing, saying so on standard error; raises ``E2eError``."""
    folder = folder or cache_folder()
    if not missing(names, folder):
        return binaries(names, folder)
    go = shutil.which("go")
    if go is None:
        raise E2eError(NO_GO)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        left = missing(names, folder)
        for number, program in enumerate(left, 1):
            _build(go, program, path_of(program, folder), f"{number} of {len(left)}")
    return binaries(names, folder)


def _build(go: str, program: Program, target: Path, which: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part, log = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.log")
    command = ["nice", "-n", "10", go, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", program.flags]
    began = time.monotonic()
    _say(f"building {program.name} ({which})")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-o", part, program.package],
            cwd=MODULES / program.module,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(_SAY_EVERY)
                except subprocess.TimeoutExpired:
                    _say(f"building {program.name}: {time.monotonic() - began:.0f} s so far, {_last_line(log)}")
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise E2eError(f"{program.name} could not be built:\n{tail}")
    part.replace(target)
    log.unlink()
    _say(f"built {program.name} in {time.monotonic() - began:.0f} s")


def _digest(program: Program) -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((MODULES / program.module / name).read_bytes())
    digest.update(program.flags.encode())
    return digest.hexdigest()[:12]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "everything is downloaded"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two builds at once would only wait for each other's cores."""
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say("somebody else is building; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
