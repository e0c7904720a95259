"""A moment of the demo, made by hand: step 5, two blank Pods, one down, one with dead DNS, long sentences."""

from __future__ import annotations

from typing import Any

from peerboot.lab.demo_sight import PodSight, Sight, Told
from peerboot.lab.etcd_story import ALL, SCENES

BLANK = (
    "wait (cluster-exists): A cluster exists or was begun (db-3, db-4 of cluster bf44f0e76f605756) but has no quorum "
    "now, so this Pod, whose disk is blank, neither forms nor joins. Not heard: db-2 (not in DNS)."
)


def cell(kind: str, age: float | None, *, fresh: bool = True) -> dict[str, Any]:
    """One piece of evidence."""
    return {"kind": kind, "age": age, "text": "", "fresh": fresh}


def pod(name: str, kind: str, rule: str, disk: str, member: str, role: str, *, dns: str = "found") -> PodSight:
    """A Pod that answers; it heard db-1 long ago and nothing since, db-2 not yet, all others just now."""
    evidence = {other: cell("data", 1.4) for other in ALL}
    evidence |= {"db-1": cell("bootstrap", 125.0, fresh=False), "db-2": cell("unknown", None), name: cell(disk, 0.0)}
    decision = {
        "kind": kind, "rule": rule, "dns": dict.fromkeys(ALL, dns) | {"db-2": "missing"}, "evidence": evidence,
        "disk": {"kind": disk, "member": member, "running": bool(member)},
        "server": {"role": role, "healthy": role != ""}, "cluster": {"id": ""}, "ledger": [],
    }  # fmt: skip
    sentence = BLANK if disk == "blank" else f"{kind} ({rule}): Member {member} serves."
    return PodSight(name, "waiting", sentence, decision, "servfail" if dns == "unknown" else "")


def sight(scene: int = 4, *, reason: str = BLANK) -> Sight:
    """All five Pods and a ledger of forty lines."""
    pods = (
        pod("db-0", "wait", "cluster-exists", "blank", "", "", dns="unknown"),
        pod("db-1", "wait", "cluster-exists", "blank", "", ""),
        PodSight("db-2", "down", "", {}, ""),
        pod("db-3", "resume", "own-data", "data", "32a3bc5653049a0f", ""),
        pod("db-4", "idle", "serving", "data", "1fce3e2226cd5c73", "leader"),
    )
    ledger = tuple(Told(number / 2, "db-0", "wait", "cluster-exists", reason) for number in range(40))
    return Sight(21.6, SCENES[scene], pods, ledger, 920, True)
