"""Certificates and keys of one world: a certificate authority, who it vouches for, signing keys of the services."""

import base64
import ipaddress
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tiketi_local.part import write_private

LIFETIME = timedelta(days=365)
"""A world is not meant to live that long."""

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: str
    key: str


class Authority:
    """A certificate authority kept in a folder; made there on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / "ca.crt").exists():
            self._make()
        self._certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{folder / 'ca.key'} holds no elliptic-curve key")
        self._key = key

    @property
    def pem(self) -> str:
        """The authority's own certificate."""
        return (self._folder / "ca.crt").read_text(encoding="ascii")

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("tiketi-local-ca", ())
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        # The certificate comes last: whoever finds it may rely on the key.
        write_private(self._folder / "ca.key", _pem(key))
        write_private(self._folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM).decode())

    def server(self, name: str, hosts: Sequence[str]) -> Pair:
        """A server's certificate for these host names and addresses."""
        return self._issue(_name(name, ()), ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    def client(self, name: str, groups: Sequence[str] = ()) -> Pair:
        """A Kubernetes user's certificate."""
        return self._issue(_name(name, groups), ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def _issue(self, name: x509.Name, usage: x509.ObjectIdentifier, hosts: Sequence[str]) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self._certificate.subject, key.public_key()).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_host, hosts))), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks of one machine may be set back a little
        .not_valid_after(now + LIFETIME)
    )


def _name(common: str, groups: Sequence[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def write_service_account_keys(folder: Path) -> None:
    """Keys that sign and check service account tokens: sa.key, sa.pub. Kept if they are there."""
    if (folder / "sa.pub").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(folder / "sa.key", _pem(key))
    write_private(folder / "sa.pub", public.decode())


def write_signing_key(path: Path) -> None:
    """An Ed25519 key for a service's signed tokens. Kept if it is there."""
    if not path.exists():
        write_private(path, _pem(ed25519.Ed25519PrivateKey.generate()))


def write_random_word(path: Path) -> None:
    """64 random hexadecimal digits, for a key that is nothing else. Kept if they are there."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))


def write_mac_keys(path: Path) -> None:
    """Keys of the line's receipts and passes. Kept if they are there."""
    if not path.exists():
        fresh = base64.b64encode(secrets.token_bytes(32)).decode()
        write_private(path, json.dumps({"current": "k1", "keys": {"k1": fresh}}))
