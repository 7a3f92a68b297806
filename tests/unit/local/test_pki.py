"""Certificates of a world are vouched for by its own authority, keys are made once."""

import ipaddress
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tiketi_local import pki


def test_a_clients_certificate_carries_user_and_groups_and_is_signed_by_the_authority(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path)
    certificate = x509.load_pem_x509_certificate(authority.client("anna", ["g1", "g2"]).certificate.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem.encode()))
    assert certificate.subject.rfc4514_string() == "CN=anna,O=g2,O=g1"


def test_a_servers_certificate_names_hosts_and_addresses(tmp_path: Path) -> None:
    pair = pki.Authority(tmp_path).server("api", ["localhost", "127.0.0.1"])
    names = x509.load_pem_x509_certificate(pair.certificate.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.value.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]


def test_an_authority_is_made_once(tmp_path: Path) -> None:
    assert pki.Authority(tmp_path).pem == pki.Authority(tmp_path).pem


def test_keys_are_private_made_once_and_can_be_read(tmp_path: Path) -> None:
    signing, mac, word = tmp_path / "auth.pem", tmp_path / "queue.json", tmp_path / "draw.key"
    for _ in range(2):
        pki.write_signing_key(signing)
        pki.write_mac_keys(mac)
        pki.write_random_word(word)
        before = (signing.read_bytes(), mac.read_bytes(), word.read_bytes())
    assert before == (signing.read_bytes(), mac.read_bytes(), word.read_bytes())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (signing, mac, word))
    assert len(word.read_bytes()) == 64
    load_pem_private_key(signing.read_bytes(), password=None)
    keys = json.loads(mac.read_text(encoding="utf-8"))
    assert keys["current"] in keys["keys"]
