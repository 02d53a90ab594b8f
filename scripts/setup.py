"""Set up the virtual environment of this checkout; a second call finds it done and returns at once.

Everything comes from the lock files under ``requirements/``, checked against their hashes. A stamp in the environment holds
the digest of what was installed, so an edited lock file, another Python or a moved checkout sets up again. Standard library
only: this runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "setup-stamp"


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "run"
    lock = ROOT / "requirements" / f"{wanted}.txt"
    if not lock.is_file():
        return fail(f"there is no lock file {lock.name}; use 'run' or 'dev'")
    problem = unsupported()
    if problem:
        return fail(problem)
    stamp = f"{wanted} {fingerprint(lock)}"
    installed = STAMP.read_text().splitlines() if STAMP.is_file() else []
    if stamp in installed:
        return 0
    # The dev set holds the run set: an environment made for tests also runs the sandbox.
    if wanted == "run" and f"dev {fingerprint(ROOT / 'requirements' / 'dev.txt')}" in installed:
        return 0
    return install(lock, stamp)


def unsupported() -> str | None:
    """Why this machine cannot be set up, as one sentence, or nothing."""
    if sys.version_info < (3, 11):
        return f"Python 3.11 or newer is needed, this is {platform.python_version()}; set PYTHON=/path/to/python3."
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return (
            "this Python comes without 'venv' and 'ensurepip' (on Debian and Ubuntu: apt-get install python3-venv); "
            "or make an environment at .venv by other means and install requirements/run.txt into it."
        )
    libc, _ = platform.libc_ver()
    machine = platform.machine()
    if not sys.platform.startswith("linux") or libc != "glibc" or machine not in ("x86_64", "aarch64"):
        return (
            f"the sandbox is built for Linux with glibc on x86-64 and arm64, not for {sys.platform} ({libc or 'other libc'}) "
            f"on {machine}; elsewhere install the package with pip and give a helm binary of your own with --helm."
        )
    return None


def fingerprint(lock: Path) -> str:
    digest = hashlib.sha256(lock.read_bytes())
    digest.update((ROOT / "pyproject.toml").read_bytes())
    digest.update(f"{sys.version} {sys.executable} {ROOT}".encode())
    return digest.hexdigest()


def install(lock: Path, stamp: str) -> int:
    import venv

    say(f"setting up .venv (Python {platform.python_version()}); this is done once")
    shutil.rmtree(VENV, ignore_errors=True)
    venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    say(f"installing {lock.relative_to(ROOT)}, checked against its hashes")
    steps = [
        [*pip, "--require-hashes", "--only-binary=:all:", "--requirement", str(lock)],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
    ]
    for step in steps:
        if subprocess.run(step, cwd=ROOT, check=False).returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            return fail("the packages could not be installed; pip says why above, and nothing was left behind.")
    STAMP.write_text(stamp + "\n")
    say("ready")
    return 0


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> int:
    say(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
