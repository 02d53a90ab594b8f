"""What can go wrong with Helm, typed by what a caller can do.

HelmError
├── HelmUnavailable     there is no library and no binary that could do it
├── HelmCrashed         the worker died; the same request may work again
├── ChartError          the chart cannot be loaded or does not render; only a new chart cures that
│   └── ValuesError     the values do not fit the chart's schema
├── ReleaseNotFound
├── OperationPending    another operation on the release is under way
└── HelmTimeout
"""

from __future__ import annotations

import re

HOW_TO_GET_ONE = "put helm of version 4 on the PATH, or name it in COZYSTACK_HELM"
"""What helps whichever program it is that needs Helm."""


class HelmError(Exception):
    """Base of all errors of this package; ``retryable`` says whether the same request may succeed later."""

    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class HelmUnavailable(HelmError):  # noqa: N818 - it names what it is
    retryable = False


class HelmCrashed(HelmError):  # noqa: N818 - it names what it is
    pass


class ChartError(HelmError):
    retryable = False


class ValuesError(ChartError):
    pass


class ReleaseNotFound(HelmError):  # noqa: N818 - it names what it is
    retryable = False


class OperationPending(HelmError):  # noqa: N818 - it names what it is
    pass


class HelmTimeout(HelmError):  # noqa: N818 - it names what it is
    pass


_CHART = (
    "execution error at (",
    "parse error at (",
    "error calling ",
    'executing "',
    "chart requires kubeversion",
    "charts are not installable",
    "unable to detect chart",
    "chart.yaml file is missing",
    "cannot load chart",
    "chart metadata",
    "yaml parse error on ",
    "error converting yaml to json",
    "found in chart.yaml, but missing in charts",
    "validation: chart",
)


_CHART_PATTERN = re.compile(r'(?<![\w.])template: |^path ".*" not found|^stat .*: no such file or directory')
"""Signs that need their place: the API server complains of ``spec.template: ...`` too."""


def typed(message: str) -> HelmError:
    """The error that Helm's own words mean; both back ends say the same words."""
    text = message.strip() or "helm failed without saying why"
    lower = text.lower()
    if "values don't meet the specifications of the schema" in lower:
        return ValuesError(text)
    if "another operation" in lower and "in progress" in lower:
        return OperationPending(text)
    if re.search(r"release: not found|release not loaded|has no deployed releases|is already deleted", lower):
        return ReleaseNotFound(text)
    if "context deadline exceeded" in lower or "timed out waiting" in lower:
        return HelmTimeout(text)
    if any(sign in lower for sign in _CHART) or _CHART_PATTERN.search(lower):
        return ChartError(text)
    return HelmError(text)
