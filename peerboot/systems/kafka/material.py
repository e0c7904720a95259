"""What mounted files say: TLS's key and certificates, users with passwords, and the rack. Read only, and with bounds.

A key or a password is in no error.
"""

from __future__ import annotations

import re
from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside import mounted
from peerboot.settings import Settings
from peerboot.systems.kafka import pem
from peerboot.systems.kafka.security import Material

MOST_PASSWORD, MOST_USERS, MOST_LABELS = 1024, mounted.MOST_FILES, 64 * 1024
USER = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,99}")
"""What a key of a Secret may be, and Kafka's tools read without quotes."""
LABEL_LINE = re.compile(r'(\S+)="(.*)"')
"""A line of the downward API's file."""
TLS, USERS = "PEERBOOT_KAFKA_TLS_DIR", "PEERBOOT_KAFKA_USERS_DIR"


def read(settings: Settings) -> Material:
    """All of it; raises ``SettingsError`` for the first thing that is wrong."""
    extra = settings.extra
    tls, users = extra["kafka_tls_dir"], extra["kafka_users_dir"]
    certificate = key = authority = ""
    if tls:
        certificate = mounted.pem(tls, "tls.crt", "CERTIFICATE", TLS)
        key = _key(tls)
        authority = mounted.pem(tls, "ca.crt", "CERTIFICATE", TLS)
    return Material(
        trust=mounted.trust(Path(tls), authority, TLS) if tls else None,
        certificate=certificate,
        key=key,
        authority=authority,
        users=_users(users) if users else {},
        rack=_rack(extra["kafka_rack"], extra["kafka_rack_file"], extra["kafka_rack_label"]),
    )


def stamp(settings: Settings) -> mounted.Stamp:
    """Changes when a file of a mounted Secret changes; cheap."""
    folders = [Path(settings.extra[key]) for key in ("kafka_tls_dir", "kafka_users_dir") if settings.extra[key]]
    return mounted.stamp(path for folder in folders for path in mounted.files_of(folder))


def _key(folder: str) -> str:
    path = Path(folder) / "tls.key"
    try:
        return pem.pkcs8(mounted.text(path, TLS, mounted.MOST_PEM, "the Secret has to have tls.key"))
    except ValueError as error:
        raise SettingsError(
            f"{TLS}: {path} cannot be used ({error}): put a key of RSA or EC without a passphrase there, as "
            "`openssl pkcs8 -topk8 -nodes` writes it"
        ) from None


def _users(folder: str) -> dict[str, str]:
    path = Path(folder)
    if not path.is_dir():
        raise SettingsError(f"{USERS}={folder} is not there: mount a Secret with a password under each user's name")
    paths = mounted.files_of(path)
    if not 1 <= len(paths) <= MOST_USERS:
        raise SettingsError(
            f"{USERS}={folder} has {len(paths) if paths else 'no'} users: it has to have 1 to {MOST_USERS}, each a "
            "file with the password"
        )
    found = {}
    for one in paths:
        if not USER.fullmatch(one.name):
            raise SettingsError(f"{USERS}: {one.name!r} is no name of a user: use letters, digits, and -._ after them")
        password = mounted.text(one, USERS, MOST_PASSWORD, "add the password").removesuffix("\n").removesuffix("\r")
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
    text = mounted.text(
        Path(file), name, MOST_LABELS, "mount it, or let an init container before this one write it"
    ).strip()
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
