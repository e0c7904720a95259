"""Keys as cert-manager and OpenSSL write them become what Kafka reads; OpenSSL is the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from peerboot.systems.kafka.pem import pkcs8

KINDS = {
    "rsa": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "p256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p521": ("EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
}


def _openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout  # noqa: S603, S607


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_key_in_another_envelope(kind: str, tmp_path: Path) -> None:
    """PKCS#1 and SEC 1 as OpenSSL writes them lead to the same public key, also behind a block of EC parameters."""
    old, new = tmp_path / "old", tmp_path / "new"
    made = _openssl("genpkey", "-algorithm", *KINDS[kind])
    new.write_text(made)
    old.write_text(_openssl("pkey", "-in", str(new), "-traditional"))
    public = _openssl("pkey", "-in", str(new), "-pubout")
    text = old.read_text()
    assert text.startswith(f"-----BEGIN {KINDS[kind][0]} PRIVATE KEY-----")
    for before in (text, f"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{text}"):
        new.write_text(pkcs8(before))
        assert _openssl("pkey", "-in", str(new), "-pubout") == public
        assert new.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert pkcs8(made) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIBA\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMIQ=\n-----END EC PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n",
    ],
    ids=["nothing", "certificate", "encrypted", "encrypted before", "no base64", "no curve", "cut off", "one byte"],
)
def test_what_is_no_key(text: str) -> None:
    """One error for all, whatever the bytes."""
    with pytest.raises(ValueError, match=r"^(no|a|an) "):
        pkcs8(text)
