"""docs/packages.md says what is there: its tables are compared with the repository.

A table that is out of date is printed as it should be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cozystack.api import names, yaml
from cozystack.api.cozystack import PackageSource
from cozystack.planner import Catalogue, payload, plan_source
from support.packages import EVERYTHING, OPT_IN, PACKAGES, Charts, Helm, Platform, source_objects, sources

TEXT = (Path(__file__).parents[2] / "docs" / "packages.md").read_text()


def section(title: str) -> str:
    """The text below a heading, up to the next heading of the same level."""
    found = re.search(rf"(?ms)^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", TEXT)
    assert found is not None, f"docs/packages.md has no section {title}"
    return found[2]


def rows(title: str) -> list[list[str]]:
    """The rows of the tables in a section, without their headings."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def shown(value: Any) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


@pytest.mark.parametrize(
    ("title", "chart"), [("Values of the platform", "core/platform"), ("Values of the installer", "core/installer")]
)
def test_every_value_is_described_with_its_default(title: str, chart: str) -> None:
    """packages-P16."""
    values = yaml.load((PACKAGES / chart / "values.yaml").read_text(), source=chart)
    documented = [(row[0].strip("`"), row[1]) for row in rows(title)]
    assert documented == [(key, shown(value)) for key, value in leaves(values)]
    assert [row[0] for row in rows(title) if not row[2]] == []


def test_every_package_is_listed(helm: Helm, charts: Charts, platform: Callable[[str], Platform]) -> None:
    everywhere = [platform("everything"), Platform(helm, charts, "isp-hosted", EVERYTHING)]
    presets = [platform("isp-full"), platform("isp-hosted")]
    expected = [listed(source, presets, everywhere) for source in sources().values()]
    table = "\n".join(f"| {' | '.join(row)} |" for row in expected)
    assert rows("The packages") == expected, f"the table should be:\n{table}"


def test_the_example_of_a_source_is_one() -> None:
    """It uses every field that a source of the catalogue uses, and the planner has nothing against it."""
    (text,) = re.findall(r"(?s)```yaml\n(.*?)```", section("A PackageSource"))
    example = yaml.load(text)
    used = set().union(*(field_names(item) for item in source_objects()))
    assert used - field_names(example) == set()
    view = Catalogue()
    view.set_source(msgspec.convert(example, PackageSource))
    plan = plan_source(view, "cozystack.anvil")
    assert (payload(view.sources["cozystack.anvil"]), plan.problems) == (example, ())


def test_the_example_of_an_installation_is_one(helm: Helm, charts: Charts) -> None:
    (text,) = re.findall(r"(?s)```yaml\n(.*?)```", section("How it is installed"))
    example = yaml.load(text)
    values = example["spec"]["components"]["platform"]["values"]
    platform = Platform(helm, charts, example["spec"]["variant"], values)
    assert example["metadata"]["name"] == names.PLATFORM_PACKAGE
    assert platform.cluster["root-host"] == "cloud.acme.test"
    assert "cozystack.external-dns" in platform.packages


def listed(source: PackageSource, presets: list[Platform], everywhere: list[Platform]) -> list[str]:
    """A package's row: name, where it is, its waves, variants, namespaces, and what it is."""
    name = source.metadata.name
    full, hosted = (name in preset.packages for preset in presets)
    optional = "opt-in" if name in OPT_IN else "OIDC"
    place = "all" if full and hosted else "full" if full else optional
    waves = [
        wave(name, preset if name in preset.packages else fallback)
        for preset, fallback in zip(presets, everywhere, strict=True)
    ]
    components = [component for variant in source.spec.variants for component in variant.components]
    namespaces = dict.fromkeys(component.install.namespace for component in components if component.install)
    privileged = {component.install.namespace for component in components if component.install and component.install.privileged}
    short = name.removeprefix("cozystack.")
    main = next((component for component in components if component.name == short), components[0])
    chart = yaml.load((PACKAGES / main.path / "Chart.yaml").read_text(), source=main.path)
    return [
        f"`{short}`",
        place,
        *waves,
        ", ".join(variant.name for variant in source.spec.variants),
        ", ".join(f"{namespace} **P**" if namespace in privileged else namespace for namespace in namespaces),
        chart["description"],
    ]


def wave(name: str, platform: Platform) -> str:
    return next((str(number) for number, members in enumerate(platform.plan.waves, 1) if name in members), "–")


def field_names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(field_names(item) for item in value.values()))
    return set().union(*(field_names(item) for item in value)) if isinstance(value, list) else set()
