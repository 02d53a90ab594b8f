"""Where the API server is and how to log in: from a kubeconfig, or from the files that every Pod gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """A credential plugin (``client.authentication.k8s.io``)."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    provide_cluster_info: bool = False
    cluster_info: Mapping[str, object] = field(default_factory=dict)
    directory: Path | None = None


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
    raise NotImplementedError
