"""Updates of a platform that runs on, followed by watches: nothing is written that has not changed, and nothing twice."""

from __future__ import annotations

import base64
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cozystack.api import yaml
from support.registry import running_registry
from support.sandbox import cozypkg, running
from support.scenarios import Version, leftovers, outcomes, packages, revisions, version
from support.watching import Seen, Watched, flapping, watching

pytestmark = pytest.mark.xdist_group("scenarios")


@pytest.mark.slow
def test_three_versions_write_only_what_changes_and_labels_and_values_never_flap(tmp_path: Path) -> None:
    """The platform follows a tag. The second version brings other values, the third adds one package and removes another."""
    first = Version(tmp_path / "first")
    versions = [first]
    for number in (1, 2, 3):
        versions.append(versions[-1].next(tmp_path / str(number)))
        versions[-1].step()
        versions[-1].change("goldpinger")
        if number == 2:
            versions[-1].set_value("cpuAllocationRatio: 10", "cpuAllocationRatio: 12")
        if number == 3:
            versions[-1].add_anvil()
            versions[-1].remove("grafana-operator")
    state = tmp_path / "state"
    with running_registry(tmp_path / "registry") as host:
        source = f"oci://{host}/platform:stable"
        push(first, source)
        arguments = [str(each) for each in versions[-1].arguments()]
        arguments[arguments.index("--platform-source") + 1] = source
        with running(state, *arguments, "--insecure") as sandbox:
            sandbox.until("The platform is ready")
            config = state / "kubeconfig"
            values = ("secrets", "--all-namespaces", "--field-selector=metadata.name=cozystack-values")
            with watching(config, "namespaces") as namespaces, watching(config, *values) as copies:
                reads_values = [name for name, found in sandbox.releases().items() if found["spec"].get("valuesFrom")]
                expected = [
                    {"cozystack-platform": 1, "goldpinger": 1},
                    {"cozystack-platform": 1} | dict.fromkeys(reads_values, 1) | {"goldpinger": 1},
                    {"cozystack-platform": 1, "goldpinger": 1, "anvil": 1},
                ]
                totals: dict[str, int] = {}
                for wanted, counts in zip(versions[1:], expected, strict=True):
                    push(wanted, source)
                    sandbox.cozypkg("upgrade", "--yes", "--wait", "--timeout", "150s")
                    sandbox.cozypkg("wait", "--all", "--timeout", "60s")
                    totals = dict.fromkeys(sandbox.releases(), 1) | totals
                    for name, count in counts.items():
                        totals[name] = totals[name] + count if name != "anvil" else 1
                        # Flux hears of other values by a watch of its own, after all is ready.
                        sandbox.until_revision(name, totals[name])
                    assert sandbox.revisions() == {name: totals[name] for name in sandbox.releases()}
    assert revisions(state) == {name: count for name, count in totals.items() if name != "grafana-operator"}
    assert (version(state), set(outcomes(state).values())) == ("60", {"done"})
    assert packages(state) & {"anvil", "grafana-operator"} == {"anvil"}
    assert leftovers(state) == []
    # Namespaces: what was there is not written at all, the new one has its labels from the beginning.
    labels = namespaces.states(lambda found: frozenset(found["metadata"].get("labels", {}).items()))
    assert flapping(labels) == {}
    assert {name for name, found in labels.items() if len(found) > 1} == set()
    assert namespaces.changes() == {}
    assert ("cozystack.io/system", "true") in labels["cozy-anvil"][0]
    # Values: every copy changes once, to what the original has, and after it.
    data = copies.states(values_of)
    assert flapping(data) == {}
    original = "cozy-system/cozystack-values"
    old, new = data.pop(original)
    assert data.pop("cozy-anvil/cozystack-values") == [new]
    assert {name: found for name, found in data.items() if found != [old, new]} == {}
    assert copies.changes() == dict.fromkeys([original, *data], 1)
    first_new = next(event.name for event in copies.events if values_of(event.object) == new)
    assert first_new == original


def test_what_comes_back_to_what_it_was_is_found_and_so_is_a_write_that_changes_nothing() -> None:
    watched = Watched()
    for kind, name, label in [("ADDED", "a", 1), ("MODIFIED", "a", 2), ("MODIFIED", "a", 1), ("ADDED", "b", 1)]:
        watched.events.append(Seen(kind, {"metadata": {"name": name, "labels": {"x": label}}}))
    watched.events.append(Seen("MODIFIED", {"metadata": {"name": "b", "labels": {"x": 1}}}))
    states = watched.states(lambda found: str(found["metadata"]["labels"]["x"]))
    assert (states, watched.changes()) == ({"a": ["1", "2", "1"], "b": ["1"]}, {"a": 2, "b": 1})
    assert flapping(states) == {"a": ["1", "2", "1"]}


def push(wanted: Version, source: str) -> None:
    done = cozypkg("push", wanted.packages, source, "--insecure")
    assert done.returncode == 0, done.stderr


def values_of(secret: dict[str, Any]) -> Hashable:
    """The settings of the cluster in a Secret of values, which a namespace of a tenant has more of."""
    values = yaml.load(base64.b64decode(secret["data"]["values.yaml"]))
    return msgspec.json.encode(values["_cluster"], order="sorted")
