"""Certificates for the webhook: an authority of its own, and a server certificate that it signs.

The authority lives for ten years and the server certificate for one; each is renewed when a third of its time is left. So the
API server hardly ever has to learn a new authority; when it has to, the old one stays in the bundle next to the new one.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
SERVER_DAYS = 365
_LEFT = 3
_SKEW = timedelta(hours=1)
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder that is writable in a container with a read-only root, and no disk


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM texts. ``authorities`` is what clients trust: the authority that signs, then earlier ones."""

    authorities: bytes
    authority_key: bytes
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Certificates({len(self.authorities)} bytes of authorities)"

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let new connections of a server have the certificate."""
        with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
            path = Path(folder) / "server.pem"  # Python reads certificates from files only
            path.touch(0o600)
            path.write_bytes(self.certificate + self.key)
            context.load_cert_chain(path)


def issue(host: str, now: datetime) -> Certificates:
    """An authority and a certificate for ``host``, all new."""
    return _signed(*_authority(now), host, now, earlier=b"")


def renewed(old: Certificates, host: str, now: datetime) -> Certificates:
    """``old`` itself while it is good; else with what has to be new. What cannot be read is made new."""
    try:
        authority = x509.load_pem_x509_certificates(old.authorities)[0]
        key = serialization.load_pem_private_key(old.authority_key, password=None)
    except (ValueError, TypeError, IndexError):
        return issue(host, now)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
        return issue(host, now)
    if _renewal(authority) <= now:
        return _signed(*_authority(now), host, now, earlier=old.authorities if authority.not_valid_after_utc > now else b"")
    if not _is_good(old, authority, host, now):
        return _signed(key, authority, host, now, earlier=_rest(old.authorities))
    return old


def renewal(current: Certificates) -> datetime:
    """When ``renewed`` has something to do again; for certificates that it returned."""
    authority = x509.load_pem_x509_certificates(current.authorities)[0]
    return min(_renewal(authority), _renewal(x509.load_pem_x509_certificate(current.certificate)))


def _renewal(certificate: x509.Certificate) -> datetime:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return end - (end - begin) / _LEFT


def _is_good(old: Certificates, authority: x509.Certificate, host: str, now: datetime) -> bool:
    """Whether the server certificate is for ``host``, by ``authority``, has its key and some time left."""
    try:
        certificate = x509.load_pem_x509_certificate(old.certificate)
        key = serialization.load_pem_private_key(old.key, password=None)
        certificate.verify_directly_issued_by(authority)
        hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    if hosts.get_values_for_type(x509.DNSName) != [host] or key.public_key() != certificate.public_key():
        return False
    return certificate.not_valid_before_utc <= now < _renewal(certificate)


def _rest(authorities: bytes) -> bytes:
    return _pem(x509.load_pem_x509_certificates(authorities)[1:])


def _authority(now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cozystack-operator-webhook-ca")])
    certificate = (
        _builder(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _signed(
    authority_key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, host: str, now: datetime, *, earlier: bytes
) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name holds 64 characters, which the name of a host may exceed; clients look at the alternative name alone.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cozystack-operator-webhook")])
    certificate = (
        _builder(subject, authority.subject, key, now, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Certificates(_pem([authority]) + earlier, _key_pem(authority_key), _pem([certificate]), _key_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
