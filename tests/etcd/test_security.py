"""Certificates of etcd's listeners: what is wrong is said before etcd says it, and what cannot be used is exit 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from peerboot.errors import SettingsError
from peerboot.settings import read
from peerboot.systems.etcd import material, security
from peerboot.systems.etcd.settings import SETTINGS
from peerboot.x509 import read as read_certificate
from tests.certificates import Authority, authority

HOST = "db-0.peers.shop.svc.cluster.local"
ZONE = HOST.partition(".")[2]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return authority(tmp_path_factory.mktemp("security") / "ca")


def made(env: Mapping[str, str]) -> security.Security:
    """What the settings lead to."""
    base = {
        "PEERBOOT_SYSTEM": "etcd", "PEERBOOT_SERVICE": "peers", "POD_NAME": "db-0", "POD_NAMESPACE": "shop",
        "PEERBOOT_CENSUS_AUTH": "none",
    }  # fmt: skip
    settings = read({**base, **env}, systems={"etcd": SETTINGS})
    return material.security(settings)


def both(folder: Path, **more: str) -> dict[str, str]:
    """One directory for both listeners."""
    return {"PEERBOOT_ETCD_PEER_TLS_DIR": str(folder), "PEERBOOT_ETCD_CLIENT_TLS_DIR": str(folder), **more}


def names_of(found: security.Security, later: float = 0.0) -> list[str]:
    """Of all that is wrong, seen so many seconds before the certificate ends."""
    until = found.peer.certificate.until if found.peer else 0.0
    now = until - (later or 20 * 86400)
    troubles = list(found.troubles(HOST, ("10.0.0.7",), now))
    assert [say for _, say, _ in troubles if "\n" in say or not say.endswith(".")] == []
    return [name for name, _, _ in troubles]


def test_a_good_one(ours: Authority, tmp_path: Path) -> None:
    """Its own name, both usages, no common name."""
    assert names_of(made(both(ours.certify(tmp_path, f"DNS:{HOST}")))) == []


@pytest.mark.parametrize(
    ("names", "usages", "expected"),
    [
        ((f"DNS:*.{ZONE}",), "serverAuth,clientAuth", ["peer-certificate-wildcard"]),
        ((f"DNS:*.{ZONE}", "IP:10.0.0.7"), "serverAuth,clientAuth", []),
        (("DNS:db-1.peers",), "serverAuth,clientAuth", ["peer-certificate-names", "client-certificate-names"]),
        ((f"DNS:{HOST}",), "serverAuth", ["peer-certificate-usages", "client-certificate-usages"]),
        ((f"DNS:{HOST}",), "clientAuth", ["peer-certificate-usages", "client-certificate-usages"]),
    ],
    ids=["a star only", "a star and the address", "another name", "no clientAuth", "no serverAuth"],
)
def test_what_is_wrong_with_it(
    ours: Authority, tmp_path: Path, names: tuple[str, ...], usages: str, expected: list[str]
) -> None:
    """Each has a name of its own and one sentence."""
    assert expected == names_of(made(both(ours.certify(tmp_path, *names, usages=usages))))


def test_its_end(ours: Authority, tmp_path: Path) -> None:
    """A week before, and after."""
    found = made(both(ours.certify(tmp_path, f"DNS:{HOST}")))
    assert names_of(found, 6 * 86400.0) == ["peer-certificate-expiring", "client-certificate-expiring"]
    assert names_of(found, -1.0) == ["peer-certificate-expired", "client-certificate-expired"]
    assert names_of(replace(found, peer=None)) == ["peers-in-plain-text"]


def test_a_common_name_with_passwords(ours: Authority, tmp_path: Path) -> None:
    """The gateway refuses it, unless clients need no certificate."""
    (tmp_path / "root").write_text("secret\r\n")
    folder = ours.certify(tmp_path / "tls", f"DNS:{HOST}", common_name="db")
    env = both(folder, PEERBOOT_ETCD_ROOT_PASSWORD_FILE=str(tmp_path / "root"))
    assert names_of(made(env)) == ["certificate-common-name"]
    assert names_of(made({**env, "PEERBOOT_ETCD_CLIENT_AUTH": "none"})) == []
    assert (made(env).password, "secret" in repr(made(env))) == ("secret", False)


def test_what_the_server_is_told(ours: Authority, tmp_path: Path) -> None:
    """The mounted files themselves, which it reads at each handshake; no authority where clients show nothing."""
    folder = str(ours.certify(tmp_path, f"DNS:{HOST}"))
    pair = {"cert-file": f"{folder}/tls.crt", "key-file": f"{folder}/tls.key"}
    asks = {**pair, "trusted-ca-file": f"{folder}/ca.crt", "client-cert-auth": True}
    found = made(both(tmp_path))
    assert found.sections() == {"client-transport-security": asks, "peer-transport-security": asks}
    lax = replace(found, client_auth=False)
    assert lax.sections() == {"client-transport-security": pair, "peer-transport-security": asks}
    assert (found.peer_scheme, security.PLAIN.peer_scheme, security.PLAIN.sections()) == ("https", "http", {})


def test_what_cannot_be_used(ours: Authority, tmp_path: Path) -> None:
    """Each is one line that names the setting and says what to do; no key is in it."""
    good = ours.certify(tmp_path / "good", f"DNS:{HOST}")
    other = ours.certify(tmp_path / "other", f"DNS:{HOST}")
    cases: dict[str, dict[str, bytes | None]] = {
        "nothing": {},
        "no key": {"tls.key": None},
        "another key": {"tls.key": (other / "tls.key").read_bytes()},
        "no certificate": {"tls.crt": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
        "no authority": {"ca.crt": b""},
    }
    for name, changed in cases.items():
        folder = tmp_path / name
        if changed:
            folder.mkdir()
            for file in ("tls.crt", "tls.key", "ca.crt"):
                content = changed.get(file, (good / file).read_bytes())
                if content is not None:
                    (folder / file).write_bytes(content)
        with pytest.raises(SettingsError, match=r"^PEERBOOT_ETCD_PEER_TLS_DIR.*: [a-z]") as raised:
            made(both(folder))
        assert ("\n" in str(raised.value), "BEGIN" in str(raised.value)) == (False, False)
    (tmp_path / "empty").write_text("\n")
    for path, words in ((tmp_path / "empty", "is empty"), (tmp_path / "none", "is not there")):
        with pytest.raises(SettingsError, match=rf"^PEERBOOT_ETCD_ROOT_PASSWORD_FILE: .* {words}: mount a Secret"):
            made(both(good, PEERBOOT_ETCD_ROOT_PASSWORD_FILE=str(path)))
    with pytest.raises(SettingsError, match=r"_ROOT_PASSWORD_FILE is set and PEERBOOT_ETCD_CLIENT_TLS_DIR is not: "):
        made({"PEERBOOT_ETCD_ROOT_PASSWORD_FILE": str(tmp_path / "empty")})


def test_the_end_of_the_authority(ours: Authority, tmp_path: Path) -> None:
    """That of its last certificate: during a rotation the old one ends first. A short life is told of in its last
    quarter only.
    """
    found = made(both(ours.certify(tmp_path / "a", f"DNS:{HOST}", days=1)))
    pair = found.peer
    assert pair is not None
    until, life = pair.certificate.until, pair.certificate.until - pair.certificate.since
    names = {part: [n for n, _, _ in found.troubles(HOST, (), until - life * part)] for part in (0.3, 0.2)}
    assert names == {0.3: [], 0.2: ["peer-certificate-expiring", "client-certificate-expiring"]}
    old = authority(tmp_path / "old", days=1)
    bundle = tmp_path / "a" / "ca.crt"
    bundle.write_text(old.certificate.read_text() + bundle.read_text())
    found = made(both(tmp_path / "a"))
    assert found.peer is not None
    end = found.peer.authority.until
    assert end == read_certificate(ours.certificate.read_text()).until
    assert [n for n, _, _ in found.troubles(HOST, (), end)] == ["peer-authority-expired", "client-authority-expired"]
