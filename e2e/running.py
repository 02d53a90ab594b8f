"""All end-to-end tests, one part after the other, each with a cluster of its own that is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e.build import build
from e2e.client import ROOT, started

PARTS = ("suite", "platform")
"""The behaviour suite of the API server with the platform's deletion guard, and the operator with our packages and Flux."""
SUITE = ("tests/apiserver", "tests/packages/test_deletion_guard.py")


def run(parts: Sequence[str] = PARTS, arguments: Sequence[str] = ()) -> int:
    """Build what is missing, run the parts; the exit code of the first that fails. Raises ``E2eError``."""
    build()
    codes = [_suite(arguments) if part == "suite" else _pytest(("e2e/tests",), arguments) for part in parts]
    return next((code for code in codes if code), 0)


def _suite(arguments: Sequence[str]) -> int:
    """The tests of our API server that speak HTTP, on a real one."""
    with TemporaryDirectory(prefix="e2e-") as folder, started(Path(folder), audit=False) as cluster:
        running = cluster.running
        where = {"KUBE_TEST_URL": running.url, "KUBE_TEST_TOKEN": running.token}
        return _pytest(SUITE, arguments, where)


def _pytest(tests: Sequence[str], arguments: Sequence[str], environment: dict[str, str] | None = None) -> int:
    print(f"{', '.join(tests)}:", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", *tests, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, check=False).returncode
