"""The smallest words of a case: plain ones, keys with values, births by their nonces."""

from __future__ import annotations

from peerboot.birth import token_of
from peerboot.model import Birth, Identity

NOW = 1000.0
"""The moment of every case."""


def words(parts: list[str]) -> tuple[list[str], dict[str, str]]:
    """The plain words of a line, and its keys with their values."""
    plain = [part for part in parts if "=" not in part]
    return plain, dict(part.split("=", 1) for part in parts if "=" in part)


def birth_of(identity: Identity, nonces: str) -> Birth:
    """The birth of pods in a row, from the first expected one."""
    members = {f"{identity.statefulset}-{identity.start + i}": nonce for i, nonce in enumerate(nonces.split(","))}
    return Birth(token=token_of(members), members=members)


def pods(text: str) -> tuple[str, ...]:
    """``db-0,db-1``."""
    return tuple(filter(None, text.split(",")))


def url_of(identity: Identity, pod: str) -> str:
    """The peer URL of a pod as the cases' cluster lists it."""
    return f"http://{identity.name_of(pod)}:2380"
