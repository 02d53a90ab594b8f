"""The dependency graph in every format. The catalogue is that of the specification (cozypkg 11)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from support.cozypkg import call

CATALOGUE = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.crds}
spec: {variants: [{name: default}]}
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.net}
spec:
  variants:
    - {name: none}
    - {name: flannel, dependsOn: [acme.crds]}
    - {name: calico-with-long-name, dependsOn: [acme.crds]}
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.db}
spec:
  variants:
    - name: default
      dependsOn: [acme.net]
      components:
        - {name: operator, path: system/operator, install: {namespace: acme-db}}
        - {name: tool, path: system/tool}
    - name: ha
      dependsOn: [acme.net, acme.ghost]
      components:
        - {name: operator, path: system/operator, install: {namespace: acme-db}}
        - {name: proxy, path: system/proxy, install: {namespace: acme-db, dependsOn: [operator, nobody]}}
"""


def dot(*args: str, stdin: str = CATALOGUE) -> str:
    result = call("dot", "-f", "-", *args, stdin=stdin)
    assert (result.code, result.err) == (0, "")
    return result.out


def test_what_is_missing_is_drawn_in_red_and_labels_name_the_variants() -> None:
    """cozypkg-D1: a dotted name that is missing is a package all the same, and is there. cozypkg-D6: always the same text."""
    assert dot() == (
        "digraph  {\n"
        '\tnodesep="0.5";rankdir="RL";ranksep="1.0";\n'
        '\tn1[fillcolor="lightblue",label="acme.crds",shape="box",style="rounded,filled"];\n'
        '\tn2[fillcolor="lightblue",label="acme.db",shape="box",style="rounded,filled"];\n'
        '\tn3[fillcolor="lightcoral",label="acme.ghost",shape="box",style="rounded,filled,dashed"];\n'
        '\tn4[fillcolor="lightblue",label="acme.net",shape="box",style="rounded,filled"];\n'
        '\tn2->n3[color="red",style="dashed"];\n'
        '\tn2->n4[color="black"];\n'
        '\tn4->n1[color="black",label="flannel,calico-with-long-name"];\n'
        "}\n"
    )


def test_components_stand_in_the_frame_of_their_package() -> None:
    """cozypkg-D2, cozypkg-D5, cozypkg-D7: what a node is does not depend on dots in its name; every component has a package."""
    found = msgspec.json.decode(dot("acme.db", "--components", "--depth", "0", "--format", "json"))
    assert [(node["id"], node["kind"]) for node in found["nodes"]] == [
        ("acme.db", "package"),
        ("acme.db/nobody", "missing"),
        ("acme.db/operator", "component"),
        ("acme.db/proxy", "component"),
    ]
    assert [(edge["source"], edge["target"], edge.get("variants"), edge.get("belongs", False)) for edge in found["edges"]] == [
        ("acme.db/operator", "acme.db", None, True),
        ("acme.db/proxy", "acme.db", ["ha"], True),
        ("acme.db/proxy", "acme.db/nobody", None, False),
        ("acme.db/proxy", "acme.db/operator", None, False),
    ]


def test_only_the_variant_that_is_installed_counts() -> None:
    """cozypkg-D3: what is not installed and needed is shown as missing."""
    installed = CATALOGUE + "---\napiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.db}\n"
    assert dot("--installed", "--format", "tree", stdin=installed) == "acme.db\n└─ acme.net (missing)\n"


def test_a_name_brings_all_that_it_needs_or_all_that_need_it() -> None:
    """cozypkg-D4."""
    assert dot("acme.db", "--format", "tree") == ("acme.db\n├─ acme.ghost (missing)\n└─ acme.net\n   └─ acme.crds\n")
    assert dot("acme.crds", "--reverse", "--format", "tree") == "acme.crds\n└─ acme.net\n   └─ acme.db\n"
    assert dot("acme.crds", "--reverse", "--depth", "1", "--format", "tree") == "acme.crds\n└─ acme.net\n"


def test_a_name_that_nobody_has_is_an_error() -> None:
    """cozypkg-D8."""
    assert call("dot", "acme.nothing", "-f", "-", stdin=CATALOGUE).both == (
        "cozypkg: standard input has no PackageSource acme.nothing\nexit code 1\n"
    )


def test_mermaid() -> None:
    assert dot("acme.net", "--format", "mermaid") == (
        "flowchart RL\n"
        '    n1["acme.crds"]:::package\n'
        '    n2["acme.net"]:::package\n'
        "    n2 -->|flannel,calico-with-long-name| n1\n"
        "    classDef package fill:#add8e6,color:#000\n"
    )


def test_the_critical_path_is_marked() -> None:
    assert dot("--critical-path", "--format", "tree") == (
        "acme.db *\n├─ acme.ghost (missing)\n└─ acme.net *\n   └─ acme.crds *\n"
    )


def test_svg_is_sound_and_holds_every_package_once() -> None:
    root = ET.fromstring(dot("--format", "svg"))  # noqa: S314 - our own
    nodes = [each.get("data-id") for each in root.iter() if (each.get("class") or "").startswith("node")]
    assert nodes == ["acme.crds", "acme.db", "acme.ghost", "acme.net"]


def test_html_is_one_page_that_loads_nothing() -> None:
    """cozypkg-D9: one of six formats."""
    page = dot("--format", "html")
    assert page.startswith("<!doctype html>")
    assert "3 packages, 1 missing" in page
    for outside in ("src=", "href=", "@import", "fetch("):
        assert outside not in page


def test_names_cannot_break_out_of_a_drawing() -> None:
    bad = CATALOGUE.replace("acme.ghost", '"</title><script>alert(1)</script>"')
    assert "<script>alert" not in dot("--format", "svg", stdin=bad)
    assert "<script>alert" not in dot("--format", "html", stdin=bad)


@pytest.mark.parametrize("form", ["dot", "mermaid", "json", "tree", "svg", "html"])
def test_loops_are_drawn(form: str) -> None:
    loop = CATALOGUE.replace(
        "spec: {variants: [{name: default}]}", "spec: {variants: [{name: default, dependsOn: [acme.db, acme.crds]}]}"
    )
    assert dot("--format", form, stdin=loop)


def test_states_need_a_cluster(tmp_path: Path) -> None:
    assert call("dot", "--state", "-f", tmp_path).code == 64
