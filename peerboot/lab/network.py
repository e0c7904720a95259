"""Addresses and names of a lab: a network of 127.0.0.0/8 of its own, and a hosts file that its servers see.

A server resolves its peers' names by the C library or Go's resolver, which ask /etc/hosts first. Where a mount
namespace can be made (root, or where unprivileged user namespaces are allowed) each server gets the lab's own hosts
file over /etc/hosts; elsewhere the servers' URLs hold addresses, and then a Pod keeps its address for ever. A JVM reads
whatever hosts file it is told to, so Kafka needs no namespace.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from peerboot.lab.errors import LabError

LOCK_PORT = 50701
"""Bound on one address of the network for as long as the lab lives: no two labs share a network."""
FIRST, LAST = 100, 250
FIXED_HOST = "127.{a}.{b}.1{{ordinal}}"
MAX_FIXED = 10
NO_LOOPBACK = (
    "this loopback has no 127.0.0.2 (macOS), so run it in a Linux container: docker run --rm -it "
    '-v "$PWD":/peerboot -w /peerboot python:3.13-bookworm make VENV=/tmp/venv demo'
)


class Network:
    """A ``127.a.b.0/24``, taken for the life of this object."""

    def __init__(self) -> None:
        self._socket, self._a, self._b = _take()
        self._next = FIRST

    @property
    def dns(self) -> str:
        """The address that the DNS server listens on."""
        return f"127.{self._a}.{self._b}.53"

    @property
    def peer_host(self) -> str:
        """Template of a Pod's fixed address, for PEERBOOT_ETCD_PEER_HOST."""
        return FIXED_HOST.format(a=self._a, b=self._b)

    def fixed(self, ordinal: int) -> str:
        """The address that a Pod always has where servers cannot resolve names."""
        if not 0 <= ordinal < MAX_FIXED:
            raise LabError(
                f"without a hosts file of its own the lab has addresses for ordinals 0 to {MAX_FIXED - 1} only"
            )
        return self.peer_host.format(ordinal=ordinal)

    def another(self) -> str:
        """An address that no Pod had for a while: a new Pod has a new one."""
        self._next = FIRST if self._next >= LAST else self._next + 1
        return f"127.{self._a}.{self._b}.{self._next}"

    def close(self) -> None:
        """Give the network back."""
        self._socket.close()


def _take() -> tuple[socket.socket, int, int]:
    for _ in range(64):
        a, b = random.randint(1, 254), random.randint(0, 255)  # noqa: S311 - spreads labs, guards nothing
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            taken.bind((f"127.{a}.{b}.254", LOCK_PORT))
        except OSError as error:
            taken.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise LabError(NO_LOOPBACK) from None
            continue
        return taken, a, b
    raise LabError("no free network in 127.0.0.0/8: end other labs first (`peerboot lab down`)")


class Hosts:
    """The hosts file of the lab's servers; changed in place, for it is mounted over another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = b""
        self.write({})

    def write(self, names: Mapping[str, Sequence[str]], services: Collection[str] = ()) -> None:
        """Addresses by full name; those of Pods are known by their first label too. What is not in it does not
        resolve.
        """
        lines = [
            "127.0.0.1 localhost",
            # Several lines of one name are several addresses, to Go's resolver, Java's and the C library's.
            *(
                f"{address} {name}" + ("" if name in services else f" {name.partition('.')[0]}")
                for name, found in names.items()
                for address in found
            ),
        ]
        text = ("\n".join(lines) + "\n").encode()
        if text == self._written:
            return
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # In one write, then cut: a reader finds neither an empty file nor the end of the former text.
            os.pwrite(fd, text.ljust(len(self._written), b"\n"), 0)
            os.ftruncate(fd, len(text))
        finally:
            os.close(fd)
        self._written = text


def namespace_command(hosts: Path) -> tuple[str, ...] | None:
    """What to put before a command so that it sees ``hosts`` as /etc/hosts; None where that is not allowed."""
    tools = ("unshare", "mount", "sh")
    if any(shutil.which(tool) is None for tool in tools):
        return None
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    for more in ((), ("--user", "--map-root-user")):
        command = ("unshare", *more, "--mount", "--propagation", "private", "sh", "-c", script, str(hosts))
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs
                [*command, "cat", "/etc/hosts"], capture_output=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0 and done.stdout == hosts.read_bytes():
            return command
    return None


def dying_with_parent() -> tuple[str, ...]:
    """What to put before a command so that it is killed when the lab dies; empty where that cannot be had."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
