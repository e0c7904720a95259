"""What a person sees: kept in docs/seen by ``PEERBOOT_TEST_CAPTURE=1``, and checked against it by every run.

A page's time stamps, addresses and ids differ from run to run; what names cause and remedy must be in the page and in
what the node shows now.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.kubernetes.sets import EtcdSet

PAGES = Path(__file__).parents[2] / "docs/seen"
CAPTURE = os.environ.get("PEERBOOT_TEST_CAPTURE", "") not in ("", "0")


def seen(db: EtcdSet, page: str, command: str, cause: str, seconds: float = 60) -> None:
    """Run a kubectl command until what it prints has the cause; keep it, and hold it against the page that is kept."""
    args = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", command)]
    pattern = re.compile(cause, re.DOTALL)

    def look() -> str | None:
        done = db.kube.run(*args, check=False)
        text = done.stdout + done.stderr
        return text if pattern.search(text) else None

    text = db.kube.until(f"kubectl {command} shows {cause}", seconds, look)
    keep(page, command, text, db, cause)


def without_noise(text: str, db: EtcdSet) -> str:
    """Without what is this test run's own: its namespace and images, and trailing blanks."""
    for old, new in (
        (db.kube.namespace, "shop"),
        (db.kube.cluster.image, "peerboot:0.1.0"),
        (db.kube.cluster.etcd_image, "etcd:v3.6.16"),
    ):
        text = text.replace(old, new)
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def keep(page: str, command: str, text: str, db: EtcdSet, cause: str) -> None:
    """Keep a text that was had otherwise, and hold the page that is kept against its cause."""
    path = PAGES / f"{page}.txt"
    if CAPTURE:
        PAGES.mkdir(exist_ok=True)
        path.write_text(f"$ kubectl {command}\n{without_noise(text, db)}")
    assert re.search(cause, path.read_text(), re.DOTALL), f"{path.name} is of another release: capture it anew"
