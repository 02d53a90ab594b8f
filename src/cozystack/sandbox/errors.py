"""What a sandbox cannot go on from."""

from __future__ import annotations


class SandboxError(Exception):
    """One clear sentence for the person at the terminal; ``code`` is the exit code."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
