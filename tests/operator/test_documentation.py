"""docs/operator.md and docs/metrics.md say what is: their tables are compared with the code and the chart."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from cozystack.api.meta import Key
from cozystack.helm import open_helm
from cozystack.kube import Client
from cozystack.operator.flags import FLAGS, read_options
from cozystack.operator.main import Operator
from cozystack.operator.telemetry import FORMAT, Report
from cozystack.operator.webhook.server import Server
from cozystack.runtime import Log, Registry, count_requests
from support.operator import World
from support.packages import PACKAGES, Helm

DOCS = Path(__file__).parents[2] / "docs"


def rows(file: str, heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, without their headings."""
    section = re.search(rf"(?ms)^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", (DOCS / file).read_text())
    assert section is not None, f"docs/{file} has no section {heading}"
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if "`" in row[0]]


def test_every_flag_is_described_with_its_default() -> None:
    wanted = [[f"`--{flag.name}`", f"`{flag.default}`" if flag.default else "", flag.help] for flag in FLAGS]
    assert rows("operator.md", "Flags") == wanted


def test_every_field_of_telemetry_is_described() -> None:
    documented = [row[0].strip("`") for row in rows("operator.md", "Telemetry")]
    assert documented == [field.encode_name for field in msgspec.structs.fields(Report)]
    assert rows("operator.md", "Telemetry")[0][1].endswith(f": {FORMAT}")
    assert [row for row in rows("operator.md", "Telemetry") if not row[1]] == []


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Whatever the chart's roles name."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine = runner.run(open_helm("native", state=tmp_path_factory.mktemp("helm")))
        values = {"cozystackOperator": {"webhook": {"enabled": True}, "metrics": {"enabled": True}}}
        found = Helm(runner, engine).render(PACKAGES / "core" / "installer", Key("cozy-system", "cozystack"), values)
        runner.run(engine.close())
    given = [item for item in found.objects if item["metadata"]["name"] == "cozystack-operator" and "rules" in item]
    assert sorted(item["kind"] for item in given) == ["ClusterRole", "Role"]
    return {name for item in given for rule in item["rules"] for name in rule["resources"]}


def test_every_right_is_given_a_reason(resources: set[str]) -> None:
    documented = {name for row in rows("operator.md", "Rights") for name in re.findall(r"`([a-z/]+)`", row[0])}
    # The star stands in the row of all kinds of Flux, which names none.
    assert documented - {"cozy-system"} == resources - {"*"}


async def test_every_metric_is_described(world: World) -> None:
    registry = Registry()
    _, wire = world.operator()
    client = Client(wire, clock=world.clock, observe=count_requests(registry))
    log = Log("cozystack.operator")
    operator = Operator(client, read_options([], {}), {}, clock=world.clock, log=log, registry=registry)
    Server(view=lambda: None, own=lambda: "", clock=world.clock, log=log, registry=registry)
    world.running(operator, wire, asyncio.ensure_future(operator.run()))
    await world.settle(1)
    shown = [line.split()[2] for line in registry.text().splitlines() if line.startswith("# TYPE")]
    cache, *documented = sorted(rows("metrics.md", "Metrics of the operator"), key=lambda row: "_cache_" not in row[0])
    names = {row[0].strip("`") for row in documented} | {
        "cozystack_cache" + name.strip("` ").removeprefix("cozystack_cache") for name in cache[0].split(",")
    }
    assert sorted(names) == sorted(shown)
