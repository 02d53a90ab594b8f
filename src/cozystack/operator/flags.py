"""Command-line flags of the operator, in the syntax of Go's ``flag`` package.

One or two dashes, ``--name=value`` or ``--name value``; booleans as ``--name`` or ``--name=true``. A wrong flag ends with exit
code 2, as it does in Go. What the flags *say* is checked as a whole before anything is written, and every fault is reported
at once (decision D8): ``OptionsError.faults``. Specification: operator 2.1, 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal

from cozystack.api import names
from cozystack.api.duration import is_flux_duration, parse_duration
from cozystack.operator.platform import PlatformSource, RefError, parse_platform_source
from cozystack.operator.selectors import parse_selector


class FlagSyntaxError(Exception):
    """The command line is not made of known flags; exit code 2."""


class HelpRequested(Exception):  # noqa: N818 - not an error
    """``-h`` was given; exit code 0."""


class OptionsError(Exception):
    """What the flags ask for is not possible; exit code 1. ``faults`` holds one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    kind: Literal["text", "bool", "int"]
    default: str
    help: str


FLAGS: tuple[Flag, ...] = (
    Flag("metrics-bind-address", "text", ":8080", "address of the metrics listener; 0 turns it off"),
    Flag(
        "metrics-secure", "bool", "false", "serve metrics over TLS, to tokens that may get the non-resource URL /metrics only"
    ),
    Flag("metrics-cert-path", "text", "", "folder with tls.crt and tls.key of the metrics listener; one of its own when empty"),
    Flag("health-probe-bind-address", "text", ":8081", "address of the probe listener; 0 turns it off"),
    Flag("leader-elect", "bool", "false", "take the lease before anything is written, so that one operator acts at a time"),
    Flag("leader-election-namespace", "text", "", "namespace of the lease; that of the process when empty"),
    Flag("enable-http2", "bool", "false", "accepted for compatibility, without effect"),
    Flag("install-crds", "bool", "false", "install the CRDs of this operator"),
    Flag("install-flux", "bool", "false", "install Flux"),
    Flag("flux-registry", "text", "ghcr.io/fluxcd", "registry and path that Flux's images are pulled from"),
    Flag("flux-ready-timeout", "text", "5m", "how long Flux may take to become available before that is reported"),
    Flag("disable-telemetry", "bool", "false", "send no telemetry"),
    Flag("telemetry-endpoint", "text", "", "http(s) address that telemetry is sent to; nothing is sent while empty"),
    Flag("telemetry-interval", "text", "15m", "time between telemetry reports"),
    Flag("helmrelease-interval", "text", "5m", "spec.interval of every HelmRelease"),
    Flag("helmrelease-retry-interval", "text", "30s", "time between attempts of a failing install or upgrade"),
    Flag("helmrelease-install-timeout", "text", "10m", "time limit of an install"),
    Flag("helmrelease-upgrade-timeout", "text", "10m", "time limit of an upgrade"),
    Flag("helmrelease-max-history", "int", "5", "revisions that Helm keeps; 0 keeps all"),
    Flag("platform-source-url", "text", "", "oci://, https://, http:// or ssh:// address of the platform's package repository"),
    Flag("platform-source-name", "text", names.PLATFORM_SOURCE, "name of the source object"),
    Flag("platform-source-ref", "text", "", "what to take from the source, such as tag=v1.0 or branch=main,commit=..."),
    Flag("platform-source-secret", "text", "", "Secret in cozy-system with the credentials of the source"),
    Flag("platform-source-path", "text", "", "folder of the packages in the source; / (oci://) or /packages (Git) when empty"),
    Flag("platform-source-insecure", "bool", "false", "fetch an oci:// source over plain HTTP"),
    Flag("cozy-values-secret-name", "text", names.VALUES_SECRET, "Secret that is copied to the packages' namespaces"),
    Flag("cozy-values-secret-namespace", "text", names.SYSTEM_NAMESPACE, "namespace of that Secret"),
    Flag("cozy-values-namespace-selector", "text", f"{names.SYSTEM_LABEL}=true", "namespaces that get a copy"),
    Flag("dependency-gate", "text", "running", "running: wait until dependencies run; written: until they are written"),
    Flag("ordered-deletion", "bool", "true", "remove the releases of a deleted Package in reverse order of their dependencies"),
    Flag("webhook-bind-address", "text", "0", "address of the admission webhook of both kinds; 0 turns it off"),
    Flag("webhook-fail-closed", "bool", "false", "refuse what the webhook does not answer for, instead of letting it pass"),
    Flag("workers", "int", "4", "objects of one kind that are reconciled at the same time"),
    Flag("kubeconfig", "text", "", "kubeconfig file; KUBECONFIG or the service account of the Pod when empty"),
    Flag("log-format", "text", "console", "console or json"),
    Flag("log-level", "text", "info", "debug, info, warning or error"),
    # The original's names for the same, so that its command lines keep working.
    Flag("zap-devel", "bool", "true", "accepted for compatibility, without effect"),
    Flag("zap-encoder", "text", "", "console or json; the same as log-format"),
    Flag("zap-log-level", "text", "", "the same as log-level"),
    Flag("zap-stacktrace-level", "text", "", "accepted for compatibility, without effect"),
    Flag("zap-time-encoding", "text", "", "accepted for compatibility, without effect"),
)
HISTORY_MAX = 2**31 - 1
SOURCE_NAME_MAX = names.DNS_LABEL_MAX - len("cozystack.")
_LISTENERS = ("metrics-bind-address", "health-probe-bind-address", "webhook-bind-address")
_BY_NAME = {flag.name: flag for flag in FLAGS}
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the flags say, checked. Durations keep their text, since they are written into HelmReleases."""

    metrics_bind_address: str
    metrics_secure: bool
    metrics_cert_path: str
    health_probe_bind_address: str
    leader_elect: bool
    leader_election_namespace: str
    install_crds: bool
    install_flux: bool
    flux_registry: str
    flux_ready_timeout: timedelta
    disable_telemetry: bool
    telemetry_endpoint: str
    telemetry_interval: timedelta
    helmrelease_interval: timedelta
    helmrelease_retry_interval: timedelta
    helmrelease_install_timeout: timedelta
    helmrelease_upgrade_timeout: timedelta
    helmrelease_max_history: int
    platform_source: PlatformSource | None
    cozy_values_secret_name: str
    cozy_values_secret_namespace: str
    cozy_values_namespace_selector: str
    dependency_gate: Literal["running", "written"]
    ordered_deletion: bool
    webhook_bind_address: str
    webhook_fail_closed: bool
    workers: int
    kubeconfig: str
    log_format: str
    log_level: str


def parse_flags(arguments: Sequence[str]) -> dict[str, str]:
    """The text of every flag, given or default; raises ``FlagSyntaxError`` and ``HelpRequested``."""
    values = {flag.name: flag.default for flag in FLAGS}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word in ("-", "--"):
            raise FlagSyntaxError(f'"{word}" is not a flag')
        name, has_value, value = word.removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help"):
            raise HelpRequested
        flag = _BY_NAME.get(name)
        if flag is None:
            raise FlagSyntaxError(f"flag provided but not defined: -{name}")
        if not has_value:
            if flag.kind == "bool":
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise FlagSyntaxError(f"flag needs an argument: -{name}")
        if flag.kind == "bool" and value not in _TRUE + _FALSE:
            raise FlagSyntaxError(f'invalid boolean value "{value}" for -{name}')
        if flag.kind == "int" and not re.fullmatch(r"[-+]?[0-9]{1,18}", value):
            raise FlagSyntaxError(f'invalid value "{value}" for flag -{name}: not a whole number')
        values[name] = value
    return values


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Checked options; raises ``FlagSyntaxError``, ``HelpRequested``, or ``OptionsError`` with every fault found."""
    values = parse_flags(arguments)
    values["zap-log-level"] = _zap_level(values["zap-log-level"])
    faults = _log_faults(values)
    values["log-format"] = values["zap-encoder"] or values["log-format"]
    values["log-level"] = values["zap-log-level"] or values["log-level"]
    values["kubeconfig"] = values["kubeconfig"] or environment.get("KUBECONFIG", "")
    read: dict[str, Any] = {
        name: _positive_duration(name, values[name], faults)
        for name in (
            "helmrelease-interval",
            "helmrelease-retry-interval",
            "helmrelease-install-timeout",
            "helmrelease-upgrade-timeout",
            "flux-ready-timeout",
            "telemetry-interval",
        )
    }
    if int(values["helmrelease-max-history"]) < 0:
        faults.append(f"--helmrelease-max-history must be >= 0 (got {values['helmrelease-max-history']})")
    if int(values["helmrelease-max-history"]) > HISTORY_MAX:
        faults.append(f"--helmrelease-max-history must be at most {HISTORY_MAX} (got {values['helmrelease-max-history']})")
    if not 1 <= int(values["workers"]) <= 64:
        faults.append(f"--workers must be from 1 to 64 (got {values['workers']})")
    _choice("dependency-gate", values, ("running", "written"), faults)
    _choice("log-format", values, ("console", "json"), faults)
    _choice("log-level", values, ("debug", "info", "warning", "error"), faults)
    if not names.is_dns_subdomain(values["cozy-values-secret-name"]):
        faults.append(f'--cozy-values-secret-name must be a valid object name (got "{values["cozy-values-secret-name"]}")')
    # It is an alias in an ArtifactGenerator, and the end of the PackageSource's name, which is the value of a label.
    if not names.is_dns_label(values["platform-source-name"]) or len(values["platform-source-name"]) > SOURCE_NAME_MAX:
        faults.append(
            f"--platform-source-name must be at most {SOURCE_NAME_MAX} of a-z, 0-9 and dashes "
            f'(got "{values["platform-source-name"]}")'
        )
    if not names.is_dns_label(values["cozy-values-secret-namespace"]):
        faults.append(
            f'--cozy-values-secret-namespace must be a valid namespace (got "{values["cozy-values-secret-namespace"]}")'
        )
    if values["leader-election-namespace"] and not names.is_dns_label(values["leader-election-namespace"]):
        faults.append(f'--leader-election-namespace must be a valid namespace (got "{values["leader-election-namespace"]}")')
    try:
        parse_selector(values["cozy-values-namespace-selector"])
    except ValueError as error:
        faults.append(f"--cozy-values-namespace-selector: {error}")
    for name in _LISTENERS:
        if not is_bind_address(values[name]):
            faults.append(f'--{name} must be host:port, :port or 0 (got "{values[name]}")')
    faults += _listener_faults(values)
    if not re.fullmatch(r"[^\s/:]+(:\d+)?(/[^\s/:]+)*", values["flux-registry"]):
        faults.append(f'--flux-registry must be a host and a path without a scheme (got "{values["flux-registry"]}")')
    if values["telemetry-endpoint"] and not re.fullmatch(r"https?://[^\s/]\S*", values["telemetry-endpoint"]):
        faults.append(f'--telemetry-endpoint must start with https:// or http:// (got "{values["telemetry-endpoint"]}")')
    if values["metrics-cert-path"] and values["metrics-secure"] not in _TRUE:
        faults.append("--metrics-cert-path is for --metrics-secure")
    if values["webhook-fail-closed"] in _TRUE and values["webhook-bind-address"] == "0":
        faults.append("--webhook-fail-closed is for --webhook-bind-address")
    source = None
    try:
        source = parse_platform_source(
            url=values["platform-source-url"],
            ref=values["platform-source-ref"],
            name=values["platform-source-name"],
            secret=values["platform-source-secret"],
            insecure=values["platform-source-insecure"] in _TRUE,
            path=values["platform-source-path"],
        )
    except RefError as error:
        faults += error.faults
    if faults:
        raise OptionsError(faults)
    read["platform-source"] = source
    for field in fields(Options):
        name = field.name.replace("_", "-")
        if name not in read:
            read[name] = _typed(_BY_NAME[name], values[name])
    return Options(**{field.name: read[field.name.replace("_", "-")] for field in fields(Options)})


def usage() -> str:
    """The help text."""
    lines = ["Usage of cozystack-operator:", ""]
    for flag in FLAGS:
        default = f' (default "{flag.default}")' if flag.default not in ("", "false") else ""
        lines.append(f"  --{flag.name}{'' if flag.kind == 'bool' else ' ' + flag.kind}\n        {flag.help}{default}")
    lines += [
        "",
        "Subcommands:",
        "  cozystack-operator label-namespace --namespace NAME",
        "        put the labels of the platform on its own namespace, and exit",
        "  cozystack-operator hand-back [--namespace NAME] [--timeout DURATION] [--values-secret NAME]",
        "        take off what only this operator understands, so that another can go on, and exit",
    ]
    return "\n".join(lines) + "\n"


def is_bind_address(text: str) -> bool:
    """``0`` (off), ``:port`` or ``host:port``."""
    if text == "0":
        return True
    _, colon, port = text.rpartition(":")
    return bool(colon) and re.fullmatch(r"[0-9]{1,5}", port) is not None and int(port) <= 65535


def _listener_faults(values: Mapping[str, str]) -> list[str]:
    """The webhook has a port to itself; metrics and probes may share one, unless the metrics are behind TLS.

    The kubelet would then have to ask for its probes over TLS, and is told to ask over plain HTTP.
    """
    ports = {name: values[name].rpartition(":")[2] for name in _LISTENERS if values[name] != "0"}
    metrics, probes = (
        values[name].removeprefix("0.0.0.0:").removeprefix(":")
        for name in ("metrics-bind-address", "health-probe-bind-address")
    )
    shared = (
        f"--metrics-secure puts the probes behind TLS: they have the address of the metrics ({values['metrics-bind-address']})"
    )
    faults = [shared] if values["metrics-secure"] == "true" and metrics == probes != "0" else []
    return faults + [
        f"--webhook-bind-address and --{name} have one port ({ports[name]})"
        for name in ("metrics-bind-address", "health-probe-bind-address")
        if ports.get(name, "0") != "0" and ports[name] == ports.get("webhook-bind-address")
    ]


def _log_faults(values: Mapping[str, str]) -> list[str]:
    """The two names of one setting must not say different things."""
    return [
        f'--{name} and --{legacy} say different things ("{values[name]}" and "{values[legacy]}")'
        for name, legacy, default in (("log-format", "zap-encoder", "console"), ("log-level", "zap-log-level", "info"))
        if values[legacy] and values[name] not in (default, values[legacy])
    ]


def _zap_level(text: str) -> str:
    """The level of the original's flag: a name, or a number, which is the more detailed the larger it is."""
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return "debug"
    return "error" if text == "panic" else text


def _typed(flag: Flag, text: str) -> str | bool | int:
    if flag.kind == "bool":
        return text in _TRUE
    return int(text) if flag.kind == "int" else text


def _choice(name: str, values: Mapping[str, str], choices: tuple[str, ...], faults: list[str]) -> None:
    if values[name] not in choices:
        faults.append(f'--{name} must be {" or ".join(choices)} (got "{values[name]}")')


def _positive_duration(name: str, text: str, faults: list[str]) -> timedelta | None:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        faults.append(f'invalid duration for --{name}="{text}": {error}')
        return None
    if duration <= timedelta(0):
        faults.append(f'--{name} must be > 0 (got "{text}")')
    elif not is_flux_duration(text):
        faults.append(f'invalid duration for --{name}="{text}": Flux takes only the units ms, s, m and h')
    return duration
