"""What mounted Secrets say: certificates of both listeners, and the password of etcd's root."""

from __future__ import annotations

from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside import mounted
from peerboot.settings import Settings
from peerboot.systems.etcd.security import CLIENT_DIR, PEER_DIR, Pair, Security

PASSWORD = "PEERBOOT_ETCD_ROOT_PASSWORD_FILE"  # noqa: S105 - the name of the setting
MOST_PASSWORD = 1024


def security(settings: Settings) -> Security:
    """What is secured, and by what; raises ``SettingsError``."""
    extra = settings.extra
    plain = extra["etcd_root_password_file"] and not extra["etcd_client_tls_dir"]
    if plain and extra["etcd_login_without_tls"] != "allowed":
        raise SettingsError(
            f"{PASSWORD} is set and {CLIENT_DIR} is not: the password would go over the network as it is, to whoever "
            "has a Pod's address: set that too, or drop the password; for a cluster that asks for passwords without "
            "TLS already there is PEERBOOT_ETCD_LOGIN_WITHOUT_TLS=allowed"
        )
    peer_dir, client_dir = extra["etcd_peer_tls_dir"], extra["etcd_client_tls_dir"]
    peer = _pair(peer_dir, PEER_DIR)
    return Security(
        peer=peer,
        client=peer if client_dir == peer_dir else _pair(client_dir, CLIENT_DIR),
        client_auth=extra["etcd_client_auth"] == "required",
        password=_password(extra["etcd_root_password_file"]),
    )


def _pair(folder: str, setting: str) -> Pair | None:
    if not folder:
        return None
    # Imported on use: most sets are in plain text.
    from peerboot import x509

    text = mounted.pem(folder, "tls.crt", "CERTIFICATE", setting)
    authority = mounted.pem(folder, "ca.crt", "CERTIFICATE", setting)
    mounted.pem(folder, "tls.key", "PRIVATE KEY", setting)
    trust = mounted.trust(Path(folder), authority, setting)
    try:
        return Pair(folder, x509.read(text), x509.last(authority), trust)
    except ValueError as error:
        raise SettingsError(f"{setting}: {folder}/tls.crt has {error} that can be read: make the Secret anew") from None


def _password(path: str) -> str:
    if not path:
        return ""
    what = "mount a Secret with the password of etcd's user root"
    found = mounted.text(Path(path), PASSWORD, MOST_PASSWORD, what).removesuffix("\n").removesuffix("\r")
    if not found:
        raise SettingsError(f"{PASSWORD}: {path} is empty: {what}")
    return found


def stamp(settings: Settings) -> mounted.Stamp:
    """Changes when one of these files changes; cheap."""
    extra = settings.extra
    paths = [Path(extra["etcd_root_password_file"])] if extra["etcd_root_password_file"] else []
    for key in ("etcd_peer_tls_dir", "etcd_client_tls_dir"):
        if extra[key]:
            paths += mounted.files_of(Path(extra[key]))
    return mounted.stamp(paths)
