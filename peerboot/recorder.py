"""The recorder: for each decision that was new, the facts, the plan and what came of it.

It is paid in every Pod, so it keeps few and keeps them small, and it is nobody's condition: whatever it cannot write
it does without. What it keeps is redacted before it is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from peerboot import __version__
from peerboot.act import describe, name_of
from peerboot.decide import describe as describe_rules
from peerboot.model import Decision, Done, Facts, Identity, Plan
from peerboot.moments import Moment, Outcome, Planned
from peerboot.outside import hidden
from peerboot.outside.clock import Clock
from peerboot.outside.files import FilesError, read_small, write_whole
from peerboot.printing import one_line
from peerboot.redact import Redactor
from peerboot.rules.words import consent_nonce
from peerboot.settings import Settings

NAME = "recorder.bin"
MOST, MOST_BYTES = 40, 160 * 1024
"""Decisions, and bytes of them as they are kept."""
MOST_PLAIN, MOST_READ = 1 << 20, 4 << 20
"""Bytes of one decision that is read back, where a longer one is left out, and of all."""
MOST_OUTCOMES, MOST_ACTIONS = 16, 64
MOST_SAID = 1000
"""Characters of what is said of one action."""
MOST_FILE = 16 * 1024
"""Characters of one of peerboot's own files that are kept."""
SECRET = re.compile(r"(?:password|secret|token)_file$|(?:users|tls)_dir$")
"""Settings of systems that name a mounted secret."""
UNRECORDED = "(not recorded)"
READ = ("stop", "rewinds", "peerboot.conf")
"""Peerboot's own files that plans and rules look into, besides the permit. peerboot puts no secret into them; what a
user's own base config has in them is taken out, each value of it."""
WRITE_EVERY = 1.0
"""Seconds."""
UNREADABLE = (msgspec.MsgspecError, zlib.error, ValueError, RecursionError)


def redactor_of(settings: Settings, identity: Identity) -> Callable[[], Redactor]:
    """What gives the redactor of now: it knows the mounted secrets that the settings name, and reads changed ones."""
    mounts = (settings.secret_file, settings.census_tls_dir)
    paths = [hidden.ACCOUNT, *(Path(path) for path in mounts if path)]
    paths += [Path(path) for name, path in settings.extra.items() if path and SECRET.search(name)]
    base = Path(settings.base_config_file) if settings.base_config_file else None
    who = identity
    names = (who.namespace, who.service, who.statefulset, who.pod, who.system, who.domain)
    known: dict[object, Redactor] = {}

    def current() -> Redactor:
        stamp = hidden.stamp([*paths, *([base] if base else ())])
        if stamp not in known:
            known.clear()
            known[stamp] = Redactor(hidden.contents(paths) + (hidden.values_in(base) if base else []), names)
        return known[stamp]

    return current


class Recorder:
    """The last decisions of this process and of those before it on this volume, and the first of this one."""

    def __init__(self, directory: Path | None, boot: str, redactor: Callable[[], Redactor], permit: str = "") -> None:
        """``directory``: where it outlives the process, if it may; made by somebody else or not used.

        ``redactor``: knows the secrets of now. ``permit``: the name of the system's permit file.
        """
        self._read_files = (permit, *READ)
        self._path = directory / NAME if directory is not None else None
        self._boot = boot
        self._redactor = redactor
        self._kept: list[bytes] = []
        self._first: bytes | None = None
        self._last: dict[str, Any] = {}
        """The newest, not packed yet: what comes of it is still added."""
        self._read = False
        self.left_out = 0
        self._news = asyncio.Event()

    # ------------------------------------------------------------- keeping

    def moment(self, facts: Facts, decision: Decision, plan: Plan, wall: float) -> dict[str, Any]:
        """One decision as it is kept, redacted."""
        actions = [Planned(type=name_of(a), say=describe(a)) for a in plan.actions[:MOST_ACTIONS]]
        moment = Moment(
            wall=wall,
            boot=self._boot,
            version=__version__,
            facts=msgspec.structs.replace(facts, consents=frozenset(), files=self._told(facts.files)),
            decision=msgspec.structs.replace(decision, consent="(redacted)" if decision.consent else ""),
            allowed=_allowed(facts),
            actions=tuple(actions),
        )
        try:
            text = msgspec.json.encode(moment).decode()
        except UnicodeEncodeError:
            # A name of a file that is no text in UTF-8, for one.
            text = json.dumps(msgspec.to_builtins(moment), ensure_ascii=False)
            text = text.encode("utf-8", "replace").decode()
        tree = msgspec.json.decode(text, type=dict[str, Any])
        redactor = self._redactor()
        found: dict[str, Any] = redactor.tree(tree) if redactor.touches(text) else tree
        return found

    def _told(self, files: Mapping[str, str]) -> dict[str, str]:
        """Those of peerboot's own files that plans and rules read; of others the name."""
        kept = {name for name, text in files.items() if name in self._read_files and len(text) <= MOST_FILE}
        return {name: text if name in kept else UNRECORDED for name, text in files.items()}

    def note(
        self, facts: Facts, decision: Decision, plan: Plan, done: Iterable[Done], wall: float, *, changed: bool
    ) -> None:
        """One pass: a new decision with its facts, or what came of the plan of the one in force. Never raises for what
        others said.
        """
        if facts.record.foreign:
            # Another Pod's volume is not ours to read from, or to write to.
            self._path = None
        try:
            if changed or not self._last:
                new = self.moment(facts, decision, plan, wall)
                self._before()
                if self._last:
                    self._keep(_packed(self._last))
                self._last = new
                self._news.set()
            for result in done:
                self._add(result, wall)
        except UNREADABLE:
            self.left_out += 1

    def _add(self, result: Done, wall: float) -> None:
        """What came of one action; the same again is counted."""
        redactor, outcomes = self._redactor(), self._last.setdefault("outcomes", [])
        say, why = (one_line(redactor.text(text), MOST_SAID) for text in (describe(result.action), result.say))
        new = msgspec.to_builtins(Outcome(wall=wall, say=say, ok=result.ok, result=why))
        if outcomes and all(outcomes[-1][key] == new[key] for key in ("say", "ok", "result")):
            outcomes[-1] |= {"wall": wall, "times": outcomes[-1]["times"] + 1}
            return
        outcomes.append(new)
        del outcomes[:-MOST_OUTCOMES]
        self._news.set()

    def _keep(self, packed: bytes) -> None:
        self._first = self._first or packed
        self._kept.append(packed)
        while len(self._kept) > MOST or sum(map(len, self._kept)) > MOST_BYTES:
            # The first of this process stays: how it began is often why it is as it is.
            self._kept.pop(1 if self._kept[0] is self._first and len(self._kept) > 1 else 0)
            self.left_out += 1

    # ------------------------------------------------------------- reading

    def moments(self) -> list[dict[str, Any]]:
        """All that is kept, oldest first."""
        self._before()
        found = _all_unpacked(self._kept)
        return [*found, self._last] if self._last else found

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(map(len, self._kept))

    def _before(self) -> None:
        """What earlier processes left, once, before the own first one is added."""
        if not self._read:
            self._read = True
            self._kept = _left(self._path)[-MOST:] if self._path is not None else []

    # ------------------------------------------------------------- writing

    async def loop(self, clock: Clock) -> None:
        """Write what is new, once a second at most; what was not written yet when this ends."""
        try:
            while True:
                await self._news.wait()
                await clock.sleep(WRITE_EVERY)
                self._write()
        finally:
            self._write()

    def _write(self) -> None:
        """Whole or not at all. It is not forced to the disk: it is to outlive a process, not a node."""
        if self._path is None or not self._news.is_set():
            return
        # A disk that fails is the business of others, who say so.
        with contextlib.suppress(FilesError, OSError):
            if not self._path.parent.is_dir():
                return
            self._news.clear()
            content = msgspec.msgpack.encode([*self._kept, _packed(self._last)])
            write_whole(self._path, content, 0o600, durable=False)


def left(directory: Path) -> list[dict[str, Any]]:
    """What the last process left in a state directory, oldest first; never raises."""
    return _all_unpacked(_left(directory / NAME)[-MOST:])


def _left(path: Path) -> list[bytes]:
    try:
        return msgspec.msgpack.decode(read_small(path, 2 * MOST_BYTES + MOST_PLAIN) or b"\x90", type=list[bytes])
    except (FilesError, *UNREADABLE):
        return []


def _allowed(facts: Facts) -> tuple[str, ...]:
    """The rules that a person has consented to: that, and not the nonce, is what has to be known later."""
    if not facts.consents:
        return ()
    return tuple(row.name for row in describe_rules() if consent_nonce(facts, row.name) in facts.consents)


def _packed(moment: Mapping[str, Any]) -> bytes:
    return zlib.compress(msgspec.json.encode(moment), 4)


def _all_unpacked(kept: Iterable[bytes]) -> list[dict[str, Any]]:
    """Those that read, oldest first; of many large ones the last. What lies on a volume may have been written by
    anybody: nothing is decoded beyond ``MOST_READ`` bytes in all.
    """
    found, room = [], MOST_READ
    for packed in reversed(list(kept)):
        plain = _plain(packed)
        room -= len(plain)
        if room < 0:
            break
        with contextlib.suppress(*UNREADABLE):
            found.append(msgspec.json.decode(plain, type=dict[str, Any]))
    return found[::-1]


def _plain(packed: bytes) -> bytes:
    """Without its packing; empty for what does not read, or is too long."""
    try:
        stream = zlib.decompressobj()
        plain = stream.decompress(packed, MOST_PLAIN)
    except zlib.error:
        return b""
    return b"" if stream.unconsumed_tail else plain
