"""What peerboot reads of its own after a crash: ``state.json``, the holds, the journal.

Input: a byte that says which, then its content.

Held: nothing is raised; a state that is there is never taken for none: it is known (with a nonce), or unreadable with
one line that says why, or another's; no state that cannot be believed is written over when a nonce is asked for.
"""

from __future__ import annotations

import random

import msgspec

from peerboot.model import Hold, Identity
from peerboot.outside.files import FilesError
from peerboot.statedir import StateDir
from tests.fuzz.dns import Still
from tests.fuzz.harness import changed_json, expect, expect_line, scratch

WORDS = tuple(
    f'"{name}":'.encode()
    for name in (
        "version", "namespace", "statefulset", "pod", "system", "nonce", "made_wall", "birth", "permitted_wall", "seal",
        "claim", "torn", "renewed", "former", "crown", "let_go", "intent", "token", "members", "cluster", "member",
    )
)  # fmt: skip
LONGEST = 2048
KINDS = 4
JOURNAL_LINES = 20
ME = Identity(
    namespace="prod", service="peers", statefulset="db", pod="db-0", ordinal=0, system="etcd", domain="cluster.local",
    replicas=3,
)  # fmt: skip


def check(data: bytes) -> None:
    """One input."""
    kind, content = (data[0] if data else 0) % KINDS, data[1:]
    root = scratch() / "state"
    root.mkdir(exist_ok=True)
    for path in root.iterdir():
        path.unlink()
    state = StateDir(root, ME, Still())
    match kind:
        case 0:
            (root / "state.json").write_bytes(content)
            _is_read(state, content)
        case 1:
            (root / "holds.json").write_bytes(content)
            holds = state.read_holds()
            expect(all(isinstance(hold, Hold) for hold in holds), "what is no hold")
            msgspec.json.encode(holds)
        case 2:
            (root / "journal.jsonl").write_bytes(content)
            entries = state.read_journal(JOURNAL_LINES)
            expect(len(entries) <= JOURNAL_LINES and all(isinstance(entry, dict) for entry in entries), "no entries")
            state.append_decision({"rule": "fuzz"})
            expect(state.read_journal(1) == [{"rule": "fuzz"}], "what follows damage cannot be read")
        case _:
            (root / "state.json").write_bytes(content)
            state.keep_aside_torn()
            _is_kept(state, content)


def _is_read(state: StateDir, content: bytes) -> None:
    record = state.read()
    expect_line(record.problem, "a problem")
    expect_line(record.foreign, "whose it is")
    expect(record.nonce or record.problem or record.foreign, "a state is there, and it reads as none")
    msgspec.json.encode(record)
    expect(state.ensure_nonce() == record, "asking for a nonce changes what is remembered")
    expect((state.path / "state.json").read_bytes() == content, "asking for a nonce wrote over a state")
    if not record.problem and not record.foreign:
        state.record_permit()
        again = StateDir(state.path, ME, Still()).read()
        expect(
            (again.nonce, again.birth, again.seal) == (record.nonce, record.birth, record.seal), "a permit changes it"
        )
    else:
        try:
            state.record_permit()
        except FilesError as error:
            expect_line(str(error), "an error")
        else:
            expect(False, "a permit was noted in what is not this disk's own state")


def _is_kept(state: StateDir, content: bytes) -> None:
    kept = [path.read_bytes() for path in state.path.iterdir()]
    expect(content in kept, "what was damaged is gone")
    record = state.read()
    expect(record.nonce or record.problem or record.foreign, "a state is there, and it reads as none")


def mutate(data: bytes, chance: random.Random) -> bytes | None:
    """A field of the state changed; or it is cut off."""
    if chance.random() < 0.1:
        return data[: chance.randrange(len(data) + 1)]
    fresh = changed_json(data[1:], chance)
    return None if fresh is None else data[:1] + fresh
