"""One verdict."""

from __future__ import annotations

from typing import Literal

from peerboot.model.base import Value

Kind = Literal["form", "join", "replace", "resume", "renew", "wait", "refuse", "leave", "idle"]


class Decision(Value, frozen=True, kw_only=True):
    """One verdict, with what it rests on."""

    kind: Kind
    rule: str
    """Name of the rule in the table of ``decide.py``."""
    reason: str
    """One sentence for people: what, why, and for a wait or a refusal what would change it."""
    evidence: tuple[str, ...] = ()
    """One line a piece of evidence."""
    waits_for: tuple[str, ...] = ()
    consent: str = ""
    """Not empty: the nonce with which a person may allow what ``would`` names, once."""
    would: str = ""
    may_run: bool = False
    """The server may run under this decision (the permit stands or is given)."""
    exit_code: int = 0
    """What ``init`` leaves with when this verdict is final; 0 for go on."""
    target: str = ""
    """The member id that the decision is about, where it is about one."""
