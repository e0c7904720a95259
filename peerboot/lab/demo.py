"""``peerboot lab demo etcd``: the story on a live screen, or line by line where there is no terminal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from peerboot.lab.client import Writer
from peerboot.lab.cluster import Lab, LabSpec
from peerboot.lab.commands import NO_NAMES, checked_dir
from peerboot.lab.demo_sight import Scene, Sight, Watcher
from peerboot.lab.errors import LabError
from peerboot.lab.network import Network
from peerboot.lab.servers import Server, best, find
from peerboot.lab.story import REPLICAS, SCENES, STEPS, Outcome, Step, Story

if TYPE_CHECKING:
    from collections.abc import Coroutine

WRITE_PAUSE = 0.03
NO_RICH = (
    "rich draws the demo and is not installed: pip install 'peerboot[lab]'; or read it: peerboot lab demo etcd | cat"
)
MAJORITY = (
    "Why five Pods: of three, two lost disks are the majority of the votes. Quorum is",
    "then gone for ever; peerboot says so and changes nothing, a person must decide.",
)


class Stage(Protocol):
    """Where the story is shown."""

    def shown(self) -> contextlib.AbstractContextManager[None]: ...
    def scene(self, scene: Scene, elapsed: float) -> None: ...
    def show(self, sight: Sight) -> None: ...
    def done(self, step: Step, elapsed: float) -> None: ...


class Plain:
    """One line for each thing that happens; no terminal is needed."""

    def __init__(self) -> None:
        self._who: tuple[str, ...] = ()
        self._told: dict[str, str] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Nothing to prepare."""
        yield

    def scene(self, scene: Scene, elapsed: float) -> None:
        """A new one begins."""
        self._who = scene.who
        self._line(elapsed, f"Step {scene.number} of {STEPS}, {scene.title}: {scene.doing}")
        self._line(elapsed, f"  Look: {scene.look}")

    def show(self, sight: Sight) -> None:
        """The Pods that the scene is about, each time when one decides something else."""
        for pod in sight.pods:
            verdict = pod.sentence.partition(":")[0]
            if pod.name in self._who and verdict and self._told.get(pod.name) != verdict:
                self._told[pod.name] = verdict
                self._line(sight.elapsed, f"  {pod.name}: {pod.sentence}")

    def done(self, step: Step, elapsed: float) -> None:
        """It is over."""
        self._line(elapsed, f"  After {step.seconds:.1f} s: {step.text}.")

    @staticmethod
    def _line(elapsed: float, text: str) -> None:
        print(f"{elapsed:5.1f} s  {text}", flush=True)


class Drawn:
    """The live screen."""

    def __init__(self) -> None:
        try:
            from rich.console import Console

            from peerboot.lab.screen import Screen
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "rich":
                raise
            raise LabError(NO_RICH) from None
        screen = Screen(Console(file=sys.stdout, highlight=False))
        self.shown, self.show = screen.shown, screen.show

    def scene(self, scene: Scene, elapsed: float) -> None:
        """The next look shows it."""

    def done(self, step: Step, elapsed: float) -> None:
        """Likewise."""


def main(args: argparse.Namespace) -> int:
    """Tell the story; 0 when everything was as told, 1 when something was not."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        return _main(args)
    except (KeyboardInterrupt, asyncio.CancelledError):
        with contextlib.suppress(OSError):  # the terminal may be closed
            print("Interrupted. Every process of the demo has ended, nothing is left behind.", flush=True)
        return 130


def _main(args: argparse.Namespace) -> int:
    # Before minutes go into building a server: is there a network, and something to draw with?
    Network().close()
    stage: Stage = Drawn() if on_terminal() else Plain()
    server, remark = (find(args.etcd, print), "") if args.etcd else best(print)
    if remark:
        print(remark, flush=True)
    if args.dir:
        args.dir.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="demo-" if args.dir else "peerboot-demo-", dir=args.dir))
    kept = False
    try:
        checked_dir(root)
        outcome, seconds = asyncio.run(_tell(root, server, stage))
    except StoryError as error:
        kept = True
        print(f"The demo failed in step {error}\nlogs: {root / 'logs'}", file=sys.stderr, flush=True)
        return 1
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)
    print("\n".join(last_lines(outcome, server, seconds)), flush=True)
    return 0


class StoryError(Exception):
    """Something in the story was not as it should be: number and title of its step, what, and every Pod's words."""


async def _tell(root: Path, server: Server, stage: Stage) -> tuple[Outcome, float]:
    lab = Lab(LabSpec(root=root, server=server, replicas=REPLICAS))
    if not lab.names:
        print(NO_NAMES, flush=True)
    writer = Writer(lambda: [lab.client_url(ordinal) for ordinal in sorted(lab.pods)], pause=WRITE_PAUSE)
    watcher = Watcher(lab, writer, stage.show, SCENES[0])

    def scene(scene: Scene) -> None:
        watcher.scene = scene
        stage.scene(scene, watcher.elapsed)

    # A closed terminal and a polite end clean up as Ctrl-C does, which is asyncio's own.
    me = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel if me else lambda: None)
    story = Story(
        lab,
        writer,
        clusters=lambda: watcher.clusters,
        scene=scene,
        done=lambda step: stage.done(step, watcher.elapsed),
    )
    try:
        with stage.shown():
            outcome = await _beside(story.tell(), watcher.run())
            seconds = watcher.elapsed
    except LabError as error:
        raise StoryError(f"{watcher.scene.number} ({watcher.scene.title}): {error}") from error
    finally:
        await writer.stop()
        await lab.stop()
    return outcome, seconds


async def _beside(story: Coroutine[None, None, Outcome], watching: Coroutine[None, None, None]) -> Outcome:
    """The story, watched for as long as it lasts; ends with the first of the two that fails."""
    tasks = (asyncio.ensure_future(story), asyncio.ensure_future(watching))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def on_terminal() -> bool:
    """Whether there is a terminal that a screen can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def last_lines(outcome: Outcome, server: Server, seconds: float) -> list[str]:
    """What stays on the terminal: the time of each step, the account of the writes, what to try next."""
    program = called_as(sys.argv[0])
    return [
        f"One etcd {server.version} cluster of {REPLICAS} Pods, id {outcome.cluster}, formed and healed:",
        "",
        *(f"  {step.number}  {step.text:<66} {step.seconds:5.1f} s" for step in outcome.steps),
        f"     {'in all':<66} {seconds:5.1f} s",
        "",
        f"{outcome.writes} acknowledged writes, 0 missing (each of the {REPLICAS} members was asked)",
        "",
        *MAJORITY,
        "",
        "Try it yourself:",
        f"  {program} lab up etcd",
        f"  {program} lab wipe db-0 && {program} lab status",
        f"  {program} lab exec db-0 explain",
        f"  {program} lab dns servfail; {program} lab exec db-0 plan",
        f"  {program} lab down",
    ]


def called_as(argv0: str) -> str:
    """How to call this program again: as it was called."""
    name = Path(argv0).name
    if name != "peerboot":
        return "python -m peerboot"
    return "peerboot" if shutil.which("peerboot") == argv0 else argv0
