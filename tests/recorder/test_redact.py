"""Secrets are taken out of texts, in every form in which they may stand there."""

from __future__ import annotations

import base64
import urllib.parse

import pytest

from peerboot.redact import GONE, Redactor

SECRET = "s3cr3t/w0rd+&with=signs"
FORMS = {
    "plain": SECRET,
    "hex": SECRET.encode().hex(),
    "HEX": SECRET.encode().hex().upper(),
    "in a URL": urllib.parse.quote(SECRET, safe=""),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 of a login": base64.b64encode(f"root:{SECRET}".encode()).decode(),
    "base64 in the middle": base64.b64encode(f"ab{SECRET}cdefg".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"x{SECRET}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_gone_in_any_form(form: str) -> None:
    """A secret that peerboot was given is found as it is, in hex, in a URL, and in base64 wherever it begins."""
    text = Redactor([f"{SECRET}\n"]).text(f"before {FORMS[form]} after")
    assert FORMS[form] not in text
    assert GONE in text
    assert (text[:7], text[-6:]) == ("before ", " after")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:pw@db-0:2380/x", f"http://{GONE}@db-0:2380/x"),
        ("sasl.jaas.config: x password='hunter2'; y", f"sasl.jaas.config: x password={GONE}; y"),
        ("Authorization: Bearer abcdefgh.ijkl", f"Authorization: Bearer {GONE}"),
        ("eyJhbGciOiJSUzI1.eyJzdWIiOiJ4Ijo.c2ln", GONE),
        (f"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n{'x' * 3}", f"{GONE}\nxxx"),
        ("`peerboot consent 3f9c0a12be` would", f"`peerboot consent {GONE}` would"),
        ("used consent 3f9c0a12be", f"used consent {GONE}"),
        ("passfile=/run/pgpass connect_timeout=3", "passfile=/run/pgpass connect_timeout=3"),
        ("bad password: it is refused", "bad password: it is refused"),
    ],
    ids=["url", "password", "bearer", "jwt", "pem", "consent", "consent used", "a file's name", "a sentence"],
)
def test_what_looks_like_a_secret_is_gone(text: str, expected: str) -> None:
    """Secrets that nobody told peerboot of are known by their shape; sentences about them stay."""
    assert expected == Redactor().text(text)


def test_names_stay_although_a_password_is_one() -> None:
    """A password that is the Pod's name does not make facts unreadable; one that is too short is no pattern."""
    redactor = Redactor(["etcd-0", "abc", "peerboot"], ["etcd-0"])
    assert redactor.text("etcd-0 abc peerboot") == "etcd-0 abc peerboot"


def test_a_tree_keeps_its_shape() -> None:
    """Texts in lists and dicts are redacted, keys too; numbers and None stay what they are."""
    tree = {SECRET: [1, None, {"x": (SECRET, 2.5)}], "y": True}
    assert Redactor([SECRET]).tree(tree) == {GONE: [1, None, {"x": [GONE, 2.5]}], "y": True}
