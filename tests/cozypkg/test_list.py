from __future__ import annotations

from support.cozypkg import call

OFFERED = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.net}
spec:
  variants:
    - {name: none}
    - name: flannel
      dependsOn: [acme.crds]
      components: [{name: flannel, path: system/flannel, install: {namespace: acme-net}}]
status:
  conditions:
    - {type: Ready, status: "True", reason: Built, message: "variants: 2", lastTransitionTime: "2026-01-01T00:00:00Z"}
---
# ---- a ruler in a comment splits nothing ----
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.crds}
spec:
  variants: [{name: default}]
"""


def test_what_is_offered_is_listed_by_name() -> None:
    assert call("list", "-f", "-", stdin=OFFERED).both == (
        "NAME        VARIANTS       READY     STATUS\n"
        "acme.crds   default        Unknown\n"
        "acme.net    none,flannel   True      variants: 2\n"
        "exit code 0\n"
    )


def test_components_stand_below_their_package() -> None:
    assert call("list", "-f", "-", "--components", stdin=OFFERED).out == (
        "NAME                 VARIANTS       READY     STATUS\n"
        "acme.crds            default        Unknown\n"
        "acme.net             none,flannel   True      variants: 2\n"
        "  acme.net.flannel   flannel\n"
    )


def test_names_alone_are_for_scripts() -> None:
    assert call("list", "-f", "-", "-o", "name", stdin=OFFERED).out == "acme.crds\nacme.net\n"


def test_broken_yaml_names_file_and_line() -> None:
    result = call("list", "-f", "-", stdin="kind: Package\nmetadata: {name: a\n")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("cozypkg: standard input:3: ")


def test_a_wrong_kind_is_named_with_its_place() -> None:
    result = call("list", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\n")
    assert result.both == ("cozypkg: standard input:1: a Package or PackageSource is expected, not a ConfigMap\nexit code 1\n")


def test_an_unknown_command_is_wrong_usage_with_a_hint() -> None:
    result = call("lst")
    assert result.code == 64
    assert "did you mean list?" in result.err
