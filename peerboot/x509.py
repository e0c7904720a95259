"""What a certificate says of its own, as far as servers check it (RFC 5280): names, usages, until when. Pure.

Python's ``ssl`` tells it only of a certificate that somebody else has shown, and tells no usages. Signatures are not
looked at: whether a chain holds is OpenSSL's word.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from peerboot.der import part, parts

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z")
UTC_TIME = 0x17
VERSION, EXTENSIONS, DNS_NAME, IP_ADDRESS = 0xA0, 0xA3, 0x82, 0x87
COMMON_NAME, ALTERNATIVE_NAME, EXTENDED_USAGE = (bytes.fromhex(text) for text in ("550403", "551d11", "551d25"))
USAGES = {
    bytes.fromhex("2b06010505070301"): "serverAuth",
    bytes.fromhex("2b06010505070302"): "clientAuth",
    bytes.fromhex("551d2500"): "any",
}


@dataclass(frozen=True)
class Certificate:
    """The first certificate of a file."""

    common_name: str
    names: tuple[str, ...]
    """DNS names of the subject's alternative names, in lower case."""
    addresses: tuple[str, ...]
    usages: tuple[str, ...] | None
    """``serverAuth``, ``clientAuth``, ``any``; others are left out. None: it restricts none."""
    since: float
    until: float
    """Seconds since the epoch."""

    def is_for(self, usage: str) -> bool:
        """Whether it may be used as that."""
        return self.usages is None or usage in self.usages or "any" in self.usages

    def names_exactly(self, host: str) -> bool:
        """Whether it has that name or address itself, without a wildcard."""
        return host.lower() in self.names or host in self.addresses

    def fits(self, host: str) -> bool:
        """Whether it is for that name or address, as RFC 6125 has it: a star stands for the whole first label."""
        first, _, rest = host.lower().partition(".")
        return self.names_exactly(host) or (first != "" and rest != "" and f"*.{rest}" in self.names)


def read(pem: str) -> Certificate:
    """The first certificate of a PEM file; raises ``ValueError`` for none."""
    found = BLOCK.search(pem)
    if found is None:
        raise ValueError("no certificate")
    return _of_block(found[1])


def last(pem: str) -> Certificate:
    """Of all certificates of a PEM file the one that ends last; raises ``ValueError`` for none."""
    found = [_of_block(each[1]) for each in BLOCK.finditer(pem)]
    if not found:
        raise ValueError("no certificate")
    return max(found, key=lambda each: each.until)


def _of_block(text: str) -> Certificate:
    try:
        return _certificate(base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error:
        raise ValueError("no base64") from None
    except IndexError:
        raise ValueError("a certificate that is cut off") from None


def _certificate(der: bytes) -> Certificate:
    _, signed, _ = part(der)
    _, inside, _ = part(signed)
    fields = [(tag, content) for tag, content in parts(inside) if tag != VERSION]
    # Serial number, algorithm, issuer, validity, subject, key; then what is optional (RFC 5280, section 4.1).
    extensions = dict(_extensions(fields[6:]))
    names, addresses = _alternatives(extensions.get(ALTERNATIVE_NAME))
    since, until = (_time(tag, content) for tag, content in list(parts(fields[3][1]))[:2])
    return Certificate(_common_name(fields[4][1]), names, addresses, _usages(extensions), since, until)


def _common_name(subject: bytes) -> str:
    for _, group in parts(subject):
        for _, pair in parts(group):
            (_, kind), (_, text) = list(parts(pair))[:2]
            if kind == COMMON_NAME:
                return text.decode("utf-8", "replace")
    return ""


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == UTC_TIME:
        # Two digits of a year: 50 and more are of the last century (section 4.1.2.5.1).
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    found = TIME.fullmatch(text)
    if found is None:
        raise ValueError("a time of another form")
    return float(calendar.timegm(tuple(int(number) for number in found.groups())))


def _extensions(fields: list[tuple[int, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for tag, content in fields:
        if tag != EXTENSIONS:
            continue
        for _, one in parts(part(content)[1]):
            values = list(parts(one))
            yield values[0][1], values[-1][1]


def _alternatives(coded: bytes | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = list(parts(part(coded)[1])) if coded else []
    names = tuple(content.decode("ascii", "replace").lower() for tag, content in found if tag == DNS_NAME)
    return names, tuple(str(ipaddress.ip_address(content)) for tag, content in found if tag == IP_ADDRESS)


def _usages(extensions: dict[bytes, bytes]) -> tuple[str, ...] | None:
    coded = extensions.get(EXTENDED_USAGE)
    if coded is None:
        return None
    return tuple(USAGES[content] for _, content in parts(part(coded)[1]) if content in USAGES)
