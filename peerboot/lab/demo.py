"""``peerboot lab demo``: a story on a live screen, or line by line.

Line by line where there is no terminal, and Kafka's, whose seven Pods have no room on a screen.
"""

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
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from peerboot.lab.commands import NO_NAMES, checked_dir, provided
from peerboot.lab.demo_sight import Scene, Sight, Watcher
from peerboot.lab.errors import LabError
from peerboot.lab.etcd_story import EtcdStory
from peerboot.lab.kafka_story import KafkaStory
from peerboot.lab.network import Network
from peerboot.lab.postgres_story import PostgresStory
from peerboot.lab.servers import Server
from peerboot.lab.story import Outcome, Step, Story, Teller, Texts
from peerboot.printing import printable

if TYPE_CHECKING:
    from collections.abc import Coroutine

NO_RICH = (
    "rich draws the demo and is not installed: pip install 'peerboot[lab]'; or read it: peerboot lab demo etcd | cat"
)
STORIES: Mapping[str, type[Story]] = {"etcd": EtcdStory, "kafka": KafkaStory, "postgres": PostgresStory}
DRAWN = "etcd"
"""The system whose story the screen has room for."""
LEAST_WIDTH = 40
BOLD, GREEN, PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[0m"


class Stage(Protocol):
    """Where the story is shown."""

    def shown(self) -> contextlib.AbstractContextManager[None]: ...
    def scene(self, scene: Scene, elapsed: float) -> None: ...
    def show(self, sight: Sight) -> None: ...
    def done(self, step: Step, elapsed: float) -> None: ...
    def say(self, text: str, elapsed: float) -> None: ...


class Plain:
    """One line for each thing that happens; no terminal is needed. On one, lines are wrapped and headings bold."""

    def __init__(self, steps: int, terminal: bool = False) -> None:
        self._steps = steps
        self._terminal = terminal
        self._who: tuple[str, ...] = ()
        self._told: dict[str, tuple[str, bool]] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Nothing to prepare."""
        yield

    def scene(self, scene: Scene, elapsed: float) -> None:
        """A new one begins."""
        self._who = scene.who
        self._line(elapsed, f"Step {scene.number} of {self._steps}, {scene.title}: {scene.doing}", BOLD)
        self._line(elapsed, f"  Look: {scene.look}")

    def show(self, sight: Sight) -> None:
        """The Pods that the scene is about, each time when one decides something else, or waits for nothing more."""
        for pod in sight.pods:
            verdict, waits = pod.sentence.partition(":")[0], bool(pod.decision.get("waits_for"))
            before, waited = self._told.get(pod.name, ("", False))
            if pod.name in self._who and verdict and (verdict != before or (waited and not waits)):
                self._told[pod.name] = verdict, waits
                self.say(f"{pod.name}: {pod.sentence}", sight.elapsed)

    def done(self, step: Step, elapsed: float) -> None:
        """It is over."""
        self._line(elapsed, f"  After {step.seconds:.1f} s: {step.text}.", GREEN)

    def say(self, text: str, elapsed: float) -> None:
        """Something else."""
        self._line(elapsed, f"  {printable(text)}")

    def _line(self, elapsed: float, text: str, style: str = "") -> None:
        stamp = f"{elapsed:5.1f} s  "
        if not self._terminal:
            print(f"{stamp}{text}", flush=True)
            return
        width = max(shutil.get_terminal_size().columns, LEAST_WIDTH)
        rest = " " * (len(stamp) + len(text) - len(text.lstrip()) + 2)
        shown = textwrap.fill(f"{stamp}{text}", width, subsequent_indent=rest, break_on_hyphens=False)
        colour = style if style == BOLD or not os.environ.get("NO_COLOR") else ""
        print(f"{colour}{shown}{PLAIN if colour else ''}", flush=True)


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

    def say(self, text: str, elapsed: float) -> None:
        """There is no room for it."""


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
    story, terminal = STORIES[args.system], on_terminal()
    stage: Stage = Drawn() if terminal and args.system == DRAWN else Plain(story.scenes[-1].number, terminal)
    server, _ = provided(args)
    if args.dir:
        args.dir.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="demo-" if args.dir else "peerboot-demo-", dir=args.dir))
    kept = False
    try:
        checked_dir(root)
        outcome, seconds = asyncio.run(_tell(story.of, root, server, stage))
    except StoryError as error:
        kept = True
        print(f"The demo failed in step {error}\nlogs: {root / 'logs'}", file=sys.stderr, flush=True)
        return 1
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)
    print("\n".join(last_lines(story.texts, outcome, server, seconds)), flush=True)
    return 0


class StoryError(Exception):
    """Something in the story was not as it should be: number and title of its step, what, and every Pod's words."""


async def _tell(
    make: Callable[[Path, Server], Story], root: Path, server: Server, stage: Stage
) -> tuple[Outcome, float]:
    story = make(root, server)
    if not all(lab.names for lab in story.labs):
        print(NO_NAMES, flush=True)
    watcher = Watcher(story.labs, lambda: story.written, stage.show, story.scenes[0])

    def scene(scene: Scene) -> None:
        watcher.scene = scene
        stage.scene(scene, watcher.elapsed)

    teller = Teller(
        clusters=lambda: watcher.clusters,
        scene=scene,
        done=lambda step: stage.done(step, watcher.elapsed),
        say=lambda text: stage.say(text, watcher.elapsed),
    )
    # A closed terminal and a polite end clean up as Ctrl-C does, which is asyncio's own.
    me = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel if me else lambda: None)
    try:
        with stage.shown():
            outcome = await _beside(story.tell(teller), watcher.run())
            seconds = watcher.elapsed
    except LabError as error:
        raise StoryError(f"{watcher.scene.number} ({watcher.scene.title}): {error}") from error
    finally:
        await story.stop()
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


def last_lines(texts: Texts, outcome: Outcome, server: Server, seconds: float) -> list[str]:
    """What stays on the terminal: the time of each step, the account of the writes, what to try next."""
    known = {
        "program": called_as(sys.argv[0]),
        "version": server.version,
        "cluster": outcome.cluster,
        "writes": outcome.writes,
    }
    return [
        texts.head.format_map(known),
        "",
        *(f"  {step.number}  {step.text:<66} {step.seconds:5.1f} s" for step in outcome.steps),
        f"     {'in all':<66} {seconds:5.1f} s",
        "",
        texts.account.format_map(known),
        "",
        *texts.notes,
        *([""] if texts.notes else []),
        "Try it yourself:",
        *(f"  {line.format_map(known)}" for line in texts.trying),
    ]


def called_as(argv0: str) -> str:
    """How to call this program again: as it was called."""
    name = Path(argv0).name
    if name != "peerboot":
        return "python -m peerboot"
    return "peerboot" if shutil.which("peerboot") == argv0 else argv0
