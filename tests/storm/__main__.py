"""``python -m tests.storm --minutes 10 --seed 7``: a storm on nine Pods of real etcd; exit 0 without a violation."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import time
from pathlib import Path

from peerboot.lab.errors import LabError
from tests.storm import linearizable, schedule
from tests.storm.report import told
from tests.storm.storm import Storm

INSIDE = "PEERBOOT_TEST_STORM"
"""Set where this process has mounts of its own already."""


def own_mounts() -> None:
    """Start anew with mounts of its own, for small volumes; whatever is mounted there ends with this process."""
    if os.environ.get(INSIDE) == "1":
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        raise LabError("unshare is not here: install it (Debian: util-linux)")
    more = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    command = [
        unshare,
        *more,
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-m",
        "tests.storm",
        *sys.argv[1:],
    ]
    os.execve(unshare, command, {**os.environ, INSIDE: "1"})  # noqa: S606 - our own words


def main() -> int:
    """Read the arguments, run it, print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="rounds begin until then (default 10)")
    parser.add_argument("--seed", default="", help="of the schedule; a new one when it is not given")
    parser.add_argument("--pods", type=int, default=9, help="default 9")
    parser.add_argument(
        "--record", type=Path, help="an empty directory for what is kept (default build/storm/TIME-SEED)"
    )
    args = parser.parse_args()
    seed = args.seed or secrets.token_hex(4)
    record = args.record or Path("build/storm") / f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    try:
        own_mounts()
        linearizable.find()
        record.mkdir(parents=True)
        print(
            f"a storm of {args.minutes:g} minutes on {args.pods} Pods, seed {seed}; what it does and sees: {record}",
            flush=True,
        )
        planned = schedule.make(seed, args.minutes, args.pods)
        result = asyncio.run(Storm(planned, record.resolve(), lambda text: print(text, flush=True)).run())
    except (LabError, OSError) as error:
        print(f"error: the storm could not be held: {error}", file=sys.stderr)
        return 2
    print(told(result))
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
