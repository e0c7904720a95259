"""The image of this tree, on a base made on this machine, and processes in it as a container runtime makes them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes.node import script
from tools import image

TAG = "test"
OPENSHIFT = 1000680000
"""A user as OpenShift makes them up: there is no such line in /etc/passwd; its group is 0."""


SANDBOX = (
    "/usr/bin/unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "/bin/sh", "-c",
    """
    set -e
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount -o remount,ro,bind "$1"
    mount -t tmpfs -o mode=0770,gid=0 none "$1/run/peerboot"
    mount -t tmpfs -o mode=1777 none "$1/mnt"
    ip link set lo up
    shift
    exec "$@"
    """,
    "sh",
)  # fmt: skip
"""Namespaces of its own; then the root's folder and the command."""


@dataclass(frozen=True)
class Built:
    """An image, and its root file system as it lies here."""

    name: str
    root: Path
    config: Mapping[str, object]

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """What the image says, and more."""
        pairs = self.config["Env"]
        assert isinstance(pairs, list)
        return {**dict(pair.split("=", 1) for pair in pairs), **more}

    def start(self, *command: str, user: int = 65532, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A process on the read-only root, in a network of its own, with no rights and no line in /etc/passwd."""
        confined = ("/usr/sbin/chroot", f"--userspec={user}:0", "--groups=0", str(self.root))
        clean = ("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in self.environ(env or {}).items()))
        return subprocess.Popen(  # noqa: S603 - fixed programs
            [*SANDBOX, str(self.root), *clean, *confined, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            # A group of its own to kill: no signal of a parent's death reaches what has changed its user.
            start_new_session=True,
        )

    def run(
        self, *command: str, user: int = 65532, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*command, user=user, env=env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture(scope="session")
def build_again() -> Callable[[str], str]:
    """A function that builds the image once more under another tag."""
    script("build")

    def build(tag: str) -> str:
        with image.alone():
            return image.build("local", "", image.LOCAL_PYTHON, tag)

    return build


@pytest.fixture(scope="session")
def built(build_again: Callable[[str], str]) -> Iterator[Built]:
    """The image, its root file system mounted."""
    name = build_again(TAG)
    assert os.getuid() == 0, "the image's tests mount file systems: run them as root"
    container = image.run("buildah", *image.STORE, "from", "--pull-never", name, seconds=120).strip()
    try:
        root = Path(image.run("buildah", *image.STORE, "mount", container, seconds=60).strip())
        config = image.inspect(name)["config"]
        yield Built(name, root, config)
    finally:
        image.run("buildah", *image.STORE, "rm", container, seconds=120)
