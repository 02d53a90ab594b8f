"""Flux looks at its releases again and again, and nobody writes anything because of it."""

from __future__ import annotations

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES
from e2e.acme import Acme, is_ready
from e2e.audit import AuditLog
from e2e.client import until

TIMES = 5


async def test_a_release_that_is_looked_at_again_causes_no_write(acme: Acme) -> None:
    await acme.chain("alpha", "beta")
    await acme.until_ready("alpha", "beta")
    before = [(await acme.until(package, is_ready)).metadata.resource_version for package in ("alpha", "beta")]
    log = AuditLog(acme.cluster.state.audit)
    for number in range(TIMES):
        for package in ("alpha", "beta"):
            asked = {"metadata": {"annotations": {names.REQUESTED_AT_ANNOTATION: f"look-{number}"}}}
            await acme.client.patch(HELM_RELEASES, acme.release(package), asked)

            async def looked(package: str = package, number: int = number) -> bool:
                release = await acme.get_release(package)
                return release is not None and release.status.last_handled_reconcile_at == f"look-{number}"

            await until("helm-controller has looked at it", looked)
    # One more change that the operator must see proves that it has seen all before.
    acme.chart("gamma")
    await acme.source("gamma")
    await acme.publish()
    await acme.package("gamma")
    await acme.until_ready("gamma")
    after = [(await acme.until(package, is_ready)).metadata.resource_version for package in ("alpha", "beta")]
    assert after == before
    own = {acme.name("alpha"), acme.name("beta"), "alpha", "beta"}
    writes = [asked for asked in log.read() if asked.agent == "cozystack-operator" and asked.is_write and asked.name in own]
    assert writes == []
