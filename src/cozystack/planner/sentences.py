"""Problems in words. Status, Events, command line, JSON and dashboard all show these sentences; nothing stores them.

``describe`` says what is wrong, ``unblock`` what would fix it: one clause each, without a full stop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from cozystack.api import names
from cozystack.planner import problems as p

P = TypeVar("P", bound=p.Problem)

_DESCRIBE: dict[type[p.Problem], Callable[[Any], str]] = {}
_UNBLOCK: dict[type[p.Problem], Callable[[Any], str]] = {}

_RULES = {
    "empty": "is empty",
    "object": "is no name of an object (at most 253 of a-z, 0-9, dashes and dots)",
    "namespace": "is no name of a namespace (at most 63 of a-z, 0-9 and dashes, starting and ending with a letter or digit)",
    "release": "is no name of a Helm release (at most 53 of a-z, 0-9, dashes and dots)",
    "artifact": "gives no name of an artifact (at most 253 of a-z, 0-9 and dashes)",
    "alias": "cannot be the alias of a source (at most 63 of a-z, 0-9 and dashes, no dots)",
    "library": "is no name of a library (at most 128 printable characters, no slashes)",
    "label": "does not fit into a label (at most 63 characters)",
    "trailing-slash": "ends with a slash, so that it names no chart",
    "current": "ends in a dot, so that it names no chart",
    "parent": "leaves its folder",
    "unprintable": "has characters that cannot be printed",
    "too-long": "is too long",
}
SENTENCE_MAX = 2048
"""A condition holds 32,768 characters, and several sentences."""
_SHOWN = 8
_VALUE_MAX = 300
_ALIKE, _ALIKE_AS_A_WHOLE = 0.6, 0.8
"""How much of a name must be right for it to be known again."""


def describe(problem: p.Problem) -> str:
    """What is wrong; at most ``SENTENCE_MAX`` characters, however long the names in it are."""
    return _cut(_DESCRIBE[type(problem)](problem))


def unblock(problem: p.Problem) -> str:
    """What would fix it."""
    return _cut(_UNBLOCK[type(problem)](problem))


def _cut(sentence: str) -> str:
    return sentence if len(sentence) <= SENTENCE_MAX else sentence[: SENTENCE_MAX - 1] + "…"


def _says(kind: type[P], what: Callable[[P], str], fix: Callable[[P], str]) -> None:
    _DESCRIBE[kind] = what
    _UNBLOCK[kind] = fix


def listed(names: Iterable[str]) -> str:
    """Names with commas, the first few of them."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def similar(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Up to three of ``known`` that may be meant by ``name``: that end in it after a dot, or are spelt much like it.

    What all names of a repository begin with is not compared: it would make all of them alike.
    """
    ending = sorted(other for other in known if other.endswith(f".{name}"))
    if ending or not name:
        return tuple(ending[:3])
    from difflib import get_close_matches

    name = name.lower()
    prefix, dot, own = name.partition(".")
    alike = [other for other in sorted(known, reverse=True) if not dot or other.startswith(f"{prefix}.")]
    rest = {other.partition(".")[2]: other for other in alike}
    close = [rest[each] for each in get_close_matches(own if dot else name, sorted(rest), n=3, cutoff=_ALIKE)]
    return tuple(close or get_close_matches(name, sorted(known), n=3, cutoff=_ALIKE_AS_A_WHOLE))


def did_you_mean(name: str, known: Collection[str]) -> str:
    """``; did you mean acme.db?``, to follow a sentence that does not know ``name``; empty where nothing is like it."""
    found = similar(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _loop(members: tuple[str, ...]) -> str:
    shown = members[:_SHOWN]
    skipped = ("…",) if len(members) > _SHOWN else ()
    return " → ".join((*shown, *skipped, members[0]))


def _kept(releases: tuple[str, ...]) -> str:
    if not releases:
        return ""
    stays = "is kept as it was" if len(releases) == 1 else "are kept as they were"
    return f": it is no longer in the catalogue; {listed(releases)} {stays}"


def _next(members: tuple[str, ...], name: str) -> str:
    """What ``name`` depends on in the loop."""
    return members[(members.index(name) + 1) % len(members)] if name in members else members[0]


def _mend_origin(problem: p.SourceNotReady | p.StalledSource) -> str:
    if problem.reason == "NotFound":
        return f"create {problem.origin}, or correct spec.sourceRef of {problem.subject}"
    if problem.origin.kind == "ArtifactGenerator":
        return f"correct the paths of {problem.subject}, or what {problem.origin} complains of"
    return f"correct the address, the credentials or the reference of {problem.origin}"


def _broken_rule(field: str, value: str, rule: str) -> str:
    if not value:
        return f"{field} {_RULES[rule]}"
    shown = value if len(value) <= _VALUE_MAX else value[: _VALUE_MAX - 1] + "…"
    return f"{field} {json.dumps(shown, ensure_ascii=False)} {_RULES[rule]}"


def _flux(reason: str, message: str) -> str:
    return ": ".join(part for part in (reason, message) if part) or "no reason given"


_says(
    p.MissingSource,
    lambda x: f"PackageSource {x.subject.name} not found" + _kept(x.kept),
    lambda x: (
        f"bring PackageSource {x.subject.name} back, or delete {x.subject} if nobody needs it any more"
        if x.kept
        else f"create PackageSource {x.subject.name}"
    ),
)
_says(
    p.MissingVariant,
    lambda x: f"Variant {x.variant} not found in PackageSource {x.subject.name}",
    lambda x: (
        f"set spec.variant of {x.subject} to one of: {listed(x.available)}"
        if x.available
        else f"add a variant to PackageSource {x.subject.name}"
    ),
)
_says(
    p.MissingDependency,
    lambda x: f"{x.subject} depends on Package {x.missing}, which does not exist",
    lambda x: (
        f"create Package {x.missing} (PackageSource {listed(x.provided_by)} provides it)"
        if x.provided_by
        else f"create PackageSource and Package {x.missing}, or add it to spec.ignoreDependencies of {x.subject}"
        if names.is_dns_subdomain(x.missing)
        else f"correct dependsOn of PackageSource {x.subject.name}, or add {json.dumps(x.missing)} to its ignored dependencies"
    ),
)
_says(
    p.UnknownSibling,
    lambda x: f"component {x.names} not found in variant {x.variant} for dependency {x.component}",
    lambda x: f"correct install.dependsOn of component {x.component} in {x.subject}",
)
_says(
    p.DisabledSibling,
    lambda x: f"component {x.component} depends on component {x.names}, which is disabled; it does not wait for it",
    lambda x: f"enable component {x.names} in {x.subject}, or disable {x.component} too",
)
_says(
    p.UnknownOverride,
    lambda x: f"variant {x.variant} has no component {x.component}; the override has no effect",
    lambda x: f"correct or remove spec.components.{x.component} of {x.subject}",
)
_says(
    p.UnknownLibrary,
    lambda x: f"component {x.component} of variant {x.variant} uses library {x.library}, which the variant does not declare",
    lambda x: f"declare library {x.library} in variant {x.variant} of {x.subject}",
)
_says(
    p.DuplicateLibrary,
    lambda x: f"variant {x.variant} declares library {x.library} twice; the last one counts",
    lambda x: f"remove or rename one of them in {x.subject}",
)
_says(
    p.DuplicateVariant,
    lambda x: f"there are two variants {x.variant}; the first one counts",
    lambda x: f"remove or rename one of them in {x.subject}",
)
_says(
    p.ReleaseNameClash,
    lambda x: f"several components want {x.subject}: {listed(x.claims)}",
    lambda x: "give one of them another release name or namespace, or disable it",
)
_says(
    p.ArtifactNameCollision,
    lambda x: f"several components make the artifact {x.artifact}: {listed(x.claims)}",
    lambda x: "rename one of the sources, variants or components",
)
_says(
    p.InvalidName,
    lambda x: _broken_rule(x.field, x.value, x.rule),
    lambda x: f"correct {x.field} of {x.subject}",
)
_says(
    p.InvalidPath,
    lambda x: _broken_rule(x.field, x.value, x.rule),
    lambda x: f"correct {x.field} of {x.subject}",
)
_says(
    p.InvalidValues,
    lambda x: f"{x.field} is a {x.found}, no map of values",
    lambda x: f"make {x.field} of {x.subject} a map, or remove it",
)
_says(
    p.TooManyArtifacts,
    lambda x: f"{x.subject} makes {x.count} artifacts, Flux allows {x.most}; {x.first_left_out} and what follows is not built",
    lambda x: f"divide {x.subject} into several",
)
_says(
    p.DependencyCycle,
    lambda x: f"Packages depend on each other in a loop: {_loop(x.members)}",
    lambda x: f"add {_next(x.members, x.subject.name)} to spec.ignoreDependencies of {x.subject}, or break the loop elsewhere",
)
_says(
    p.ComponentCycle,
    lambda x: f"components of variant {x.variant} depend on each other in a loop: {_loop(x.members)}",
    lambda x: f"remove one of these dependencies from {x.subject}",
)
_says(
    p.ReleaseOwnedByOther,
    lambda x: f"{x.subject} exists and belongs to {x.owner or 'nobody'}, not to Package {x.package}",
    lambda x: (
        "remove the release, or give the component another release name"
        + ("" if x.owner else f", or hand it over with the label cozystack.io/package={x.package}")
    ),
)
_says(
    p.UnownedRelease,
    lambda x: f"{x.subject} carries the label of Package {x.package}, which neither wants nor owns it",
    lambda x: "remove the label or the release",
)
_says(
    p.MoveRefused,
    lambda x: (
        f"component {x.component} would move from {x.subject} to {x.target}, and the old release "
        + (f"holds data: {listed(x.holds)}" if x.holds else "may hold data")
    ),
    lambda x: f"restore the old name, or permit it with the annotation operator.cozystack.io/allow-move on Package {x.package}",
)
_says(
    p.NamespaceTerminating,
    lambda x: f"namespace {x.subject.name} is being deleted",
    lambda x: f"wait until {x.subject} is gone, or find out what holds it back",
)
_says(
    p.NamespaceUnlabelled,
    lambda x: f"Package {x.package} installs into namespace {x.subject.name}, which is not labelled as the platform's",
    lambda x: "install into another namespace",
)
_says(
    p.MissingValuesSecret,
    lambda x: f"{x.subject} is missing, which {x.release} reads its values from",
    lambda x: f"create {x.subject}",
)
_says(
    p.MissingValuesKey,
    lambda x: f"{x.subject} has no key {x.key}, which {x.release} reads",
    lambda x: f"add the key {x.key} to {x.subject}, or to the Secret that it is copied from",
)
_says(
    p.FailingRelease,
    lambda x: f"{x.subject} has failed ({_flux(x.reason, x.message)})",
    lambda x: f"see the events of {x.subject}; it is tried again until it succeeds",
)
_says(
    p.SuspendedRelease,
    lambda x: f"{x.subject} is suspended",
    lambda x: f"resume {x.subject}",
)
_says(
    p.PausedPackage,
    lambda x: f"{x.subject} is paused",
    lambda x: f"remove the annotation operator.cozystack.io/paused from {x.subject}",
)
_says(
    p.DeletingPackage,
    lambda x: f"{x.subject} is being deleted",
    lambda x: f"create {x.subject} again when it is gone",
)
_says(
    p.SourceNotReady,
    lambda x: f"the charts of {x.subject} are not built: {x.origin} says {_flux(x.reason, x.message)}",
    _mend_origin,
)
_says(
    p.StalledSource,
    lambda x: f"the charts of {x.subject} will not be built: {x.origin} says {_flux(x.reason, x.message)}",
    _mend_origin,
)


def _describe_waiting(problem: p.DependencyNotReady) -> str:
    if problem.cause is None:
        return f"Package {problem.dependency} is not ready yet"
    through = f" (through {listed(problem.chain[1:])})" if len(problem.chain) > 2 else ""
    return f"{describe(problem.cause)}{through}"


def _unblock_waiting(problem: p.DependencyNotReady) -> str:
    return f"wait for Package {problem.dependency}" if problem.cause is None else unblock(problem.cause)


_says(p.DependencyNotReady, _describe_waiting, _unblock_waiting)
