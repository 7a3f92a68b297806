"""Keys are those of the environment, and a service that cannot use its settings says so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tiketi_services.payment.app import main
from tiketi_services.payment.settings import Environment, check_keys


@pytest.mark.parametrize(
    ("client", "secret", "environment"),
    [
        ("test_ck_abc", "test_sk_abc", "test"),
        ("test_gck_abc", "test_gsk_abc", "test"),
        ("live_ck_abc", "live_sk_abc", "production"),
    ],
)
def test_a_pair_of_the_environment_is_taken(client: str, secret: str, environment: Environment) -> None:
    check_keys(client, secret, environment)


@pytest.mark.parametrize(
    ("client", "secret", "environment", "words"),
    [
        ("test_ck_abc", "live_sk_abc", "test", "live_ key is refused in environment test"),
        ("live_ck_abc", "test_sk_abc", "test", "live_ key is refused in environment test"),
        ("test_ck_abc", "test_sk_abc", "production", "test_ key is refused in environment production"),
        ("live_ck_abc", "test_sk_abc", "production", "test_ key is refused in environment production"),
        ("test_gck_abc", "test_sk_abc", "test", "different kinds"),
        ("test_sk_abc", "test_sk_abc", "test", "not a client key"),
        ("test_ck_abc", "test_ck_abc", "test", "no secret key"),
        ("test_ck_abc", "", "test", "no secret key"),
        ("", "test_sk_abc", "test", "not a client key"),
    ],
)
def test_other_keys_are_refused_without_saying_them(
    client: str, secret: str, environment: Environment, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        check_keys(client, secret, environment)
    assert "_abc" not in str(refused.value)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Settings that can be used, but for what a test changes."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "signing.pem").write_bytes(pem)
    (tmp_path / "toss.key").write_text("test_sk_abc")
    (tmp_path / "live.key").write_text("live_sk_abc")
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "AMQP_URL": "amqp://127.0.0.1:9",
        "SIGNING_KEY_FILE": "signing.pem",
        "AUTH_JWKS_URL": "http://127.0.0.1:9",
        "TICKET_JWKS_URL": "http://127.0.0.1:9",
        "TOSS_CLIENT_KEY": "test_ck_abc",
        "TOSS_SECRET_KEY_FILE": "toss.key",
    }
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(f"TIKETI_PAYMENT_{name}", value)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOSS_SECRET_KEY_FILE", "live.key", "live_ key is refused"),
        ("TOSS_SECRET_KEY_FILE", "missing.key", "No such file"),
        ("ENVIRONMENT", "production", "test_ key is refused"),
        ("ENVIRONMENT", "prod", "TIKETI_PAYMENT_ENVIRONMENT"),
        ("SIGNING_KEY_FILE", "toss.key", ""),
        ("PORT", "many", "TIKETI_PAYMENT_PORT"),
    ],
)
def test_settings_that_cannot_be_used_end_the_process_with_2_and_one_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
) -> None:
    environment.setenv(f"TIKETI_PAYMENT_{name}", value)
    environment.setattr("sys.argv", ["tiketi-payment"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert "_abc" not in said
