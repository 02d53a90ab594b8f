"""Wait for a runner that somebody else started: what the hook does when an earlier attempt of the release timed out.

It changes nothing and may be killed; the runner goes on. It ends when the Job has, and then says what the ledger says.
"""

from __future__ import annotations

from typing import Any, Final

from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, untyped
from cozystack.kube import Client, Clock
from cozystack.kube.errors import KubeError
from cozystack.migrate.runner import CannotGoOn
from cozystack.planner.ledger import NAME, MalformedLedger, Record, StepId, ledger_key, read_ledger, version_key
from cozystack.runtime import Log

JOBS: Final = untyped("batch", "v1", "Job", "jobs")
INTERVAL = 1.0


async def wait(client: Client, *, namespace: str, target: int, clock: Clock, log: Log) -> int:
    """The version when the runner's Job has ended and the target is reached; raises ``CannotGoOn`` when it is not."""
    said = ""
    while True:
        job = await client.find(JOBS, Key(namespace, NAME))
        state = _state(job)
        if state != "running":
            break
        step = await _running(client, namespace)
        if step != said:
            log.info("waiting for the runner", step=step or "none yet")
            said = step
        await clock.sleep(INTERVAL)
    version = await client.find(CONFIG_MAPS, version_key(namespace))
    text = "" if version is None else version.data.get("version", "")
    if text.isdecimal() and int(text) >= target:
        return int(text)
    raise CannotGoOn(await _why(client, namespace, state, text, target), "the next attempt of the release runs what is left")


def _state(job: dict[str, Any] | None) -> str:
    if job is None:
        return "gone"
    conditions = (job.get("status") or {}).get("conditions") or ()
    ended = {condition["type"] for condition in conditions if condition["status"] == "True"} & {"Complete", "Failed"}
    return "running" if not ended else "failed" if "Failed" in ended else "complete"


async def _running(client: Client, namespace: str) -> str:
    """The step that runs, for the log."""
    found = [step for step, record in (await _records(client, namespace)).items() if record.outcome == "running"]
    return str(found[0]) if found else ""


async def _why(client: Client, namespace: str, state: str, version: str, target: int) -> str:
    for step, record in (await _records(client, namespace)).items():
        if record.outcome == "failed":
            return f"step {step} failed: {record.error}"
    return f"Job {namespace}/{NAME} is {state}, and the cluster is at version {version or 'nothing'} of {target}"


async def _records(client: Client, namespace: str) -> dict[StepId, Record]:
    try:
        found = await client.find(CONFIG_MAPS, ledger_key(namespace))
        return {} if found is None else dict(read_ledger(found.data).records)
    except (KubeError, MalformedLedger):
        return {}
