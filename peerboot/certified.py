"""From when to when the certificates of mounted Secrets are good, for the metrics. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peerboot.x509 import Certificate


@dataclass(frozen=True)
class Certified:
    """One file of a Secret."""

    setting: str
    """Which names the Secret's directory."""
    file: str
    """``tls.crt`` or ``ca.crt``."""
    since: float
    until: float
    """Seconds since the epoch."""


def of(setting: str, certificate: Certificate, authority: Certificate) -> tuple[Certified, Certified]:
    """Of a pair and of the one of its authorities that ends last."""
    both = ("tls.crt", certificate), ("ca.crt", authority)
    found, other = (Certified(setting, file, one.since, one.until) for file, one in both)
    return found, other


def read(setting: str, certificate: str, authority: str) -> tuple[Certified, ...]:
    """The same by their PEM texts; what cannot be read is left out: whether it can be used, its server says."""
    # Imported on use: most sets are in plain text.
    from peerboot import x509

    return (
        *_each(setting, "tls.crt", x509.read, certificate),
        *_each(setting, "ca.crt", x509.last, authority),
    )


def _each(setting: str, file: str, reader: Callable[[str], Certificate], text: str) -> Iterator[Certified]:
    try:
        found = reader(text)
    except ValueError:
        return
    yield Certified(setting, file, found.since, found.until)
