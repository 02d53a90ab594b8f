"""The Pod Security Standards: what a Pod may not do at a level, by version of Kubernetes, in the words of its checks.

``baseline`` keeps the node from the Pod, ``restricted`` adds what hardened Pods do. A check that came later than the version
that is asked for does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

Obj = dict[str, Any]
Level = Literal["privileged", "baseline", "restricted"]

LATEST: Final = 37


class Finding(NamedTuple):
    """What is wrong, in short and in full."""

    reason: str
    detail: str


Check = Callable[[Obj, Obj, int], Finding | None]
"""Judges the metadata and the spec of a Pod, as the checks of a minor version of Kubernetes 1 do."""


def reasons(level: Level, minor: int, metadata: Obj, spec: Obj) -> list[str]:
    return [finding.reason for finding in _findings(level, minor, metadata, spec)]


def details(level: Level, minor: int, metadata: Obj, spec: Obj) -> str:
    """All that is wrong; empty when nothing is."""
    found = _findings(level, minor, metadata, spec)
    return ", ".join(f"{finding.reason} ({finding.detail})" for finding in found)


def _findings(level: Level, minor: int, metadata: Obj, spec: Obj) -> Iterator[Finding]:
    if level == "privileged":
        return
    minor = min(minor, LATEST)
    checks = _BASELINE if level == "baseline" else (*_BASELINE, *_RESTRICTED)
    replaced = {each.replaces for each in checks if each.replaces and each.since <= minor}
    for each in checks:
        if each.since <= minor and each.name not in replaced:
            found = each.check(metadata, spec, minor)
            if found is not None:
                yield found


# Helpers


def _containers(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _context(thing: Obj) -> Obj:
    found: Obj = thing.get("securityContext") or {}
    return found


def _quoted(items: list[str]) -> str:
    return '"' + '", "'.join(items) + '"'


def _plural(one: str, several: str, items: Any) -> str:
    return one if len(items) == 1 else several


def _named(names: list[str]) -> str:
    return f"{_plural('container', 'containers', names)} {_quoted(names)}"


def _setters(pod: bool, names: list[str]) -> str:
    return " and ".join([*(["pod"] if pod else []), *([_named(names)] if names else [])])


def _is_windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _has_own_users(spec: Obj) -> bool:
    return spec.get("hostUsers") is False


# Baseline, in the order of their names


def _app_armor(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    def wrong(thing: Obj) -> str | None:
        profile = _context(thing).get("appArmorProfile")
        kind: str = (profile or {}).get("type", "")
        return kind if profile is not None and kind not in ("RuntimeDefault", "Localhost") else None

    pod = wrong(spec)
    bad = {each["name"]: kind for each in _containers(spec) if (kind := wrong(each)) is not None}
    values = sorted({*bad.values(), *([pod] if pod is not None else [])})
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    notes = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(prefix) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    setters = [each for each in [_setters(pod is not None, list(bad))] if each]
    setters += [_plural("annotation", "annotations", notes)] if notes else []
    values += notes
    if not setters:
        return None
    reason = _plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values)
    return Finding(reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}")


_DEFAULT_CAPABILITIES: Final = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)


def _added(container: Obj) -> list[str]:
    return (_context(container).get("capabilities") or {}).get("add") or []


def _capabilities(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    bad = [each for each in _containers(spec) if not _DEFAULT_CAPABILITIES.issuperset(_added(each))]
    if not bad:
        return None
    more = sorted({name for each in bad for name in _added(each)} - _DEFAULT_CAPABILITIES)
    who = _named([each["name"] for each in bad])
    detail = f"{who} must not include {_quoted(more)} in securityContext.capabilities.add"
    return Finding("non-default capabilities", detail)


def _host_namespaces(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Finding("host namespaces", ", ".join(found)) if found else None


def _host_paths(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    found = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    return Finding("hostPath volumes", f"{_plural('volume', 'volumes', found)} {_quoted(found)}") if found else None


def _host_ports(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    bad: dict[str, list[str]] = {}
    for container in _containers(spec):
        ports = [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]
        if ports:
            bad[container["name"]] = ports
    ports = sorted({port for each in bad.values() for port in each})
    if not bad:
        return None
    uses = f"{_plural('uses', 'use', bad)} {_plural('hostPort', 'hostPorts', ports)}"
    return Finding("hostPort", f"{_named(list(bad))} {uses} {', '.join(ports)}")


def _host_probes(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    bad: dict[str, set[str]] = {}
    for container in _containers(spec):
        hooks = container.get("lifecycle") or {}
        handlers = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [hooks.get("postStart"), hooks.get("preStop")]
        for handler in handlers:
            for action in ("httpGet", "tcpSocket"):
                host = ((handler or {}).get(action) or {}).get("host")
                if host:
                    bad.setdefault(container["name"], set()).add(host)
    hosts = sorted({host for each in bad.values() for host in each})
    if not bad:
        return None
    what = _plural("probe or lifecycle host", "probe or lifecycle hosts", hosts)
    return Finding("probe or lifecycle host", f"{_named(sorted(bad))} {_plural('uses', 'use', bad)} {what} {_quoted(hosts)}")


def _privileged(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    bad = [each["name"] for each in _containers(spec) if _context(each).get("privileged")]
    return Finding("privileged", f"{_named(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mount(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    return None if minor >= 35 and _has_own_users(spec) else _proc_mount_always(metadata, spec, minor)


def _proc_mount_always(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    bad = {each["name"]: _context(each).get("procMount", "Default") for each in _containers(spec)}
    bad = {name: mount for name, mount in bad.items() if mount != "Default"}
    if not bad:
        return None
    mounts = _quoted(sorted(set(bad.values())))
    return Finding("procMount", f"{_named(list(bad))} must not set securityContext.procMount to {mounts}")


_SELINUX_TYPES: Final = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))


def _selinux(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    allowed = _SELINUX_TYPES | ({"container_engine_t"} if minor >= 31 else set())
    types: set[str] = set()
    fixed: set[str] = set()

    def is_wrong(thing: Obj) -> bool:
        options = _context(thing).get("seLinuxOptions") or {}
        kind = options.get("type", "")
        if kind not in allowed:
            types.add(kind)
        found = {name for name in ("user", "role") if options.get(name)}
        fixed.update(found)
        return kind not in allowed or bool(found)

    pod = is_wrong(spec)
    bad = [each["name"] for each in _containers(spec) if is_wrong(each)]
    if not pod and not bad:
        return None
    data = [f"{_plural('type', 'types', types)} {_quoted(sorted(types))}"] if types else []
    data += [f"{name} may not be set" for name in ("user", "role") if name in fixed]
    detail = f"{_setters(pod, bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
    return Finding("seLinuxOptions", detail)


_SECCOMP: Final = ("Localhost", "RuntimeDefault")


def _seccomp_type(thing: Obj) -> str | None:
    profile = _context(thing).get("seccompProfile")
    return profile.get("type", "") if profile is not None else None


def _seccomp(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    if minor < 19:
        return _seccomp_annotations(metadata, spec)
    pod = _seccomp_type(spec)
    bad = {each["name"]: kind for each in _containers(spec) if (kind := _seccomp_type(each)) not in (None, *_SECCOMP)}
    wrong = pod not in (None, *_SECCOMP)
    if not wrong and not bad:
        return None
    values = _quoted(sorted({*(str(kind) for kind in bad.values()), *([str(pod)] if wrong else [])}))
    detail = f"{_setters(wrong, list(bad))} must not set securityContext.seccompProfile.type to {values}"
    return Finding("seccompProfile", detail)


def _seccomp_annotations(metadata: Obj, spec: Obj) -> Finding | None:
    annotations = metadata.get("annotations") or {}
    keys = ["seccomp.security.alpha.kubernetes.io/pod"]
    keys += [f"container.seccomp.security.alpha.kubernetes.io/{each['name']}" for each in _containers(spec)]
    bad = sorted(
        f'{key}="{annotations[key]}"'
        for key in keys
        if key in annotations
        and annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    what = _plural("annotation", "annotations", bad)
    return Finding("seccompProfile", f"forbidden {what} {', '.join(bad)}") if bad else None


_SYSCTLS: Final = {
    0: (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    ),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: (
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    37: ("net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"),
}


def _sysctls(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    allowed = {name for since, names in _SYSCTLS.items() if since <= minor for name in names}
    bad = [each["name"] for each in _context(spec).get("sysctls") or () if each["name"] not in allowed]
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def _windows_host(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    def is_host(thing: Obj) -> bool:
        return bool((_context(thing).get("windowsOptions") or {}).get("hostProcess"))

    bad = [each["name"] for each in _containers(spec) if is_host(each)]
    if not bad and not is_host(spec):
        return None
    who = _setters(is_host(spec), bad)
    return Finding("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true")


# Restricted


def _escalation(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    if minor >= 25 and _is_windows(spec):
        return None
    bad = [each["name"] for each in _containers(spec) if _context(each).get("allowPrivilegeEscalation", True)]
    if not bad:
        return None
    detail = f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail)


def _dropped_capabilities(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    if minor >= 25 and _is_windows(spec):
        return None
    missing: list[str] = []
    adding: dict[str, list[str]] = {}
    for container in _containers(spec):
        capabilities = _context(container).get("capabilities")
        if "ALL" not in ((capabilities or {}).get("drop") or ()):
            missing.append(container["name"])
        more = [name for name in _added(container) if name != "NET_BIND_SERVICE"]
        if more:
            adding[container["name"]] = more
    found = [f'{_named(missing)} must set securityContext.capabilities.drop=["ALL"]'] if missing else []
    if adding:
        names = _quoted(sorted({name for each in adding.values() for name in each}))
        found.append(f"{_named(list(adding))} must not include {names} in securityContext.capabilities.add")
    return Finding("unrestricted capabilities", "; ".join(found)) if found else None


_VOLUMES: Final = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)


def _volumes(metadata: Obj, spec: Obj, _: int) -> Finding | None:
    bad = [each for each in spec.get("volumes") or () if not any(kind in each for kind in _VOLUMES)]
    if not bad:
        return None
    names = [each["name"] for each in bad]
    types = sorted({next((key for key in each if key != "name"), "unknown") for each in bad})
    uses = f"{_plural('uses', 'use', bad)} {_plural('restricted volume type', 'restricted volume types', types)}"
    return Finding("restricted volume types", f"{_plural('volume', 'volumes', bad)} {_quoted(names)} {uses} {_quoted(types)}")


def _non_root(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    if minor >= 35 and _has_own_users(spec):
        return None
    pod = _context(spec).get("runAsNonRoot")
    wrong = [each["name"] for each in _containers(spec) if _context(each).get("runAsNonRoot") is False]
    if pod is False or wrong:
        who = _setters(pod is False, wrong)
        return Finding("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [each["name"] for each in _containers(spec) if "runAsNonRoot" not in _context(each)] if not pod else []
    if not silent:
        return None
    return Finding("runAsNonRoot != true", f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true")


def _user(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    if minor >= 35 and _has_own_users(spec):
        return None
    pod = _context(spec).get("runAsUser") == 0
    bad = [each["name"] for each in _containers(spec) if _context(each).get("runAsUser") == 0]
    return Finding("runAsUser=0", f"{_setters(pod, bad)} must not set runAsUser=0") if pod or bad else None


def _some_seccomp(metadata: Obj, spec: Obj, minor: int) -> Finding | None:
    if minor >= 25 and _is_windows(spec):
        return None
    wrong = _seccomp(metadata, spec, minor)
    if wrong is not None or _seccomp_type(spec) in _SECCOMP:
        return wrong
    silent = [each["name"] for each in _containers(spec) if _seccomp_type(each) is None]
    if not silent:
        return None
    what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {_named(silent)} {what}")


class _Standard(NamedTuple):
    name: str
    since: int
    check: Check
    replaces: str = ""


_BASELINE: Final = (
    _Standard("appArmorProfile", 0, _app_armor),
    _Standard("capabilities_baseline", 0, _capabilities),
    _Standard("hostNamespaces", 0, _host_namespaces),
    _Standard("hostPathVolumes", 0, _host_paths),
    _Standard("hostPorts", 0, _host_ports),
    _Standard("hostProbesAndHostLifecycle", 34, _host_probes),
    _Standard("privileged", 0, _privileged),
    _Standard("procMount", 0, _proc_mount),
    _Standard("seLinuxOptions", 0, _selinux),
    _Standard("seccompProfile_baseline", 0, _seccomp),
    _Standard("sysctls", 0, _sysctls),
    _Standard("windowsHostProcess", 0, _windows_host),
)
_RESTRICTED: Final = (
    _Standard("allowPrivilegeEscalation", 8, _escalation),
    _Standard("capabilities_restricted", 22, _dropped_capabilities, "capabilities_baseline"),
    _Standard("procMount_restricted", 35, _proc_mount_always, "procMount"),
    _Standard("restrictedVolumes", 0, _volumes, "hostPathVolumes"),
    _Standard("runAsNonRoot", 0, _non_root),
    _Standard("runAsUser", 23, _user),
    _Standard("seccompProfile_restricted", 19, _some_seccomp, "seccompProfile_baseline"),
)
