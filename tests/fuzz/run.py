"""Runs targets beside each other, each in a process of its own, and tells what came of it: what ``make fuzz`` calls.

Prints a line for each target: inputs that were run, branches and features reached, inputs kept as new. Exits with 1
when one of them found something, or did not come to its end; then with how to run what it found again.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.harness import CORPUS, HERE, TARGETS, load

BUILD = Path("build/fuzz")
MOST_MEMORY_MB = 1024
MOST_SECONDS_FOR_ONE = 30
GRACE = 120.0
"""Seconds beyond the time that was asked for, after which a target is ended: the committed inputs are run first."""
TAIL = 60
"""Lines that are shown of one that failed."""


@dataclass(frozen=True)
class Result:
    """What came of one target."""

    name: str
    code: int
    seconds: float
    output: str
    fresh: int
    """Inputs that reached something new."""
    findings: tuple[Path, ...]

    @property
    def line(self) -> str:
        """For a person."""
        done = re.search(r"stat::number_of_executed_units:\s+(\d+)", self.output)
        reached = re.findall(r"cov: (\d+) ft: (\d+)", self.output)
        runs = int(done[1]) if done else 0
        cov, features = reached[-1] if reached else ("0", "0")
        state = "ok" if self.code == 0 else "FAILED"
        return (
            f"{self.name:<10}{state:<8}{runs:>9} inputs in {self.seconds:5.0f} s "
            f"({runs / max(self.seconds, 1):6.0f}/s), {cov:>5} branches, {features:>6} features, "
            f"{self.fresh:>4} new inputs"
        )


async def fuzz(name: str, seconds: int, runs: int) -> Result:
    """One target to its end."""
    found, findings, words = BUILD / "corpus" / name, BUILD / "findings" / name, BUILD / f"{name}.dict"
    for folder in (found, findings, CORPUS / name):
        folder.mkdir(parents=True, exist_ok=True)
    target = load(name)
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
    before, old = _files(found), _files(findings)
    command = [
        "nice", "-n", "5", sys.executable, "-m", "tests.fuzz.one", name,
        f"-max_total_time={seconds}", *([f"-runs={runs}"] if runs else []),
        f"-max_len={target.LONGEST}", f"-rss_limit_mb={MOST_MEMORY_MB}", f"-timeout={MOST_SECONDS_FOR_ONE}",
        f"-dict={words}", f"-artifact_prefix={findings}/", "-print_final_stats=1", str(found), str(CORPUS / name),
    ]  # fmt: skip
    began, log = time.monotonic(), BUILD / f"{name}.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=HERE.parents[1], env={**os.environ, "PYTHONPATH": str((BUILD / "lib").resolve())},
            stdin=asyncio.subprocess.DEVNULL, stdout=written, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds + GRACE if seconds else None):
                await process.wait()
        except TimeoutError:
            written.write(f"ended {GRACE:.0f} s after its time\n".encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    text = log.read_text(errors="replace")
    new = tuple(sorted(_files(findings) - old))
    fresh = len(_files(found) - before)
    return Result(name, process.returncode or 0, time.monotonic() - began, text, fresh, new)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _files(folder: Path) -> set[Path]:
    return set(folder.iterdir())


async def fuzz_all(names: list[str], seconds: int, runs: int, jobs: int) -> int:
    """All of them, so many at once; 0 when none found anything."""
    gate, failed = asyncio.Semaphore(jobs), 0

    async def one(name: str) -> None:
        nonlocal failed
        async with gate:
            result = await fuzz(name, seconds, runs)
        print(result.line, flush=True)
        if result.code:
            failed += 1
            print("\n".join(result.output.splitlines()[-TAIL:]))
            for path in result.findings:
                print(f"its bytes in base64: {base64.b64encode(path.read_bytes()).decode()}")
                print(
                    f"error: {name} found something. Run it again: {sys.executable} -m tests.fuzz.replay {name} {path}"
                )
            if not result.findings:
                print(f"error: {name} ended with {result.code}, and no input that shows why was kept")

    await asyncio.gather(*(one(name) for name in names))
    return 1 if failed else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--seconds", type=int, default=0, help="of each target; 0: no bound")
    parser.add_argument("--runs", type=int, default=0, help="inputs of each target; 0: no bound")
    parser.add_argument("--jobs", type=int, default=2, help="targets at once")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all when none is named")
    args = parser.parse_args()
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    if not args.seconds and not args.runs:
        parser.error("say how long: --seconds or --runs")
    return asyncio.run(fuzz_all(args.targets or list(TARGETS), args.seconds, args.runs, args.jobs))


if __name__ == "__main__":
    sys.exit(main())
