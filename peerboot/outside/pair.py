"""How this Pod shows itself to the others in the census, and whom it takes for one of them: a mounted certificate, its
key, and the authority. Loaded only where PEERBOOT_CENSUS_AUTH asks for TLS.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peerboot import x509
from peerboot.errors import SettingsError
from peerboot.outside import mounted
from peerboot.x509 import Certificate

SETTING = "PEERBOOT_CENSUS_TLS_DIR"


@dataclass(frozen=True)
class Pair:
    """What one reading of the directory gave."""

    certificate: Certificate
    authority_until: float
    """When the last certificate of ``ca.crt`` ends."""
    asks: ssl.SSLContext
    """For connections that this Pod makes."""
    answers: ssl.SSLContext
    """For those that it takes: who connects has to show a certificate."""


def read(folder: str) -> Pair:
    """The pair that lies there now; raises ``SettingsError``. An expired one is a pair like any other."""
    text = mounted.pem(folder, "tls.crt", "CERTIFICATE", SETTING)
    authority = mounted.pem(folder, "ca.crt", "CERTIFICATE", SETTING)
    mounted.pem(folder, "tls.key", "PRIVATE KEY", SETTING)
    asks, answers = (
        _strict(mounted.trust(Path(folder), authority, SETTING, whom))
        for whom in (ssl.Purpose.SERVER_AUTH, ssl.Purpose.CLIENT_AUTH)
    )
    # Each connection proves anew who is there: no session of an earlier one goes on.
    answers.num_tickets = 0
    try:
        return Pair(x509.read(text), x509.last(authority).until, asks, answers)
    except ValueError as error:
        raise SettingsError(f"{SETTING}: {folder}/tls.crt has {error} that can be read: make the Secret anew") from None


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """Both sides are peerboot, so the newest version is the only one, which has no renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    # An authority may be an intermediate one; without this it depends on the release of Python whether it counts.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class Mounted:
    """The pair, read again when a file changes; while that is broken, what was read before counts."""

    def __init__(self, folder: str, complain: Callable[[str], None] = lambda _text: None) -> None:
        """Reads it; raises ``SettingsError``."""
        self._folder, self._complain = folder, complain
        self._stamp = self._now()
        self._pair = read(folder)
        self.trouble = ""
        """Not empty: why what lies there now cannot be used."""

    def _now(self) -> mounted.Stamp:
        return mounted.stamp(mounted.files_of(Path(self._folder)))

    def pair(self) -> Pair:
        """What counts now."""
        now = self._now()
        if now != self._stamp:
            # Taken before the files are read: what changes meanwhile is read the next time.
            self._stamp = now
            try:
                self._pair, self.trouble = read(self._folder), ""
            except SettingsError as error:
                self.trouble = str(error)
                self._complain(f"{self.trouble}. What was read before still counts.")
        return self._pair
