"""Flags are read as Go reads them, and what they say is checked at once and as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cozystack.operator.flags import (
    FLAGS,
    FlagSyntaxError,
    HelpRequested,
    Options,
    OptionsError,
    parse_flags,
    read_options,
    usage,
)
from cozystack.operator.platform import (
    PlatformSource,
    RefError,
    package_source,
    parse_platform_source,
    parse_ref,
    source_object,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


def options(*arguments: str) -> Options:
    return read_options(arguments, {})


def test_the_installer_charts_arguments_are_understood() -> None:
    read = options(
        "--leader-elect=true",
        "--install-flux=true",
        "--install-crds=true",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
        "--disable-telemetry",
        "--helmrelease-interval=1m",
        "--helmrelease-max-history=0",
        "--platform-source-name=cozystack-platform",
        "--platform-source-url=oci://registry.example.org/cozystack-packages",
        f"--platform-source-ref=digest={DIGEST}",
        "--platform-source-secret=pull",
    )
    assert (read.leader_elect, read.install_flux, read.install_crds) == (True, True, True)
    assert (read.metrics_bind_address, read.helmrelease_max_history) == ("0", 0)
    assert (read.helmrelease_interval, read.helmrelease_retry_interval) == (timedelta(minutes=1), timedelta(seconds=30))
    assert read.platform_source == PlatformSource(
        "OCIRepository", "cozystack-platform", "oci://registry.example.org/cozystack-packages", {"digest": DIGEST}, "pull"
    )


def test_one_dash_two_dashes_and_separate_values_mean_the_same() -> None:
    assert parse_flags(["-workers", "8"]) == parse_flags(["--workers=8"]) == parse_flags(["-workers=8"])
    assert parse_flags(["-leader-elect"])["leader-elect"] == "true"
    assert parse_flags(["--leader-elect=F"])["leader-elect"] == "F"
    assert options("--leader-elect=F").leader_elect is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nope"], "flag provided but not defined: -nope"),
        (["word"], '"word" is not a flag'),
        (["--workers"], "flag needs an argument: -workers"),
        (["--workers=many"], 'invalid value "many" for flag -workers'),
        (["--leader-elect=maybe"], 'invalid boolean value "maybe" for -leader-elect'),
        (["--"], '"--" is not a flag'),
    ],
)
def test_a_wrong_command_line_says_where(arguments: list[str], says: str) -> None:
    with pytest.raises(FlagSyntaxError) as caught:
        parse_flags(arguments)
    assert says in str(caught.value)


def test_help_is_asked_for_and_names_every_flag() -> None:
    for word in ("-h", "--help"):
        with pytest.raises(HelpRequested):
            parse_flags([word])
    assert [flag.name for flag in FLAGS if f"--{flag.name}" not in usage()] == []


def test_every_fault_is_reported_at_once() -> None:
    """Weakness operator-B3."""
    with pytest.raises(OptionsError) as caught:
        options(
            "--helmrelease-interval=5x",
            "--helmrelease-retry-interval=0s",
            "--helmrelease-install-timeout=500us",
            "--helmrelease-max-history=-1",
            "--workers=0",
            "--dependency-gate=never",
            "--platform-source-url=ftp://x",
            "--platform-source-ref=tag",
            "--metrics-bind-address=nowhere",
            "--cozy-values-namespace-selector==x",
        )
    faults = caught.value.faults
    assert [fault.split(":")[0].split(" (")[0] for fault in faults] == [
        'invalid duration for --helmrelease-interval="5x"',
        "--helmrelease-retry-interval must be > 0",
        'invalid duration for --helmrelease-install-timeout="500us"',
        "--helmrelease-max-history must be >= 0",
        "--workers must be from 1 to 64",
        "--dependency-gate must be running or written",
        "--cozy-values-namespace-selector",
        "--metrics-bind-address must be host",
        "--platform-source-url must start with oci",
        "--platform-source-ref",
    ]


def test_the_kubeconfig_of_the_environment_is_the_default() -> None:
    assert read_options([], {"KUBECONFIG": "/a"}).kubeconfig == "/a"
    assert read_options(["--kubeconfig=/b"], {"KUBECONFIG": "/a"}).kubeconfig == "/b"


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", {}),
        (" , ", {}),
        ("tag=v1", {"tag": "v1"}),
        (" tag = v1 , semver = >=1=2 ,", {"tag": "v1", "semver": ">=1=2"}),
        ("tag=a,tag=b", {"tag": "b"}),
    ],
)
def test_a_reference_is_pairs(text: str, entries: dict[str, str]) -> None:
    assert parse_ref(text) == entries


@pytest.mark.parametrize("text", ["tag", "=v", "tag=", "tag=v,=", "a b"])
def test_a_broken_reference_is_refused(text: str) -> None:
    with pytest.raises(RefError, match="is not key=value"):
        parse_ref(text)


@pytest.mark.parametrize(
    ("url", "ref", "says"),
    [
        ("", "", None),
        ("oci://r/x", f"tag=v1,digest={DIGEST}", None),
        ("oci://r/x", "digest=md5:1", "digest must be sha256:"),
        ("oci://r/x", "branch=main", '"branch" is not a key of OCIRepository'),
        ("https://r/x", "branch=main,commit=0123abcd", None),
        ("ssh://git@r/x", "tag=v1,branch=b", None),
        ("https://r/x", "digest=sha256:1", '"digest" is not a key of GitRepository'),
        ("https://r/x", "commit=012", "commit must be at least 7"),
        ("https://r/x", "commit=xyzxyzxyz", "commit must be at least 7"),
        ("OCI://r/x", "", "must start with"),
    ],
)
def test_a_platform_source_is_checked_before_anything_is_written(url: str, ref: str, says: str | None) -> None:
    """Weakness operator-B5."""
    if says is None:
        source = parse_platform_source(url=url, ref=ref, name="n", secret="")
        assert (source is None) == (url == "")
        return
    with pytest.raises(RefError) as caught:
        parse_platform_source(url=url, ref=ref, name="n", secret="")
    assert says in str(caught.value)


def test_the_git_example_of_the_specification() -> None:
    """Specification, operator 10.3."""
    source = parse_platform_source(
        url="https://git.example.org/acme/platform",
        ref="branch=main,commit=0123abcd",
        name="cozystack-platform",
        secret="git-creds",
    )
    assert source is not None
    assert source_object(source) == {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "cozystack-platform", "namespace": "cozy-system"},
        "spec": {
            "url": "https://git.example.org/acme/platform",
            "interval": "5m0s",
            "ref": {"branch": "main", "commit": "0123abcd"},
            "secretRef": {"name": "git-creds"},
        },
    }
    reference = package_source(source).spec.source_ref
    assert reference is not None
    assert reference.kind == "GitRepository"


@pytest.mark.parametrize(
    ("url", "path", "folder"),
    [
        ("oci://r.example.org/x", "", "/"),
        ("https://git.example.org/x", "", "/packages"),
        ("https://git.example.org/x", "/", "/"),
        ("oci://r.example.org/x", "/charts", "/charts"),
    ],
)
def test_operator_b6_packages_are_looked_for_where_a_source_of_that_kind_has_them(url: str, path: str, folder: str) -> None:
    source = parse_platform_source(url=url, ref="", name="acme", secret="", path=path)
    assert source is not None
    found = package_source(source).spec.source_ref
    assert found is not None
    assert found.path == folder


def test_a_path_out_of_the_source_is_refused() -> None:
    with pytest.raises(RefError, match="must stay within the source"):
        parse_platform_source(url="oci://r.example.org/x", ref="", name="acme", secret="", path="../x")


def test_the_platform_has_four_variants_of_one_component() -> None:
    source = package_source(PlatformSource("OCIRepository", "acme", "oci://r/x"))
    assert (source.metadata.name, source.metadata.annotations) == (
        "cozystack.acme",
        {"operator.cozystack.io/skip-cozystack-values": "true"},
    )
    assert {
        variant.name: [
            (c.name, c.path, c.values_files, c.install.namespace, c.install.release_name)
            for c in variant.components
            if c.install
        ]
        for variant in source.spec.variants
    } == {
        name: [("platform", "core/platform", files, "cozy-system", "cozystack-platform")]
        for name, files in {
            "default": ("values.yaml",),
            "isp-full": ("values.yaml", "values-isp-full.yaml"),
            "isp-hosted": ("values.yaml", "values-isp-hosted.yaml"),
            "isp-full-generic": ("values.yaml", "values-isp-full-generic.yaml"),
        }.items()
    }


def test_the_platforms_release_waits_for_acceptance_only() -> None:
    """Decision D2."""
    source = package_source(PlatformSource("OCIRepository", "acme", "oci://r/x"))
    install = source.spec.variants[0].components[0].install
    assert install is not None
    assert [expr.kind for expr in install.health_check_exprs] == ["Package", "PackageSource"]
    assert all("'Accepted'" in expr.current for expr in install.health_check_exprs)
