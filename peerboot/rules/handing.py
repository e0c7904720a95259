"""Rules of systems in which one server takes the writes: they move to another one, because a person wants it or because
the Pod that takes them is scaled away. Pure.
"""

from __future__ import annotations

from peerboot.model import Decision, Facts
from peerboot.rules import promoting
from peerboot.rules.candidates import HANDS_OVER, LEAVES
from peerboot.rules.leaving import leaves
from peerboot.rules.parts import all_of, own_part, primary_of
from peerboot.rules.words import DATA_KINDS, is_wanted, replicas, say, word_now

MOST_LAG = 16 << 20
"""Bytes that a server may be behind for a switchover: it gets them while the other one is stopped."""
UNABLE = "would have to let it and cannot now (silent, not up, paused, or of another cluster)"


def hand_over_writes(facts: Facts) -> Decision | None:
    """When: this Pod's server takes the writes, and a person wants that of another pod, which copies it, to do so.
    Then: it is stopped, which lets those that copy it have all that it has, and starts again as one of them.
    """
    own = own_part(facts) if facts.traits.has_primary else None
    if own is None or not own.writes or not facts.cluster.quorum:
        return None
    goes = leaves(facts)
    heirs = (pod for pod in own.copied_by if _wants_to_take_over(facts, pod) and (not goes or _remains(facts, pod)))
    heir = next(heirs, None)
    if not heir or _unable_to_let(facts):
        # Stopped now, it could not come back either: every other Pod has to let the one or the other.
        return None
    why = (
        f"A person wants the server of {heir}, which copies this Pod's, to take the writes: this Pod's is stopped, and "
        "starts again as one that copies."
    )
    if goes:
        why = f"{_is_scaled_away(facts)} takes the writes: its server is stopped, and that of {heir}, which copies it, "
        why += "takes them."
    return say(facts, "wait", HANDS_OVER, why, waits_for=("this Pod's server to stop",))


def leave_writes(facts: Facts) -> Decision | None:
    """When: this Pod is stopped and the live number of replicas no longer wants it, and its server takes the writes, or
    took them until it was shut down in order.
    Then: wait, within the time of ``/prestop``, until a server that copies it and stays takes them; a server that is
    down stays down, for then it is known how far it is, and another one can be let.
    """
    if not facts.traits.has_primary or not leaves(facts):
        return None
    own, who = own_part(facts), _is_scaled_away(facts)
    if own is None and not facts.disk.running:
        primary = primary_of(facts)
        then = (
            "Another server that has all of them is let to take them; until one does, or the time of /prestop is over, "
        )
        then = f"{primary.pod} takes them now." if primary is not None else f"{then}this Pod waits."
        return say(
            facts,
            "wait",
            LEAVES,
            f"{who} took the writes until its server was shut down. {then}",
            waits_for=("this Pod to end",) if primary is not None else ("another server to take the writes",),
        )
    heir, unable = _heir(facts, own.copied_by if own is not None else ()), _unable_to_let(facts)
    if own is None:
        who, why, waits_for = f"{who} was the last that", "and does not answer now", "this Pod's server to answer"
    elif not heir:
        why, waits_for = "and no server that stays copies it now", "a server that copies this Pod's"
    elif unable:
        why = f"and that of {heir} is to take over first, but {all_of(unable)} {UNABLE}"
        waits_for = all_of(unable)
    else:
        why, waits_for = f"and that of {heir}, which copies it, is to take over first", f"{heir} to take over"
    return say(
        facts,
        "wait",
        LEAVES,
        f"{who} takes the writes, {why}. When the time of /prestop (PEERBOOT_LEAVE_TIMEOUT) is over its server stops "
        "as it is; what was acknowledged stays on its volume.",
        waits_for=(waits_for,),
        may_run=True,
        target="" if unable else heir,
    )


def to_take_over(facts: Facts) -> str:
    """The pod that takes the writes, is scaled away, and says that this pod's server is to take its place; empty for
    none.
    """
    primary = primary_of(facts)
    if primary is None or facts.mode == "observe" or facts.stopping:
        return ""
    word = word_now(facts, primary.pod)
    named = word is not None and word.heir == facts.identity.pod
    return primary.pod if named and not no_switchover(facts) else ""


def stays_after_all(facts: Facts, pod: str) -> bool:
    """Whether a pod that was scaled away says something else now: it was scaled up again."""
    word = word_now(facts, pod)
    return word is not None and word.rule not in (LEAVES, HANDS_OVER)


def _heir(facts: Facts, copies: tuple[str, ...]) -> str:
    """Of those that copy the one with the lowest ordinal that stays and could take over; empty for none."""
    return next(
        (pod for pod in facts.identity.expected if pod in copies and _remains(facts, pod) and _able(facts, pod)), ""
    )


def _able(facts: Facts, pod: str) -> bool:
    """Whether a server that copies is near enough to take over, by its own word."""
    view = facts.cluster.view_of(pod)
    part = view.part if view is not None else None
    return part is not None and part.streams and not part.paused and 0 <= part.lag <= MOST_LAG


def _remains(facts: Facts, pod: str) -> bool:
    return pod in facts.identity.expected and is_wanted(facts, pod)


def _is_scaled_away(facts: Facts) -> str:
    return f"The StatefulSet has {replicas(facts)} now, and this Pod, which is not one of them,"


def no_switchover(facts: Facts) -> str:
    """Why this Pod's server cannot take over the writes now; empty when it can."""
    primary, own = primary_of(facts), own_part(facts)
    if not facts.traits.has_primary:
        return "nobody takes the writes alone in this system"
    if primary is None or primary.part is None:
        return "no server, or more than one, takes writes: see `peerboot status`"
    if own is None or own.writes:
        return "its server takes the writes already" if own is not None else "its server does not answer"
    if facts.holds:
        return f"{facts.holds[0].who} holds automatic changes: `peerboot resume` first"
    if facts.identity.pod not in facts.identity.expected:
        return "it is not one of the expected Pods"
    if not own.streams or own.term != primary.part.term:
        return f"its server does not copy {primary.pod} at this moment"
    if own.paused:
        return "its replay is paused: `SELECT pg_wal_replay_resume()` there first"
    if own.lag < 0:
        return f"how far it is behind {primary.pod} is not known yet: try again in a moment"
    if own.lag > MOST_LAG:
        return f"it is {own.lag} bytes behind {primary.pod}, which would take long: wait until it has caught up"
    if unable := _unable_to_let(facts):
        return f"{all_of(unable)} {UNABLE}; one that has just come back soon can"
    return ""


def _unable_to_let(facts: Facts) -> tuple[str, ...]:
    """The others that could not say now that another server may take the writes."""
    return tuple(pod for pod in promoting.voices(facts) if not _can_let(facts, pod))


def _can_let(facts: Facts, pod: str) -> bool:
    """Whether a pod is heard, and its disk is blank, or its server runs, is not halted, and is of this cluster."""
    word, view = word_now(facts, pod), facts.cluster.view_of(pod)
    if word is None or word.disk == "blank":
        return word is not None
    halted = view is not None and view.part is not None and view.part.paused
    known = word.disk in DATA_KINDS and word.cluster == facts.disk.cluster and not promoting.same_crown(facts, word)
    return word.running and known and not halted


def _wants_to_take_over(facts: Facts, pod: str) -> bool:
    word = word_now(facts, pod)
    return word is not None and word.hands_to == facts.identity.pod
