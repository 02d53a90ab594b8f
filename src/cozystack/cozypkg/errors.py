"""What can go wrong, as one sentence and an exit code.

===  ==========================================================================================
0    done, or nothing to do
1    it could not be done; the sentence says why
2    ``plan`` has found changes; ``lint``, ``verify`` and ``explain`` have found something wrong
3    the question was answered with no, or could not be asked because this is no terminal
4    the time was over before all was as it should be
5    the world has moved since the plan was made or shown: what it was for was left alone
64   wrong usage: an unknown command, flag or value
130  stopped by Ctrl-C
===  ==========================================================================================

The original ends with 1 for all of these (cozypkg-G3, cozypkg-R10).
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    FOUND = 2
    DECLINED = 3
    TIMED_OUT = 4
    MOVED = 5
    USAGE = 64
    INTERRUPTED = 130


class CommandError(Exception):
    """Ends the program with one sentence on standard error."""

    def __init__(self, message: str, *, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code
