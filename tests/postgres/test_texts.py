"""What is written for Postgres and libpq, compared with what they read and wrote themselves."""

from __future__ import annotations

import base64

import pytest

from peerboot.saslprep import prepared
from peerboot.systems.postgres import texts

SERVER_MADE = {
    "pencil": "SCRAM-SHA-256$4096:j5Ap5qQ5AOuK73WF6WT2kg==$m20NJA7gms4Gm07nmFMqUGWJcbX/sCpgXlZ4QM7DnVE=:"
    "Q/xY/l4EyX2oeAW7XSkHZlom1JVLAMD6J5umGqhYFT0=",
    "I\u00d7\u2163": "SCRAM-SHA-256$4096:Y7KY1EKq01kTHOPyYIRAhg==$YmvTTBbcoDRTLLOGF6Ru2mrr67ZuK7Hx8BCB/2ZE0As=:"
    "ujap6+f/ByTfO4Nfoca5Hi7crU6jYgYj+ELh8Pjt54s=",
}
"""``rolpassword`` of roles that PostgreSQL 17.10 made; the second one's password is changed by SASLprep."""


@pytest.mark.parametrize("password", SERVER_MADE, ids=["plain", "prepared"])
def test_verifiers_are_the_servers_own(password: str) -> None:
    """With the salt that the server took, the verifier is what the server keeps."""
    salt = base64.b64decode(SERVER_MADE[password].split(":")[1].split("$")[0])
    assert SERVER_MADE[password] == texts.verifier(password, salt)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0007\u00e4", "\u0007\u00e4"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("\u00ad", "\u00ad"),
        ("pass word", "pass word"),
    ],
)
def test_saslprep(password: str, expected: str) -> None:
    """The examples of RFC 4013, section 3; what it forbids is taken as it is."""
    assert expected == prepared(password)


def test_quoting() -> None:
    """Each text by its reader's own rules, tried with psql and the server of 17.10."""
    odd = "se'cr\\et: x"
    assert texts.setting(odd) == "'se''cr\\\\et: x'"
    assert texts.conninfo({"host": "a,b", "application_name": odd, "user": ""}) == (
        "host=a,b application_name='se\\'cr\\\\et: x' user=''"
    )
    assert texts.password_line("replicator", odd) == "*:*:*:replicator:se'cr\\\\et\\: x"
    assert texts.literal("it's") == "'it''s'"
    assert texts.literal(odd) == " E'se''cr\\\\et: x'"
    assert texts.name('od"d') == '"od""d"'


@pytest.mark.parametrize("value", ["two\nlines", "a\rreturn", "zero\0"])
def test_what_has_more_than_a_line_is_refused(value: str) -> None:
    """It would end a setting, and begin another."""
    for write in (
        texts.setting,
        lambda text: texts.conninfo({"host": text}),
        lambda text: texts.password_line("a", text),
    ):
        with pytest.raises(ValueError, match="one line"):
            write(value)


def test_names_of_slots() -> None:
    """As Patroni makes them from pods' names; nothing is cut, for two pods could become one."""
    assert [texts.slot(pod) for pod in ("pg-1", "Db.x-10")] == ["pg_1", "db_x_10"]
    for wrong in ("", "p" * 64, "p\u00e4-1"):
        with pytest.raises(ValueError, match="gives no name"):
            texts.slot(wrong)
