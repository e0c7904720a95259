"""What certificates mean in the census, in words: what is wrong with the own one, and why another is not taken. Pure.

Whether a chain holds, and whether a name fits, is OpenSSL's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerboot.x509 import Certificate

SETTING = "PEERBOOT_CENSUS_TLS_DIR"
EXPIRED = f"The certificate of {SETTING} has expired, and no other Pod hears this one: renew the Secret."
EARLY = (
    f"The certificate of {SETTING} is not valid yet by this Pod's clock, and no other Pod hears this one: set the "
    "node's clock, or make the Secret anew."
)
EXPIRING = f"The certificate of {SETTING} is good for {{span}}: renew the Secret, which is read without a restart."
AUTHORITY = (
    f"The CA of {SETTING} (ca.crt) has expired, and with it all that it has certified: put a new one into the Secrets "
    "of all Pods and renew the certificates, which are read without a restart."
)
NAMES = (
    f"The certificate of {SETTING} is not for {{host}}, by which the others know this Pod, so that none of them hears "
    "it: put that name into it."
)
USAGES = (
    f"The certificate of {SETTING} lacks the usage {{missing}}, and the census needs both serverAuth and clientAuth, "
    "for each Pod asks and is asked: make one with both (cert-manager: `usages`)."
)
BY_KEY = (
    "Heard by the census key alone, and not over TLS: {who}. Before PEERBOOT_CENSUS_AUTH=tls all have to be heard over "
    "TLS."
)
THE_KEY = " Until then the census key alone proves it."
SHOWN = 3
"""Pods of which it is said why they are heard by the key alone."""
SOON = 7 * 86400.0
"""A certificate that ends within so many seconds, or in the last quarter of a short life, is told of: whoever renews
it does so earlier (cert-manager: after two thirds)."""

ANOTHER_CA = (
    "unable to get local issuer", "unable to get issuer", "self-signed", "self signed", "signature failure",
    "unable to verify the first",
)  # fmt: skip
NO_TLS = ("wrong version number", "record layer failure", "packet length too long", "http request")


def troubles(own: Certificate, authority_until: float, host: str, wall: float) -> Iterator[tuple[str, str, bool]]:
    """Name and sentence of each thing that is wrong with this Pod's own certificate, and whether it is not heard for
    it. ``host``: its own DNS name; ``wall``: seconds since the epoch.
    """
    if authority_until <= wall:
        yield "census-authority-expired", AUTHORITY, True
    elif own.until <= wall:
        yield "census-certificate-expired", EXPIRED, True
    elif own.since > wall:
        yield "census-certificate-early", EARLY, True
    elif own.until - wall < min(SOON, (own.until - own.since) / 4):
        days = int((own.until - wall) // 86400)
        span = f"less than {days + 1} days" if days else "less than a day"
        yield "census-certificate-expiring", EXPIRING.format(span=span), False
    if not is_for(own.names, host):
        yield "census-certificate-names", NAMES.format(host=host), True
    missing = [usage for usage in ("serverAuth", "clientAuth") if not own.is_for(usage)]
    if missing:
        yield "census-certificate-usages", USAGES.format(missing=" and ".join(missing)), True


def is_for(names: tuple[str, ...], host: str) -> bool:
    """Whether one of these DNS names is that host's: itself, or with a star for its whole first label (RFC 6125)."""
    first, _, rest = host.lower().partition(".")
    return host.lower() in names or (first != "" and rest != "" and f"*.{rest}" in names)


def names_of(shown: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The DNS names of a certificate that somebody has shown, as ``SSLSocket.getpeercert`` gives it."""
    found = (shown or {}).get("subjectAltName", ())
    return tuple(str(value).lower() for kind, value in found if kind == "DNS")


def untrusted(reason: str, host: str) -> str:
    """Why there is no word over TLS, by what OpenSSL said in lower case; of a Pod whose DNS name is ``host``."""
    if "alert" in reason or "after the tls handshake" in reason.lower():
        return (
            f"it does not accept this Pod's certificate ({SETTING}), which has to be of its CA, in date, and for "
            "clientAuth; or it was about to stop"
        )
    if any(text in reason for text in NO_TLS):
        return (
            "it does not speak TLS: its PEERBOOT_CENSUS_AUTH is another; set hmac,tls in all Pods first, and tls once "
            "all have that"
        )
    if "expired" in reason:
        return f"its certificate has expired, by this Pod's clock: renew the Secret of its {SETTING}"
    if "not yet valid" in reason:
        return "its certificate is not valid yet, by this Pod's clock: set the clocks of both nodes"
    if "mismatch" in reason or "not valid for" in reason:
        return f"its certificate is not for {host}: another Pod answers there, or that name has to be put into it"
    if "purpose" in reason:
        return f"its certificate is not for serverAuth: make one for serverAuth and clientAuth ({SETTING})"
    if any(text in reason for text in ANOTHER_CA):
        return f"its certificate is of another CA than this Pod's ca.crt: give all Pods one CA ({SETTING})"
    return f"TLS failed: {reason}"


def by_key(reasons: Mapping[str, str]) -> str:
    """The finding on pods that are heard by the key alone; ``reasons`` by pod, at least one."""
    told = [f"{pod} ({why})" for pod, why in sorted(reasons.items())[:SHOWN]]
    more = len(reasons) - len(told)
    return BY_KEY.format(who=", ".join(told) + (f" and {more} more" if more > 0 else ""))


def told(troubles: Iterable[tuple[str, str, bool]], *, by_key: bool) -> Iterator[tuple[str, str, bool]]:
    """The same; where the key is a proof as well, the others hear this Pod all the same, and no wait is for it."""
    for name, say, unheard in troubles:
        heard = say.replace(", and no other Pod hears this one", "").replace(", so that none of them hears it", "")
        yield (name, f"{heard}{THE_KEY}", False) if unheard and by_key else (name, say, unheard)
