"""The installer for people without Helm: files that `make manifests` renders from the chart."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.meta import Key
from support.packages import PACKAGES, Helm, Object, Schemas, documents, identity

CHART = PACKAGES / "core" / "installer"
SCRIPT = runpy.run_path(str(PACKAGES.parent / "scripts/manifests.py"))
FOLDER: Path = SCRIPT["FOLDER"]
FILES = {variant: FOLDER / f"cozystack-operator-{variant}.yaml" for variant in ("talos", "generic", "hosted")}
ADDRESS = {"cozystack": {"apiServerHost": "10.0.0.1"}}
every_variant = pytest.mark.parametrize("variant", FILES)


def filled(variant: str) -> list[Object]:
    """The objects of a file, with the address in it."""
    return documents(FILES[variant].read_text().replace(SCRIPT["ADDRESS"], "10.0.0.1"), variant)


def test_the_files_are_what_the_chart_renders_now(tmp_path: Path) -> None:
    written = {path.name: path.read_text() for path in sorted(FOLDER.iterdir())}
    assert written == dict(sorted(asyncio.run(SCRIPT["manifests"](tmp_path)).items())), "run `make manifests`"


@every_variant
def test_a_file_holds_everything_of_the_chart_but_its_hooks(variant: str, helm: Helm) -> None:
    values: dict[str, Any] = {"bareNamespace": True, "cozystackOperator": {"variant": variant}, **ADDRESS}
    found = helm.render(CHART, Key(names.SYSTEM_NAMESPACE, "cozystack"), values)
    rest = {identity(item): item for item in found.objects if "helm.sh/hook" not in item["metadata"].get("annotations", {})}
    assert {identity(item): item for item in filled(variant)} == rest


@every_variant
def test_kubectl_can_apply_a_file_from_top_to_bottom(variant: str, schemas: Schemas) -> None:
    objects = filled(variant)
    assert [f"{identity(item)}: {fault}" for item in objects for fault in schemas.faults(item)] == []
    assert (objects[0]["kind"], objects[-1]["kind"]) == ("Namespace", "Deployment")


def test_a_file_that_was_not_filled_in_starts_nothing(schemas: Schemas) -> None:
    """packages-I5: a literal placeholder of the original starts, and fails at run time."""
    objects = documents(FILES["generic"].read_text(), "generic")
    faults = {identity(item): schemas.faults(item) for item in objects}
    assert {name: faulty for name, faulty in faults.items() if faulty} == {
        "apps/v1 Deployment cozy-system/cozystack-operator": [
            "spec.template.spec.containers[0].env[2].value: Invalid value: "
            '"object": spec.template.spec.containers[0].env[2].value in body must be of type string: "object"',
            "spec.template.spec.containers[0].env[2].value.API_SERVER_HOST: unknown field",
        ]
    }
