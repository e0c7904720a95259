"""What mounted files say: the password of the role ``peerboot``, and TLS's pair and authority."""

from __future__ import annotations

from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside import mounted
from peerboot.settings import Settings
from peerboot.systems.postgres.config import Pair

PASSWORD, TLS = "PEERBOOT_POSTGRES_PASSWORD_FILE", "PEERBOOT_POSTGRES_TLS_DIR"
MOST_PASSWORD = 1024


def password(settings: Settings) -> str:
    """Raises ``SettingsError``."""
    path = settings.extra["postgres_password_file"]
    what = "mount a Secret with the password of the role peerboot"
    if not path:
        raise SettingsError(f"{PASSWORD} is not set: {what}, and name its file")
    found = mounted.text(Path(path), PASSWORD, MOST_PASSWORD, what)
    return found.removesuffix("\n").removesuffix("\r")


def pair(settings: Settings) -> Pair | None:
    """Raises ``SettingsError``."""
    folder = settings.extra["postgres_tls_dir"]
    if not folder:
        return None
    authority = mounted.pem(folder, "ca.crt", "CERTIFICATE", TLS)
    return Pair(
        certificate=mounted.pem(folder, "tls.crt", "CERTIFICATE", TLS),
        key=mounted.pem(folder, "tls.key", "PRIVATE KEY", TLS),
        authority=authority,
        trust=mounted.trust(Path(folder), authority, TLS),
    )


def stamp(settings: Settings) -> mounted.Stamp:
    """Changes when one of these files changes; cheap."""
    extra = settings.extra
    paths = [Path(extra["postgres_password_file"])] if extra["postgres_password_file"] else []
    if extra["postgres_tls_dir"]:
        paths += mounted.files_of(Path(extra["postgres_tls_dir"]))
    return mounted.stamp(paths)
