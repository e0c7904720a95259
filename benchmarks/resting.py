"""What a sidecar costs at rest beside a healthy etcd: memory and CPU, at 3 and 5 Pods.

``python -m benchmarks.resting [SECONDS]``. From /proc: resident memory, private memory (what goes when the process
goes), and processor time over the measured seconds, a minute unless told otherwise.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

from benchmarks.tables import AS_IN_THE_IMAGE, show, spread
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.servers import find

SIZES = (3, 5)
SETTLE = 15.0
"""After all are ready: the pace at rest has come."""
AIM = "aim: 40 MiB, 25 MiB, 0.3 %"


def memory(pid: int) -> tuple[float, float]:
    """Resident and private memory in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return found["Rss"] / 1024, (found["Private_Clean"] + found["Private_Dirty"]) / 1024


def cpu(pid: int) -> float:
    """Processor seconds used so far (proc(5): utime and stime are fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(seconds: float) -> None:
    """Each size once; the spread is over its Pods."""
    server = find("3.6")
    rows = [["Pods", "RSS, MiB", "private, MiB", "% of a core"]]
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="pb-") as root:
            async with Lab(LabSpec(root=Path(root), server=server, replicas=size, peerboot=AS_IN_THE_IMAGE)) as lab:
                await lab.until_ready(120)
                await asyncio.sleep(SETTLE)
                pids = [pod.sidecar.pid or 0 for pod in lab.pods.values()]
                before = [cpu(pid) for pid in pids]
                await asyncio.sleep(seconds)
                used = [(cpu(pid) - was) / seconds * 100 for pid, was in zip(pids, before, strict=True)]
                resident, private = zip(*(memory(pid) for pid in pids), strict=True)
        rows.append([str(size), spread(resident, 1), spread(private, 1), spread(used)])
    show(f"A sidecar at rest over {seconds:g} s (median, least and greatest over the Pods; {AIM})", rows)


if __name__ == "__main__":
    asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
