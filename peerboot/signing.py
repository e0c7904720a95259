"""The census key's proof: who knows it, and to which question a reply was made. Pure."""

from __future__ import annotations

import hashlib
import hmac

from peerboot.model import SCHEMA, Identity


def mac(key: bytes, label: str, identity: Identity, asker: str, answerer: str, challenge: str, rest: bytes) -> str:
    """HMAC-SHA256 in hex over every part with its length before it, so that no two messages read alike.

    ``label`` is ``ask`` or ``answer``: a request can never be played back as a reply.
    """
    parts = (
        "peerboot-census",
        str(SCHEMA),
        label,
        identity.namespace,
        identity.service,
        identity.statefulset,
        identity.system,
        asker,
        answerer,
        challenge,
    )
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for part in (*(text.encode() for text in parts), rest):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def verified(
    keys: tuple[bytes, ...],
    given: str,
    label: str,
    identity: Identity,
    asker: str,
    answerer: str,
    challenge: str,
    rest: bytes,
) -> bool:
    """Whether any of the keys made this MAC. All are tried, in constant time each."""
    said = given.encode("utf-8", "replace")
    expected = [mac(key, label, identity, asker, answerer, challenge, rest).encode() for key in keys]
    fits = [hmac.compare_digest(value, said) for value in expected]
    return any(fits)
