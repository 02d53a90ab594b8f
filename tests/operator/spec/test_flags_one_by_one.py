"""Every flag: what it takes, what it refuses, and what it does not go together with (specification, operator 2.1; D8).

A fault is found before anything is written, whatever else is wrong; the table of flags in the coverage note is the help text.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cozystack.operator.flags import FLAGS, OptionsError, parse_flags, read_options, usage
from cozystack.operator.main import main
from cozystack.operator.selectors import matches

COVERAGE = Path(__file__).parents[3] / "docs" / "design" / "coverage.md"
URL = "--platform-source-url=oci://registry.example.org/packages"
DIGEST = "sha256:" + "0123456789abcdef" * 4
LONG = "a" * 253

# Flag, what it is set to, and what the options then say.
TAKEN: list[tuple[str, str, Any]] = [
    ("metrics-bind-address", "127.0.0.1:9000", "127.0.0.1:9000"),
    ("metrics-bind-address", "[::1]:9000", "[::1]:9000"),
    ("metrics-bind-address", "0", "0"),
    ("metrics-secure", "true", True),
    ("health-probe-bind-address", ":0", ":0"),
    ("leader-elect", "T", True),
    ("leader-election-namespace", "operators", "operators"),
    ("install-crds", "1", True),
    ("install-flux", "TRUE", True),
    ("flux-registry", "mirror.example.org:5000/flux", "mirror.example.org:5000/flux"),
    ("flux-ready-timeout", "1h", timedelta(hours=1)),
    ("helmrelease-interval", "1.5h", timedelta(minutes=90)),
    ("helmrelease-retry-interval", "300ms", timedelta(milliseconds=300)),
    ("helmrelease-install-timeout", "2h45m", timedelta(hours=2, minutes=45)),
    ("helmrelease-upgrade-timeout", "30s", timedelta(seconds=30)),
    ("helmrelease-max-history", "0", 0),
    ("cozy-values-secret-name", "common.values", "common.values"),
    ("cozy-values-secret-namespace", "cfg", "cfg"),
    ("cozy-values-namespace-selector", "", ""),
    ("cozy-values-namespace-selector", "env in (a, b),!no,tier notin (x)", "env in (a, b),!no,tier notin (x)"),
    ("dependency-gate", "written", "written"),
    ("ordered-deletion", "false", False),
    ("webhook-bind-address", ":9443", ":9443"),
    ("workers", "64", 64),
    ("kubeconfig", "/a/b", "/a/b"),
    ("log-format", "json", "json"),
    ("log-level", "warning", "warning"),
]
# Accepted and without a field of the options: telemetry is looked at by its own tests, the others do nothing.
IGNORED = [
    ("enable-http2", "true"),
    ("disable-telemetry", "true"),
    ("telemetry-endpoint", "https://telemetry.example.org"),
    ("telemetry-interval", "1h"),
    ("zap-devel", "false"),
    ("zap-encoder", "json"),
    ("zap-log-level", "2"),
    ("zap-stacktrace-level", "error"),
    ("zap-time-encoding", "iso8601"),
]
# What stands on the command line, and the one sentence with which it is refused.
REFUSED: list[tuple[str, str]] = [
    ("--metrics-bind-address=8080", '--metrics-bind-address must be host:port, :port or 0 (got "8080")'),
    ("--metrics-bind-address=:65536", '--metrics-bind-address must be host:port, :port or 0 (got ":65536")'),
    ("--metrics-cert-path=/certs", "--metrics-cert-path is for --metrics-secure"),
    (
        "--metrics-secure --metrics-bind-address=:8081",
        "--metrics-secure puts the probes behind TLS: they have the address of the metrics (:8081)",
    ),
    (
        "--metrics-secure --health-probe-bind-address=0.0.0.0:8080",
        "--metrics-secure puts the probes behind TLS: they have the address of the metrics (:8080)",
    ),
    ("--health-probe-bind-address=:x", '--health-probe-bind-address must be host:port, :port or 0 (got ":x")'),
    ("--health-probe-bind-address=", '--health-probe-bind-address must be host:port, :port or 0 (got "")'),
    ("--leader-election-namespace=No", '--leader-election-namespace must be a valid namespace (got "No")'),
    ("--flux-registry=", '--flux-registry must be a host and a path without a scheme (got "")'),
    ("--flux-registry=https://x/y", '--flux-registry must be a host and a path without a scheme (got "https://x/y")'),
    ("--flux-ready-timeout=0", '--flux-ready-timeout must be > 0 (got "0")'),
    ("--telemetry-endpoint=ftp://x", '--telemetry-endpoint must start with https:// or http:// (got "ftp://x")'),
    ("--telemetry-interval=-1s", '--telemetry-interval must be > 0 (got "-1s")'),
    ("--helmrelease-interval=", 'invalid duration for --helmrelease-interval="": '),
    ("--helmrelease-interval=5x", 'invalid duration for --helmrelease-interval="5x": '),
    ("--helmrelease-retry-interval=-5m", '--helmrelease-retry-interval must be > 0 (got "-5m")'),
    ("--helmrelease-install-timeout=500us", 'invalid duration for --helmrelease-install-timeout="500us": Flux takes only '),
    ("--helmrelease-upgrade-timeout=0s", '--helmrelease-upgrade-timeout must be > 0 (got "0s")'),
    ("--helmrelease-max-history=-1", "--helmrelease-max-history must be >= 0 (got -1)"),
    ("--helmrelease-max-history=2147483648", "--helmrelease-max-history must be at most 2147483647 (got 2147483648)"),
    ("--platform-source-url=ftp://x", "--platform-source-url must start with oci://, https://, http:// or ssh:// "),
    ("--platform-source-url=oci://", '--platform-source-url names no host (got "oci://")'),
    ("--platform-source-name=a.b", "--platform-source-name must be at most 53 of a-z, 0-9 and dashes "),
    ("--platform-source-name=" + "a" * 54, "--platform-source-name must be at most 53 of a-z, 0-9 and dashes "),
    ("--platform-source-ref=tag=v1", "--platform-source-ref is for --platform-source-url"),
    ("--platform-source-secret=pull", "--platform-source-secret is for --platform-source-url"),
    ("--platform-source-path=/x", "--platform-source-path is for --platform-source-url"),
    ("--platform-source-insecure", "--platform-source-insecure is for --platform-source-url"),
    (f"{URL} --platform-source-ref=tag", '--platform-source-ref: "tag" is not key=value'),
    (f"{URL} --platform-source-ref=branch=main", '--platform-source-ref: "branch" is not a key of OCIRepository, '),
    (f"{URL} --platform-source-secret=A", '--platform-source-secret must be a valid object name (got "A")'),
    (f"{URL} --platform-source-path=../x", '--platform-source-path must stay within the source (got "../x")'),
    ("--platform-source-url=https://x --platform-source-insecure", "--platform-source-insecure is for oci:// sources"),
    (f"--cozy-values-secret-name={LONG}x", "--cozy-values-secret-name must be a valid object name "),
    ("--cozy-values-secret-name=", "--cozy-values-secret-name must be a valid object name "),
    ("--cozy-values-secret-namespace=a.b", '--cozy-values-secret-namespace must be a valid namespace (got "a.b")'),
    ("--cozy-values-namespace-selector==x", '--cozy-values-namespace-selector: "=x" is no requirement such as '),
    ("--cozy-values-namespace-selector=a>1", '--cozy-values-namespace-selector: "a>1" does not start with a valid label key'),
    ("--cozy-values-namespace-selector=a=b/c", '--cozy-values-namespace-selector: "b/c" is not a valid label value'),
    ("--cozy-values-namespace-selector=a=in(b", '--cozy-values-namespace-selector: "in(b" is not a valid label value'),
    ("--dependency-gate=never", '--dependency-gate must be running or written (got "never")'),
    ("--webhook-bind-address=:8080", "--webhook-bind-address and --metrics-bind-address have one port (8080)"),
    ("--webhook-bind-address=:8081", "--webhook-bind-address and --health-probe-bind-address have one port (8081)"),
    ("--webhook-bind-address=x", '--webhook-bind-address must be host:port, :port or 0 (got "x")'),
    ("--webhook-fail-closed", "--webhook-fail-closed is for --webhook-bind-address"),
    ("--workers=0", "--workers must be from 1 to 64 (got 0)"),
    ("--workers=65", "--workers must be from 1 to 64 (got 65)"),
    ("--log-format=xml", '--log-format must be console or json (got "xml")'),
    ("--log-level=loud", '--log-level must be debug or info or warning or error (got "loud")'),
    ("--log-format=json --zap-encoder=console", '--log-format and --zap-encoder say different things ("json" and "console")'),
    ("--log-level=debug --zap-log-level=error", '--log-level and --zap-log-level say different things ("debug" and "error")'),
]


def faults(*arguments: str) -> tuple[str, ...]:
    try:
        read_options(arguments, {})
    except OptionsError as error:
        return error.faults
    return ()


@pytest.mark.parametrize(("name", "value", "says"), TAKEN, ids=lambda value: str(value))
def test_a_flag_says_what_it_is_set_to(name: str, value: str, says: Any) -> None:
    assert getattr(read_options([f"--{name}={value}"], {}), name.replace("-", "_")) == says


@pytest.mark.parametrize(("name", "value"), IGNORED)
def test_a_flag_of_the_original_is_taken(name: str, value: str) -> None:
    assert parse_flags([f"--{name}={value}"])[name] == value
    assert faults(f"--{name}={value}") == ()


@pytest.mark.parametrize(("line", "says"), REFUSED)
def test_a_flag_that_cannot_be_is_refused_with_one_sentence(line: str, says: str) -> None:
    (fault,) = faults(*line.split(" --")[:1], *(f"--{rest}" for rest in line.split(" --")[1:]))
    assert fault.startswith(says)


def test_every_flag_is_in_one_of_the_tables() -> None:
    told = {name for name, *_ in TAKEN} | {name for name, _ in IGNORED}
    told |= {word.removeprefix("--").partition("=")[0] for line, _ in REFUSED for word in line.split(" ")}
    assert {flag.name for flag in FLAGS} - told == set()


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_asked_of_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    alone = (line for line, _ in REFUSED if " " not in line and not line.startswith(("--platform-source", "--webhook-fail")))
    words = {line.partition("=")[0]: line for line in alone}
    assert main([*words.values(), "--kubeconfig=/nowhere"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(words)
    assert all(line.startswith("cozystack-operator: ") for line in said)
    assert all(any(f"--{name.removeprefix('--')}" in line for line in said) for name in words)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-h"], 0, ""),
        (["--help"], 0, ""),
        (["--nope"], 2, "flag provided but not defined: -nope"),
        (["--workers=1e3"], 2, 'invalid value "1e3" for flag -workers'),
        (["--workers=" + "9" * 30], 2, "for flag -workers"),
        (["--install-crds=yes"], 2, 'invalid boolean value "yes" for -install-crds'),
        (["--helmrelease-interval=0s"], 1, "--helmrelease-interval must be > 0"),
    ],
)
def test_the_exit_code_tells_help_from_syntax_from_sense(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    told = capsys.readouterr()
    assert says in told.err
    assert (usage() in told.out) == (code == 0)
    assert (usage() in told.err) == (code == 2)


def test_the_original_s_log_levels_are_understood() -> None:
    said = {
        level: read_options([f"--zap-log-level={level}"], {}).log_level for level in ("debug", "info", "error", "panic", "5")
    }
    assert said == {"debug": "debug", "info": "info", "error": "error", "panic": "error", "5": "debug"}


def test_the_help_text_is_the_documented_table() -> None:
    assert documented() == [row(flag) for flag in FLAGS]
    assert re.findall(r"^  --([a-z0-9-]+)", usage(), re.MULTILINE) == [flag.name for flag in FLAGS]
    assert all(f"        {flag.help}" in usage() for flag in FLAGS)


def row(flag: Any) -> str:
    default = f"`{flag.default}`" if flag.default else ""
    return f"| `--{flag.name}` | {default} | {flag.help} |"


def documented() -> list[str]:
    return [line for line in COVERAGE.read_text().splitlines() if line.startswith("| `--")]


@pytest.mark.parametrize(
    ("selector", "labels", "accepted"),
    [
        ("a in (x,y)", {"a": "x"}, True),
        ("a in (x, y),b", {"a": "y", "b": ""}, True),
        ("a in (x)", {"a": "z"}, False),
        ("a in (x)", {}, False),
        ("a in ()", {"a": ""}, True),
        ("a notin (x,y)", {"a": "z"}, True),
        ("a notin (x,y)", {}, True),
        ("a notin (x,y)", {"a": "y"}, False),
        ("io.example/in in (in)", {"io.example/in": "in"}, True),
        ("!a,b!=x", {"b": "y"}, True),
    ],
)
def test_selectors_of_sets_are_read_as_kubernetes_reads_them(selector: str, labels: dict[str, str], accepted: bool) -> None:
    assert matches(selector, labels) is accepted


@pytest.mark.parametrize("selector", ["a in", "a in x", "a in (x", "a,in (x)", "!", "a b", "a in (x))", "A_/b=c", "(a)"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match=r"is no requirement|does not start with|is not a valid"):
        matches(selector, {})
