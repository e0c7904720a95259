"""When mounted certificates end, as the metrics tell it, of each system that has any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from peerboot import certified, identity, settings, systems, x509
from peerboot.certified import Certified
from tests.certificates import Authority, authority

SECURED = {
    "etcd": {"PEERBOOT_ETCD_PEER_TLS_DIR": "tls", "PEERBOOT_ETCD_CLIENT_TLS_DIR": "tls"},
    "kafka": {"PEERBOOT_KAFKA_TLS_DIR": "tls", "PEERBOOT_KAFKA_SECURITY": "SSL"},
    "postgres": {"PEERBOOT_POSTGRES_TLS_DIR": "tls"},
}
"""By system, with directories relative to the mounts."""


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """A CA that has certified one pair, in ``tls``; and a password."""
    made = authority(tmp_path / "mounts", days=40)
    made.certify(made.folder / "tls", "DNS:db-0", days=7)
    (made.folder / "password").write_text("secret\n")
    return made


def ends(ours: Authority) -> dict[str, float]:
    """By file, as they were made."""
    return {name: x509.read((ours.folder / "tls" / name).read_text()).until for name in ("tls.crt", "ca.crt")}


def shown(name: str, ours: Authority, env: Mapping[str, str]) -> tuple[Certified, ...]:
    """What the system shows with these settings."""
    environ = {
        "PEERBOOT_SYSTEM": name, "PEERBOOT_SERVICE": "db", "POD_NAME": "db-0", "POD_NAMESPACE": "prod",
        "PEERBOOT_CLUSTER_DOMAIN": "cluster.local", "PEERBOOT_CENSUS_AUTH": "none",
    }  # fmt: skip
    environ |= {key: str(ours.folder / value) if value == "tls" else value for key, value in env.items()}
    if name == "postgres":
        environ["PEERBOOT_POSTGRES_PASSWORD_FILE"] = str(ours.folder / "password")
    system = systems.find(name)
    read = settings.read(environ, systems={name: system.settings})
    prepared = system.prepare(read, identity.derive(read, "", ""), {})
    found: tuple[Certified, ...] = prepared.certificates()  # type: ignore[attr-defined]  # optional in the protocol
    return found


@pytest.mark.parametrize("name", SECURED)
def test_each_system_shows_them(ours: Authority, name: str) -> None:
    """Pair and CA, each by the setting that names its directory."""
    dirs = [setting for setting, value in SECURED[name].items() if value == "tls"]
    expected = [(setting, file, until) for setting in dirs for file, until in ends(ours).items()]
    found = shown(name, ours, SECURED[name])
    assert [(one.setting, one.file, one.until) for one in found] == expected
    assert all(one.until - one.since == (7 if one.file == "tls.crt" else 40) * 86400 for one in found)


@pytest.mark.parametrize("name", SECURED)
def test_none_in_plain_text(ours: Authority, name: str) -> None:
    """A set without TLS has no certificates."""
    assert shown(name, ours, {}) == ()


def test_what_cannot_be_read_is_left_out(ours: Authority) -> None:
    """Whether it can be used its server says."""
    text = ours.certificate.read_text()
    assert [one.file for one in certified.read("DIR", "nothing", text)] == ["ca.crt"]
    assert [one.file for one in certified.read("DIR", text, text[:200])] == ["tls.crt"]
