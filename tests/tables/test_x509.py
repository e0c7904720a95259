"""What a certificate says of its own, with OpenSSL as the judge."""

from __future__ import annotations

import base64
import calendar
import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerboot import x509
from tests.certificates import Authority, authority


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return authority(tmp_path_factory.mktemp("x509") / "ca")


def _openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", "x509", "-noout", *arguments], check=True, capture_output=True, text=True).stdout  # noqa: S603, S607


@pytest.mark.parametrize("days", [1, 20000], ids=["UTCTime", "GeneralizedTime"])
def test_all_that_is_asked_of_it(ours: Authority, tmp_path: Path, days: int) -> None:
    """Names in lower case, addresses of both kinds, usages, and the end, which is written in another way after 2049."""
    names = ("DNS:*.Peers.shop.svc", "DNS:db-0.peers", "IP:127.0.0.1", "IP:fd00::1", "URI:spiffe://x/y")
    folder = ours.certify(tmp_path, *names, common_name="db", days=days)
    found = x509.read((folder / "tls.crt").read_text())
    since, until = (
        float(calendar.timegm(time.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y GMT")))
        for line in _openssl("-dates", "-in", str(folder / "tls.crt")).strip().splitlines()
    )
    expected = x509.Certificate(
        "db", ("*.peers.shop.svc", "db-0.peers"), ("127.0.0.1", "fd00::1"), ("serverAuth", "clientAuth"), since, until
    )
    assert expected == found


def test_what_it_does_not_say(ours: Authority) -> None:
    """A CA's own certificate has no names and restricts no usage."""
    found = x509.read(ours.certificate.read_text())
    assert (found.common_name, found.names, found.addresses, found.usages) == ("ca", (), (), None)
    assert (found.is_for("serverAuth"), found.is_for("clientAuth")) == (True, True)


@pytest.mark.parametrize(
    ("usages", "server", "client"),
    [("serverAuth", True, False), ("clientAuth", False, True), ("codeSigning", False, False),
     ("anyExtendedKeyUsage", True, True)],
)  # fmt: skip
def test_usages(ours: Authority, tmp_path: Path, usages: str, *, server: bool, client: bool) -> None:
    """One that names others is for these alone."""
    found = x509.read((ours.certify(tmp_path, usages=usages) / "tls.crt").read_text())
    assert (found.is_for("serverAuth"), found.is_for("clientAuth")) == (server, client)


NAMED = x509.Certificate("", ("*.peers.shop.svc", "db-0.other"), ("10.0.0.7",), None, 0.0, 0.0)


@pytest.mark.parametrize(
    ("host", "fits", "exactly"),
    [("db-0.peers.shop.svc", True, False), ("DB-0.Peers.shop.svc", True, False), ("db-0.other", True, True),
     ("a.db-0.peers.shop.svc", False, False), ("peers.shop.svc", False, False), ("10.0.0.7", True, True),
     ("10.0.0.8", False, False), ("", False, False)],
)  # fmt: skip
def test_a_star_is_one_label(host: str, *, fits: bool, exactly: bool) -> None:
    """The first, and whole (RFC 6125, section 6.4.3)."""
    assert (NAMED.fits(host), NAMED.names_exactly(host)) == (fits, exactly)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMIIB!\n-----END CERTIFICATE-----\n", "x" * 1000])
def test_what_is_none(text: str) -> None:
    """One error."""
    with pytest.raises(ValueError, match=r"certificate|base64"):
        x509.read(text)


@given(st.data())
def test_whatever_the_bytes(ours: Authority, data: st.DataObject) -> None:
    """Cut off or changed anywhere, it is read or it is a ValueError."""
    coded = re.sub(r"-----[A-Z ]+-----|\s", "", ours.certificate.read_text())
    der = bytearray(base64.b64decode(coded))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    der = der[: data.draw(st.integers(0, len(der)))]
    body = base64.b64encode(bytes(der)).decode()
    try:
        x509.read(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    except ValueError:
        return
