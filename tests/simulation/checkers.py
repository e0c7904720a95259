"""What must hold in every simulation, whatever is done to it. Each returns what is wrong, in words.

``Truth`` judges splits and lost writes while they happen; here is the rest: why members were removed, what became of
data, and whether everything came to rest once the faults had stopped.
"""

from __future__ import annotations

import json

from peerboot.model import Call
from peerboot.rules.unwanted import FRESH
from tests.run.world import Pod
from tests.simulation.server import host_of
from tests.simulation.world import SimWorld

REMOVING = {
    "replace-lost": "its disk was lost",
    "replace-unstarted": "its entry was never used by this disk",
    "taken-over": "a person allowed it",
    "reap-learner": "it stalls",
    "clean-up": "scaled down",
    "leave": "scaled down",
    "remove-by-word": "a person's word",
}
"""The rules that may remove a member, and for what reason."""


def removal(w: SimWorld, pod: Pod, call: Call) -> str:
    """What is wrong with this removal: the rule may not, or its reason is not so. Called before the call is made."""
    rule = pod.node.decision.rule if pod.node is not None else ""
    entry = next((m for _, s in w.servers() if (m := s.members.get(call.member)) is not None), None)
    owner = host_of(entry.peer_urls[0]) if entry is not None else ""
    w.trace.removals.append(f"{w.now - 1000:.2f} {pod.name} removes {call.member} of {owner or '?'} ({rule})")
    if rule not in REMOVING:
        return f"{pod.name} removes member {call.member} by rule {rule!r}, which names no reason to"
    if entry is None:
        return ""
    if rule in ("replace-lost", "replace-unstarted", "taken-over"):
        if owner != pod.name:
            return f"{pod.name} removes member {call.member} of {owner} as its own ({rule})"
        if w.disk_of(pod)[1] == call.member:
            return f"{pod.name} removes member {call.member} ({rule}), and its disk is that very member"
    if rule == "reap-learner" and not entry.learner:
        return f"{pod.name} reaps member {call.member}, which is a voter"
    if rule == "remove-by-word" and owner not in w.said:
        return f"{pod.name} removes {owner} by a word that nobody gave"
    if rule in ("clean-up", "leave"):
        ordinal = int(owner.rpartition("-")[2])
        wanted = [n for at, n in w.wanted if at >= w.now - FRESH - 10]
        if all(ordinal < n for n in (*wanted, w.api.replicas, w.wanted_before(w.now - FRESH - 10))):
            return f"{pod.name} removes {owner} as scaled down ({rule}), and the StatefulSet wanted it all the while"
    return ""


def written(w: SimWorld) -> list[str]:
    """No acknowledged write is lost at the end: the judge's log of its cluster has it, and so has whoever leads."""
    wrong = []
    for key, (cluster, index) in w.truth.acked.items():
        log = w.truth.logs.get(cluster, [])
        excused = w.truth.rolled_back.get(cluster)
        if excused is not None and excused <= index:
            continue
        if index >= len(log) or log[index][1:] != ("put", key):
            wrong.append(f"{key} was acknowledged as entry {index} of {cluster}, and is not there")
    for _, member in w.servers():
        if member.leads and member.replicate():
            lacks = [k for k, (c, _) in w.truth.acked.items() if c == member.state.cluster and k not in member.keys]
            index = min((w.truth.acked[k][1] for k in lacks), default=0)
            excused = w.truth.rolled_back.get(member.state.cluster)
            if lacks and not (excused is not None and excused <= index):
                wrong.append(f"{member.name} leads {member.state.cluster} without {len(lacks)} acknowledged writes")
    return wrong


def kept(w: SimWorld) -> list[str]:
    """Nothing is ever deleted: each disk of a member that had data is still on its volume, in place or aside."""
    wrong = []
    for volume, members in w.had.items():
        there = set()
        for file in volume.glob("**/model.json"):
            there.add(json.loads(file.read_text())["member"])
        gone = sorted(members - there)
        wrong += [f"the data of member {m} on {volume.parent.name} is gone, and no fault took it" for m in gone]
    return wrong


def whole(w: SimWorld) -> bool | None:
    """Whether the set can serve again by what is on its disks: its last cluster has a majority of its voters there.
    None: no disk has data of any cluster, so that a new one may form.
    """
    data = w.data_of()
    if not data:
        return False if w.broken or w.had else None
    able = []
    for cluster, pods in data.items():
        voters, _ = w.voters_of(cluster)
        here = [i for i, name in voters.items() if name in pods and _is(w, name, cluster, i)]
        if voters and len(here) > len(voters) // 2:
            able.append(cluster)
    return bool(able) and able[-1:] == [c for c in w.truth.served if c in data][-1:] and len(data) == 1


def _is(w: SimWorld, name: str, cluster: str, member: str) -> bool:
    pod = w.named(name)
    return pod is not None and w.disk_of(pod)[:2] == (cluster, member) and w.belongs(pod)


def silent(w: SimWorld) -> list[str]:
    """Every Pod that does not serve says why, in a sentence, and what it waits for."""
    wrong = []
    for pod in w.pods:
        if pod.node is None:
            wrong.append(f"{pod.name} runs no peerboot: {pod.error or pod.exit_code}")
        elif pod.rule != "serving":
            decision = pod.node.decision
            if not decision.reason.strip() or (decision.kind == "wait" and not decision.waits_for):
                wrong.append(f"{pod.name} is {decision.kind} ({decision.rule}) and does not say for what")
    return wrong
