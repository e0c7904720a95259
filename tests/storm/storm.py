"""A storm from its beginning to its end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from tests.doors.api_server import api_server, make_certificates
from tests.storm import linearizable
from tests.storm.checks import Watch
from tests.storm.cluster import TOKEN, StormLab
from tests.storm.faults import Faults
from tests.storm.history import History
from tests.storm.report import Result, told
from tests.storm.schedule import Schedule
from tests.storm.writers import Clients

FORMS = 180.0
SETTLES = 300.0
"""Seconds within which all must have settled once nothing goes wrong any more; on an idle machine it takes a tenth."""


class Storm:
    """One run. Everything that is worth keeping lies in ``record``."""

    def __init__(self, schedule: Schedule, record: Path, show: Callable[[str], None]) -> None:
        self._schedule = schedule
        self._record = record
        self._show = show
        self._began = time.monotonic()
        # A Unix socket lies below it, and its path may have 107 bytes only.
        self._root = Path(tempfile.mkdtemp(prefix="storm-"))
        self._log = (record / "events.txt").open("w", encoding="utf-8", buffering=1)
        self._watch: Watch | None = None
        self._settled: list[float] = []
        self._rounds = 0

    def _say(self, text: str) -> None:
        self._log.write(f"{time.monotonic() - self._began:8.1f} s  {text}\n")

    def _notice(self, text: str) -> None:
        self._say(text)
        if self._watch is not None:
            self._watch.notice(text)

    async def run(self) -> Result:
        """The whole of it; a violation ends it early."""
        schedule = self._schedule
        async with AsyncExitStack() as stack:
            history = stack.enter_context(History(self._record / "history.jsonl"))
            stack.enter_context(self._log)
            certificates = make_certificates(self._root, "api")
            api = await stack.enter_async_context(api_server(certificates, TOKEN))
            lab = StormLab(self._root, schedule.replicas, schedule.small, self._notice, api, certificates.ca)
            watch = self._watch = Watch(lab, self._say)
            faults = watch.faults = Faults(lab, self._say)
            stack.callback(shutil.rmtree, self._root, ignore_errors=True)
            clients = Clients(history, lab.urls, schedule.seed)
            verdict = None
            try:
                await lab.start()
                await lab.until_ready(FORMS)
                self._show(f"{schedule.replicas} Pods have formed a cluster after {self._elapsed():.0f} s")
                await self._blow(lab, history, clients)
                if not watch.violations:
                    await self._at_the_end(lab, watch, clients)
                history.flush()
                verdict = await asyncio.to_thread(linearizable.check, history.path)
                self._say(f"history: {verdict.sentence}")
                if verdict.verdict != "linearizable":
                    watch.violated(f"the history is {verdict.sentence}")
            finally:
                # Also when it broke off for another reason than a violation.
                if watch.violations or verdict is None:
                    (self._record / "pods.txt").write_text(lab.told(), encoding="utf-8")
                    await asyncio.to_thread(self._keep)
                await lab.stop()
            result = self._result(history, watch, faults, verdict.sentence)
        (self._record / "report.txt").write_text(told(result) + "\n", encoding="utf-8")
        return result

    async def _blow(self, lab: StormLab, history: History, clients: Clients) -> None:
        """The rounds, with everything that goes on meanwhile."""
        watch = self._watch
        assert watch is not None
        assert watch.faults is not None
        clients.start()
        watch.start()
        telling = asyncio.create_task(self._tell(history, watch, watch.faults))
        try:
            await self._rounds_of(watch, watch.faults)
        finally:
            telling.cancel()
            await watch.faults.cancel()
            await clients.stop()
            await watch.stop()
            lab.dns.fault("ok")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _rounds_of(self, watch: Watch, faults: Faults) -> None:
        end = time.monotonic() + self._schedule.minutes * 60
        with (self._record / "schedule.txt").open("w", encoding="utf-8", buffering=1) as written:
            while time.monotonic() < end and not watch.broken.is_set():
                planned = self._schedule.round(self._rounds)
                written.write(f"round {self._rounds}\n" + "".join(f"{fault}\n" for fault in planned))
                self._say(f"round {self._rounds} begins")
                began = time.monotonic()
                for fault in planned:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(watch.broken.wait(), max(0.0, began + fault.at - time.monotonic()))
                    if watch.broken.is_set():
                        return
                    faults.begin(fault)
                    faults.check()
                await faults.end()
                await self._settle(watch)
                self._rounds += 1

    async def _settle(self, watch: Watch) -> None:
        """The calm: all settle, and everybody has the same."""
        began, why = time.monotonic(), "it was not looked at"
        while not watch.broken.is_set():
            why = await watch.unsettled()
            if not why:
                break
            if time.monotonic() - began > SETTLES:
                watch.violated(f"not settled {SETTLES:g} s after the last fault: {why}")
                return
            await asyncio.sleep(0.5)
        if watch.broken.is_set():
            return
        self._settled.append(time.monotonic() - began)
        self._say(f"round {self._rounds} settled after {self._settled[-1]:.1f} s")
        await watch.look()
        await self._same(watch)

    async def _same(self, watch: Watch) -> None:
        try:
            await watch.same_everywhere()
        except TimeoutError:
            watch.violated("settled, and yet a member did not answer a read or a write within 30 s")

    async def _at_the_end(self, lab: StormLab, watch: Watch, clients: Clients) -> None:
        """Nobody writes any more: no acknowledged write may be missing, wherever one reads."""
        await self._same(watch)
        for member in watch.unnamed():
            watch.violated(f"member {member} of {watch.gone[member]} went, and no log says who removed it")
        chosen = sorted(lab.pods)[len(clients.keys()) % len(lab.pods)]
        left = await clients.read_all(lab.client_url(chosen), lab.pod_name(chosen))
        if left:
            watch.violated(f"{len(left)} keys could not be read at the end: {left[:3]}")

    async def _tell(self, history: History, watch: Watch, faults: Faults) -> None:
        minute = 0
        while True:
            await asyncio.sleep(60)
            minute += 1
            ok, failed, unknown = (history.counts[outcome] for outcome in ("ok", "failed", "unknown"))
            self._show(
                f"minute {minute}: round {self._rounds}, {sum(faults.counts.values())} faults; "
                f"{history.total} operations: {ok} ok, {failed} failed, {unknown} unknown, "
                f"longest gap {history.longest_gap:.1f} s; {len(watch.gone)} members replaced; "
                f"{watch.ready} of {self._schedule.replicas} ready"
            )

    def _keep(self) -> None:
        """Copy everything of the lab: logs, volumes, what each Pod wrote. Log segments are sparse."""
        target = self._record / "kept"
        command = ["cp", "--archive", "--sparse=always", f"{self._root}/.", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603 - our own words
        if done.returncode:
            self._say(f"not everything was kept: {done.stderr[:500]}")

    def _result(self, history: History, watch: Watch, faults: Faults, verdict: str) -> Result:
        oldest = watch.oldest()
        memory = f"at most {watch.most_memory / 1024:.0f} MiB"
        if oldest is not None:
            memory += (
                f"; of the one that lived longest ({oldest.age:.0f} s) {oldest.first / 1024:.1f} MiB after a minute"
            )
            memory += f" and {oldest.now / 1024:.1f} MiB at its end"
        return Result(
            seed=self._schedule.seed, minutes=self._schedule.minutes, rounds=self._rounds, faults=faults.counts,
            held_back=faults.held_back, operations=history.counts, longest_gap=history.longest_gap,
            settled=self._settled, members_replaced=len(set(watch.gone) & watch.ran),
            taken_back=len(set(watch.gone) - watch.ran), damaged=len(watch.damaged),
            exits=watch.exits, waits=watch.waits, memory=memory, verdict=verdict,
            violations=watch.violations, kept=str(self._record),
        )  # fmt: skip
