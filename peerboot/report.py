"""Report: the same verdict for people, probes and machines: status.txt, decision.json, the log, the ledger."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from peerboot.model import Decision, Disk, Facts, Finding, Member, Record, ServerView
from peerboot.outside import files
from peerboot.printing import one_line
from peerboot.rules.words import DATA_KINDS, role_of, why_unheard

if TYPE_CHECKING:
    from peerboot.log import Log

LEDGER_SIZE = 200
SENTENCE_LIMIT = 1000
"""Characters of a sentence: an event of the Pod shows 1024, and the probe reads its answer after it."""


class Entry(msgspec.Struct, frozen=True):
    """One line of the ledger: a decision at the moment when it changed."""

    wall: float
    kind: str
    rule: str
    reason: str
    waits_for: tuple[str, ...] = ()


def sentence(decision: Decision) -> str:
    """The one sentence of a verdict, as every surface shows it.

    Reasons quote what others said. A line break in one must not pass for a line of ours: the second line of
    status.txt tells the probe that the server may start.
    """
    return one_line(f"{decision.kind} ({decision.rule}): {decision.reason}", SENTENCE_LIMIT)


def _with_cause(facts: Facts, decision: Decision) -> str:
    """The sentence; during a wait with what is set up wrongly, so that it is in the Pod's events too, and while the own
    server is to start with what keeps it from that.
    """
    found = [finding.say for finding in facts.findings] + _unheard(facts)
    if decision.kind in ("join", "resume"):
        found = [one.say for one in facts.cluster.findings if one.pod == facts.identity.pod]
    elif decision.kind not in ("wait", "refuse"):
        found = []
    if not found:
        return sentence(decision)
    # What to change comes first: the end of a long wait may be cut off.
    causes = " ".join(found)
    return one_line(f"{decision.kind} ({decision.rule}): {causes} {decision.reason}", SENTENCE_LIMIT)


def _unheard(facts: Facts) -> list[str]:
    """Of the servers' findings those that keep a server from being heard; those of one name have one cause mostly."""
    own = facts.identity.pod
    by_name: dict[str, list[Finding]] = {}
    # What is wrong with this Pod itself may be why all others do not let it in, so it is told before them.
    for finding in sorted(facts.cluster.findings, key=lambda finding: finding.pod != own):
        if finding.pod:
            by_name.setdefault(finding.name, []).append(finding)
    told = []
    for first, *others in by_name.values():
        told.append(first.say)
        pods = dict.fromkeys(one.pod for one in others if one.pod != first.pod)
        if pods:
            told.append(f"So it is with {', '.join(pods)}.")
    return told


def answers(facts: Facts, ready: bool) -> str:
    """The second line of status.txt, for ``peerboot-probe``."""
    # One that only observes is nobody's gate. A server that runs after its permit was withdrawn is still this Pod's
    # own; any other that holds the lock is a former Pod's, and does not open the gate of this one.
    runs = facts.permit_was_given and facts.disk.running and facts.disk.kind in DATA_KINDS
    startup = facts.mode == "observe" or facts.permit != "absent" or runs
    return f"startup={'yes' if startup else 'no'} ready={'yes' if ready else 'no'}"


class Report:
    """Tells every change of decision once, everywhere."""

    def __init__(self, output_dir: Path, log: Log, termination_log: str) -> None:
        self._dir = output_dir
        self._log = log
        self._termination_log = termination_log
        self._last_key: tuple[object, ...] = ()
        self._written: tuple[object, ...] = ()
        """What the files were last written from; empty when that failed."""
        self._complained: dict[str, str] = {}
        self.ledger: deque[Entry] = deque(maxlen=LEDGER_SIZE)
        self.since_wall = 0.0

    def first_words(self, decision: Decision) -> None:
        """Nothing that an earlier process left in the output directory may speak for this one."""
        with contextlib.suppress(OSError, files.FilesError):
            files.write_whole(self._dir / "status.txt", f"{sentence(decision)}\nstartup=no ready=no\n".encode(), 0o640)

    def note(self, decision: Decision, wall: float) -> bool:
        """Log a new decision (other rule, target, or other people waited for) and enter it in the ledger; True then.

        Called before the decision is carried out, so that a reader of the log finds the reason above the deeds.
        """
        key = (decision.kind, decision.rule, decision.target, decision.waits_for, decision.consent)
        changed = key != self._last_key
        if changed:
            self._last_key, self.since_wall = key, wall
            reason = one_line(decision.reason, SENTENCE_LIMIT)
            self.ledger.append(Entry(wall, decision.kind, decision.rule, reason, decision.waits_for))
            say = self._log.warning if decision.kind == "refuse" else self._log.info
            say(reason, decision=decision.kind, rule=decision.rule)
        return changed

    def tell(self, facts: Facts, decision: Decision, *, ready: bool, wall: float) -> bool:
        """Write what changed; True when this is a new decision that was not noted yet."""
        changed = self.note(decision, wall)
        text = f"{_with_cause(facts, decision)}\n{answers(facts, ready)}\n"
        material = (text, decision.evidence, facts.permit, facts.all_findings, facts.holds)
        if material != self._written:
            status = self._write("status.txt", text.encode())
            details = self._write("decision.json", self.as_json(facts, decision, ready=ready, wall=wall))
            self._written = material if status and details else ()
        return changed

    def as_json(self, facts: Facts, decision: Decision, *, ready: bool, wall: float) -> bytes:
        """``decision.json`` and ``/v1/decision``: the verdict, what it rests on with ages, and the ledger."""
        return msgspec.json.format(msgspec.json.encode(self.as_data(facts, decision, ready=ready, wall=wall)), indent=1)

    def as_data(self, facts: Facts, decision: Decision, *, ready: bool, wall: float) -> Mapping[str, Any]:
        """The same as built-in values."""
        identity, disk, cluster = facts.identity, facts.disk, facts.cluster
        pods = sorted({*identity.expected, *facts.peers.sightings}, key=lambda p: (identity.ordinal_of(p) or 0, p))
        own, answer = cluster.view_of(identity.pod), facts.peers.answer
        # Unknown is not absent.
        silent = "unknown" if answer is None or answer.outcome == "unknown" else "missing"
        leads = own is not None and own.leader == own.member
        role = role_of(facts, learner=own.learner, leads=leads) if own is not None else ""
        return {
            "pod": identity.pod,
            "system": identity.system,
            "kind": decision.kind,
            "rule": decision.rule,
            "reason": decision.reason,
            "since": self.since_wall,
            "wall": wall,
            "may_run": decision.may_run,
            "permit": facts.permit,
            "ready": ready,
            "mode": facts.mode,
            "waits_for": list(decision.waits_for),
            "consent": decision.consent,
            "would": decision.would,
            "disk": {
                "kind": disk.kind,
                "cluster": disk.cluster,
                "member": disk.member,
                "running": disk.running,
                "reason": disk.reason,
                "nonce": facts.record.nonce,
                "token": facts.record.birth.token if facts.record.birth else "",
            },
            "server": {
                "role": role,
                "healthy": bool(own and own.healthy),
                "version": own.version if own else "",
                "applied": own.applied if own else 0,
            },
            "cluster": {
                "id": cluster.cluster,
                "quorum": cluster.quorum,
                "members": [msgspec.to_builtins(m) for m in cluster.members],
            },
            "dns": {pod: "found" if pod in facts.peers.sightings else silent for pod in pods},
            "dns_outcome": answer.outcome if answer else "not asked",
            "dns_reason": answer.reason if answer else "",
            "evidence": {pod: _evidence(facts, pod) for pod in pods},
            "findings": [finding.say for finding in facts.all_findings],
            "holds": [msgspec.to_builtins(hold) for hold in facts.holds],
            "ledger": [msgspec.to_builtins(entry) for entry in self.ledger],
        }

    def last_words(self, text: str) -> None:
        """The termination log: what the kubelet shows of a container that ended."""
        if self._termination_log:
            files.write_last_words(self._termination_log, one_line(text, SENTENCE_LIMIT))

    def _write(self, name: str, content: bytes) -> bool:
        """Whether it was written. A failure is said once, and so is its end; the next pass tries again."""
        try:
            files.write_whole(self._dir / name, content, 0o640)
        except files.FilesError as error:
            if self._complained.get(name) != str(error):
                self._complained[name] = str(error)
                self._log.error(f"{error}. The last good file stays; it is tried again.")
            return False
        if self._complained.pop(name, None) is not None:
            self._log.info(f"{self._dir / name} is written again.")
        return True


def _evidence(facts: Facts, pod: str) -> Mapping[str, Any]:
    """One cell of the evidence matrix."""
    if pod == facts.identity.pod:
        return {"kind": facts.disk.kind, "age": 0.0, "text": "own disk"}
    evidence = facts.evidence.get(pod)
    if evidence is None:
        return {"kind": "unknown", "age": None, "text": "not heard yet"}
    age = round(facts.now - evidence.at, 1)
    word = evidence.statement
    if word is None:
        return {"kind": "unknown", "age": age, "text": evidence.reason}
    kind = word.disk if not (word.token and word.disk == "blank") else "born"
    return {
        "kind": kind,
        "age": age,
        "text": evidence.reason,
        "address": evidence.address,
        "fresh": evidence.fresh,
        "token": word.token,
        "nonce": word.nonce,
        "cluster": word.cluster,
        "member": word.member,
        "serving": word.serving,
        "decision": word.decision,
        "rule": word.rule,
    }


# ------------------------------------------------------- evidence for people


class Piece(NamedTuple):
    """One piece of evidence for people."""

    about: str
    source: str
    age: float | None
    """Seconds; None for what was never heard."""
    says: str


def pieces(facts: Facts, wall: float) -> list[Piece]:
    """Everything that a decision rests on, each with its source and age."""
    found = [Piece(facts.identity.pod, "own disk", 0.0, _own_disk(facts.disk))]
    found.append(Piece(facts.identity.pod, "state dir", 0.0, _own_record(facts.record)))
    found.append(_dns(facts))
    found += [_peer(facts, pod) for pod in sorted({*facts.identity.others, *facts.evidence}, key=_by_ordinal)]
    age = facts.now - facts.cluster.at
    found += [Piece(view.pod, f"server {view.address}", age, _server(view)) for view in facts.cluster.views]
    # Of one that does not let peerboot in there is a finding, which says more than that it does not answer.
    told = {finding.pod for finding in facts.cluster.findings}
    found += [Piece(pod, "server", age, "does not answer") for pod in facts.cluster.unreachable if pod not in told]
    if facts.cluster.quorum:
        found += [Piece(m.pod or m.name or m.id, "member list", age, _member(facts, m)) for m in facts.cluster.members]
    if facts.anchor.state != "none":
        anchor = facts.anchor
        found.append(Piece("anchor", anchor.where, 0.0, f"{anchor.state} {anchor.token or anchor.reason}".strip()))
    if facts.twin:
        found.append(Piece(facts.identity.pod, "census", 0.0, f"another process answers as this Pod: {facts.twin}"))
    found += [
        Piece("hold", hold.who, wall - hold.made_wall, f"of the {hold.scope}: {hold.why or 'no reason given'}")
        for hold in facts.holds
    ]
    found += [Piece("finding", finding.name, facts.now - finding.at, finding.say) for finding in facts.findings]
    found += [Piece(one.pod or "finding", one.name, age, one.say) for one in facts.cluster.findings]
    found += [Piece("finding", one.name, 0.0, one.say) for one in facts.notices]
    if facts.cluster.release is not None:
        found.append(Piece("versions", "servers", age, facts.cluster.release.say))
    return found


def _by_ordinal(pod: str) -> tuple[int, str]:
    tail = pod.rpartition("-")[2]
    return (int(tail) if tail.isascii() and tail.isdigit() else 0, pod)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _own_disk(disk: Disk) -> str:
    return _joined(
        disk.kind,
        disk.cluster and f"cluster {disk.cluster}",
        disk.member and f"member {disk.member}",
        "its server runs" if disk.running else "",
        disk.reason,
        disk.warning,
    )


def _own_record(record: Record) -> str:
    if record.problem or record.foreign:
        return record.problem or f"written for {record.foreign}"
    given = record.permitted_wall
    return (
        _joined(
            record.nonce and f"nonce {record.nonce}",
            f"born {record.birth.token}" if record.birth else "",
            f"permit first given {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime(given))}"
            if given is not None
            else "",
            f"cluster {record.seal.cluster}, member {record.seal.member}" if record.seal else "",
            _claimed(record),
        )
        or "nothing yet"
    )


def _claimed(record: Record) -> str:
    claim = record.claim
    if claim is None:
        return ""
    return f"member {claim.member} was added for it" if claim.member else f"to join cluster {claim.cluster}"


def _dns(facts: Facts) -> Piece:
    answer = facts.peers.answer
    if answer is None:
        return Piece(facts.identity.service, "DNS", None, "no answer yet")
    says = _joined(answer.outcome, ", ".join(target.pod for target in answer.targets), answer.reason)
    return Piece(facts.identity.service, f"DNS {answer.via}".strip(), facts.now - answer.at, says)


def _peer(facts: Facts, pod: str) -> Piece:
    """One other pod: its own word, or why there is none."""
    evidence = facts.evidence.get(pod)
    if evidence is None:
        reason = why_unheard(facts, [pod]).removeprefix(f"{pod} (").removesuffix(")")
        return Piece(pod, "census", None, f"unknown: {reason}")
    age, word = facts.now - evidence.at, evidence.statement
    source = f"census {evidence.address}".strip()
    if word is None:
        return Piece(pod, source, age, f"unknown: {evidence.reason}")
    says = _joined(
        word.disk,
        word.nonce and f"nonce {word.nonce}",
        word.token and f"born {word.token}",
        word.cluster and f"cluster {word.cluster}",
        word.member and f"member {word.member}",
        "serving" if word.serving else "",
        word.rule and f"decided {word.decision} ({word.rule})",
        "" if evidence.fresh else f"since then: {evidence.reason}",
    )
    return Piece(pod, source, age, says)


def _server(view: ServerView) -> str:
    return _joined(
        "healthy" if view.healthy else "not healthy",
        "learner" if view.learner else ("leader" if view.leader and view.leader == view.member else ""),
        view.member and f"member {view.member}",
        view.cluster and f"cluster {view.cluster}",
        view.version and f"version {view.version}",
    )


def _writes(facts: Facts, member: Member) -> bool:
    """Of a system in which one server takes the writes: that one's is this member."""
    view = facts.cluster.view_of(member.pod)
    return view is not None and view.part is not None and view.part.writes


def _member(facts: Facts, member: Member) -> str:
    return _joined(
        f"member {member.id}",
        role_of(facts, learner=member.learner, leads=_writes(facts, member)),
        "" if member.started else "never started",
        " ".join(member.peer_urls),
    )
