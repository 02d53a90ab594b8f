"""What the operator was told, read off its Deployment."""

from __future__ import annotations

from cozystack.planner import Settings
from cozystack.planner.settings import settings_from, settings_of


def test_flags_are_read_in_both_forms_and_durations_become_those_of_go() -> None:
    assert settings_from(
        [
            "--helmrelease-interval=90s",
            "--helmrelease-max-history",
            "3",
            "--dependency-gate=written",
            "--zap-devel",
            "--other=1",
        ]
    ) == Settings(interval="1m30s", max_history=3, gate="written")


def test_what_cannot_be_read_keeps_its_default() -> None:
    assert settings_from(["--helmrelease-interval=soon", "--helmrelease-max-history=many"]) == Settings()
    assert settings_from(["--dependency-gate=sometimes"]) == Settings()
    assert settings_of(None) == settings_of({"spec": {}}) == Settings()


def test_a_deployment_says_it_in_the_arguments_of_its_containers() -> None:
    containers = [{"name": "operator", "args": ["--cozy-values-secret-name=mine"]}]
    deployment = {"spec": {"template": {"spec": {"containers": containers}}}}
    assert settings_of(deployment) == Settings(values_secret="mine")
