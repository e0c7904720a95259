"""Report: the same verdict for people, probes and machines: status.txt, decision.json, the log, the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from peerboot.model import Decision, Facts
from peerboot.outside import files
from peerboot.rules.words import DATA_KINDS

if TYPE_CHECKING:
    from peerboot.log import Log

LEDGER_SIZE = 200


class Entry(msgspec.Struct, frozen=True):
    """One line of the ledger: a decision at the moment when it changed."""

    wall: float
    kind: str
    rule: str
    reason: str
    waits_for: tuple[str, ...] = ()


def sentence(decision: Decision) -> str:
    """The one sentence of a verdict, as every surface shows it."""
    return f"{decision.kind} ({decision.rule}): {decision.reason}"


def answers(facts: Facts, ready: bool) -> str:
    """The second line of status.txt, for ``peerboot-probe``."""
    startup = facts.permit != "absent" or (facts.disk.running and facts.disk.kind in DATA_KINDS)
    return f"startup={'yes' if startup else 'no'} ready={'yes' if ready else 'no'}"


class Report:
    """Tells every change of decision once, everywhere."""

    def __init__(self, output_dir: Path, log: Log, termination_log: str) -> None:
        self._dir = output_dir
        self._log = log
        self._termination_log = termination_log
        self._last_key: tuple[object, ...] = ()
        self._last_text = ""
        self._complained = ""
        self.ledger: deque[Entry] = deque(maxlen=LEDGER_SIZE)
        self.since_wall = 0.0

    def tell(self, facts: Facts, decision: Decision, *, ready: bool, wall: float) -> bool:
        """Write what changed; True when this is a new decision (other rule, target, or other people waited for)."""
        key = (decision.kind, decision.rule, decision.target, decision.waits_for, decision.consent)
        changed = key != self._last_key
        if changed:
            self._last_key, self.since_wall = key, wall
            self.ledger.append(Entry(wall, decision.kind, decision.rule, decision.reason, decision.waits_for))
            say = self._log.warning if decision.kind == "refuse" else self._log.info
            say(decision.reason, decision=decision.kind, rule=decision.rule)
        text = f"{sentence(decision)}\n{answers(facts, ready)}\n"
        if text != self._last_text:
            self._write("status.txt", text.encode())
            self._write("decision.json", self.as_json(facts, decision, ready=ready, wall=wall))
            self._last_text = text
        return changed

    def as_json(self, facts: Facts, decision: Decision, *, ready: bool, wall: float) -> bytes:
        """``decision.json`` and ``/v1/decision``: the verdict, what it rests on with ages, and the ledger."""
        return msgspec.json.format(msgspec.json.encode(self.as_data(facts, decision, ready=ready, wall=wall)), indent=1)

    def as_data(self, facts: Facts, decision: Decision, *, ready: bool, wall: float) -> Mapping[str, Any]:
        """The same as built-in values."""
        identity, disk, cluster = facts.identity, facts.disk, facts.cluster
        pods = sorted({*identity.expected, *facts.peers.sightings}, key=lambda p: (identity.ordinal_of(p) or 0, p))
        own = cluster.view_of(identity.pod)
        role = "" if own is None else "learner" if own.learner else "leader" if own.leader == own.member else "voter"
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
            "dns": {pod: "found" if pod in facts.peers.sightings else "missing" for pod in pods},
            "dns_outcome": facts.peers.answer.outcome if facts.peers.answer else "not asked",
            "dns_reason": facts.peers.answer.reason if facts.peers.answer else "",
            "evidence": {pod: _evidence(facts, pod) for pod in pods},
            "findings": [finding.say for finding in facts.findings],
            "holds": [msgspec.to_builtins(hold) for hold in facts.holds],
            "ledger": [msgspec.to_builtins(entry) for entry in self.ledger],
        }

    def last_words(self, text: str) -> None:
        """The termination log: what the kubelet shows of a container that ended."""
        if not self._termination_log:
            return
        try:
            Path(self._termination_log).write_text(text[:4000] + "\n", encoding="utf-8")
        except OSError:
            # It exists only where a kubelet made it; the same words go to stderr.
            return

    def _write(self, name: str, content: bytes) -> None:
        try:
            files.write_whole(self._dir / name, content, 0o640)
            self._complained = ""
        except (OSError, files.FilesError) as error:
            if str(error) != self._complained:
                self._complained = str(error)
                self._log.error(f"Cannot write {name}: {error}. The last good files stay; it is tried again.")
            self._last_text = ""


def _evidence(facts: Facts, pod: str) -> Mapping[str, Any]:
    """One cell of the evidence matrix."""
    if pod == facts.identity.pod:
        text = facts.disk.kind
        return {"kind": text, "age": 0.0, "text": "own disk"}
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
        "fresh": evidence.fresh,
        "token": word.token,
        "nonce": word.nonce,
        "cluster": word.cluster,
        "member": word.member,
        "serving": word.serving,
        "decision": word.decision,
        "rule": word.rule,
    }
