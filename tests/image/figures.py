"""The image's figures, as docs/kubernetes.md has them: ``python -m tests.image.figures [RUNS]``, as root.

Size over the bare base; from the start of the sidecar in the image to its first DNS question, with the files of the
image in the page cache and without. Nothing is warmed up but by the run before.
"""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.image.test_image import SETTINGS
from tools import image

USER = 65532


def layer_bytes(root: Path) -> tuple[int, int]:
    """Of what the image adds to its base: as files, and packed as a registry keeps it."""
    packed = subprocess.run(  # noqa: S603 - tar
        ["/bin/tar", "-C", str(root), "--sort=name", "-cf", "-", "opt/peerboot", "run/peerboot"],
        check=True,
        capture_output=True,
    ).stdout
    return len(packed), len(gzip.compress(packed, 6))


def forget(root: Path) -> None:
    """Drop every file of the image from the page cache."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file():
                continue
            with suppress(OSError), path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def first_question(root: Path, environ: dict[str, str]) -> float:
    """Milliseconds from exec to the first packet."""
    for folder in ("mnt", "run/peerboot"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
        os.chown(root / folder, USER, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(30)
        env = {**environ, **SETTINGS, "PEERBOOT_NAMESERVERS": f"127.0.0.1:{listener.getsockname()[1]}"}
        env |= {"PEERBOOT_LISTEN": "127.77.0.1:7070", "PEERBOOT_METRICS_LISTEN": "127.77.0.1:7072"}
        env |= {"PEERBOOT_DATA_DIR": "/mnt/etcd", "PEERBOOT_STATE_DIR": "/mnt/.peerboot"}
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - the image's own program
            ["/usr/sbin/chroot", f"--userspec={USER}:0", str(root), "/opt/peerboot/bin/peerboot", "sidecar"],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            listener.recv(4096)
            return (time.monotonic() - began) * 1000
        finally:
            process.kill()
            process.wait()


def main(runs: int) -> None:
    """Build, measure, print."""
    name = image.build("local", "", image.LOCAL_PYTHON, "figures")
    container = image.run("buildah", *image.STORE, "from", "--pull-never", name, seconds=120).strip()
    try:
        root = Path(image.run("buildah", *image.STORE, "mount", container, seconds=60).strip())
        files, packed = layer_bytes(root)
        print(f"over the bare base: {files / 1e6:.1f} MB as files, {packed / 1e6:.1f} MB packed")
        environ = dict(pair.split("=", 1) for pair in image.inspect(name)["config"]["Env"])
        first_question(root, environ)
        for label, cold in (("warm", False), ("cold", True)):
            taken = []
            for _ in range(runs):
                if cold:
                    forget(root)
                taken.append(first_question(root, environ))
            print(
                f"first DNS question, {label} page cache: median {statistics.median(taken):.0f} ms, "
                f"{min(taken):.0f} to {max(taken):.0f} (of {runs}; 150 to 350 ms of it are a pause on purpose)"
            )
    finally:
        image.run("buildah", *image.STORE, "rm", container, seconds=120)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
