"""The nonces behind birth tokens, as far as facts tell them."""

from __future__ import annotations

from peerboot.birth import token_of
from peerboot.model import Birth, Facts


def births_of(facts: Facts) -> dict[str, str]:
    """The nonces of each birth that is known here, by its token."""
    identity = facts.identity
    nonces = {pod: one.statement.nonce for pod, one in facts.evidence.items() if one.statement is not None}
    nonces[identity.pod] = facts.record.nonce
    found: dict[str, str] = {}
    if identity.expected and all(nonces.get(pod) for pod in identity.expected):
        members = {pod: nonces[pod] for pod in identity.expected}
        found[token_of(members)] = ",".join(members.values())
    if facts.record.birth is not None and (said := in_a_row(facts, facts.record.birth)):
        found[facts.record.birth.token] = said
    return found


def in_a_row(facts: Facts, birth: Birth) -> str | None:
    """The nonces of pods in a row from the first expected one; None for other pods."""
    identity = facts.identity
    pods = [f"{identity.statefulset}-{identity.start + i}" for i in range(len(birth.members))]
    if set(pods) != set(birth.members) or not all(birth.members.values()):
        return None
    return ",".join(birth.members[pod] for pod in pods)
