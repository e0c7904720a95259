"""What mounted files say: TLS's key and certificates, users with passwords, and the rack. Read only, and with bounds.

A key or a password is in no error.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside.files import FilesError, read_small
from peerboot.settings import Settings
from peerboot.systems.kafka import pem
from peerboot.systems.kafka.security import Material

MOST_PEM, MOST_PASSWORD, MOST_USERS, MOST_LABELS = 256 * 1024, 1024, 100, 64 * 1024
USER = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,99}")
"""What a key of a Secret may be, and Kafka's tools read without quotes."""
LABEL_LINE = re.compile(r'(\S+)="(.*)"')
"""A line of the downward API's file."""
TLS, USERS = "PEERBOOT_KAFKA_TLS_DIR", "PEERBOOT_KAFKA_USERS_DIR"
Stamp = tuple[tuple[str, int, int, int], ...]


def read(settings: Settings) -> Material:
    """All of it; raises ``SettingsError`` for the first thing that is wrong."""
    extra = settings.extra
    tls, users = extra["kafka_tls_dir"], extra["kafka_users_dir"]
    certificate = key = authority = ""
    if tls:
        certificate = _pem(tls, "tls.crt", "CERTIFICATE")
        key = _key(tls)
        authority = _pem(tls, "ca.crt", "CERTIFICATE")
    return Material(
        trust=_trust(Path(tls), authority) if tls else None,
        certificate=certificate,
        key=key,
        authority=authority,
        users=_users(users) if users else {},
        rack=_rack(extra["kafka_rack"], extra["kafka_rack_file"], extra["kafka_rack_label"]),
    )


def stamp(settings: Settings) -> Stamp:
    """Changes when a file of a mounted Secret changes; cheap."""
    found = []
    for key in ("kafka_tls_dir", "kafka_users_dir"):
        if settings.extra[key]:
            found += [_stamp(path) for path in _names(Path(settings.extra[key]))]
    return tuple(found)


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return path.name, 0, 0, 0
    return path.name, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _names(folder: Path) -> list[Path]:
    """Files of a mounted Secret; the kubelet's own names there begin with a dot."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))[: MOST_USERS + 1]
    except OSError:
        return []


def _text(path: Path, name: str, limit: int, what: str) -> str:
    try:
        content = read_small(path, limit)
        if content is None:
            raise SettingsError(f"{name}: {path} is not there: {what}")
        return content.decode()
    except FilesError as error:
        raise SettingsError(f"{name}: {error}: mount a Secret that the Pod's fsGroup may read") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: {path} is not text in UTF-8: write it anew") from None


def _pem(folder: str, file: str, kind: str) -> str:
    path = Path(folder) / file
    what = "the Secret has to have tls.crt, tls.key and ca.crt, as cert-manager makes it with an issuer that has a CA"
    text = _text(path, TLS, MOST_PEM, what)
    if f"-----BEGIN {kind}-----" not in text:
        raise SettingsError(f"{TLS}: {path} has no PEM block of a {kind.lower()}: {what}")
    return text


def _key(folder: str) -> str:
    path = Path(folder) / "tls.key"
    try:
        return pem.pkcs8(_text(path, TLS, MOST_PEM, "the Secret has to have tls.key"))
    except ValueError as error:
        raise SettingsError(
            f"{TLS}: {path} cannot be used ({error}): put a key of RSA or EC without a passphrase there, as "
            "`openssl pkcs8 -topk8 -nodes` writes it"
        ) from None


def _trust(folder: Path, authority: str) -> ssl.SSLContext:
    """Reads the pair once more, for OpenSSL takes keys from files alone."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=authority)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = (getattr(error, "reason", None) or "it cannot be read").lower().replace("_", " ")
        raise SettingsError(
            f"{TLS}={folder} cannot be used ({why}): tls.key has to belong to tls.crt, and all three to be PEM; make "
            "the Secret anew"
        ) from None
    return context


def _users(folder: str) -> dict[str, str]:
    path = Path(folder)
    if not path.is_dir():
        raise SettingsError(f"{USERS}={folder} is not there: mount a Secret with a password under each user's name")
    paths = _names(path)
    if not 1 <= len(paths) <= MOST_USERS:
        raise SettingsError(
            f"{USERS}={folder} has {len(paths) if paths else 'no'} users: it has to have 1 to {MOST_USERS}, each a "
            "file with the password"
        )
    found = {}
    for one in paths:
        if not USER.fullmatch(one.name):
            raise SettingsError(f"{USERS}: {one.name!r} is no name of a user: use letters, digits, and -._ after them")
        password = _text(one, USERS, MOST_PASSWORD, "add the password").removesuffix("\n").removesuffix("\r")
        if not password or not password.isprintable():
            raise SettingsError(
                f"{USERS}: the password of {one.name} is empty or has characters that cannot be printed, which Kafka "
                "does not read back: write one line of text"
            )
        found[one.name] = password
    return found


def _rack(value: str, file: str, label: str) -> str:
    name = "PEERBOOT_KAFKA_RACK_FILE"
    if value and file:
        raise SettingsError(f"PEERBOOT_KAFKA_RACK and {name} are both set: drop one of them")
    if label and not file:
        raise SettingsError(
            f"PEERBOOT_KAFKA_RACK_LABEL={label} needs {name}: mount metadata.labels by a downwardAPI volume, and name "
            "that file"
        )
    if not file:
        return value
    text = _text(Path(file), name, MOST_LABELS, "mount it, or let an init container before this one write it").strip()
    if label:
        lines = (LABEL_LINE.fullmatch(line) for line in text.splitlines())
        found = next((line[2] for line in lines if line and line[1] == label), "")
        if not found:
            raise SettingsError(
                f"PEERBOOT_KAFKA_RACK_LABEL: {file} has no label {label} with a value: Kubernetes 1.35 copies the zone "
                "and the region of the node to its Pods, before it a Pod has no label that you do not set"
            )
        return found
    if not text or not text.isprintable() or len(text) > 255:
        raise SettingsError(f"{name}: {file} is empty, or not one line of text: write the rack into it")
    return text
