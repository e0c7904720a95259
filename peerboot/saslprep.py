"""SASLprep (RFC 4013), as Postgres' two sides of SCRAM do it. Pure."""

from __future__ import annotations

import stringprep
import unicodedata


def prepared(password: str) -> str:
    """The password as both sides of SCRAM take it: by SASLprep (RFC 4013), or as it is where that forbids it
    (pg_saslprep in src/common/saslprep.c, and its callers).
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not text or any(forbids(char) for char in text for forbids in FORBIDDEN):
        return password
    if any(stringprep.in_table_d1(char) for char in text):
        mixed = any(stringprep.in_table_d2(char) for char in text)
        if mixed or not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
            return password
    return text


FORBIDDEN = (
    stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
    stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
    stringprep.in_table_c8, stringprep.in_table_c9,
)  # fmt: skip
