"""What mounted Secrets hold: TLS's pair and authority, a password. Read only, and with bounds.

A key or a password is in no error.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside.files import FilesError, read_small

MOST_PEM, MOST_FILES = 256 * 1024, 100
PAIR = "the Secret has to have tls.crt, tls.key and ca.crt, as cert-manager makes it with an issuer that has a CA"
Stamp = tuple[tuple[str, int, int, int], ...]


def text(path: Path, setting: str, limit: int, what: str) -> str:
    """A small file of text; raises ``SettingsError`` that names the setting, and says ``what`` to do."""
    try:
        content = read_small(path, limit)
        if content is None:
            raise SettingsError(f"{setting}: {path} is not there: {what}")
        return content.decode()
    except FilesError as error:
        raise SettingsError(f"{setting}: {error}: mount a Secret that the Pod's fsGroup may read") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {path} is not text in UTF-8: write it anew") from None


def pem(folder: str, file: str, kind: str, setting: str) -> str:
    """A file with a PEM block of that kind; raises ``SettingsError``."""
    path = Path(folder) / file
    found = text(path, setting, MOST_PEM, PAIR)
    if f"{kind}-----" not in found or "-----BEGIN " not in found:
        raise SettingsError(f"{setting}: {path} has no PEM block of a {kind.lower()}: {PAIR}")
    if "ENCRYPTED" in found:
        # OpenSSL would ask for the pass phrase, at a terminal, and wait.
        raise SettingsError(
            f"{setting}: {path} is encrypted, and nobody can give a pass phrase here: put a plain key there"
        )
    return found


def trust(folder: Path, authority: str, setting: str, whom: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> ssl.SSLContext:
    """How servers are verified that have certificates of that authority, with this Pod's own pair for those that ask;
    or, with the other purpose, clients, who have to show one.

    Reads the pair once more, for OpenSSL takes keys from files alone. Raises ``SettingsError``.
    """
    try:
        context = ssl.create_default_context(whom, cadata=authority)
        context.verify_mode = ssl.CERT_REQUIRED
        # From Python 3.13 on more is asked of certificates than Go and Java ask, who let each other in by them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key", password=lambda: b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = (getattr(error, "reason", None) or "it cannot be read").lower().replace("_", " ")
        raise SettingsError(
            f"{setting}={folder} cannot be used ({why}): tls.key has to belong to tls.crt, and all three to be PEM; "
            "make the Secret anew"
        ) from None
    return context


def files_of(folder: Path) -> list[Path]:
    """Files of a mounted Secret, at most 101; the kubelet's own names there begin with a dot."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))[: MOST_FILES + 1]
    except OSError:
        return []


def stamp(paths: Iterable[Path]) -> Stamp:
    """Changes when one of these files changes; cheap."""
    found = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append((path.name, 0, 0, 0))
            continue
        found.append((path.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
