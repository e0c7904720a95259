"""``ask.py SERVER NAME``: exit 0 when the DNS server answers an A question with a record. For the node's scripts."""

from __future__ import annotations

import socket
import struct
import sys


def main(server: str, name: str) -> int:
    """One question, one second."""
    question = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0)
    question += b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question += b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.sendto(question, (server, 53))
        try:
            reply = sock.recv(4096)
        except OSError:
            return 1
    return 0 if reply[3] & 15 == 0 and struct.unpack(">H", reply[6:8])[0] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
