"""Why a Postgres did not do what it was asked: one error, a closed set of kinds, one line of text.

Servers tell their messages in their own language, so what is told apart is told by SQLSTATE and by the server's own
function that raised it, which are the same in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from peerboot.printing import one_line

Kind = Literal["refused", "starting", "password", "hba", "tls", "timeout", "missing", "sql", "odd"]
"""``refused``   no connection, or it ended before an answer: nothing listens, no way there, reset
``starting``  a server that lets nobody in now, or no longer: it starts, recovers, stops; its own words say which
``password``  the password is not that of the role, or the server did not prove that it knows it
``hba``       no line of its pg_hba.conf lets this role in from here with SCRAM
``tls``       the certificate is not to be trusted or names another, or the server does not speak TLS
``timeout``   no whole answer in time
``missing``   the role or the database does not exist, or may not be used to log in
``sql``       any other error of the server's: ``code``
``odd``       what answers is no Postgres, or not one that keeps to its protocol
"""
MESSAGE_LIMIT = 300
"""Characters of a server's own message that are shown."""

TOO_MANY, NOT_ALLOWED = "53300", "42501"
"""No connection is left for such a client; the role lacks a right."""
NO_FILE, NO_SLOT, SLOT_EXISTS, SLOT_IN_USE = "58P01", "42704", "42710", "55006"
WRONG_STATE = "55000"
"""Recovery has ended, or has not, where a function needs the other."""
KINDS: dict[str, Kind] = {
    "57P03": "starting",  # cannot_connect_now
    "57P01": "starting",  # admin_shutdown
    "57P02": "starting",  # crash_shutdown
    "28P01": "password",
    "28000": "hba",
    "3D000": "missing",
    "57014": "timeout",  # query_canceled: statement_timeout
}
ROLE_CHECK = "InitializeSessionUserId"
"""The function (miscinit.c) whose 28000 is of the role and not of pg_hba.conf."""


class PostgresError(Exception):
    """A question or a call that was not carried out, or nobody knows whether. ``str`` is one printable line."""

    def __init__(self, kind: Kind, say: str, *, code: str = "", sent: bool = False) -> None:
        """``code``: SQLSTATE, empty if the error is not the server's. ``sent``: what was asked for may have reached the
        server, and it has not said what became of it: after a change, look again before the next step.
        """
        super().__init__(one_line(say, MESSAGE_LIMIT * 2))
        self.kind: Kind = kind
        self.code = code
        self.sent = sent


def told(fields: Mapping[str, str], *, sent: bool = False) -> PostgresError:
    """The error for an ErrorResponse: its fields by their letters."""
    code = one_line(fields.get("C", ""), 5)
    kind = KINDS.get(code, "sql")
    if code == "28000" and fields.get("R") == ROLE_CHECK:
        kind = "missing"
    said = one_line(fields.get("M") or "an error without words", MESSAGE_LIMIT)
    # Why a server does not let anybody in yet stands in its detail: it has not come to a consistent state, for one.
    if kind == "starting" and fields.get("D"):
        said += f" ({one_line(fields['D'], MESSAGE_LIMIT)})"
    if kind == "sql":
        said = f"{said} (SQLSTATE {code})" if code else said
    # An answer is not unknown, except where the server was stopped in the middle.
    return PostgresError(kind, said, code=code, sent=sent and kind in ("starting", "timeout"))
