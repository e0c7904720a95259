"""etcd with TLS on both listeners, and with passwords: what its Pods mount and what its clients have."""

from __future__ import annotations

import dataclasses
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peerboot.lab.client import Login
from peerboot.lab.servers import Server
from tests.certificates import Authority, authority

ZONE = "peers.lab.svc.cluster.local"
NAMES = (*(f"DNS:db-{n}.{ZONE}" for n in range(5)), f"DNS:{ZONE}", "IP:127.0.0.1")
"""Exact names, as etcd compares them with the address of who connects; and that of the lab's loopback, from which all
connections come."""
PASSWORD = "p w"


@dataclass(frozen=True)
class SecuredServer(Server):
    """An etcd whose labs have TLS on both listeners, and ask for passwords once they have formed."""


def secured(server: Server) -> SecuredServer:
    """The same server."""
    return SecuredServer(**{field.name: getattr(server, field.name) for field in dataclasses.fields(server)})


def spec(root: Path, env: dict[str, str]) -> dict[str, Any]:
    """What the ``LabSpec`` of such a lab has besides, with these settings; the files are made below ``root``."""
    ours = certified(root / "ca")
    password = root / "ca" / "root"
    password.write_text(f"{PASSWORD}\n")
    return {
        "env": tls_env(ours, ROOT_PASSWORD_FILE=str(password)) | env,
        "trust": trust(ours),
        "login": Login("root", PASSWORD),
    }


def certified(folder: Path) -> Authority:
    """A CA, which has certified all Pods' names in ``tls``."""
    made = authority(folder)
    made.certify(made.folder / "tls", *NAMES)
    return made


def tls_env(ours: Authority, **more: str) -> dict[str, str]:
    """Both listeners have the same certificate."""
    folder = str(ours.folder / "tls")
    found = {"PEERBOOT_ETCD_PEER_TLS_DIR": folder, "PEERBOOT_ETCD_CLIENT_TLS_DIR": folder}
    return {**found, **{f"PEERBOOT_ETCD_{name}": value for name, value in more.items()}}


def trust(ours: Authority) -> ssl.SSLContext:
    """A client's, with the certificate of the set."""
    found = ssl.create_default_context(cafile=str(ours.certificate))
    # Labs have addresses of their own on loopback, which no certificate knows beforehand.
    found.check_hostname = False
    folder = ours.folder / "tls"
    found.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return found
