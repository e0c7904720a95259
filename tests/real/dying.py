"""peerboot that is killed by itself right after its so-manieth action, once: ``python -m tests.real.dying sidecar``.

PEERBOOT_TEST_DYING names a file with the number; a process that finds it at its start counts its actions, and removes
the file before it dies. What was done is appended to a file beside it. An admin call counts twice: when it is
answered, and when what it gave is written down.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from peerboot import act, cli
from peerboot.model import Action, Call, Done
from peerboot.systems.etcd.spec import Etcd

SETTING = "PEERBOOT_TEST_DYING"


class Death:
    """Counts, and strikes."""

    def __init__(self, plan: Path) -> None:
        self._plan = plan
        self._left = int(plan.read_text()) if plan.exists() else 0

    def done(self, what: str) -> None:
        """One more action."""
        if self._left == 0:
            return
        with self._plan.with_suffix(".done").open("a") as file:
            file.write(f"{what}\n")
        self._left -= 1
        if self._left == 0:
            self._plan.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def arm(plan: Path) -> None:
    """Make every action mortal."""
    death, perform, call = Death(plan), act.perform, Etcd.call

    async def mortal_perform(action: Action, doors: act.Doors) -> Done:
        done = await perform(action, doors)
        if done.ok:
            death.done(act.describe(action))
        return done

    async def mortal_call(self: Etcd, http: Any, wanted: Call, *rest: Any) -> Done:
        done = await call(self, http, wanted, *rest)
        if done.ok:
            death.done(f"{wanted.name}, not yet written down")
        return done

    act.perform = mortal_perform
    setattr(Etcd, "call", mortal_call)  # noqa: B010 - a method of the same shape


if __name__ == "__main__":
    if SETTING in os.environ:
        arm(Path(os.environ[SETTING]))
    sys.exit(cli.main())
