"""The node of ``tests/kubernetes/node``: brought up, looked into, and disturbed as nodes are."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent / "node"
ROOT = Path(__file__).parents[2]
T = TypeVar("T")
CLONE_NEWNET = 0x40000000
SECONDS = {"build": 3000, "image": 900, "up": 300, "down": 60, "coredns": 30}


class NodeError(Exception):
    """The node does not do what it is told; in one line."""


def script(name: str, *args: str, env: dict[str, str] | None = None) -> str:
    """One of the scripts beside this file; raises ``NodeError`` with what it said last."""
    command = [str(HERE / name), *args]
    try:
        done = subprocess.run(  # noqa: S603 - our own scripts
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS[name],
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired:
        raise NodeError(f"node/{name} took longer than {SECONDS[name]} s") from None
    if done.returncode != 0:
        raise NodeError(f"node/{name} failed: {' / '.join(done.stderr.strip().splitlines()[-4:])}")
    return done.stdout


class Node:
    """One node, up."""

    def __init__(self) -> None:
        said = script("up").splitlines()
        self.kubeconfig = Path(
            next(line for line in said if line.startswith("KUBECONFIG=")).removeprefix("KUBECONFIG=")
        )
        self.state = self.kubeconfig.parent
        self.pid = int((self.state / "init.pid").read_text())
        self.kubectl = self._programs() / "kubectl"

    @staticmethod
    def _programs() -> Path:
        shown = subprocess.run(  # noqa: S603 - our own file
            ["/bin/bash", "-c", f". {HERE}/lib.sh; echo $BIN"], check=True, capture_output=True, text=True, timeout=20
        )
        return Path(shown.stdout.strip())

    @classmethod
    def running(cls) -> Node:
        """The node that is up already; raises ``NodeError`` when none is."""
        node = cls.__new__(cls)
        node.state = Path(os.environ.get("PEERBOOT_TEST_NODE_DIR") or ROOT / "build/node") / "state"
        node.kubeconfig = node.state / "admin.kubeconfig"
        node.kubectl = cls._programs() / "kubectl"
        try:
            node.pid = int((node.state / "init.pid").read_text())
            alive = b"node/init" in Path(f"/proc/{node.pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            alive = False
        if not alive:
            raise NodeError("no node is up: make node")
        return node

    # ------------------------------------------------------------- reach it

    @property
    def enter(self) -> list[str]:
        """What to put before a command that is to run in the node's network."""
        return ["nsenter", "-t", str(self.pid), "-n", "--"]

    def run(self, *command: str, seconds: float = 30, everything: bool = True) -> str:
        """A command in the node: in its mounts and pids too, unless only its network is wanted."""
        enter = ["nsenter", "-t", str(self.pid), *("-m -p -n -u -i" if everything else "-n").split(), "--"]
        done = subprocess.run(  # noqa: S603 - fixed programs
            [*enter, *command], check=False, capture_output=True, text=True, timeout=seconds
        )
        if done.returncode != 0:
            raise NodeError(f"`{' '.join(command)[:80]}` on the node failed: {done.stderr.strip()[-300:]}")
        return done.stdout

    def in_network(self, what: Callable[[], T]) -> T:
        """The result of ``what``, run by a thread that is in the node's network."""
        results: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                self.join_network()
                results.append(what())
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def join_network(self) -> None:
        """Move the calling thread, and only it, into the node's network for good."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self.pid}/ns/net").open("rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise NodeError(f"cannot enter the node's network: {os.strerror(ctypes.get_errno())}")

    # ------------------------------------------------------------- disturb it

    @contextmanager
    def frozen(self, component: str) -> Iterator[None]:
        """One of the node's processes stands still: connections to it hang."""
        pid = (self.state / f"{component}.pid").read_text().strip()
        self.run("kill", "-STOP", pid)
        try:
            yield
        finally:
            self.run("kill", "-CONT", pid)

    @contextmanager
    def without_dns(self) -> Iterator[None]:
        """CoreDNS is not there; it comes back with kubeadm's Corefile."""
        script("coredns", "stop")
        try:
            yield
        finally:
            script("coredns", "start")

    @contextmanager
    def corefile(self, name: str) -> Iterator[None]:
        """CoreDNS with another Corefile of node/conf."""
        script("coredns", "stop")
        script("coredns", "start", name)
        try:
            yield
        finally:
            script("coredns", "stop")
            script("coredns", "start")

    @contextmanager
    def dropped(self, *rules: tuple[str, ...]) -> Iterator[None]:
        """Packets that match any of these iptables rules are lost, for example ``("-s", "10.244.0.5")``."""
        chains = [(chain, rule) for rule in rules for chain in ("FORWARD", "INPUT")]
        for chain, rule in chains:
            self.run("iptables", "-w", "-I", chain, *rule, "-j", "DROP", everything=False)
        try:
            yield
        finally:
            for chain, rule in chains:
                self.run("iptables", "-w", "-D", chain, *rule, "-j", "DROP", everything=False)

    def reboot(self) -> None:
        """Everything is killed at once and started again: a power cut."""
        script("up", "--again")
        self.pid = int((self.state / "init.pid").read_text())

    # ------------------------------------------------------------- its volumes

    def folder(self, name: str) -> Path:
        """A volume's folder, as this machine sees it; the node has it as ``/mnt/NAME``."""
        return self.state / "root/mnt" / name

    def make_folder(self, name: str) -> None:
        """An empty volume, as a new file system is: root's, and the kubelet gives it the Pod's group."""
        folder = self.folder(name)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
