"""Texts that Postgres and libpq read, each with its own rules of quoting. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache

from peerboot.saslprep import prepared

ROUNDS = 4096
"""``SCRAM_SHA_256_DEFAULT_ITERATIONS`` (src/include/common/scram-common.h)."""
SALT = 16


def setting(value: str) -> str:
    """A value of ``postgresql.conf`` (src/backend/utils/misc/guc-file.l); raises ``ValueError`` where it has none."""
    _one_line(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def conninfo(parts: Mapping[str, str]) -> str:
    """A connection string of libpq (conninfo_parse in fe-connect.c), in this order."""
    words = []
    for key, value in parts.items():
        _one_line(value)
        plain = value != "" and not set(value) & set(" '\\")
        words.append(f"{key}={value}" if plain else f"{key}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'")
    return " ".join(words)


def password_line(user: str, password: str) -> str:
    """A line of a password file of libpq for every server and database (passwordFromFile in fe-connect.c)."""
    _one_line(password)
    fields = (one.replace("\\", "\\\\").replace(":", "\\:") for one in (user, password))
    return "*:*:*:" + ":".join(fields)


def literal(value: str) -> str:
    """A string in SQL that reads the same whatever ``standard_conforming_strings`` says."""
    if "\0" in value:
        raise ValueError("a zero byte cannot be written in SQL")
    text = value.replace("'", "''")
    return " E'" + text.replace("\\", "\\\\") + "'" if "\\" in value else "'" + text + "'"


def name(value: str) -> str:
    """A name in SQL, as it is written."""
    if "\0" in value or not value:
        raise ValueError("no name in SQL")
    return '"' + value.replace('"', '""') + '"'


def slot(pod: str) -> str:
    """The name of a pod's replication slot and ``application_name``: lower-case letters, digits and underscores, 63 at
    most (ReplicationSlotValidateName). The end is kept, for the ordinal is there; raises ``ValueError`` where it has to
    be cut so short that two pods could be alike.
    """
    text = pod.lower().replace("-", "_").replace(".", "_")
    if len(text) > 63 or not text or text.strip("abcdefghijklmnopqrstuvwxyz0123456789_"):
        raise ValueError(f"{pod!r} gives no name of a slot: use at most 63 letters, digits and dashes")
    return text


@lru_cache(maxsize=64)
def verifier(password: str, salt: bytes) -> str:
    """What the server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677; scram_build_secret in scram-common.c):
    so no password is in a statement, and none in a server's log.

    ``salt``: 16 bytes.
    """
    if len(salt) != SALT:
        raise ValueError("the salt has 16 bytes")
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ROUNDS}:{_base64(salt)}${_base64(stored)}:{_base64(server)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _one_line(value: str) -> None:
    if any(char in value for char in "\n\r\0"):
        raise ValueError("a value has one line, without a zero byte")
