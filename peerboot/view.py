"""What a node serves: probes, census, metrics, and people's words over the admin socket."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from peerboot import __version__, assess, bundled, census, metrics, prestop, roles, skew, status
from peerboot.errors import PeerbootError, RefusedError, SettingsError
from peerboot.model import Hold
from peerboot.outside.files import FilesError
from peerboot.printing import ago
from peerboot.report import answers, sentence
from peerboot.rules import handing, parts
from peerboot.rules.words import consent_nonce, is_serving, role_of, stands_without

if TYPE_CHECKING:
    from peerboot.run import Node
    from peerboot.serve import Metric

STUCK = 60.0
"""Seconds overdue after which a loop counts as stuck."""
MAX_HOLD = 30 * 86400.0
LOOK_EVERY = 1.0
"""Seconds for which a look answers all who ask."""
FRESH_LAG = 2.0
"""Seconds after which an index says little of how far a server is now."""
SPREADS = 20
"""Seconds in which a hold of the set has reached every Pod that answers: two rounds of the census at rest."""


class NodeView:
    """Fulfils ``serve.View`` for one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._looking = asyncio.Lock()
        self._looked_at = -LOOK_EVERY

    # -------------------------------------------------------------- probes

    def alive(self) -> tuple[bool, str]:
        """Every loop has to come round; how long DNS, peers or servers are silent says nothing of this process."""
        node, now = self._node, self._node.doors.clock.now()
        due = {"main": node.last_pass, **node.loops.due}
        stuck = sorted(name for name, at in due.items() if now - at >= STUCK)
        if stuck:
            return False, f"stuck: the {', '.join(stuck)} loop has not come round for {STUCK:g} s"
        return True, f"last pass {now - node.last_pass:.1f} s ago"

    def startup(self) -> tuple[bool, str]:
        node = self._node
        ok = node.facts is not None and "startup=yes" in answers(node.facts, ready=False)
        return ok, sentence(node.decision)

    async def readiness(self) -> tuple[bool, str]:
        node = self._node
        await self._look()
        ok = node.ready()
        return ok, sentence(node.decision) if ok else f"not serving: {sentence(node.decision)}"

    async def role(self) -> roles.Role:
        node = self._node
        await self._look()
        own = assess.fresh_view(node.memory.view, node.doors.clock.now()).view_of(node.identity.pod)
        return roles.role_of(
            node.identity.pod,
            node.settings.system,
            node.doors.system.traits,
            own,
            serves=node.ready(),
            why=sentence(node.decision),
        )

    async def _look(self) -> None:
        """The own server is asked anew, at most once a second: at rest the loop looks only every ten. Who asks while a
        look is under way waits for that one.
        """
        node, clock = self._node, self._node.doors.clock
        async with self._looking:
            if clock.now() - max(node.memory.view.at, self._looked_at) > LOOK_EVERY:
                await node.look()
                self._looked_at = clock.now()

    async def prestop(self) -> str:
        """Stopping is not leaving; only the live number of replicas says that this member should go."""
        text = await prestop.stay_or_leave(self._node)
        self._node.doors.log.info(f"/prestop: {text}.")
        return text

    # -------------------------------------------------------------- census

    def census(
        self, headers: Mapping[str, str], shown: tuple[str, ...] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        node, said = self._node, self._node.settings
        keys, word = node.doors.census.keys(), node.statement()
        return census.answer(node.identity, keys, said.by_key, headers, word, tls=said.by_tls, shown=shown)

    # ------------------------------------------------------ for machines

    def metrics(self) -> list[Metric]:
        return metrics.of(self._node, up=self.alive()[0])

    def peers(self) -> Mapping[str, Any]:
        peers = self._node.memory.peers
        return {
            "outcome": peers.answer.outcome if peers.answer else "not asked",
            "peers": [
                {"pod": s.pod, "addresses": list(s.addresses), "port": s.port, "misses": s.misses}
                for s in sorted(
                    peers.sightings.values(), key=lambda s: (self._node.identity.ordinal_of(s.pod) or 0, s.pod)
                )
            ],
        }

    def decision(self) -> bytes:
        return msgspec.json.encode(self._data())

    def _data(self) -> Mapping[str, Any]:
        node = self._node
        if node.facts is None:
            return {
                "pod": node.identity.pod,
                "kind": "wait",
                "rule": "starting",
                "reason": node.decision.reason,
                "ledger": [],
                "evidence": {},
                "dns": {},
                "ready": False,
                "may_run": False,
                "wall": node.doors.clock.wall(),
            }
        # Ages by now, not by the last pass: at rest a pass is a second apart.
        facts = msgspec.structs.replace(node.facts, now=node.doors.clock.now())
        return node.report.as_data(facts, node.decision, ready=node.ready(), wall=node.doors.clock.wall())

    # ---------------------------------------------------------- for people

    async def admin(self, name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        match name:
            case "status":
                await status.look_at_all(self._node.loops)
                return self._status()
            case "explain":
                return self._explain()
            case "plan":
                return dict(self._data())
            case "bundle":
                return bundled.of(self._node)
        self._may_change()
        match name:
            case "hold":
                return self._hold(payload)
            case "resume":
                return self._resume(payload)
            case "consent":
                return self._consent(payload)
            case "remove":
                return self._remove(payload)
            case "switchover":
                return await self._switchover(payload)
        raise SettingsError(f"{name!r} is not known here")

    def _status(self) -> Mapping[str, Any]:
        node, data = self._node, self._data()
        members = {m.pod: m for m in node.memory.view.members if m.pod} if node.memory.view.quorum else {}
        applied = [v.applied for v in node.memory.view.views]
        applied += [e.statement.applied for e in node.memory.evidence.values() if e.statement]
        top, leaders = max(applied, default=0), {v.leader for v in node.memory.view.views if v.leader}
        rows = []
        for pod in data["dns"]:
            evidence, own = data["evidence"].get(pod, {}), pod == node.identity.pod
            word = node.memory.evidence[pod].statement if pod in node.memory.evidence else None
            member = members.get(pod)
            at = node.memory.view.view_of(pod)
            index = max(at.applied if at else 0, word.applied if word else 0)
            role = "-"
            if member is not None and node.facts is not None:
                role = role_of(node.facts, learner=member.learner, leads=member.id in leaders)
            columns = [
                member.id if member else "-",
                role,
                _lag(role, top - index, index, evidence.get("age") if at is None else 0.0) if member else "-",
            ]
            if node.doors.system.traits.has_primary:
                columns = [*status.copy_columns(node.memory.view, pod)]
            heard = (
                "self"
                if own
                else f"{ago(evidence.get('age'))} ago"
                if evidence.get("age") is not None and word
                else "silent"
            )
            rows.append(
                [
                    pod,
                    data["dns"][pod],
                    heard,
                    evidence.get("kind", "unknown"),
                    *columns,
                    node.decision.rule if own else (word.rule if word else "-"),
                    ago(data["wall"] - data["since"] if own else self._stood(pod)),
                ]
            )
        notes = [*data.get("findings", ())]
        notes += [_held(hold, node.doors.clock.wall()) for hold in node.memory.active_holds(node.doors.clock.wall())]
        notes += self._wish()
        notes += [] if node.memory.view.quorum else status.log_ends(node)
        return {
            "rows": rows,
            "sentence": sentence(node.decision),
            "notes": notes,
            "peerboot": skew.versions(node.identity.pod, __version__, node.memory.evidence),
            "release": msgspec.to_builtins(node.memory.view.release),
        }

    def _wish(self) -> list[str]:
        """A switchover that was asked for here and has not come about yet."""
        node = self._node
        now = node.doors.clock.now()
        pod, left = node.memory.hands_now(now), assess.HANDS_LAST - (now - node.memory.hands_at)
        if not pod:
            return []
        return [f"a switchover from {pod} to this Pod is under way; what has not come about in {ago(left)} is dropped"]

    def _stood(self, pod: str) -> float | None:
        """Seconds for which another pod's decision has been in force, by its last word; None when nothing was heard."""
        evidence = self._node.memory.evidence.get(pod)
        if evidence is None or evidence.statement is None:
            return None
        return evidence.statement.stood + max(self._node.doors.clock.now() - evidence.at, 0.0)

    def _explain(self) -> Mapping[str, Any]:
        node = self._node
        journal = node.doors.state.read_journal(200)
        entries = journal or [msgspec.to_builtins(entry) for entry in node.report.ledger]
        return {"ledger": entries, "wall": node.doors.clock.wall()}

    def _hold(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        node, wall = self._node, self._node.doors.clock.wall()
        seconds = payload.get("seconds")
        if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds <= MAX_HOLD):
            raise SettingsError("--for must be between 1 ms and 30 days")
        hold = Hold(
            id=secrets.token_hex(4),
            scope="set" if payload.get("all") else "pod",
            who=who_of(payload),
            why=str(payload.get("why", ""))[:256],
            made_wall=wall,
            until_wall=wall + seconds if seconds else None,
        )
        self._keep(assess.merge_holds((*node.memory.holds, hold), ()))
        whom = "the whole set" if hold.scope == "set" else node.identity.pod
        end = (
            f"for {ago(seconds)}" if seconds else "until `peerboot resume" + (" --all`" if hold.scope == "set" else "`")
        )
        node.doors.log.warning(f"{hold.who} holds automatic changes of {whom} {end}: {hold.why or 'no reason given'}.")
        return {
            "say": f"Automatic changes of {whom} are held {end}. Servers with their own data still start."
            + (f" The other Pods hear of it within {SPREADS} s." if hold.scope == "set" else ""),
            "id": hold.id,
        }

    def _resume(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        node, wall = self._node, self._node.doors.clock.wall()
        ended = [h for h in node.memory.active_holds(wall) if h.scope == "pod" or payload.get("all")]
        ids = {h.id for h in ended}
        self._keep(tuple(msgspec.structs.replace(h, ended_wall=wall) if h.id in ids else h for h in node.memory.holds))
        left = node.memory.active_holds(wall)
        node.doors.log.warning(f"{who_of(payload)} ended {len(ended)} holds.")
        say = "1 hold ended." if len(ended) == 1 else f"{len(ended)} holds ended."
        if payload.get("all"):
            say += f" One that was made at another Pod may take {SPREADS} s to be known here" + (
                ": say it again then." if not ended else "; the end of this one takes as long to be known there."
            )
        return {"say": say + (" A hold of the whole set stays: `peerboot resume --all` ends it." if left else "")}

    def _keep(self, holds: tuple[Hold, ...]) -> None:
        """A word that is not durable is not given: it would end with the next restart without anybody's doing."""
        try:
            self._node.keep_holds(holds)
        except FilesError as error:
            raise PeerbootError(f"nothing was changed: {error}") from None

    def _may_change(self) -> None:
        if self._node.observing:
            raise SettingsError("PEERBOOT_MODE=observe changes nothing, so there is nothing to hold, allow or remove")

    def _consent(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        node, nonce = self._node, str(payload.get("nonce", ""))
        facts, decision = node.facts, node.decision
        open_nonce = consent_nonce(facts, decision.rule) if facts is not None else ""
        if nonce != open_nonce or f"peerboot consent {nonce}" not in decision.reason:
            raise RefusedError(
                f"{nonce!r} allows nothing now: the evidence has changed, or it was used. The decision is "
                f"{sentence(decision)}"
            )
        node.words.consents[nonce] = decision.rule
        node.doors.log.warning(f"{who_of(payload)} consented to {decision.rule} ({nonce}).")
        node.news.set()
        return {"say": f"Allowed, once, on this evidence: {decision.rule}.", "lines": list(decision.evidence)}

    async def _switchover(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """A person wants this Pod's server to take the writes of the one that does."""
        node = self._node
        # What was heard at rest may be of before a Pod came back.
        await asyncio.gather(node.loops.hear(), node.look())
        facts = await node.next_pass()
        why, primary = handing.no_switchover(facts), parts.primary_of(facts)
        if why or primary is None:
            raise RefusedError(f"no switchover to {node.identity.pod} now: {why}")
        plan = [
            f"the server of {primary.pod} is stopped, which lets those that copy it have all that it has",
            f"it starts again as one that copies, and that of {node.identity.pod} takes the writes when all let it",
            "meanwhile, some seconds, nobody can write; readers are served",
        ]
        if not payload.get("yes"):
            return {"say": "This would happen; --yes does it:", "lines": plan}
        node.memory.hands_to, node.memory.hands_at = primary.pod, node.doors.clock.now()
        node.memory.hands_by_itself = False
        node.doors.log.warning(f"{who_of(payload)} wants the server of {node.identity.pod} to take the writes.")
        node.news.set()
        return {"say": f"{node.identity.pod} takes over from {primary.pod}:", "lines": plan}

    def _remove(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        node, pod, facts = self._node, str(payload.get("pod", "")), self._node.facts
        if facts is None or node.identity.ordinal_of(pod) is None:
            raise SettingsError(f"{pod!r} is no pod of StatefulSet {node.identity.statefulset}")
        if facts.traits.has_primary:
            raise SettingsError(
                f"{pod} has no vote, so there is no member to remove: scale the StatefulSet down, and with "
                "PEERBOOT_REPLICAS_FROM=statefulset what is kept for it is dropped"
            )
        entry = facts.cluster.entry_of(pod)
        if not facts.cluster.quorum:
            raise RefusedError("the cluster has no quorum now, so no member can be removed: try again when it has")
        if entry is None:
            raise SettingsError(f"{pod} is no member of cluster {facts.cluster.cluster}")
        if facts.cluster.fixed:
            raise RefusedError(
                f"cluster {facts.cluster.cluster} has a static quorum, from which no voter can be removed: make it a "
                "dynamic one first (`peerboot kafka migrate`)"
            )
        if pod == node.identity.pod:
            raise SettingsError(f"ask another pod's peerboot to remove {pod}: a member is not removed by itself")
        if facts.traits.quorum_of:
            raise SettingsError(
                f"{pod} has no vote in cluster {facts.cluster.cluster}, so there is no member to remove: scale the "
                "StatefulSet down"
            )
        stands, role = entry.learner or stands_without(facts, entry.id), role_of(facts, learner=entry.learner)
        plan = [
            f"remove member {entry.id} ({pod}, {role}) from cluster {facts.cluster.cluster}",
            "quorum stands without it"
            if stands
            else "quorum would NOT stand without it: it waits until more members are healthy",
            f"if {pod} starts again with its old data, the data goes aside and it joins as a new member",
        ]
        if is_serving(facts, entry):
            plan.insert(0, f"BUT {pod} answers and serves now: it would come back as another member")
        if facts.holds:
            plan.append(f"not before {facts.holds[0].who}'s hold has ended")
        if not payload.get("yes"):
            return {"say": f"This would happen; `peerboot remove {pod} --yes` does it:", "lines": plan}
        node.add_removal(pod, entry.id, who_of(payload))
        return {"say": f"{pod} is removed as soon as it is safe:", "lines": plan}


def _held(hold: Hold, wall: float) -> str:
    """A hold in words: who, why, of what, until when, and how it ends."""
    whom, how = ("the whole set", " --all") if hold.scope == "set" else ("this Pod", "")
    until = f"for {ago(hold.until_wall - wall)} more" if hold.until_wall else "without an end"
    return f"held by {hold.who} ({hold.why or 'no reason given'}): {whom}, {until}; `peerboot resume{how}` ends it"


def _lag(role: str, entries: int, index: int, age: float | None) -> str:
    """Log entries behind the furthest that is known; ``~`` before what was heard a while ago, while others went on."""
    if role == "leader" or not index:
        return "-"
    return str(entries) if age is not None and age <= FRESH_LAG else f"~{entries}"


def who_of(payload: Mapping[str, Any]) -> str:
    """Who speaks, by their own word."""
    return str(payload.get("who", "?"))[:64]
