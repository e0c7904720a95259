"""``python -m tests.simulation``: many seeds and a report, or one seed with its story. Behind ``make sim``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.report import Report
from tests.simulation.schedule import of_seed
from tests.simulation.shrink import shrink
from tests.simulation.simulate import Result, simulate

ENOUGH = 5000
"""Seeds from which on it is an error that a rule or a fault never fired."""


def of(seed: int) -> Result:
    """One seed's result."""
    return simulate(of_seed(seed))


def main() -> int:
    """Exit code 1: a seed failed, or something never fired."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="tell the story of this one, and shrink it if it fails")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--all-must-fire", action="store_true", help=f"also with fewer than {ENOUGH} seeds")
    args = parser.parse_args()
    return _one(args.seed) if args.seed is not None else _many(args)


def _one(seed: int) -> int:
    result = of(seed)
    print(result.schedule, *result.told, f"end: {result.end}, digest {result.digest}", sep="\n")
    if not result.wrong:
        return 0
    print("", "FAILED:", *result.wrong, sep="\n")
    print("", "the smallest that still fails:", shrink(result.schedule, lambda s: bool(simulate(s).wrong)), sep="\n")
    return 1


def _results(args: argparse.Namespace) -> Iterator[Result]:
    seeds = range(args.first, args.first + args.seeds)
    if args.jobs == 1:
        yield from map(of, seeds)
        return
    with ProcessPoolExecutor(args.jobs) as pool:
        yield from pool.map(of, seeds, chunksize=8)


def _many(args: argparse.Namespace) -> int:
    report, begun, cpu = Report(), time.monotonic(), time.process_time()
    for result in _results(args):
        report.add(result)
        if result.wrong:
            first = result.wrong[0].splitlines()[0]
            print(f"seed {result.schedule.seed} failed: {first} (make sim SEED={result.schedule.seed})", flush=True)
        if report.runs % 500 == 0:
            print(f"{report.runs} seeds in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(report.text())
    each = f", {(time.process_time() - cpu) / report.runs:.2f} s of CPU a seed" if args.jobs == 1 else ""
    print(f"\n{time.monotonic() - begun:.0f} s{each}")
    never = report.never() if args.all_must_fire or args.seeds >= ENOUGH else []
    for what in never:
        print(f"never fired: {what}")
    for rule in report.strangers():
        print(f"said to be no rule of etcd's, and decided: {rule}")
    return 1 if report.failed or never or report.strangers() else 0


if __name__ == "__main__":
    sys.exit(main())
