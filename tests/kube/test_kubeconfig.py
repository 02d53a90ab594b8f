"""Kubeconfigs in every form, and what is said about those that cannot be used."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cozystack.kube import ClusterConfig, load_config
from cozystack.kube.errors import ConfigError

NOBODY: dict[str, str] = {}


def kubeconfig(user: dict[str, Any] | None = None, /, **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/", **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "mine"}}],
    }


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def load(path: Path, context: str | None = None) -> ClusterConfig:
    return load_config(path, context, NOBODY)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_context_gives_server_user_and_namespace(tmp_path: Path) -> None:
    config = load(write(tmp_path / "config", kubeconfig({"token": "t"})))
    assert (config.server, config.namespace, config.token, config.context) == ("https://10.0.0.1:6443", "mine", "t", "here")


def test_secrets_do_not_show_in_the_text_of_a_config(tmp_path: Path) -> None:
    user = {
        "token": "s3cret",
        "password": "s3cret",
        "username": "me",
        "exec": {"command": "x", "env": [{"name": "A", "value": "s3cret"}]},
    }
    user["exec"]["apiVersion"] = "client.authentication.k8s.io/v1"  # type: ignore[index]
    assert "s3cret" not in repr(load(write(tmp_path / "config", kubeconfig(user))))


def test_data_and_files_are_read_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path / "pki" / "ca.crt", "CA")
    write(tmp_path / "pki" / "me.crt", "CERT")
    user = {"client-certificate": "pki/me.crt", "client-key-data": b64("KEY"), "tokenFile": "token"}
    config = load(
        write(tmp_path / "config", kubeconfig(user, **{"certificate-authority": "pki/ca.crt", "tls-server-name": "api"}))
    )
    assert (config.ca_data, config.client_cert_data, config.client_key_data) == (b"CA", b"CERT", b"KEY")
    assert (config.token_file, config.tls_server_name) == (tmp_path / "token", "api")


def test_data_comes_before_files(tmp_path: Path) -> None:
    cluster = {"certificate-authority": "not-there", "certificate-authority-data": b64("CA")}
    assert load(write(tmp_path / "config", kubeconfig(None, **cluster))).ca_data == b"CA"


def test_of_several_files_the_first_that_names_an_entry_counts(tmp_path: Path) -> None:
    first = kubeconfig({"token": "first"})
    first["contexts"] = None
    second = kubeconfig({"token": "second"}, server="https://second")
    second["current-context"] = "other"
    second["contexts"].append({"name": "other", "context": {"cluster": "c", "user": "u"}})
    paths = [tmp_path / "missing", write(tmp_path / "a" / "config", first), write(tmp_path / "b" / "config", second)]
    config = load_config(None, None, {"KUBECONFIG": ":".join(["", *map(str, paths)])})
    assert (config.context, config.server, config.token) == ("here", "https://10.0.0.1:6443", "first")
    assert load_config(None, "other", {"KUBECONFIG": ":".join(map(str, paths))}).namespace == "default"


def test_without_anything_else_the_file_in_the_home_folder_is_used(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", kubeconfig({"token": "home"}))
    assert load_config(None, None, {"HOME": str(tmp_path)}).token == "home"


def service_account(tmp_path: Path) -> dict[str, str]:
    for name, text in (("token", "pod-token"), ("ca.crt", "CA"), ("namespace", "pod-ns\n")):
        write(tmp_path / "sa" / name, text)
    return {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "COZYSTACK_SERVICEACCOUNT_DIR": str(tmp_path / "sa"),
        "HOME": str(tmp_path),
    }


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    env = service_account(tmp_path)
    config = load_config(None, None, env)
    assert (config.server, config.namespace, config.ca_data) == ("https://10.96.0.1:443", "pod-ns", b"CA")
    assert config.token_file == tmp_path / "sa" / "token"
    assert load_config(None, None, {**env, "KUBERNETES_SERVICE_HOST": "fd00::1"}).server == "https://[fd00::1]:443"


def test_kubeconfig_of_the_environment_comes_before_the_service_account(tmp_path: Path) -> None:
    path = write(tmp_path / "config", kubeconfig({"token": "file"}))
    assert load_config(None, None, {**service_account(tmp_path), "KUBECONFIG": str(path)}).token == "file"


def test_a_plugin_gets_the_environment_and_what_it_asks_for(tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./bin/login",
        "args": ["--quiet"],
        "env": [{"name": "REGION", "value": "eu"}],
        "provideClusterInfo": True,
        "interactiveMode": "Never",
    }
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    path = write(
        tmp_path / "config",
        kubeconfig({"exec": plugin}, **{"extensions": [extension], "certificate-authority-data": b64("CA")}),
    )
    config = load_config(path, None, {"PATH": "/bin", "REGION": "us"})
    assert config.exec is not None
    assert (config.exec.command, config.exec.args) == (str(tmp_path / "./bin/login"), ("--quiet",))
    assert config.exec.env == {"PATH": "/bin", "REGION": "eu"}
    assert config.exec.cluster_info == {
        "server": "https://10.0.0.1:6443/",
        "certificate-authority-data": b64("CA"),
        "config": {"audience": "x"},
    }


def without(name: str) -> dict[str, Any]:
    config = kubeconfig()
    config[name] = []
    return config


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "config:"),
        ("a: [1\nb", "config:3: did not find expected"),
        ("- 1", "config: Expected `object`, got `array`"),
        ("clusters: 7", "config: Expected `array | null`, got `int` - at `$.clusters`"),
        ("", "no context was asked for and current-context is not set"),
        (kubeconfig({"token": 7}), "Expected `str`, got `int` - at `$.users[0].user.token`"),
        (without("clusters"), 'context "here": there is no cluster "c" (there is: none)'),
        (without("users"), 'context "here": there is no user "u" (there is: none)'),
        (without("contexts"), 'there is no context "here" (there is: none)'),
        (kubeconfig(server=""), 'cluster "c" has no server'),
        (kubeconfig(server="10.0.0.1:6443"), 'cluster "c" has a server that is no http or https address: "10.0.0.1:6443"'),
        (kubeconfig(**{"proxy-url": "http://proxy"}), 'cluster "c" uses proxy-url, which is not supported'),
        (kubeconfig(**{"certificate-authority": "no.crt"}), 'cluster "c" names a certificate-authority that cannot be read'),
        (kubeconfig(**{"certificate-authority-data": "%"}), 'cluster "c" has certificate-authority-data that is not base64'),
        (
            kubeconfig(**{"certificate-authority-data": b64("x"), "insecure-skip-tls-verify": True}),
            "only one of them can be meant",
        ),
        (kubeconfig({"auth-provider": {"name": "gcp"}}), 'user "u" uses auth-provider, which Kubernetes has removed'),
        (kubeconfig({"as": "root"}), 'user "u" impersonates another user'),
        (kubeconfig({"client-certificate-data": b64("x")}), 'user "u" has a client certificate without a key'),
        (kubeconfig({"client-key-data": b64("x")}), 'user "u" has a client key without a certificate'),
        (kubeconfig({"exec": {"command": "x"}}), 'user "u" has an exec plugin of the version ""; known are client.auth'),
        (kubeconfig({"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}), "missing required field `command`"),
        (
            kubeconfig({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "interactiveMode": "Often"}}),
            'unknown interactiveMode "Often"',
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_file_and_entry(tmp_path: Path, content: Any, said: str) -> None:
    path = write(tmp_path / "config", content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message


def test_an_unknown_context_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'there is no context "prod" \(there is: here\)'):
        load(write(tmp_path / "config", kubeconfig()), "prod")


def test_files_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none: there is no such file"):
        load(tmp_path / "none")
    with pytest.raises(ConfigError, match="none of the files of KUBECONFIG exists"):
        load_config(None, None, {"KUBECONFIG": str(tmp_path / "none")})
    with pytest.raises(ConfigError, match="no cluster is configured"):
        load_config(None, None, {"HOME": str(tmp_path)})
