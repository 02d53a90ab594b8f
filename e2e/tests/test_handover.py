"""From an operator that wrote everything with plain updates to ours, on real Flux: nothing is installed again (decision D9)."""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES, untyped
from e2e.acme import Acme
from e2e.client import until
from e2e.platform import scale_operator

RELEASES = untyped(HELM_RELEASES.group, HELM_RELEASES.version, HELM_RELEASES.kind, HELM_RELEASES.plural)


async def test_a_release_of_another_operator_is_taken_over_as_it_is(acme: Acme) -> None:
    await acme.chain("alpha")
    await acme.until_ready("alpha")
    await scale_operator(acme.client, 0)
    try:
        before = await as_another_has_written_it(acme)
    finally:
        await scale_operator(acme.client, 1)

    async def taken_over() -> dict[str, Any] | None:
        live = await acme.client.get(RELEASES, acme.release("alpha"))
        return live if owners(live).get(names.PACKAGE_MANAGER) == "Apply" else None

    after = await until("the release is taken over", taken_over)
    for field in ("generation", "uid"):
        assert after["metadata"][field] == before["metadata"][field]
    assert after["spec"] == before["spec"]
    assert [entry["version"] for entry in after["status"]["history"]] == [1]
    assert owners(after).get(names.OPERATOR_MANAGER) != "Apply"
    await acme.package("alpha", alpha={"values": {"size": 5}})
    await acme.until_ready("alpha")
    await acme.package("alpha")

    async def given_up() -> bool:
        return "values" not in (await acme.client.get(RELEASES, acme.release("alpha")))["spec"]

    await until("what was taken over can be given up", given_up)
    await acme.until_ready("alpha")


async def as_another_has_written_it(acme: Acme) -> dict[str, Any]:
    """The release, owned by updates of a manager of the operator's name alone."""
    live = await acme.client.get(RELEASES, acme.release("alpha"))
    live["metadata"]["managedFields"] = [
        entry for entry in live["metadata"]["managedFields"] if entry.get("subresource") or entry["operation"] != "Apply"
    ]
    live["metadata"]["labels"] = {**live["metadata"].get("labels", {}), "written-by": "another"}
    written = await acme.client.replace(RELEASES, live, manager=names.OPERATOR_MANAGER)
    assert owners(written)[names.OPERATOR_MANAGER] == "Update"
    return written


def owners(obj: dict[str, Any]) -> dict[str, str]:
    """Operation by manager, of the object itself."""
    return {e["manager"]: e["operation"] for e in obj["metadata"]["managedFields"] if not e.get("subresource")}
