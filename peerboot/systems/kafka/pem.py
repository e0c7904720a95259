"""Private keys in PEM as PKCS#8, which alone Kafka reads (KIP-651); cert-manager's own default is PKCS#1. Pure.

A key in PKCS#1 (RFC 8017) or SEC 1 (RFC 5915) goes as it is into the envelope of RFC 5208: version, algorithm, key.
"""

from __future__ import annotations

import base64
import binascii
import re

from peerboot.der import OCTETS, SEQUENCE, part, parts, wrap

BLOCK = re.compile(r"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----")
VERSION = bytes.fromhex("020100")
RSA = bytes.fromhex("300d06092a864886f70d0101010500")
"""AlgorithmIdentifier rsaEncryption, with its NULL."""
EC = bytes.fromhex("06072a8648ce3d0201")
"""id-ecPublicKey; the curve follows."""
CURVE = 0xA0


def pkcs8(text: str) -> str:
    """The first private key of a PEM file; raises ``ValueError`` for none, an encrypted one, or another kind."""
    found = BLOCK.search(text)
    if found is None:
        raise ValueError("no unencrypted private key")
    kind, body = found[1], found[2]
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    if kind.startswith("RSA"):
        der = wrap(SEQUENCE, VERSION + RSA + wrap(OCTETS, der))
    elif kind.startswith("EC"):
        der = wrap(SEQUENCE, VERSION + wrap(SEQUENCE, EC + _curve(der)) + wrap(OCTETS, der))
    coded = base64.b64encode(der).decode()
    lines = "\n".join(coded[at : at + 64] for at in range(0, len(coded), 64))
    return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"


def _curve(der: bytes) -> bytes:
    """The named curve of an ECPrivateKey, whose field with the tag [0] it is."""
    tag, inside, _ = part(der)
    for field, content in parts(inside) if tag == SEQUENCE else ():
        if field == CURVE:
            return content
    raise ValueError("an EC key that does not name its curve")
