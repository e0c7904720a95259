"""The state directory: what peerboot itself must remember, on the volume of the data.

Everything that the birth rule rests on is one file, ``state.json``, written whole, so that each change is atomic: no
crash can leave a new nonce beside an old birth. ``holds.json`` and ``journal.jsonl`` only serve people.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from peerboot.model import SCHEMA, Birth, Claim, Forced, Hold, Identity, Intent, Record, Seal
from peerboot.outside.clock import Clock
from peerboot.outside.files import FilesError, directory_lock, keep_copy, make_directory, read_small, write_whole
from peerboot.printing import one_line

STATE_LIMIT = 256 * 1024
JOURNAL_LIMIT = 64 * 1024
FORMER = 8
MOST_WORDS = 250
"""Characters of what stands in the file and is shown: it may be damaged, or another's."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that is damaged: also inside a text, or nested without end."""


class _Version(msgspec.Struct):
    """What every release's ``state.json`` has, so that a newer one is not taken for a damaged one."""

    version: int


class _State(msgspec.Struct, kw_only=True):
    """``state.json``. Unknown fields of a newer release are refused by version, not lost silently."""

    version: int
    namespace: str
    statefulset: str
    pod: str
    system: str
    nonce: str
    made_wall: float
    birth: Birth | None = None
    permitted_wall: float | None = None
    seal: Seal | None = None
    claim: Claim | None = None
    torn: str = ""
    """Not empty: a damaged state was kept aside; the disk stays unknown until a person or its own data speaks."""
    renewed: str = ""
    """Not empty: the rule for which this disk got a new nonce."""
    former: tuple[str, ...] = ()
    """Births of this volume that came to nothing, the last ones."""
    crown: int = 0
    let_go: int = 0
    intent: Intent | None = None
    forced: Forced | None = None


class _DamagedError(FilesError):
    """The content is no state of any release."""


class StateDir:
    """Reads and writes one state directory.

    Writing raises ``FilesError``; reading and ``ensure_nonce`` never raise. Each change holds the directory against a
    second Pod of this name, and never replaces a state that cannot be read or is another's, except ``renew``.
    """

    def __init__(self, path: Path, identity: Identity, clock: Clock, seek: Callable[[], str] = lambda: "") -> None:
        """``seek``: finds a server's data elsewhere on the volume; asked once, where nothing is remembered."""
        self.path = path
        self._seek: Callable[[], str] | None = seek
        self._elsewhere = ""
        self._identity = identity
        self._clock = clock
        self._cached: tuple[tuple[int, int, int] | None, Record] | None = None

    @property
    def _file(self) -> Path:
        return self.path / "state.json"

    # ------------------------------------------------------------ reading

    def read(self) -> Record:
        """What is remembered; ``problem`` when it cannot be read, ``foreign`` when it is another pod's."""
        key = self._key()
        if self._cached is not None and self._cached[0] == key:
            return self._cached[1]
        record = self._read()
        if record == Record(nonce=record.nonce):
            record = msgspec.structs.replace(record, elsewhere=self._sought())
        # What cannot be read now may be readable the next time, without a trace in the file's times.
        self._cached = None if key is None or record.problem else (key, record)
        return record

    def _sought(self) -> str:
        if self._seek is not None:
            self._elsewhere, self._seek = self._seek(), None
        return self._elsewhere

    def _key(self) -> tuple[int, int, int] | None:
        try:
            stat = self._file.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self) -> Record:
        try:
            state = self._state()
        except FilesError as error:
            return Record(problem=str(error), torn=isinstance(error, _DamagedError))
        if state is None:
            return Record()
        if self._is_foreign(state):
            return Record(foreign=one_line(f"{state.system} pod {state.namespace}/{state.pod}", MOST_WORDS))
        if state.torn:
            what = one_line(state.torn, MOST_WORDS) or "a damaged state was kept aside"
            return Record(nonce=state.nonce, problem=what, torn=True)
        return Record(
            nonce=state.nonce,
            birth=state.birth,
            permitted_wall=state.permitted_wall,
            seal=state.seal,
            claim=state.claim,
            former=state.former,
            crown=state.crown,
            let_go=state.let_go,
            intent=state.intent,
            forced=state.forced,
        )

    def _state(self) -> _State | None:
        """The file as it is, None when there is none. Raises ``FilesError`` when it cannot be believed."""
        content = read_small(self._file, STATE_LIMIT)
        if content is None:
            return None
        try:
            version = msgspec.json.decode(content, type=_Version).version
            if version > SCHEMA:
                raise FilesError(f"{self._file} is of a newer peerboot (version {version}); this one knows {SCHEMA}")
            state = msgspec.json.decode(content, type=_State)
        except UNREADABLE as error:
            raise _DamagedError(f"{self._file} is half written or damaged ({error})") from None
        if not state.nonce:
            # No release wrote one: without it the disk would read as one on which nothing is remembered.
            raise _DamagedError(f"{self._file} is half written or damaged (its nonce is empty)")
        return state

    def _is_foreign(self, state: _State) -> bool:
        me = self._identity
        mine = (me.namespace, me.statefulset, me.pod, me.system)
        return mine != (state.namespace, state.statefulset, state.pod, state.system)

    # ------------------------------------------------------------ writing

    def ensure_nonce(self) -> Record:
        """Give a volume that has no state its disk nonce, durable before it is told to anybody.

        When it cannot be written the disk is unknown, for this moment, with the reason.
        """
        record = self.read()
        if record.nonce or record.problem or record.foreign:
            return record
        try:
            make_directory(self.path)
            with directory_lock(self.path):
                if self._state() is None:
                    self._write(self._new())
        except FilesError as error:
            return Record(problem=str(error), unwritten=True)
        return self.read()

    def write_again(self) -> None:
        """The state as it is; raises ``FilesError`` where nothing can be written."""
        with directory_lock(self.path):
            state = self._state()
            if state is None:
                raise FilesError(f"{self._file} is gone: was the volume unmounted?")
            self._write(state)

    def record_birth(self, birth: Birth) -> None:
        """Make the birth durable; the nonce in it must be this disk's."""
        with self._changed() as state:
            if birth.members.get(self._identity.pod) != state.nonce:
                raise FilesError(f"{self._file}: the birth names another nonce than this disk's; nothing written")
            state.birth = birth

    def record_permit(self) -> None:
        """The server may run from now on. The first time counts."""
        with self._changed() as state:
            if state.permitted_wall is None:
                state.permitted_wall = self._clock.wall()

    def record_seal(self, seal: Seal) -> None:
        """Remember whose data this volume has."""
        with self._changed() as state:
            state.seal = seal

    def record_claim(self, claim: Claim) -> None:
        """A member id was added for this disk. It has not run, whatever ran before under another id."""
        with self._changed() as state:
            state.claim, state.permitted_wall = claim, None

    def record_crown(self, term: int) -> None:
        """On this timeline its server was last told to take writes; 0: another was let do so."""
        with self._changed() as state:
            state.let_go = max(state.let_go, state.crown) if term == 0 else state.let_go
            state.crown = term

    def record_intent(self, intent: Intent | None) -> None:
        """This pod asks to have its server take writes, or does not any more. A new wish gets its token here."""
        with self._changed() as state:
            if intent is not None and not intent.token:
                intent = msgspec.structs.replace(intent, token=self._clock.token())
            state.intent = intent

    def record_forced(self, forced: Forced | None) -> None:
        """A person wants this disk to become a cluster of one, or that is over."""
        with self._changed() as state:
            state.forced = forced

    def renew(self, why: str) -> None:
        """A new nonce for this disk; what was remembered is kept aside as ``state.json.aside-<stamp>``.

        The copy is made first and the file replaced whole, so a crash leaves the old state or the new one.
        """
        make_directory(self.path)
        with directory_lock(self.path):
            keep_copy(self._file, self.stamp(), STATE_LIMIT)
            state = self._new()
            state.renewed = why
            if why == "renew" and (before := self._state()) is not None and before.birth is not None:
                # Every pod said that it holds nothing of this birth. No other reason for a new nonce proves so much.
                state.former = (*before.former, before.birth.token)[-FORMER:]
            self._write(state)

    def keep_aside_torn(self) -> None:
        """Keep a damaged state aside and leave a mark that this disk is unknown; a crash leaves the one or the other.

        A state that merely cannot be read now, or that a newer release wrote, stays where it is.
        """
        try:
            self._state()
        except _DamagedError as error:
            with directory_lock(self.path):
                kept = keep_copy(self._file, self.stamp(), STATE_LIMIT)
                state = self._new()
                state.torn = f"{error}" + (f"; it is kept as {kept.name}" if kept else "")
                self._write(state)
        except FilesError:
            return

    def stamp(self) -> str:
        """``20260102T030405Z``, for names of what is kept aside."""
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.wall()))

    def _new(self) -> _State:
        me = self._identity
        return _State(
            version=SCHEMA,
            namespace=me.namespace,
            statefulset=me.statefulset,
            pod=me.pod,
            system=me.system,
            nonce=self._clock.token(),
            made_wall=self._clock.wall(),
        )

    @contextlib.contextmanager
    def _changed(self) -> Iterator[_State]:
        """The state to change; written when the block ends without an error, if it was changed."""
        with directory_lock(self.path):
            state = self._state()
            if state is None:
                raise FilesError(f"{self._file} is gone: was the volume unmounted?")
            if state.torn or self._is_foreign(state):
                why = one_line(state.torn, MOST_WORDS) or "another wrote it"
                raise FilesError(f"{self._file} is not this disk's own state: {why}")
            before = msgspec.json.encode(state)
            yield state
            if msgspec.json.encode(state) != before:
                self._write(state)

    def _write(self, state: _State) -> None:
        write_whole(self._file, msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n", 0o600)
        self._cached = None

    # ------------------------------------------------------ for people

    def read_holds(self) -> tuple[Hold, ...]:
        """The holds that were made here or heard of; none when the file is missing or damaged. One that a newer release
        made of what this one does not know ends no other.
        """
        try:
            content = read_small(self.path / "holds.json", STATE_LIMIT)
            rows = () if content is None else msgspec.json.decode(content, type=tuple[msgspec.Raw, ...])
        except (FilesError, *UNREADABLE):
            return ()
        found = []
        for row in rows:
            with contextlib.suppress(*UNREADABLE):
                found.append(msgspec.json.decode(row, type=Hold))
        return tuple(found)

    def write_holds(self, holds: tuple[Hold, ...]) -> None:
        """Replace them; at most sixteen are kept by whoever merges them."""
        make_directory(self.path)
        with directory_lock(self.path):
            write_whole(self.path / "holds.json", msgspec.json.encode(holds), 0o600)

    def append_decision(self, entry: Mapping[str, Any]) -> None:
        """One line for the journal; the older half goes when it has grown too long. Never raises: it only tells."""
        path = self.path / "journal.jsonl"
        try:
            if not self.path.is_dir():
                return
            old = read_small(path, 2 * JOURNAL_LIMIT) or b""
            # A line that was cut off by a crash must not take the next one with it.
            torn = b"\n" if old and not old.endswith(b"\n") else b""
            line = torn + msgspec.json.encode(entry) + b"\n"
            if len(old) + len(line) > JOURNAL_LIMIT:
                kept = old[-JOURNAL_LIMIT // 2 :].partition(b"\n")[2]
                write_whole(path, kept + line, 0o600)
                return
            with path.open("ab") as file:
                file.write(line)
        except (OSError, FilesError):
            return

    def read_journal(self, count: int) -> list[dict[str, Any]]:
        """The last decisions of this and earlier processes, oldest first; damaged lines are left out."""
        try:
            content = read_small(self.path / "journal.jsonl", 2 * JOURNAL_LIMIT) or b""
        except FilesError:
            return []
        entries = []
        for line in content.splitlines()[-count:]:
            with contextlib.suppress(*UNREADABLE):
                entries.append(msgspec.json.decode(line, type=dict[str, Any]))
        return entries
