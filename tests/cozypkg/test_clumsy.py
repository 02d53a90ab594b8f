"""What people get wrong, and what goes wrong around them: one clear sentence each, the right exit code, nothing half-done."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cozystack.apiserver import pki
from cozystack.apiserver.http.messages import Request, Response
from support.acme import PACKAGES, PLATFORM, SOURCES
from support.cluster import Cluster, kubeconfig_text, running_cluster
from support.cozypkg import call

PROGRAM = (sys.executable, "-m", "cozystack.cozypkg.main")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
NEW = "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.net}\nspec: {variant: none}\n"


def run(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *arguments], input=stdin, capture_output=True, env={**ENVIRONMENT, **environment}, check=False
    )


# Where the cluster is


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "FILE: no context was asked for and current-context is not set"),
        ("apiVersion: v1\nkind: Config\n", "FILE: no context was asked for and current-context is not set"),
        ("current-context: here\n", 'FILE: there is no context "here" (there is: none)'),
        ("a: [\n", "FILE:2: did not find expected node content while parsing a flow node"),
        (kubeconfig_text("https://[::1"), 'FILE: cluster "here" has a server that is no http or https address: "https://[::1"'),
        (
            kubeconfig_text("https://127.0.0.1:99999"),
            'FILE: cluster "here" has a server that is no http or https address: "https://127.0.0.1:99999"',
        ),
        (
            kubeconfig_text("http://127.0.0.1:1").replace("user: me", "user: you"),
            'FILE: context "here": there is no user "you" (there is: me)',
        ),
    ],
)
def test_a_kubeconfig_that_leads_nowhere(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    assert call("list", kubeconfig=file).both == f"cozypkg: {says.replace('FILE', str(file))}\nexit code 1\n"


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        ("false", "[]", "the credential plugin false failed with code 1"),
        ("sh", "['-c', 'echo one moment >&2; echo the session is over >&2; exit 3']",
         "the credential plugin sh failed with code 3: the session is over"),
        ("echo", "[x]", "the credential plugin echo printed no ExecCredential: JSON is malformed: invalid character (byte 0)"),
        ("no-such-plugin", "[]", "the credential plugin no-such-plugin cannot be run: No such file or directory. Get it."),
    ],
)  # fmt: skip
def test_a_credential_plugin_that_fails(command: str, arguments: str, says: str, tmp_path: Path) -> None:
    plugin = (
        f"{{apiVersion: client.authentication.k8s.io/v1, command: '{command}', args: {arguments}, "
        "interactiveMode: Never, installHint: Get it.}"
    )
    text = kubeconfig_text("http://127.0.0.1:1", token="TOKEN").replace("token: TOKEN", f"exec: {plugin}")
    (tmp_path / "config").write_text(text)
    assert call("list", kubeconfig=tmp_path / "config", env=ENVIRONMENT).both == f"cozypkg: {says}\nexit code 1\n"


def test_a_client_certificate_that_has_expired_is_said_to_be(tmp_path: Path) -> None:
    """The server only cuts the connection, or says that it does not know who asks."""
    keys = pki.ensure(tmp_path / "pki", datetime.now(UTC))
    with running_cluster(tmp_path, pki=keys) as cluster:
        text = cluster.kubeconfig.read_text()
        _client_certificate(keys, tmp_path, datetime(2024, 2, 29, tzinfo=UTC))
        files = f"client-certificate: {tmp_path}/me.crt, client-key: {tmp_path}/me.key"
        cluster.kubeconfig.write_text(text[: text.index("token: ")] + files + text[text.index("}", text.index("token: ")) :])
        result = call("list", kubeconfig=cluster.kubeconfig)
    assert result.code == 1
    assert result.err.endswith("; the client certificate has expired on 2024-02-29\n")
    assert result.err.count("\n") == 1


def _client_certificate(keys: pki.Pki, folder: Path, until: datetime) -> None:
    authority = x509.load_pem_x509_certificate(keys.ca.read_bytes())
    authority_key = serialization.load_pem_private_key((keys.folder / "ca.key").read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=1))
        .not_valid_after(until)
        .sign(authority_key, hashes.SHA256())
    )
    (folder / "me.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "me.key").write_bytes(key.private_bytes(*pem))


@contextmanager
def answering(with_: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that is none."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                with_(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(20)


def test_a_server_that_drops_connections(tmp_path: Path) -> None:
    half = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"items": ['
    for answer in (b"", half):
        with answering(lambda connection, answer=answer: (connection.recv(9999), connection.sendall(answer))) as address:  # type: ignore[misc]
            (tmp_path / "config").write_text(kubeconfig_text(address))
            assert call("list", kubeconfig=tmp_path / "config").both == (
                f"cozypkg: the cluster at {address} does not answer: the connection was cut off\nexit code 1\n"
            )


# What the server answers


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        (429, "TooManyRequests", "the cluster at ADDRESS has too much to do: later"),
        (503, "ServiceUnavailable", "the cluster at ADDRESS is not well: later"),
        (504, "Timeout", "the cluster at ADDRESS is not well: later"),
        (403, "Forbidden", "the cluster does not allow it: later"),
        (401, "Unauthorized", "the cluster at ADDRESS does not accept the credentials of context here: have they expired?"),
    ],
)
@pytest.mark.parametrize("arguments", [["list"], ["status"], ["explain"], ["plan", "--add", "acme.net"], ["dump", "-"]])
def test_an_answer_that_is_a_refusal(code: int, reason: str, says: str, arguments: list[str], cluster: Cluster) -> None:
    cluster.answers("GET", "/packagesources", code, reason, "later")
    assert call(*arguments, kubeconfig=cluster.kubeconfig).both == (
        f"cozypkg: {says.replace('ADDRESS', cluster.address)}\nexit code 1\n"
    )


def test_an_answer_that_is_a_page_of_somebody_else(cluster: Cluster) -> None:
    async def page(request: Request) -> Response | None:
        return Response(200, b"<html>log in</html>", content_type="text/html") if "packagesources" in request.path else None

    cluster.server.hooks.append(page)
    assert call("list", kubeconfig=cluster.kubeconfig).both == (
        f"cozypkg: what answers at {cluster.address} is no Kubernetes (a proxy, a login page?): "
        "list of packagesources.cozystack.io: JSON is malformed: invalid character (byte 0)\nexit code 1\n"
    )


def test_whoever_may_not_list_secrets_or_namespaces_is_told_all_the_rest(cluster: Cluster, tmp_path: Path) -> None:
    """Who may look at everything usually may not look at Secrets."""
    cluster.put(PLATFORM)
    seen = call("explain", "acme.crds", kubeconfig=cluster.kubeconfig)
    cluster.answers("GET", "/secrets", 403, "Forbidden", "secrets is forbidden")
    cluster.answers("GET", "/namespaces", 403, "Forbidden", "namespaces is forbidden")
    warnings = {
        "warning: Secrets may not be listed; that the values of the platform reach every namespace is taken for granted",
        "warning: Namespaces may not be listed; that none is being deleted is taken for granted",
    }
    told = call("explain", "acme.crds", kubeconfig=cluster.kubeconfig)
    assert (told.code, told.out, set(told.err.splitlines())) == (seen.code, seen.out, warnings)
    assert "acme-net/flannel is installed" in call("plan", "--add", "acme.net=flannel", kubeconfig=cluster.kubeconfig).out
    file = tmp_path / "dump.json"
    assert call("dump", file, kubeconfig=cluster.kubeconfig).err.splitlines()[:2] == [
        "warning: Namespaces may not be listed, and are not in it",
        "warning: Secrets may not be listed, and are not in it",
    ]
    again = call("explain", "acme.crds", "--dump", file)
    assert (again.code, again.out, set(again.err.splitlines())) == (seen.code, seen.out, warnings)


# Input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "acme.bd"], "the cluster has neither a Package nor a PackageSource acme.bd; did you mean acme.db?"),
        (["why", "db"], "the cluster has neither a Package nor a PackageSource db; did you mean acme.db?"),
        (["explain", "acme.ap"], "the cluster has neither a Package nor a PackageSource acme.ap; did you mean acme.app?"),
        (["status", "acme.aap"], "the cluster has no Package acme.aap; did you mean acme.app?"),
        (["export", "crds"], "the cluster has no Package crds; did you mean acme.crds?"),
        (["dot", "net"], "the cluster has no PackageSource net; did you mean acme.net?"),
        (["dot", "-i", "app"], "the cluster has no Package app; did you mean acme.app?"),
        (["add", "net", "-y"], "there is no PackageSource net; is it acme.net?"),
        (["set", "acme.bd", "--set", "a.b=1"], "Package acme.bd is not installed; did you mean acme.db?"),
        (["upgrade", "db"], "Package db is not installed; did you mean acme.db?"),
        (["plan", "--del", "app"], "there is no Package app; did you mean acme.app?"),
        (["plan", "--set", "app:x.y=1"], "Package app is not installed; did you mean acme.app?"),
    ],
)
def test_a_name_that_is_almost_right(arguments: list[str], says: str, cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call(*arguments, kubeconfig=cluster.kubeconfig).both == f"cozypkg: {says}\nexit code 1\n"
    assert cluster.seen == []


def test_a_name_that_is_almost_right_is_not_deleted(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("del", "app", "-y", kubeconfig=cluster.kubeconfig).both == (
        "warning: Package app is not installed, skipping; did you mean acme.app?\nNo packages found to delete\nexit code 0\n"
    )


@pytest.mark.parametrize("arguments", [["add", "-y"], ["del", "-y"], ["plan"], ["import", "-y"], ["lint"]])
def test_what_is_read_twice_or_holds_nothing_changes_nothing(arguments: list[str], cluster: Cluster, tmp_path: Path) -> None:
    def given(*paths: str | Path, stdin: str = "") -> str:
        named = paths if arguments[0] in ("import", "lint") else [part for path in paths for part in ("-f", path)]
        result = call(*arguments, *named, stdin=stdin, kubeconfig=cluster.kubeconfig)
        assert result.code == 1
        return result.err

    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.yaml").touch()
    assert given("-", "-", stdin=NEW) == "cozypkg: standard input is named twice, and can be read once\n"
    assert given(tmp_path / "folder") == f"cozypkg: {tmp_path}/folder holds no YAML files\n"
    assert given(tmp_path / "gone") == f"cozypkg: {tmp_path}/gone: no such file or directory\n"
    if arguments[0] != "lint":
        assert given(tmp_path / "empty.yaml") == f"cozypkg: {tmp_path}/empty.yaml holds no Package and no PackageSource\n"
        assert given("-", stdin="a: 1\n---\nb: [\n") == (
            "cozypkg: standard input:4:1: did not find expected node content while parsing a flow node\n"
        )
    assert cluster.seen == []


def test_aliases_that_grow_beyond_measure_are_not_followed(tmp_path: Path) -> None:
    """Ten lines of YAML that would be a thousand million values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
    (tmp_path / "bomb.yaml").write_text(NEW + "\n".join(lines) + "\n")
    assert call("list", "-i", "-f", tmp_path / "bomb.yaml", "-o", "name").code == 0
    result = call("lint", tmp_path / "bomb.yaml")
    assert result.code == 2
    assert "unknown-field" in result.out


# A plan that is kept


@pytest.fixture
def plan(cluster: Cluster, tmp_path: Path) -> Path:
    cluster.put(SOURCES + PACKAGES)
    file = tmp_path / "plan.json"
    assert call("plan", "--add", "acme.net=none", "--out", file, kubeconfig=cluster.kubeconfig).code == 2
    return file


OTHER = "PLAN is no plan of this version: `cozypkg plan --out FILE` writes them"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) // 2], "PLAN is no plan: Input data was truncated"),
        (lambda text: text.replace('"none"', '"flannel"'), "PLAN was changed since it was made; make it again"),
        (lambda text: text.replace("cozypkg-plan/v", "cozypkg-plan/w"), OTHER),
        (lambda text: "\x7fELF", "PLAN is no plan: JSON is malformed: invalid character (byte 0)"),
        (lambda text: "[]", OTHER),
    ],
)
def test_a_plan_that_was_damaged(damage: Callable[[str], str], says: str, plan: Path, cluster: Cluster) -> None:
    plan.write_text(damage(plan.read_text()))
    assert call("apply", plan, "-y", kubeconfig=cluster.kubeconfig).both == (
        f"cozypkg: {says.replace('PLAN', str(plan))}\nexit code 1\n"
    )
    assert "acme.net" not in cluster.names("Package")


def test_a_plan_is_applied_once(plan: Path, cluster: Cluster) -> None:
    assert call("apply", plan, "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert call("apply", plan, "-y", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package/acme.net has changed since the plan was made; nothing was written\nexit code 5\n"
    )


# Streams and signals


def test_streams_that_are_closed_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(PLATFORM)
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, "list", "-f", tmp_path],
            capture_output=True, env=ENVIRONMENT, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")


def test_help_that_nobody_reads_to_the_end_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run([*PROGRAM, "--help"], stdout=broken, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


def test_data_stay_what_they_are_where_a_terminal_knows_ascii_alone(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(NEW.replace("variant: none", "components: {a: {values: {x: grün → 東}}}"))
    for output in ("json", "yaml"):
        done = run("export", "-f", tmp_path, "-o", output, PYTHONIOENCODING="ascii")
        assert "grün → 東".encode() in done.stdout


def test_our_own_signs_are_ascii_where_nothing_else_can_be_shown(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    for encoding, sign in (("ascii", b"acme.app -> acme.db"), ("utf-8", "acme.app → acme.db".encode())):
        done = run("why", "acme.db", "--kubeconfig", cluster.kubeconfig, PYTHONIOENCODING=encoding)
        assert sign in done.stdout
    for arguments in (
        ["explain"],
        ["why", "acme.db"],
        ["status"],
        ["add", "acme.net=none", "-y"],
        ["plan", "--add", "acme.net"],
    ):
        result = call(*arguments, "--plain", kubeconfig=cluster.kubeconfig)
        assert (result.out + result.err).isascii()


@pytest.mark.parametrize("phase", ["asking", "rehearsing", "writing", "waiting"])
def test_ctrl_c_in_each_phase_says_that_it_stopped_and_no_more(phase: str, cluster: Cluster) -> None:
    cluster.put(SOURCES)
    reached, leave = threading.Event(), asyncio.Event()

    async def hang(request: Request) -> None:
        method, dry, watch = request.method, "dryRun" in request.query, request.flag("watch")
        now = {
            "asking": method == "GET" and not watch,
            "rehearsing": method == "PATCH" and dry,
            "writing": method == "PATCH" and not dry,
            "waiting": method == "GET" and watch,
        }
        if now[phase]:
            reached.set()
            await leave.wait()

    cluster.server.hooks.append(hang)
    started = subprocess.Popen(
        [*PROGRAM, "add", "acme.crds", "-y", "--wait", "--kubeconfig", cluster.kubeconfig],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert reached.wait(30)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=30)
    finally:
        cluster.do(_set(leave))
    assert (started.returncode, out) == (130, b"")
    assert err.endswith(b"\nstopped\n")
    assert b"Traceback" not in err
    assert (b"Added Package acme.crds" in err) == (phase == "waiting")


async def _set(event: asyncio.Event) -> None:
    event.set()


@pytest.mark.parametrize("columns", ["1", "20", "79"])
def test_a_narrow_terminal_shortens_and_never_fails(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (
        ["list"],
        ["list", "-i"],
        ["status"],
        ["show", "acme.db"],
        ["search", "acme"],
        ["dot", "--format", "tree"],
    ):
        result = call(*arguments, "-f", "-", stdin=PLATFORM, screen=True)
        assert (result.code, result.err) == (0, "")
        assert "acme.db" in result.out


def test_colours_only_where_they_are_wanted(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    def coloured(*more: str, **env: str) -> bool:
        found = call("explain", *more, screen=True, env={**ENVIRONMENT, **env}, kubeconfig=cluster.kubeconfig)
        return "\x1b[" in found.out

    assert coloured() and coloured(TERM="") and coloured(TERM="xterm")
    assert not (coloured("--plain") or coloured(TERM="dumb") or coloured(NO_COLOR="1") or coloured(NO_COLOR=""))
