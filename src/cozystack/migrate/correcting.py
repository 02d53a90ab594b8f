"""What a person may correct: the number of an installation that has lost it, and a step that shall not run."""

from __future__ import annotations

from collections.abc import Sequence

from cozystack.api.resources import CONFIG_MAPS
from cozystack.api.time import format_time
from cozystack.kube import Client, Clock
from cozystack.migrate.runner import CannotGoOn, read, write_baseline, write_version
from cozystack.planner.ledger import MANAGER, Baseline, Record, StepId, ledger_key, shortened, write_value


async def stamp(client: Client, number: int, *, namespace: str, clock: Clock) -> None:
    """Write the version where there is none (or nonsense), and begin the ledger there.

    Raises ``CannotGoOn`` when a version is there: it is the runner's.
    """
    held = await read(client, namespace)
    text = held.seen.version
    if text is not None and text.isascii() and text.isdecimal():
        raise CannotGoOn(f"the cluster says that it is at version {text}", "nothing else may write it than a run")
    if held.ledger is None:
        await write_baseline(client, namespace, Baseline(number, "told by a person", format_time(clock.now())))
    await write_version(client, namespace, held.version, number)


async def skip(client: Client, name: str, reason: str, *, steps: Sequence[StepId], namespace: str, clock: Clock) -> StepId:
    """Record that the step of that name is not to run; raises ``CannotGoOn`` when there is none, or it has run."""
    found = next((step for step in steps if step.name == name), None)
    if found is None:
        known = ", ".join(step.name for step in steps) or "none"
        raise CannotGoOn(f'there is no step "{name}"', f"there are: {known}")
    held = await read(client, namespace)
    if held.ledger is None or held.ledger_object is None:
        if held.version is None or held.installed:
            raise CannotGoOn("the cluster has neither version nor ledger", "install the platform first")
        number = held.version.data.get("version", "")
        if not number.isdecimal():
            raise CannotGoOn(f'the version is "{number}", which is not a number', "correct it first")
        await write_baseline(client, namespace, Baseline(int(number), "found", format_time(clock.now())))
        held = await read(client, namespace)
    if held.ledger is None or held.ledger_object is None:
        raise CannotGoOn("the ledger is gone again", "try again")
    record = held.ledger.record(name)
    if record is not None and record.outcome != "failed":
        raise CannotGoOn(f"step {found} is {record.outcome}", "only a step that has not run, or has failed, can be skipped")
    attempts = record.attempts if record else 0
    skipped = Record("skipped", attempts=attempts, finished=format_time(clock.now()), reason=shortened(reason))
    patch = {
        "metadata": {"resourceVersion": held.ledger_object.metadata.resource_version},
        "data": {found.key: write_value(skipped)},
    }
    await client.patch(CONFIG_MAPS, ledger_key(namespace), patch, manager=MANAGER)
    return found
