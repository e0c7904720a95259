"""What a data directory of Postgres holds, read without tools and without changing it.

``PG_VERSION`` is not "initialised": an initdb that was killed leaves it, and a server that starts on what is left has
only ``template1`` (measured on 15 to 18). So what peerboot makes is made beside the directory and renamed into place
when it is whole, and what was half made in place by others is *corrupt*: not ours to delete.

How far an initdb came is seen in three places. Its last step is to copy the database ``postgres``. Until it has ended
the server that it makes all this with, the state is not "shut down". And that server is no postmaster, which writes
``postmaster.opts`` before it changes the state.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from os import SEEK_END
from pathlib import Path
from typing import NamedTuple

from peerboot.model import DiskKind, Standing
from peerboot.printing import one_line
from peerboot.systems.postgres import control

MAJORS = (15, 16, 17, 18)
"""What peerboot was measured with. 13 and 14 have the same control file, and other settings."""
NOTHING = frozenset({"lost+found", ".snapshot"})
"""What a fresh volume's root may hold; initdb refuses such a directory, but nothing is lost in it."""
TEMPLATES = frozenset({"1", "4"})
"""Object ids of ``template1``, which initdb makes first, and ``template0`` (pg_database.h). ``postgres``, the last, has
5, but not in a directory that pg_upgrade made of a release before 15, nor where a person made it anew."""
REWINDING, BEFORE = ".rewinding", ".before-"
"""What ``launch.sh`` puts behind the directory's name: the mark of a rewind that has begun, with its plan in it, and,
with the plan behind it, the directory where the log of before is kept."""
SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
FORK = re.compile(r"\s*([0-9]{1,10})\s+([0-9A-F]{1,8})/([0-9A-F]{1,8})(?!\S)", re.ASCII | re.IGNORECASE)
MOST_HISTORY, MOST_FORKS = 1 << 18, 1024
MOST_TIMELINE = (1 << 32) - 1
MOST_PLAN = 64
"""Bytes of the mark's text that are read."""
MOST_PID = 1 << 13
"""One of its lines is a path."""
STOPPED = ("shut down", "shut down in recovery")
CUT_OFF = "an initdb that was cut off"


class Fork(NamedTuple):
    """Where a timeline ended and the next one began: one line of a history file."""

    timeline: int
    """The one that ended."""
    position: int
    """Of the log, in bytes."""


class Postmaster(NamedTuple):
    """``postmaster.pid`` (src/include/utils/pidfile.h). A server that was killed leaves it."""

    pid: int
    """In the PID namespace of the server's container. Negative: a single-user or bootstrap process."""
    port: int
    status: str
    """``starting``, ``stopping``, ``ready`` or ``standby``; empty when it says none. A standby that lets readers in
    says ``ready``; ``standby`` says one that does not."""


class Data(NamedTuple):
    """The directory at one moment."""

    kind: DiskKind
    reason: str = ""
    """For ``corrupt`` and ``unknown``: what is wrong, in words."""
    major: int = 0
    control: control.Control | None = None
    standby: bool = False
    """``standby.signal``: a server that starts here takes no writes."""
    recovery: bool = False
    """``recovery.signal``: a restore to a point in time, which ends in a server that takes writes."""
    backup: bool = False
    """``backup_label``: a base backup or a rewind that no server has started on. The control file of a primary's backup
    says "in production", as that of a primary that was killed."""
    forks: tuple[Fork, ...] = ()
    """The history of the highest timeline that it knows, oldest first."""
    timeline: int = 0
    """The highest that the control file or a history file in ``pg_wal`` shows."""
    postmaster: Postmaster | None = None
    rewinding: str | None = None
    """The plan whose rewind has begun and has not ended: under way as long as ``launch.sh`` works for that permit, else
    cut off. Empty where the mark names none; None without a mark. The directory is then ``corrupt``, whatever it looks
    like: some of its files are the primary's, and some its own of before. It is neither rewound again, which Postgres
    advises against, nor started on; it is set aside and cloned anew."""

    @property
    def was_primary(self) -> bool:
        """A server that starts here as it is would take writes, on the same timeline."""
        return self.kind == "data" and not self.standby and not self.recovery

    @property
    def stopped(self) -> bool:
        """The server ended in order, so that nothing follows the last checkpoint but the end of its own record."""
        return self.control is not None and self.control.state in STOPPED


def read(data_dir: Path) -> Data:
    """The directory as a server would find it; never raises, never changes anything."""
    try:
        # Before all else: a rewind that ends meanwhile is seen as one at the next look.
        rewinding = _mark(data_dir)
        found = _read(data_dir)
        if rewinding is None or found.kind == "blank":
            return found
        reason = _half_rewound(data_dir, rewinding) if found.kind in ("data", "corrupt") else found.reason
        return found._replace(
            kind="corrupt" if found.kind == "data" else found.kind, reason=reason, rewinding=rewinding
        )
    except OSError as error:
        return Data("unknown", f"{error.filename or data_dir}: {error.strerror or error}")


def _read(data_dir: Path) -> Data:
    try:
        names = {entry.name for entry in data_dir.iterdir()}
    except FileNotFoundError:
        return _leads_nowhere(data_dir) or Data("blank")
    if not names - NOTHING:
        return Data("blank")
    if "PG_VERSION" not in names:
        some = one_line(", ".join(sorted(names - NOTHING)[:3]))
        return Data("corrupt", f"{data_dir} holds files ({some}), but no PG_VERSION: it is no directory of Postgres")
    release = (data_dir / "PG_VERSION").read_bytes()[:16].strip().decode("ascii", "replace")
    if not re.fullmatch(r"\d{1,5}(\.\d{1,5})?", release):
        return Data("corrupt", f"its PG_VERSION names no release: {CUT_OFF}")
    if release not in map(str, MAJORS):
        return Data(
            "unknown", f"its PG_VERSION names Postgres {release}; this peerboot knows {MAJORS[0]} to {MAJORS[-1]}"
        )
    return _of_a_release(data_dir, int(release), names)


def _of_a_release(data_dir: Path, major: int, names: Collection[str]) -> Data:
    try:
        state = control.read(data_dir)
    except FileNotFoundError:
        return Data(
            "corrupt", "it has a PG_VERSION and no global/pg_control: an initdb or a copy that was cut off", major
        )
    except control.ControlError as error:
        return Data("corrupt", str(error), major)
    if major not in control.VERSIONS[state.version]:
        return Data("corrupt", f"its PG_VERSION is {major}, and its pg_control is of another release", major)
    found = Data(
        "data", major=major, control=state, standby="standby.signal" in names, recovery="recovery.signal" in names,
        backup="backup_label" in names, postmaster=_postmaster(data_dir),
    )  # fmt: skip
    if not found.backup and (reason := _unfinished(data_dir, state)):
        return found._replace(kind="corrupt", reason=reason)
    log = data_dir / "pg_wal"
    try:
        logs = [entry.name for entry in log.iterdir()]
    except FileNotFoundError:
        missing = "its pg_wal is missing, with which no server starts: is it on another volume?"
        return _leads_nowhere(log) or found._replace(kind="corrupt", reason=missing)
    if not found.backup and not found.recovery and not any(SEGMENT.fullmatch(name) for name in logs):
        # With the primary's log in its place it would start, on pages that are beyond it.
        lost = f"there is no log in {log}, which every server has: is it the right volume?"
        return found._replace(kind="corrupt", reason=lost)
    timeline = max((state.known_timeline, *(int(match[1], 16) for name in logs if (match := HISTORY.fullmatch(name)))))
    return found._replace(timeline=timeline, forks=history(data_dir, timeline))


def _mark(data_dir: Path) -> str | None:
    """The plan in the mark of a rewind; None where there is no mark."""
    path = Path(f"{data_dir}{REWINDING}")
    try:
        with path.open("rb") as file:
            return one_line(file.read(MOST_PLAN).decode("ascii", "replace"))
    except FileNotFoundError:
        # A link to nowhere is a mark too: launch.sh takes it for one.
        return "" if path.is_symlink() else None


def _half_rewound(data_dir: Path, plan: str) -> str:
    reason = "pg_rewind has begun on it and has not ended, so some of its files are the primary's and some its own"
    aside = Path(f"{data_dir}{BEFORE}{plan}")
    return f"{reason}; its log of before is in {aside}" if plan and _is_there(aside) else reason


def kept(data_dir: Path) -> tuple[Path, ...]:
    """Where rewinds kept the log of before, by name; nobody needs them but who looks for rows. Never raises."""
    try:
        names = sorted(entry.name for entry in data_dir.parent.iterdir())
    except OSError:
        return ()
    return tuple(data_dir.parent / name for name in names if name.startswith(f"{data_dir.name}{BEFORE}"))


def _leads_nowhere(path: Path) -> Data | None:
    """A missing directory that is a link to one on a volume, which may only not be mounted."""
    if not path.is_symlink():
        return None
    return Data("unknown", f"{path} is a link to {path.readlink()}, and nothing is there: is its volume mounted?")


def _unfinished(data_dir: Path, state: control.Control) -> str:
    """Why this is what an initdb left that did not come to its end; empty when it did."""
    if not _has_database(data_dir):
        return f"no database is in it but the templates: {CUT_OFF}"
    # Looked for after the state was read: a server may start meanwhile for the first time.
    if state.state not in STOPPED and not _is_there(data_dir / "postmaster.opts"):
        return f"it is {state.state}, and no server ever ran on it: {CUT_OFF}"
    return ""


def _has_database(data_dir: Path) -> bool:
    """One that initdb makes last or that a person made; where there is a tablespace, a person was at work."""
    found = (name for name in _numbered(data_dir / "base") if name not in TEMPLATES)
    return any(_is_there(data_dir / "base" / name / "PG_VERSION") for name in found) or any(
        _numbered(data_dir / "pg_tblspc")
    )


def _numbered(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir() if entry.name.isdigit()]
    except FileNotFoundError:
        return []


def _is_there(path: Path) -> bool:
    """Raises where that cannot be seen, which ``Path.exists`` does not in every release of Python."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def end_of(found: Data) -> Standing | None:
    """How far the log of a primary goes that was shut down in order: everything that was ever written there.

    The control file has where the last record *begins*, that of the shutdown. So one byte beyond it is what is told:
    whoever has replayed that record is beyond, and whoever lacks it is not, for no record ends in between.
    """
    state = found.control
    if state is None or not found.was_primary or found.backup or state.state != STOPPED[0]:
        return None
    # A later timeline in its log is of another server's.
    return Standing(term=state.timeline, position=state.checkpoint + 1) if state.timeline == found.timeline else None


def history(data_dir: Path, timeline: int) -> tuple[Fork, ...]:
    """The history file of that timeline; empty for the first one, and where there is none. Raises ``OSError``."""
    try:
        with (data_dir / "pg_wal" / f"{timeline:08X}.history").open("rb") as file:
            left_out = max(0, file.seek(0, SEEK_END) - MOST_HISTORY)
            file.seek(left_out)
            data = file.read(MOST_HISTORY)
    except FileNotFoundError:
        return ()
    if left_out:
        # The rest of a line would be the line of another timeline.
        data = data.partition(b"\n")[2]
    return parse_history(data.decode("utf-8", "replace"))


def parse_history(text: str) -> tuple[Fork, ...]:
    """Its lines: ``timeline TAB position TAB reason``, oldest first; comments and what is no such line are left out
    (src/backend/access/transam/timeline.c). At most the last 1024.
    """
    found = (FORK.match(line) for line in text.split("\n"))
    forks = [Fork(int(match[1]), int(match[2], 16) << 32 | int(match[3], 16)) for match in found if match]
    return tuple([fork for fork in forks if 0 < fork.timeline <= MOST_TIMELINE][-MOST_FORKS:])


def _postmaster(data_dir: Path) -> Postmaster | None:
    try:
        with (data_dir / "postmaster.pid").open("rb") as file:
            lines = file.read(MOST_PID).decode("ascii", "replace").split("\n")
    except FileNotFoundError:
        return None
    lines += [""] * 8
    return Postmaster(_number(lines[0]), _number(lines[3]), lines[7].strip())


def _number(text: str) -> int:
    """Zero for what is none."""
    match = re.fullmatch(r"\s*(-?\d{1,10})\s*", text, re.ASCII)
    return int(match[1]) if match else 0
