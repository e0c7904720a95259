"""What rules of systems in which one server takes the writes ask of the facts, and how they say it. Pure."""

from __future__ import annotations

from peerboot.model import Facts, Part, ServerView, Standing
from peerboot.rules.words import is_wanted, word_now

REWIND = "rewind"
"""Why a running server is ended: so that its data can be rewound."""
REBUILD = "rebuild"
"""The same: so that its data can be set aside and copied anew."""
HAND_OVER = "hand-over"
"""The same: so that another one can take the writes."""
PERMIT_NAME = "run.ok"
STOP_NAME = "stop"
"""The file by which a running server is ended, while no permit lies beside it."""


def own_part(facts: Facts) -> Part | None:
    """What this pod's server said of its part, None when it did not answer."""
    view = facts.cluster.view_of(facts.identity.pod)
    return view.part if view is not None else None


def has_writes_to_give(facts: Facts) -> bool:
    """Whether this pod's server takes the writes, or took them until it was shut down in order; where it runs and does
    not answer, whether it was the last that took them.
    """
    own = own_part(facts)
    if own is not None:
        return own.writes
    return facts.record.crown > 0 if facts.disk.running else facts.disk.end is not None


def primary_of(facts: Facts) -> ServerView | None:
    """The one server that takes writes; None when there is none, or more than one."""
    if not facts.cluster.quorum:
        return None
    return next((view for view in facts.cluster.views if view.part is not None and view.part.writes), None)


def writers(facts: Facts) -> tuple[str, ...]:
    """The pods whose servers take writes, by their own word; by that of their peerboot where they did not answer."""
    seen = {view.pod: view.part.writes for view in facts.cluster.views if view.part is not None}
    for pod in sorted(set(facts.evidence) - {facts.identity.pod}):
        word = word_now(facts, pod)
        if pod not in seen and word is not None:
            seen[pod] = word.writes
    return tuple(sorted(pod for pod, writes in seen.items() if writes))


def hold_of(facts: Facts) -> str:
    """Who holds automatic changes; empty when nobody does."""
    return f"{facts.holds[0].who} holds automatic changes" if facts.holds else ""


def position(number: int) -> str:
    """A place in the log as Postgres writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def place(standing: Standing | Part) -> str:
    """How far a disk is, in words."""
    return f"timeline {standing.term} at {position(standing.position)}"


def staying(facts: Facts) -> tuple[str, ...]:
    """The other expected pods but for those that are gone because the live number of replicas does not want them: what
    it was once is no reason to count out one that is heard.
    """
    return tuple(pod for pod in facts.identity.others if is_wanted(facts, pod) or _is_there(facts, pod))


def _is_there(facts: Facts, pod: str) -> bool:
    return word_now(facts, pod) is not None or facts.cluster.view_of(pod) is not None


def stop_reason(facts: Facts) -> str:
    """Why the file by which a running server is ended says that it is to end; empty when it does not."""
    word, _, why = facts.files.get(STOP_NAME, "").strip().partition(" ")
    return why if word == "stop" else ""


def is_rewound(facts: Facts) -> bool:
    """Whether the permit that stands is to rewind: from then on until its server runs the data is under work."""
    return "work=rewind" in facts.files.get(PERMIT_NAME, "").splitlines()


def all_of(pods: tuple[str, ...]) -> str:
    """``db-0 and db-1``, or ``db-0, db-1, db-2``."""
    return " and ".join(pods) if len(pods) < 3 else ", ".join(pods)
