"""What three wire formats of Kafka cost: ``python -m benchmarks.kafka_wire`` (docs/adr/0007-kafkas-wire.md).

Needs peerboot's own dependencies and both candidates, so a virtual environment of its own:

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install -r requirements/run.txt
    /tmp/oracle/bin/pip install kio==0.6.5 kafka-python==3.0.12
    /tmp/oracle/bin/python -m benchmarks.kafka_wire

Each row is a fresh interpreter that has imported asyncio, aiohttp, dnspython, structlog and msgspec, as a sidecar has.
Then one candidate is imported, writes and reads the twelve calls' messages of tests/kafka/vectors.txt, in the versions
that 4.3 negotiates; the difference is its cost. The last rows are peerboot's whole client, calling over TLS with SCRAM
to a server in another process, beside TLS alone. Last: what each reader makes of twelve bytes that name 4 billion
entries.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.imports import brought, megabytes

RUNS = 7
BASE = """
import asyncio, gc, os, time
import aiohttp, dns.asyncquery, dns.message, dns.rdatatype, structlog, msgspec
from benchmarks.kafka_load import vectors
import peerboot.model, peerboot.outside.http
pairs = vectors()
def kib():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
gc.collect()
before, begun = kib(), time.perf_counter()
{body}
took = time.perf_counter() - begun
gc.collect()
print(took * 1000, kib() - before)
"""
IMPORTS = {
    "nothing": "",
    "kio": "from benchmarks.kafka_load import kio\nkio(pairs)",
    "kafka-python": "from benchmarks.kafka_load import kafka_python\nkafka_python(pairs)",
    "peerboot's own": "from benchmarks.kafka_load import own\nown(pairs)",
    "TLS context alone": "import ssl\nssl.create_default_context(cafile=os.environ['CA'])",
    "peerboot's client in use": "from benchmarks.kafka_load import use\nasyncio.run(use())",
}
PACKAGES = {"kio": "kio", "kafka-python": "kafka-python"}
"""Row -> distribution."""


def once(body: str, environ: dict[str, str]) -> tuple[float, float]:
    """Milliseconds and KiB of one run."""
    done = subprocess.run(  # noqa: S603 - own code
        [sys.executable, "-c", BASE.format(body=body)], check=True, capture_output=True, text=True, env=environ
    )
    took, grown = done.stdout.split()
    return float(took), float(grown)


def lied_to(name: str) -> str:
    """What the reader of a candidate does with an answer that lies about its length, in a process of its own."""
    code = f"from benchmarks.kafka_load import lied_to; print(lied_to({name!r}))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603 - own code
    if done.returncode:
        return f"the process ended by signal {-done.returncode}: {done.stderr.partition(chr(10))[0]}"
    return done.stdout.strip()


def own_size() -> float:
    """MB of peerboot's own modules, byte-code included."""
    folder = Path(__file__).parents[1] / "peerboot" / "outside" / "kafka"
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> int:
    """Print the table."""
    from benchmarks.kafka_load import serving

    print(f"Python {'.'.join(map(str, sys.version_info[:3]))}, median of {RUNS} (least-most)")
    print(f"{'':26} {'ms':>16} {'MiB':>18} {'MB':>6}")
    with serving() as environ:
        for name, body in IMPORTS.items():
            once(body, environ)
            runs = [once(body, environ) for _ in range(RUNS)]
            times, grown = sorted(run[0] for run in runs), sorted(run[1] / 1024 for run in runs)
            size = ""
            if name in PACKAGES:
                size = f"{sum(megabytes(one) for one in brought(PACKAGES[name]) - {'typing-extensions'}):.1f}"
            elif "own" in name:
                size = f"{own_size():.1f}"
            time_text = f"{statistics.median(times):.0f} ({times[0]:.0f}-{times[-1]:.0f})"
            rss_text = f"{statistics.median(grown):.1f} ({grown[0]:.1f}-{grown[-1]:.1f})"
            print(f"{name:26} {time_text:>16} {rss_text:>18} {size:>6}", flush=True)
    for name in ("kio", "kafka-python", "peerboot's own"):
        print(f"{name:26} {lied_to(name)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
