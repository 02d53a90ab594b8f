"""Real Helm behind one small interface, with two back ends: its native library, and its program."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cozystack.helm.binary import BinaryHelm, find_binary, packaged_binary
from cozystack.helm.charts import deep_merge, set_path
from cozystack.helm.engine import HelmEngine, LintMessage, Release, ReleaseRequest, Rendered, RenderRequest, Target
from cozystack.helm.errors import (
    HOW_TO_GET_ONE,
    ChartError,
    HelmCrashed,
    HelmError,
    HelmTimeout,
    HelmUnavailable,
    OperationPending,
    ReleaseNotFound,
    ValuesError,
)
from cozystack.helm.native import NativeHelm

__all__ = [
    "BinaryHelm",
    "ChartError",
    "HelmCrashed",
    "HelmEngine",
    "HelmError",
    "HelmTimeout",
    "HelmUnavailable",
    "LintMessage",
    "NativeHelm",
    "OperationPending",
    "Release",
    "ReleaseNotFound",
    "ReleaseRequest",
    "RenderRequest",
    "Rendered",
    "Target",
    "ValuesError",
    "deep_merge",
    "find_binary",
    "open_helm",
    "packaged_binary",
    "set_path",
]


async def open_helm(
    kind: Literal["auto", "native", "binary"] = "auto", *, state: Path, binary: Path | None = None, workers: int = 1
) -> HelmEngine:
    """A Helm that works here; raises ``HelmUnavailable`` with what to do about it.

    ``auto`` takes the native library, and a program where the library does not load. ``state`` is a folder for Helm's files.
    """
    if kind != "binary" and binary is None:
        native = NativeHelm(workers=workers)
        try:
            await native.start()
        except HelmError:
            await native.close()
            if kind == "native" or find_binary(state) is None:
                raise
        else:
            return native
    found = binary or find_binary(state)
    if found is None:
        raise HelmUnavailable(f"there is no helm program; {HOW_TO_GET_ONE}")
    program = BinaryHelm(found, home=state / "helm")
    await program.start()
    return program
