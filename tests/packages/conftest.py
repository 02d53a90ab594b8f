"""One Helm, one folder of charts and one rendering of each preset for all tests of the package repository."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from cozystack.helm import open_helm
from support.packages import EVERYTHING, Charts, Helm, Platform, Rendered, Schemas, Use, bootstrap_crds, uses


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine = runner.run(open_helm("native", state=tmp_path_factory.mktemp("helm")))
        yield Helm(runner, engine)
        runner.run(engine.close())


@pytest.fixture(scope="session")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Charts:
    return Charts(tmp_path_factory.mktemp("charts"))


@pytest.fixture(scope="session")
def platform(helm: Helm, charts: Charts) -> Callable[[str], Platform]:
    """The platform by the name of a preset, or ``everything``."""

    @cache
    def made(name: str) -> Platform:
        return Platform(helm, charts, "isp-full", EVERYTHING) if name == "everything" else Platform(helm, charts, name)

    return made


@pytest.fixture(scope="session")
def rendered(helm: Helm, charts: Charts, platform: Callable[[str], Platform]) -> dict[str, tuple[Use, Rendered]]:
    """Every component of the catalogue, installed by a preset or not, with the values that all packages share."""
    shared = {"_cluster": platform("isp-full").cluster}
    return {str(use): (use, helm.render(charts.of(use.source, use.artifact), use.key, shared)) for use in uses()}


@pytest.fixture(scope="session")
def schemas(rendered: dict[str, tuple[Use, Rendered]]) -> Schemas:
    """An API server that has every CRD of the repository."""
    definitions = [item for _, found in rendered.values() for item in found.definitions]
    return Schemas([*bootstrap_crds(), *definitions])
