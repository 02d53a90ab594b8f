"""The authorities, certificates and keys of one cluster, made once and kept in its state folder."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
_ADDRESSES = ("127.0.0.1", "10.96.0.1")
_DAY = timedelta(days=1)


class Certificates:
    """Where the files are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.crt"
        self.front_proxy_ca = folder / "front-proxy-ca.crt"
        self.account_key = folder / "service-account.key"
        self.account_public = folder / "service-account.pub"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def ensure(folder: Path) -> Certificates:
    """The files in ``folder``, made when they are not there."""
    found = Certificates(folder)
    if found.ca.is_file():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    cluster = _Authority("e2e")
    proxy = _Authority("e2e-front-proxy")
    cluster.issue(folder, "server", "kube-apiserver", server=True)
    cluster.issue(folder, "admin", "admin", organization="system:masters")
    cluster.issue(folder, "controller-manager", "system:kube-controller-manager")
    proxy.issue(folder, "front-proxy", "front-proxy")
    account = ec.generate_private_key(ec.SECP256R1())
    _write(found.account_key, _private(account))
    _write(found.account_public, account.public_key().public_bytes(*_PUBLIC))
    _write(found.front_proxy_ca, proxy.pem)
    _write(found.ca, cluster.pem)
    return found


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = _usage(authority=True)
        builder = _builder(self._name, self._name, self._key.public_key()).add_extension(usage, critical=True)
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, folder: Path, file: str, name: str, *, organization: str = "", server: bool = False) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organization:
            parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(x509.Name(parts), self._name, key.public_key())
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if server:
            hosts: list[x509.GeneralName] = [x509.DNSName(text) for text in _NAMES]
            hosts += [x509.IPAddress(ipaddress.ip_address(text)) for text in _ADDRESSES]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write(folder / f"{file}.key", _private(key))
        _write(folder / f"{file}.crt", certificate.public_bytes(serialization.Encoding.PEM))


_PUBLIC = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    encryption = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
