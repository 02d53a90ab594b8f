"""Where the API server is and how to log in: from a kubeconfig, or from the files that every Pod gets.

Files are read here, once, except what changes while a program runs (a token file, what a plugin gives). Each way to be wrong is
one sentence that names the file and the entry.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import msgspec

from cozystack.api import yaml
from cozystack.kube.errors import ConfigError

T = TypeVar("T")

SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """A credential plugin (``client.authentication.k8s.io``) and the environment that it gets."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    cluster_info: Mapping[str, Any] | None = None
    """What the plugin is told of the cluster, if it asks for it (``provideClusterInfo``)."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One cluster and one user of it. Secrets do not show in its text."""

    server: str
    namespace: str = "default"
    context: str = ""
    source: str = ""
    """The file (or "in-cluster") that this comes from, for messages."""
    ca_data: bytes = field(default=b"", repr=False)
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    client_cert_data: bytes = field(default=b"", repr=False)
    client_key_data: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    exec: ExecConfig | None = field(default=None, repr=False)


def load_config(
    kubeconfig: Path | None, context: str | None, env: Mapping[str, str], *, home: Path | None = None
) -> ClusterConfig:
    """The cluster to talk to; raises ``ConfigError``.

    ``kubeconfig`` if given; else the files of ``KUBECONFIG``, merged; else the service account of this Pod, when there is one;
    else ``~/.kube/config``. ``COZYSTACK_SERVICEACCOUNT_DIR`` overrides the folder of the service account.
    """
    if kubeconfig is not None:
        return _from_files([kubeconfig], context, env, required=True)
    paths = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    if paths:
        return _from_files(paths, context, env, required=False)
    directory = Path(env.get("COZYSTACK_SERVICEACCOUNT_DIR") or SERVICE_ACCOUNT_DIRECTORY)
    in_cluster = "KUBERNETES_SERVICE_HOST" in env and (directory / "token").exists()
    if in_cluster and context is None:
        return _in_cluster(directory, env)
    if home is None:
        home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    path = home / ".kube" / "config"
    if not path.exists():
        raise ConfigError(
            f"no cluster is configured: KUBECONFIG is not set, this is not a Pod ({directory}/token is missing), "
            f"there is no {path}"
        )
    return _from_files([path], context, env, required=True)


class _Part(msgspec.Struct, rename="kebab"):
    """Base of the parts of a kubeconfig; unknown fields are skipped."""


class _Cluster(_Part):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    extensions: list[Any] | None = None


class _ExecVariable(msgspec.Struct):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, rename="camel"):
    command: str
    api_version: str = ""
    args: list[str] | None = None
    env: list[_ExecVariable] | None = None
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    provide_cluster_info: bool = False


class _User(_Part):
    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    username: str = ""
    password: str = ""
    exec: _Exec | None = None
    auth_provider: Any = None
    impersonate: str = msgspec.field(name="as", default="")


class _Context(_Part):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: _User | None = None


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _File(_Part):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = None


@dataclass(slots=True)
class _Merged:
    """Entries by name, each with the file that it stands in; of several of one name the first counts."""

    clusters: dict[str, tuple[_Cluster, Path]] = field(default_factory=dict)
    users: dict[str, tuple[_User, Path]] = field(default_factory=dict)
    contexts: dict[str, tuple[_Context, Path]] = field(default_factory=dict)
    current: str = ""
    source: str = ""


def _from_files(paths: list[Path], context: str | None, env: Mapping[str, str], *, required: bool) -> ClusterConfig:
    merged = _merge(paths, required=required)
    name = context or merged.current
    if not name:
        raise ConfigError(f"{merged.source}: no context was asked for and current-context is not set")
    chosen, path = _entry(merged.contexts, "context", name, merged.source)
    cluster, cluster_path = _entry(merged.clusters, "cluster", chosen.cluster, f'{path}: context "{name}"')
    user, user_path = (
        (_User(), path) if not chosen.user else _entry(merged.users, "user", chosen.user, f'{path}: context "{name}"')
    )
    in_cluster = _Place(cluster_path, f'cluster "{chosen.cluster}"')
    in_user = _Place(user_path, f'user "{chosen.user}"')
    if not cluster.server:
        in_cluster.fail("has no server")
    if not _is_address(cluster.server):
        in_cluster.fail(f'has a server that is no http or https address: "{cluster.server}"')
    if cluster.proxy_url:
        in_cluster.fail("uses proxy-url, which is not supported")
    ca_data = in_cluster.content("certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data)
    if ca_data and cluster.insecure_skip_tls_verify:
        in_cluster.fail("has a certificate authority and insecure-skip-tls-verify; only one of them can be meant")
    if user.auth_provider is not None:
        in_user.fail("uses auth-provider, which Kubernetes has removed; use an exec plugin instead")
    if user.impersonate:
        in_user.fail('impersonates another user ("as"), which is not supported')
    cert = in_user.content("client-certificate", user.client_certificate, user.client_certificate_data)
    key = in_user.content("client-key", user.client_key, user.client_key_data)
    if bool(cert) != bool(key):
        in_user.fail("has a client certificate without a key" if cert else "has a client key without a certificate")
    return ClusterConfig(
        server=cluster.server.rstrip("/"),
        namespace=chosen.namespace or "default",
        context=name,
        source=merged.source,
        ca_data=ca_data,
        insecure_skip_tls_verify=cluster.insecure_skip_tls_verify,
        tls_server_name=cluster.tls_server_name,
        client_cert_data=cert,
        client_key_data=key,
        token=user.token,
        token_file=in_user.path(user.token_file) if user.token_file and not user.token else None,
        username=user.username,
        password=user.password,
        exec=_exec(user.exec, in_user, cluster, ca_data, env) if user.exec is not None else None,
    )


def _is_address(server: str) -> bool:
    try:
        parts = urlsplit(server)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _merge(paths: list[Path], *, required: bool) -> _Merged:
    merged = _Merged(source=os.pathsep.join(str(path) for path in paths))
    found = False
    for path in paths:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            if required:
                raise ConfigError(f"{path}: there is no such file") from None
            continue
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        found = True
        content = _parse(path, text)
        for cluster in content.clusters or ():
            merged.clusters.setdefault(cluster.name, (cluster.cluster, path))
        for user in content.users or ():
            merged.users.setdefault(user.name, (user.user or _User(), path))
        for context in content.contexts or ():
            merged.contexts.setdefault(context.name, (context.context, path))
        merged.current = merged.current or content.current_context or ""
    if not found:
        raise ConfigError(f"{merged.source}: none of the files of KUBECONFIG exists")
    return merged


def _parse(path: Path, text: bytes) -> _File:
    try:
        value = yaml.load(text, source=str(path))
    except yaml.YamlError as error:
        raise ConfigError(str(error)) from error
    try:
        return msgspec.convert(value or {}, _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error


def _entry(entries: Mapping[str, tuple[T, Path]], kind: str, name: str, where: str) -> tuple[T, Path]:
    found = entries.get(name)
    if found is not None:
        return found
    known = ", ".join(sorted(entries)) or "none"
    raise ConfigError(f'{where}: there is no {kind} "{name}" (there is: {known})')


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry of a file, to name it in messages and to resolve paths from."""

    file: Path
    entry: str

    def fail(self, problem: str) -> NoReturn:
        raise ConfigError(f"{self.file}: {self.entry} {problem}")

    def path(self, text: str) -> Path:
        return self.file.parent / text

    def content(self, name: str, path: str, data: str) -> bytes:
        """What ``name`` holds: inline as base64, or in a file; empty if neither is given."""
        if data:
            try:
                return base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                self.fail(f"has {name}-data that is not base64")
        if not path:
            return b""
        try:
            return self.path(path).read_bytes()
        except OSError as error:
            self.fail(f"names a {name} that cannot be read: {self.path(path)}: {error.strerror}")


def _exec(plugin: _Exec, place: _Place, cluster: _Cluster, ca_data: bytes, env: Mapping[str, str]) -> ExecConfig:
    if plugin.api_version not in EXEC_VERSIONS:
        place.fail(f'has an exec plugin of the version "{plugin.api_version}"; known are {", ".join(EXEC_VERSIONS)}')
    if not plugin.command:
        place.fail("has an exec plugin without a command")
    if plugin.interactive_mode not in ("Never", "IfAvailable", "Always"):
        place.fail(f'has an exec plugin with the unknown interactiveMode "{plugin.interactive_mode}"')
    info: dict[str, Any] = {"server": cluster.server}
    optional = {
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(ca_data).decode(),
        "config": _extension(cluster),
    }
    info |= {name: value for name, value in optional.items() if value}
    has_folder = os.sep in plugin.command
    return ExecConfig(
        api_version=plugin.api_version,
        command=str(place.path(plugin.command)) if has_folder else plugin.command,
        args=tuple(plugin.args or ()),
        env={**env, **{variable.name: variable.value for variable in plugin.env or ()}},
        install_hint=plugin.install_hint,
        interactive_mode=plugin.interactive_mode,
        cluster_info=info if plugin.provide_cluster_info else None,
    )


def _extension(cluster: _Cluster) -> Any:
    """What a cluster entry holds for plugins."""
    for extension in cluster.extensions or ():
        if isinstance(extension, dict) and extension.get("name") == "client.authentication.k8s.io/exec":
            return extension.get("extension")
    return None


def _in_cluster(directory: Path, env: Mapping[str, str]) -> ClusterConfig:
    host = env["KUBERNETES_SERVICE_HOST"]
    port = env.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        ca_data = (directory / "ca.crt").read_bytes()
    except OSError as error:
        raise ConfigError(f"{directory / 'ca.crt'}: cannot be read: {error.strerror}") from error
    try:
        namespace = (directory / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return ClusterConfig(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace or "default",
        source="in-cluster",
        ca_data=ca_data,
        token_file=directory / "token",
    )
