"""How etcd's listeners are secured, and what is wrong with the certificates before etcd says it. Pure.

``material.py`` reads the files. etcd reads certificate and key anew at each handshake, and the authority at its start
alone (client/pkg/transport/listener.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from peerboot import certified

if TYPE_CHECKING:
    import ssl

    from peerboot.certified import Certified
    from peerboot.x509 import Certificate

PEER_DIR, CLIENT_DIR = "PEERBOOT_ETCD_PEER_TLS_DIR", "PEERBOOT_ETCD_CLIENT_TLS_DIR"
Kind = Literal["peer", "client"]
SETTING: dict[Kind, str] = {"peer": PEER_DIR, "client": CLIENT_DIR}
PEERS_IN_PLAIN_TEXT = (
    f"{CLIENT_DIR} is set and {PEER_DIR} is not: the peer port takes no password, and whoever reaches it can have all "
    "data sent to him: set both, to the same directory if one certificate is for both."
)
EXPIRED = (
    "The certificate of {setting} has expired, and nobody who verifies it connects: renew the Secret; etcd takes it "
    "without a restart."
)
EXPIRING = "The certificate of {setting} is good for {span}: renew the Secret; etcd takes it without a restart."
AUTHORITY = (
    "The CA of {setting} (ca.crt) has expired, and with it all that it has certified: put a new one into the Secrets "
    "of all Pods, renew the certificates, and restart the servers, which read it at their start."
)
NAMES = (
    "The certificate of {setting} is not for {host}, by which the others reach this Pod, so they will not trust it: "
    "put that name into it."
)
USAGES = (
    "The certificate of {setting} lacks the usage {missing}, and etcd needs both serverAuth and clientAuth, for {why}: "
    "make one with both (cert-manager: `usages`)."
)
BOTH: dict[Kind, str] = {
    "peer": "members show the same one when they connect to each other",
    "client": "its JSON gateway shows the same one to etcd itself, and each call would fail",
}
COMMON_NAME = (
    f"The certificate of {CLIENT_DIR} has the common name {{name!r}}, and once etcd asks for passwords it refuses "
    "every call of its JSON gateway by a certificate that has one: make one without, the alternative names suffice."
)
WILDCARD = (
    "The certificate of {setting} has {host} by a wildcard only, and members let this Pod in by what DNS says of its "
    "address (PTR), which may be late by minutes after it got a new one: put the name itself into it."
)
SOON = 7 * 86400.0
"""A certificate that ends within so many seconds, or in the last quarter of a short life, is told of: whoever renews
it does so earlier (cert-manager: after two thirds)."""


@dataclass(frozen=True)
class Pair:
    """One listener's certificate."""

    folder: str
    certificate: Certificate
    authority: Certificate
    """The one of ``ca.crt`` that ends last."""
    trust: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """Whom peerboot trusts there, and what it shows."""

    def section(self, *, verifies: bool) -> dict[str, Any]:
        """``peer-transport-security`` or ``client-transport-security`` of the config file.

        An authority alone makes etcd ask clients for certificates (3.4 and 3.5), so it is named only if they have to
        show one.
        """
        found: dict[str, Any] = {"cert-file": f"{self.folder}/tls.crt", "key-file": f"{self.folder}/tls.key"}
        if verifies:
            found |= {"trusted-ca-file": f"{self.folder}/ca.crt", "client-cert-auth": True}
        return found


@dataclass(frozen=True)
class Security:
    """What is secured of this Pod's etcd."""

    peer: Pair | None = None
    client: Pair | None = None
    client_auth: bool = True
    """Clients show a certificate."""
    password: str = field(default="", repr=False)
    """Of etcd's user root."""

    @property
    def peer_scheme(self) -> str:
        """Of peer URLs."""
        return "https" if self.peer else "http"

    @property
    def client_scheme(self) -> str:
        """Of client URLs."""
        return "https" if self.client else "http"

    def sections(self) -> dict[str, Any]:
        """Keys of the config file."""
        found: dict[str, Any] = {}
        if self.client:
            found["client-transport-security"] = self.client.section(verifies=self.client_auth)
        if self.peer:
            found["peer-transport-security"] = self.peer.section(verifies=True)
        return found

    def certificates(self) -> tuple[Certified, ...]:
        """Of each listener that has one."""
        pairs = ((PEER_DIR, self.peer), (CLIENT_DIR, self.client))
        return tuple(
            one for name, pair in pairs if pair for one in certified.of(name, pair.certificate, pair.authority)
        )

    def troubles(self, host: str, addresses: tuple[str, ...], now: float) -> Iterator[tuple[str, str, bool]]:
        """Name and sentence of each thing that is wrong, and whether servers do not answer for it, for a Pod whose URLs
        have ``host``; ``now`` is since the epoch.
        """
        if self.client and not self.peer:
            yield "peers-in-plain-text", PEERS_IN_PLAIN_TEXT, False
        if self.peer:
            yield from _of_any(self.peer, "peer", host, now)
            yield from _of_peer(self.peer.certificate, host, addresses)
        if self.client:
            yield from _of_any(self.client, "client", host, now)
            if self.client_auth and self.password and self.client.certificate.common_name:
                yield "certificate-common-name", COMMON_NAME.format(name=self.client.certificate.common_name), True


PLAIN = Security()
"""Nothing is."""


def _of_any(pair: Pair, kind: Kind, host: str, now: float) -> Iterator[tuple[str, str, bool]]:
    own, setting = pair.certificate, SETTING[kind]
    if pair.authority.until <= now:
        yield f"{kind}-authority-expired", AUTHORITY.format(setting=setting), True
    elif own.until <= now:
        yield f"{kind}-certificate-expired", EXPIRED.format(setting=setting), True
    elif own.until - now < min(SOON, (own.until - own.since) / 4):
        yield f"{kind}-certificate-expiring", EXPIRING.format(setting=setting, span=_span(own.until - now)), False
    if not own.fits(host):
        yield f"{kind}-certificate-names", NAMES.format(setting=setting, host=host), False
    missing = [usage for usage in ("serverAuth", "clientAuth") if not own.is_for(usage)]
    if missing:
        found = USAGES.format(setting=setting, missing=" and ".join(missing), why=BOTH[kind])
        yield f"{kind}-certificate-usages", found, True


def _of_peer(own: Certificate, host: str, addresses: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """etcd compares the names of who connects with the address that it comes from (listener_tls.go, checkCertSAN)."""
    if own.fits(host) and not own.names_exactly(host) and not set(addresses) & set(own.addresses):
        yield "peer-certificate-wildcard", WILDCARD.format(setting=PEER_DIR, host=host), False


def _span(seconds: float) -> str:
    """In steps, for each other text is logged anew."""
    days = int(seconds // 86400)
    return f"less than {days + 1} days" if days else "less than a day"
