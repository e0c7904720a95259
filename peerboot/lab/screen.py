"""The demo's live screen: Pods, what each sees in DNS, evidence with ages, the ledger, the client. Fits 80x24."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from peerboot.lab.demo_sight import PodSight, Sight
from peerboot.lab.etcd_story import STEPS
from peerboot.printing import printable

STYLES = {
    "wait": "yellow", "refuse": "bold red", "form": "bold cyan", "join": "bold cyan", "replace": "bold cyan",
    "resume": "green", "idle": "green",
    "blank": "yellow", "born": "cyan", "data": "green", "bootstrap": "green", "unknown": "red", "corrupt": "bold red",
}  # fmt: skip
HEAD = "reverse"
QUOTES = 3
"""Lines for what a Pod says itself."""
LEAST_LEDGER = 4
POD, DISK, MEMBER, SERVER, DNS = 6, 10, 9, 10, 16
"""Columns of the first table; the decision has the rest."""


def frame(sight: Sight, width: int, height: int) -> list[Text]:
    """The whole screen: at most ``height`` lines of at most ``width`` columns."""
    top = [*_scene(sight), *_quotes(sight, width)]
    tables = [*_pods(sight), *_evidence(sight, width)]
    room = height - len(top) - len(tables) - 2
    if room > LEAST_LEDGER + 3:
        # There is more than is needed: let the parts stand apart.
        top, tables, room = [*top, Text()], [*tables, Text()], room - 2
    lines = [*top, *tables, *_ledger(sight, max(room, 0)), _client(sight)]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        if line.style == HEAD:
            line.pad_right(max(width - line.cell_len, 0))
    return lines[:height]


def _scene(sight: Sight) -> list[Text]:
    scene = sight.scene
    return [
        Text(f" peerboot lab demo etcd   step {scene.number} of {STEPS}: {scene.title}   {sight.elapsed:.0f} s", HEAD),
        Text(scene.doing, "bold"),
        Text.assemble(("Look: ", "dim"), scene.look),
    ]


def _quotes(sight: Sight, width: int) -> list[Text]:
    """What the Pods that the scene is about say in status.txt, in the lines that there are for it."""
    said = [(pod.name, pod.sentence) for pod in sight.pods if pod.name in sight.scene.who and pod.sentence]
    said = said[:QUOTES]
    lines: list[Text] = []
    for number, (name, sentence) in enumerate(said):
        share = (QUOTES - len(lines)) // (len(said) - number)
        wrapped = textwrap.wrap(f"{name}: {printable(sentence)}", max(width - 2, 10), max_lines=share, placeholder=" …")
        kind = sentence.partition(" ")[0]
        lines += [Text(f"  {text}", STYLES.get(kind, "")) for text in wrapped]
    return [*lines, *(Text() for _ in range(QUOTES - len(lines)))]


def _pods(sight: Sight) -> Iterator[Text]:
    yield Text(_row(" POD", "DISK", "MEMBER", "SERVER", "DNS SHOWS IT", "DECIDES"), HEAD)
    for pod in sight.pods:
        yield _pod(pod, sight.pods)


def _row(pod: str, disk: str, member: str, server: str, dns: str, decides: str) -> str:
    return f"{pod:<{POD}}{disk:<{DISK}}{member:<{MEMBER}}{server:<{SERVER}}{dns:<{DNS}}{decides}"


def _pod(pod: PodSight, pods: tuple[PodSight, ...]) -> Text:
    told, name = pod.decision, f" {pod.name}"
    if not told:
        return Text(_row(name, "-", "-", "-", "-", "down" if pod.phase == "down" else "starting"), "dim")
    disk, server = told["disk"], told["server"]
    # The names that DNS shows to this Pod, by the number at their end.
    marks = {"found": "", "missing": ".", "unknown": "?"}
    seen = "".join(marks.get(told["dns"].get(p.name, "missing")) or p.name.rpartition("-")[2] for p in pods)
    role = server["role"] if server["healthy"] or not server["role"] else "not ready"
    row = _row(
        name,
        disk["kind"],
        disk["member"][:8] or "-",
        role or ("running" if disk["running"] else "-"),
        f"{seen} {pod.fault}".strip(),
        f"{told['kind']}: {told['rule']}",
    )
    return Text(row, STYLES.get(told["kind"], ""))


def _evidence(sight: Sight, width: int) -> Iterator[Text]:
    """Row: who says; column: of whom. First hand, with its age; in brackets when there was no word since then."""
    cell = max((width - POD) // max(len(sight.pods), 1), 6)
    head = "".join(f"{pod.name:<{cell}}" for pod in sight.pods)
    yield Text(f"{' HEARD':<{POD}} {head}".rstrip(), HEAD)
    for pod in sight.pods:
        line = Text(f" {pod.name:<{POD - 1}} ")
        for other in sight.pods:
            text, style = _cell(pod, other.name, cell - 1)
            line.append(f"{text:<{cell}}", style)
        line.rstrip()
        yield line


def _cell(pod: PodSight, other: str, most: int) -> tuple[str, str]:
    """Of a text that is too long the kind is cut, not the age."""
    evidence = pod.decision.get("evidence", {}).get(other)
    if evidence is None:
        return "-", "dim"
    kind, age, fresh = str(evidence["kind"]), evidence["age"], evidence.get("fresh", True)
    if pod.name == other:
        return f"{kind[: max(most - 5, 1)]}, own", "dim"
    if age is None:
        return "not yet"[:most], STYLES["unknown"]
    ago = f" {age:.0f} s" if fresh else f") {age:.0f} s"
    heard = kind if fresh else f"({kind}"
    return f"{heard[: max(most - len(ago), 1)]}{ago}", STYLES.get(kind, "") if fresh else "dim"


def _ledger(sight: Sight, room: int) -> list[Text]:
    lines = [Text(" LEDGER of all Pods' decisions, the newest last", HEAD)]
    for told in sight.ledger[-room:] if room else ():
        line = Text(f"{told.at:5.1f} {told.pod} ")
        line.append(f"{told.kind}/{told.rule}", STYLES.get(told.kind, ""))
        line.append(f": {printable(told.reason)}")
        lines.append(line)
    return [*lines, *(Text() for _ in range(room + 1 - len(lines)))]


def _client(sight: Sight) -> Text:
    if not sight.writes:
        state = "no client yet"
    else:
        state = f"{sight.writes} acknowledged writes" + (", now waiting: no quorum" if sight.stalled else ", going on")
    return Text(f" CLIENT: {state}   Ctrl-C ends everything", HEAD)


class Screen:
    """A live screen on a terminal, drawn anew at each look with the size that the terminal has then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """As long as it lasts; then the terminal is as it was."""
        with self._live:
            yield

    def show(self, sight: Sight) -> None:
        """Draw."""
        size = self._console.size
        self._live.update(joined(frame(sight, size.width, size.height)), refresh=True)


def joined(lines: Iterable[Text]) -> Text:
    """Lines as one text that is never wrapped."""
    text = Text("\n").join(lines)
    text.no_wrap, text.overflow = True, "crop"
    return text
