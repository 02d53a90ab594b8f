"""What the program prints for people."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cozystack.migrate.planning import Planned, PlannedStep, Status, StepStatus

T = TypeVar("T")


class Ran(msgspec.Struct, rename="camel"):
    """The end of a run: the version, the steps that ran, and what they left for a person."""

    version: int
    ran: list[str]
    left: list[str]


def planned(plan: Planned) -> str:
    if plan.refused:
        return f"Nothing would run: {plan.refused}.\nTo go on, {plan.advice}.\n"
    if not plan.steps:
        at = "not installed yet" if plan.version is None else f"at version {plan.version}"
        return f"Nothing would run: the cluster is {at}, the release wants {plan.target}.\n"
    count = f"{len(plan.steps)} step{'s' if len(plan.steps) > 1 else ''}"
    lines = [f"{count} would run, from version {plan.version} to {max(plan.target, plan.version or 0)}:"]
    for step in plan.steps:
        lines += ["", *_planned_step(step)]
    if plan.one_way:
        listed = ", ".join(str(step.number) for step in plan.one_way)
        lines += ["", f"There is no way back from {listed}: an older release cannot be relied on afterwards."]
    return "\n".join(lines) + "\n"


def status(found: Status) -> str:
    at = "no version" if found.version is None else f"version {found.version}"
    lines = [f"The cluster is at {at}, the release wants {found.target}: {found.state}."]
    if found.refused:
        lines.append(f"{_sentence(found.refused)} To go on, {found.advice}.")
    if found.baseline is not None:
        lines.append(f"What was done below {found.baseline} is not recorded.")
    for step in found.steps:
        lines += _step_status(step)
    return "\n".join(lines) + "\n"


def ran(result: Ran) -> str:
    lines = [f"The cluster is at version {result.version}."]
    if result.ran:
        lines.append("Ran: " + ", ".join(result.ran) + ".")
    if result.left:
        lines += ["Left for a person:", *(f"  - {text}" for text in result.left)]
    return "\n".join(lines) + "\n"


def _planned_step(step: PlannedStep) -> list[str]:
    lines = [f"{step.number} {step.name}{' (again)' if step.again else ''}: {step.about}"]
    lines += [f"  {change}" for change in step.changes]
    if step.fault:
        lines.append(f"  {step.fault}")
    elif not step.changes and not step.left:
        lines.append("  changes nothing as things are")
    lines += [f"  left for a person: {text}" for text in step.left]
    lines.append(f"  way back: {step.way_back or 'none'}")
    return lines


def _step_status(step: StepStatus) -> list[str]:
    head = f"{step.number} {step.name}: {step.outcome}"
    if step.attempts > 1:
        head += f" at attempt {step.attempts}"
    if step.finished:
        head += f", {step.finished}"
    lines = [head]
    if step.error:
        lines.append(f"  error: {step.error}")
    if step.reason:
        lines.append(f"  reason: {step.reason}")
    if step.changed_since:
        lines.append("  its code has changed since")
    lines += [f"  {text}" for text in step.changed]
    lines += [f"  left for a person: {text}" for text in step.left]
    return lines


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
