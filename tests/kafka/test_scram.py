"""Logins: the RFC's own exchange, and servers that do not prove what they have to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerboot.outside.kafka.errors import KafkaError
from peerboot.outside.kafka.scram import Login, Scram, plain

PENCIL = Login("SCRAM-SHA-256", "user", "pencil")
NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
PROOF = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
ANSWER = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

SHA512 = "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ=="
SHA512_ANSWER = "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="


def test_the_exchange_of_the_rfc() -> None:
    """RFC 7677 section 3, each message byte for byte."""
    scram = Scram(PENCIL, NONCE)
    assert (scram.first(), scram.final(CHALLENGE.encode())) == (b"n,,n=user,r=" + NONCE.encode(), PROOF.encode())
    scram.verify(ANSWER.encode())


def test_sha_512_is_another_proof() -> None:
    """SCRAM-SHA-512 with the same values, checked against kafka-python 3.0.12."""
    scram = Scram(Login("SCRAM-SHA-512", "user", "pencil"), NONCE)
    assert scram.final(CHALLENGE.encode()).decode().partition(",p=")[2] == SHA512
    scram.verify(SHA512_ANSWER.encode())


@pytest.mark.parametrize(
    ("user", "written"),
    [("a,b", "a=2Cb"), ("a=b", "a=3Db"), ("=,", "=3D=2C"), ("jürgen", "jürgen")],
    ids=["comma", "equals", "both", "unicode"],
)
def test_names_are_escaped(user: str, written: str) -> None:
    """RFC 5802 section 5.1: what would end the name is written as a number."""
    assert Scram(Login("SCRAM-SHA-256", user, "x"), "n").first() == f"n,,n={written},r=n".encode()


def test_plain_is_three_fields() -> None:
    """RFC 4616: no other name to act for, the user, the password."""
    assert plain(Login("PLAIN", "admin", "sécret")) == b"\0admin\0s\xc3\xa9cret"


def test_a_password_is_in_no_text() -> None:
    """A login that is printed or logged does not tell its password."""
    assert "pencil" not in repr(PENCIL)


@pytest.mark.parametrize(
    ("mechanism", "user", "password"),
    [("GSSAPI", "a", "b"), ("PLAIN", "", "b"), ("PLAIN", "a", ""), ("PLAIN", "a\0", "b"), ("PLAIN", "a", "\ud800")],
    ids=["unknown-mechanism", "no-user", "no-password", "nul", "not-unicode"],
)
def test_a_login_that_no_server_could_read_is_the_callers_mistake(mechanism: str, user: str, password: str) -> None:
    """It is found where the login is made, not at the server."""
    with pytest.raises(ValueError):  # noqa: PT011 - which one is of no interest
        Login(mechanism, user, password)  # type: ignore[arg-type]  # on purpose


CHALLENGES = {
    "empty": ("", "bytes that are not SCRAM"),
    "not ascii": ("r=ü,s=YQ==,i=4096", "bytes that are not SCRAM"),
    "the nonce alone": (f"r={NONCE},s=YQ==,i=4096", "a nonce that is not an answer to ours"),
    "another nonce": ("r=other,s=YQ==,i=4096", "a nonce that is not an answer to ours"),
    "no salt": (f"r={NONCE}x,i=4096", "no base64"),
    "no base64": (f"r={NONCE}x,s=!!,i=4096", "no base64"),
    "too few rounds": (f"r={NONCE}x,s=YQ==,i=4095", "4095 iterations, where 4096 to 65536 are taken"),
    "too many rounds": (f"r={NONCE}x,s=YQ==,i=999999999", "999999999 iterations"),
    "endless rounds": (f"r={NONCE}x,s=YQ==,i={'9' * 400}", "999999999999 iterations"),
    "no rounds": (f"r={NONCE}x,s=YQ==", "no iterations"),
    "a negative number": (f"r={NONCE}x,s=YQ==,i=-4096", "-4096 iterations"),
    "a mandatory extension": (f"m=x,r={NONCE}x,s=YQ==,i=4096", "an extension that is mandatory"),
}


@pytest.mark.parametrize(("challenge", "says"), CHALLENGES.values(), ids=CHALLENGES.keys())
def test_a_challenge_that_is_none_ends_the_login(challenge: str, says: str) -> None:
    """Nothing is computed for it: a server cannot make this side work for long."""
    scram = Scram(PENCIL, NONCE)
    with pytest.raises(KafkaError) as caught:
        scram.final(challenge.encode())
    assert (caught.value.outcome, says in str(caught.value)) == ("sasl", True)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("v=AAAA", "no proof that it knows the password"),
        ("v=", "no base64"),
        ("e=invalid-proof", "not accepted: invalid-proof"),
        ("x=1", "no base64"),
    ],
    ids=["another-proof", "empty", "refused", "something-else"],
)
def test_a_server_has_to_prove_that_it_knows_the_password(answer: str, says: str) -> None:
    """One that took the login without knowing the password is not the cluster."""
    scram = Scram(PENCIL, NONCE)
    scram.final(CHALLENGE.encode())
    with pytest.raises(KafkaError) as caught:
        scram.verify(answer.encode())
    assert (caught.value.outcome, says in str(caught.value)) == ("sasl", True)


def test_a_proof_before_the_challenge_is_none() -> None:
    """An empty proof does not equal one that was never computed."""
    with pytest.raises(KafkaError):
        Scram(PENCIL, NONCE).verify(b"v=AA==")


@given(challenge=st.binary(max_size=100), answer=st.binary(max_size=100))
def test_any_bytes_end_a_login_with_one_error(challenge: bytes, answer: bytes) -> None:
    """Whatever the server says, nothing but ``KafkaError`` is raised."""
    scram = Scram(PENCIL, NONCE)
    with pytest.raises(KafkaError):
        scram.final(challenge)
    with pytest.raises(KafkaError):
        scram.verify(answer)
