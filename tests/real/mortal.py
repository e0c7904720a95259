"""peerboot that kills itself with SIGKILL at a chosen action: use as ``LabSpec(peerboot=MORTAL, env=ENV)``.

The file that PEERBOOT_TEST_DIE names chooses, for example ``after wrote etcd.yaml #2``: right after that action is done
for the second time in this process; without its number, at whichever time comes first. Killed, it leaves
``<file>.died`` in its place, so it dies once. ``before``: right before it. ``between``: after a call was answered,
before that is written down. ``<file>.seen`` lists what was begun.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from peerboot import act, cli
from peerboot.lab.container import Timing
from peerboot.model import Action, Call, Done
from peerboot.systems.etcd.spec import Etcd
from peerboot.systems.kafka.prepared import Kafka
from peerboot.systems.postgres.prepared import Postgres

MORTAL = (sys.executable, "-m", "tests.real.mortal")
FAST = Timing(publish=0.2, probe=0.1, restart=0.2, backoff=0.3, backoff_most=1.0, recreate=0.3)
"""For labs in which much is killed and restarted."""
VARIABLE = "PEERBOOT_TEST_DIE"
ENV = {"PYTHONPATH": str(Path(__file__).parents[2])}


def label(action: Action) -> str:
    """An action in words without ids, the same in every run."""
    return re.sub(
        r" (\d+:)?[0-9A-Za-z_-]{22,}.*| [0-9a-f]{8,}.*| http.*| to member\..*|, on timeline .*",
        "",
        act.describe(action),
    )


class Fate:
    """Knows how often each action was done, and when it is time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count: Counter[str] = Counter()

    def begin(self, what: str) -> str:
        """What the action is called this time. One that fails is tried again under the same name."""
        numbered = f"{what} #{self._count[what] + 1}"
        with self._path.with_suffix(".seen").open("a", encoding="utf-8") as seen:
            seen.write(f"{numbered}\n")
        return numbered

    def done(self, what: str) -> None:
        """Count it."""
        self._count[what] += 1

    def strike(self, moment: str, what: str) -> None:
        """Kill this process if this is the chosen moment."""
        try:
            chosen = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        if chosen in (f"{moment} {what}", f"{moment} {what.rpartition(' #')[0]}"):
            self._path.replace(self._path.with_suffix(".died"))
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """The command line as ever, but mortal."""
    fate = Fate(Path(os.environ[VARIABLE]))
    perform = act.perform

    async def mortal_perform(action: Action, doors: act.Doors) -> Done:
        numbered = fate.begin(label(action))
        fate.strike("before", numbered)
        done = await perform(action, doors)
        if done.ok:
            fate.done(label(action))
            fate.strike("after", numbered)
        return done

    # The functions of a module and the methods of a class are looked up when they are called.
    act.perform = mortal_perform
    for system in (Etcd, Kafka, Postgres):
        system.call = _mortal(system.call, fate)  # type: ignore[method-assign]
    return cli.main()


def _mortal(call: Any, fate: Fate) -> Any:
    async def mortal_call(self: object, http: Any, wanted: Call, *rest: Any) -> Done:
        done: Done = await call(self, http, wanted, *rest)
        if done.ok:
            fate.strike("between", label(wanted))
        return done

    return mortal_call


if __name__ == "__main__":
    sys.exit(main())
