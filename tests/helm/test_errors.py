"""Which error Helm's words mean."""

from __future__ import annotations

import pytest

from cozystack.helm import (
    ChartError,
    HelmCrashed,
    HelmError,
    HelmTimeout,
    HelmUnavailable,
    OperationPending,
    ReleaseNotFound,
    ValuesError,
)
from cozystack.helm.errors import typed


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("values don't meet the specifications of the schema(s) in the following chart(s):\ndemo:\n- at '': ...", ValuesError),
        ("another operation (install/upgrade/rollback) is in progress", OperationPending),
        ("uninstall: Release not loaded: demo: release: not found", ReleaseNotFound),
        ('"demo" has no deployed releases', ReleaseNotFound),
        ('the release named "demo" is already deleted', ReleaseNotFound),
        ("failed pre-install: context deadline exceeded", HelmTimeout),
        ("timed out waiting for the condition", HelmTimeout),
        ("execution error at (demo/templates/a.yaml:1:3): no", ChartError),
        ("template: demo/templates/a.yaml:1:2: unexpected EOF", ChartError),
        ("parse error at (demo/templates/a.yaml:1): unclosed action", ChartError),
        ('demo/a.yaml:1:13\n  executing "demo/a.yaml" at <.Values.x.y>:\n    nil pointer evaluating', ChartError),
        ("YAML parse error on demo/templates/a.yaml: error converting YAML to JSON", ChartError),
        ("Chart.yaml file is missing", ChartError),
        ("unable to detect chart at /a/Chart.yaml: open /a/Chart.yaml: no such file or directory", ChartError),
        ('path "/a" not found', ChartError),
        ("found in Chart.yaml, but missing in charts/ directory: sub", ChartError),
        ("chart requires kubeVersion: >=2.0.0 which is incompatible with Kubernetes v1.37.2", ChartError),
        ('Job "a" is invalid: spec.template: Invalid value: {}: field is immutable', HelmError),
        ('namespaces "a" not found', HelmError),
        ('services "release" not found', HelmError),
        ("cannot reuse a name that is still in use", HelmError),
        ("dial tcp 127.0.0.1:6443: connect: connection refused", HelmError),
        ("", HelmError),
    ],
)
def test_the_words_tell_the_kind(words: str, kind: type[HelmError]) -> None:
    error = typed(words)

    assert (type(error), error.message) == (kind, words or "helm failed without saying why")


def test_an_error_says_whether_to_try_again() -> None:
    kinds = (HelmError, HelmCrashed, OperationPending, HelmTimeout, HelmUnavailable, ChartError, ValuesError, ReleaseNotFound)

    assert [kind.__name__ for kind in kinds if kind.retryable] == [
        "HelmError",
        "HelmCrashed",
        "OperationPending",
        "HelmTimeout",
    ]
