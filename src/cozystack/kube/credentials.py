"""Who we are, for every request: headers and a TLS context, renewed when they run out.

A token file is read again every ten seconds (the kubelet replaces it long before the token expires), a plugin is run again when
what it gave expires, and both at once after the server has answered 401.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from cozystack.api.time import parse_time
from cozystack.kube.clock import Clock, within
from cozystack.kube.config import ClusterConfig, ExecConfig
from cozystack.kube.errors import ConfigError, CredentialsError

_REREAD = 10.0
_PLUGIN_TIMEOUT = 60.0
_EARLY = timedelta(seconds=10)


class _ExecStatus(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: _ExecStatus | None = None


class Credentials:
    """``interactive`` says whether a plugin may talk to a person on this process's terminal."""

    def __init__(self, config: ClusterConfig, *, clock: Clock, interactive: bool = False) -> None:
        self._config = config
        self._clock = clock
        self._interactive = interactive
        self._token = config.token
        self._read_at: float | None = None
        self._plugin_expires: datetime | None = None
        self._plugin_ran = False
        self._refreshing = asyncio.Lock()
        self._certificate = (config.client_cert_data, config.client_key_data)
        self._context: ssl.SSLContext | None = None

    async def headers(self) -> dict[str, str]:
        """The headers that log in; raises ``CredentialsError``."""
        if self._config.exec is not None and self._plugin_due():
            async with self._refreshing:
                if self._plugin_due():
                    await self._run_plugin(self._config.exec)
        elif self._config.token_file is not None:
            self._read_token(self._config.token_file)
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        if self._config.username:
            pair = f"{self._config.username}:{self._config.password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    def tls(self) -> ssl.SSLContext | bool:
        """The context for https; True (never used) for http. Another object after a client certificate has changed."""
        if not self._config.server.startswith("https://"):
            return True
        if self._context is None:
            self._context = _tls_context(self._config, *self._certificate)
        return self._context

    def refused(self) -> bool:
        """The server answered 401: obtain everything again. False if there is nothing to obtain."""
        if self._config.exec is not None:
            self._plugin_ran = False
        elif self._config.token_file is not None:
            self._read_at = None
        else:
            return False
        return True

    def _read_token(self, path: Path) -> None:
        now = self._clock.monotonic()
        if self._read_at is not None and now - self._read_at < _REREAD:
            return
        try:
            token = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._token:  # being replaced at this moment: the last one still works for a while
                return
            raise CredentialsError(f"{path}: the token cannot be read: {error}") from error
        if not token and not self._token:
            raise CredentialsError(f"{path}: the token is empty")
        self._token = token or self._token
        self._read_at = now

    def _plugin_due(self) -> bool:
        if not self._plugin_ran:
            return True
        return self._plugin_expires is not None and self._clock.now() >= self._plugin_expires - _EARLY

    async def _run_plugin(self, plugin: ExecConfig) -> None:
        if plugin.interactive_mode == "Always" and not self._interactive:
            raise CredentialsError(f"the credential plugin {plugin.command} needs a terminal, and there is none")
        interactive = self._interactive and plugin.interactive_mode != "Never"
        output = await self._output(plugin, _exec_info(plugin, interactive), interactive)
        status = _exec_status(plugin, output)
        self._token = status.token
        certificate = (status.client_certificate_data.encode(), status.client_key_data.encode())
        if certificate != self._certificate and any(certificate):
            self._certificate = certificate
            self._context = None
        self._plugin_expires = _expiration(plugin, status.expiration_timestamp)
        self._plugin_ran = True

    async def _output(self, plugin: ExecConfig, info: str, interactive: bool) -> bytes:
        env = {**plugin.env, "KUBERNETES_EXEC_INFO": info}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.args,
                env=env,
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if interactive else asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f". {plugin.install_hint.strip()}" if plugin.install_hint else ""
            raise CredentialsError(f"the credential plugin {plugin.command} cannot be run: {error.strerror}{hint}") from error
        try:
            stdout, stderr = await within(self._clock, _PLUGIN_TIMEOUT, process.communicate())
        except TimeoutError as error:
            raise CredentialsError(f"the credential plugin {plugin.command} gave no answer in {_PLUGIN_TIMEOUT:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            lines = (stderr or b"").decode("utf-8", "replace").strip().splitlines()
            reason = f": {lines[-1][:300]}" if lines else ""
            raise CredentialsError(f"the credential plugin {plugin.command} failed with code {process.returncode}{reason}")
        return stdout


def _exec_info(plugin: ExecConfig, interactive: bool) -> str:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.cluster_info is not None:
        spec["cluster"] = plugin.cluster_info
    return msgspec.json.encode({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}).decode()


def _exec_status(plugin: ExecConfig, output: bytes) -> _ExecStatus:
    try:
        credential = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CredentialsError(f"the credential plugin {plugin.command} printed no ExecCredential: {error}") from error
    if credential.kind != "ExecCredential" or credential.api_version != plugin.api_version:
        raise CredentialsError(
            f"the credential plugin {plugin.command} printed {credential.kind} of {credential.api_version}, "
            f"not ExecCredential of {plugin.api_version}"
        )
    status = credential.status
    if status is None or not (status.token or status.client_certificate_data):
        raise CredentialsError(f"the credential plugin {plugin.command} gave neither a token nor a certificate")
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise CredentialsError(f"the credential plugin {plugin.command} gave a certificate or a key without the other")
    return status


def _expiration(plugin: ExecConfig, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise CredentialsError(f"the credential plugin {plugin.command} gave a time that is none: {text}") from error


def _tls_context(config: ClusterConfig, certificate: bytes, key: bytes) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=config.ca_data.decode("ascii") if config.ca_data else None)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{config.source}: the certificate authority of {config.server} is no PEM certificate") from error
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # authorities made by kubeadm and k3s lack what it asks for
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        with tempfile.TemporaryDirectory() as folder:  # Python reads certificates from files only
            path = Path(folder) / "client.pem"
            with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
                file.write(certificate + b"\n" + key)
            try:
                context.load_cert_chain(path)
            except ssl.SSLError as error:
                raise ConfigError(f"{config.source}: the client certificate and its key do not fit: {error.reason}") from error
    return context
