"""The state directory: what peerboot itself must remember, on the volume of the data.

Everything that the birth rule rests on is one file, ``state.json``, written whole, so that each change is atomic: no
crash can leave a new nonce beside an old birth. ``holds.json`` and ``journal.jsonl`` only serve people.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from peerboot.model import SCHEMA, Birth, Claim, Hold, Identity, Record, Seal
from peerboot.outside.clock import Clock
from peerboot.outside.files import FilesError, read_small, rename_aside, write_whole

STATE_LIMIT = 256 * 1024
JOURNAL_LIMIT = 64 * 1024


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
    """Not empty: an unreadable state was kept aside; the disk stays unknown until a person or its own data speaks."""


class StateDir:
    """Reads and writes one state directory. Writing raises ``FilesError``; reading never raises."""

    def __init__(self, path: Path, identity: Identity, clock: Clock) -> None:
        self.path = path
        self._identity = identity
        self._clock = clock
        self._cached: tuple[tuple[int, int, int] | None, Record] | None = None

    @property
    def _file(self) -> Path:
        return self.path / "state.json"

    # ------------------------------------------------------------ reading

    def read(self) -> Record:
        """What is remembered; ``problem`` when it cannot be read, ``foreign`` when it is another pod's. Never creates."""
        key = self._key()
        if self._cached is not None and self._cached[0] == key:
            return self._cached[1]
        record = self._read()
        self._cached = (key, record)
        return record

    def _key(self) -> tuple[int, int, int] | None:
        try:
            stat = self._file.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self) -> Record:
        try:
            content = read_small(self._file, STATE_LIMIT)
            if content is None:
                return Record()
            state = msgspec.json.decode(content, type=_State)
        except FilesError as error:
            return Record(problem=str(error))
        except msgspec.DecodeError as error:
            return Record(problem=f"{self._file} is half written or damaged ({error})")
        if state.version > SCHEMA:
            return Record(
                problem=f"{self._file} is of a newer peerboot (version {state.version}); this one knows {SCHEMA}"
            )
        if state.torn:
            return Record(nonce=state.nonce, problem=state.torn)
        mine = (self._identity.namespace, self._identity.statefulset, self._identity.pod, self._identity.system)
        theirs = (state.namespace, state.statefulset, state.pod, state.system)
        if mine != theirs:
            return Record(foreign=f"{state.system} pod {state.namespace}/{state.pod}")
        return Record(
            nonce=state.nonce,
            birth=state.birth,
            permitted_wall=state.permitted_wall,
            seal=state.seal,
            claim=state.claim,
        )

    # ------------------------------------------------------------ writing

    def ensure_nonce(self) -> Record:
        """Give a volume that has no state its disk nonce, durable before it is told to anybody."""
        record = self.read()
        if record.nonce or record.problem or record.foreign:
            return record
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self._new())
        return self.read()

    def record_birth(self, birth: Birth) -> None:
        """Make the birth durable; the nonce in it must be this disk's."""
        state = self._load()
        if birth.members.get(self._identity.pod) != state.nonce:
            raise FilesError(f"{self._file}: the birth names another nonce than this disk's; nothing written")
        self._change(birth=birth)

    def record_permit(self) -> None:
        """The server may run from now on. The first time counts."""
        if self._load().permitted_wall is None:
            self._change(permitted_wall=self._clock.wall())

    def record_seal(self, seal: Seal) -> None:
        """Remember whose data this volume has."""
        self._change(seal=seal)

    def record_claim(self, claim: Claim) -> None:
        """A member id was added for this disk. It has not run, whatever ran before under another id."""
        self._change(claim=claim, permitted_wall=None)

    def renew(self, why: str) -> None:
        """A new nonce for this disk; what was remembered is kept aside as ``state.json.aside-<stamp>``.

        The copy is made first and the file replaced whole, so a crash leaves the old state or the new one.
        """
        with contextlib.suppress(FilesError):
            old = read_small(self._file, STATE_LIMIT)
            if old is not None:
                write_whole(self.path / f"state.json.aside-{self.stamp()}", old, 0o600)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self._new())

    def keep_aside_torn(self) -> None:
        """Rename an unreadable state aside and leave a mark that this disk is unknown."""
        record = self.read()
        if not record.problem or not self._file.exists():
            return
        kept = rename_aside(self._file, self.stamp())
        state = self._new()
        state.torn = f"{record.problem}; it is kept at {kept.name}"
        self._write(state)

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

    def _load(self) -> _State:
        content = read_small(self._file, STATE_LIMIT)
        if content is None:
            raise FilesError(f"{self._file} is gone: was the volume unmounted?")
        try:
            return msgspec.json.decode(content, type=_State)
        except msgspec.DecodeError as error:
            raise FilesError(f"{self._file} is damaged: {error}") from None

    def _change(self, **values: Any) -> None:
        state = self._load()
        for name, value in values.items():
            setattr(state, name, value)
        self._write(state)

    def _write(self, state: _State) -> None:
        write_whole(self._file, msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n", 0o600)
        self._cached = None

    # ------------------------------------------------------ for people

    def read_holds(self) -> tuple[Hold, ...]:
        """The holds that were made here or heard of; none when the file is missing or damaged."""
        try:
            content = read_small(self.path / "holds.json", STATE_LIMIT)
            return () if content is None else msgspec.json.decode(content, type=tuple[Hold, ...])
        except (FilesError, msgspec.DecodeError):
            return ()

    def write_holds(self, holds: tuple[Hold, ...]) -> None:
        """Replace them; at most sixteen are kept by whoever merges them."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.path / "holds.json", msgspec.json.encode(holds), 0o600)

    def append_decision(self, entry: Mapping[str, Any]) -> None:
        """One line for the journal; the older half goes when it has grown too long. Never raises: it only tells."""
        path = self.path / "journal.jsonl"
        try:
            if not self.path.is_dir():
                return
            old = read_small(path, 2 * JOURNAL_LIMIT) or b""
            line = msgspec.json.encode(entry) + b"\n"
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
            with contextlib.suppress(msgspec.DecodeError):
                entries.append(msgspec.json.decode(line, type=dict[str, Any]))
        return entries
