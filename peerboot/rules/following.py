"""Rules of systems in which one server takes the writes: who follows whom, and who must not. Pure.

A server always starts as one that copies, so to start is harmless. What is not is to copy a wrong history, to rewind
what may be right, and to go on taking writes that nobody has.
"""

from __future__ import annotations

from peerboot.model import Decision, Facts, Part, ServerView
from peerboot.rules.parts import (
    REWIND,
    all_of,
    hold_of,
    is_rewound,
    own_part,
    place,
    position,
    primary_of,
    stop_reason,
    writers,
)
from peerboot.rules.words import DATA_KINDS, allowed, refuse, say, statement_of, why_unheard

STUCK = 60.0
"""Seconds after which a server that copies nobody, while one takes writes and answers, is a person's business."""


def two_primaries(facts: Facts) -> Decision | None:
    """When: two servers or more take writes, by their own words.
    Then: nothing is formed, copied, promoted or rewound. One whose history the other one went on from is stopped; else
    a person has to say which one is right.
    """
    found = writers(facts) if facts.traits.has_primary else ()
    if len(found) < 2:
        return None
    told = "; ".join(f"{pod} ({_part_words(facts, pod)})" for pod in found)
    own, heir = own_part(facts), _heir(facts, found)
    runs = facts.disk.kind in DATA_KINDS or facts.disk.running
    if not heir:
        return say(
            facts,
            "wait",
            "two-primaries",
            f"{len(found)} servers take writes: {told}. Which of them has the right history cannot be known here, so "
            "nothing is copied, promoted or rewound, and no Pod is ready. Find out which one is wrong, keep clients "
            "away from it, and delete its Pod: its server comes back as one that copies.",
            waits_for=("one server that takes writes",),
            may_run=runs,
        )
    old = tuple(pod for pod in found if pod != heir)
    went_on = f"{len(found)} servers take writes: {told}. {heir} went on from the timeline of {all_of(old)}"
    if own is None or not own.writes or heir == facts.identity.pod:
        return say(
            facts,
            "wait",
            "two-primaries",
            f"{went_on}, which is stopped by its own Pod and then copies {heir}. Until then no Pod is ready.",
            waits_for=(f"the server of {all_of(old)} to stop",),
            may_run=runs,
        )
    if facts.holds:
        return say(
            facts,
            "wait",
            "two-primaries",
            f"{went_on}, so this Pod's server is to be stopped, but {hold_of(facts)}: what clients write here "
            "meanwhile is rewound afterwards.",
            waits_for=("`peerboot resume`",),
            may_run=True,
        )
    return say(
        facts,
        "wait",
        "two-primaries",
        f"{went_on}, so this Pod's server is stopped and rewound, what it has beyond is kept aside, and it copies the "
        "other.",
        waits_for=("this Pod's server to stop",),
    )


def _part_words(facts: Facts, pod: str) -> str:
    view = facts.cluster.view_of(pod)
    if view is None or view.part is None:
        return "by its peerboot's word; it does not answer here"
    return f"timeline {view.part.term}"


def _heir(facts: Facts, found: tuple[str, ...]) -> str:
    """Of those that take writes the one whose history has the timelines of all others, empty for none: they are of one
    cluster, and it went on from where they were.
    """
    views = [view for pod in found if (view := facts.cluster.view_of(pod)) is not None and view.part is not None]
    if len(views) < len(found) or len({view.cluster for view in views}) > 1:
        return ""
    parts = {view.pod: view.part for view in views if view.part is not None}
    last = max(parts, key=lambda pod: parts[pod].term)
    before = {part.term for pod, part in parts.items() if pod != last}
    past = {fork.term for fork in parts[last].forks}
    return last if before <= past and parts[last].term not in before else ""


def newer_timeline(facts: Facts) -> Decision | None:
    """When: the only server that takes writes is on an earlier timeline than this disk.
    Then: refuse: this disk may have what that one lacks; a consent sets it aside and copies that one.
    """
    primary, term = primary_of(facts), _own_term(facts)
    if primary is None or primary.part is None or primary.pod == facts.identity.pod or not _same_cluster(facts):
        return None
    if term <= primary.part.term:
        return None
    if decision := _rebuilt(facts, "newer-timeline"):
        return decision
    return refuse(
        facts,
        "newer-timeline",
        f"This disk is on timeline {term}, and {primary.pod}, which takes the writes, on timeline {primary.part.term}: "
        "another server was promoted after that one, and this disk may have what it lacks. Find out which history is "
        "the right one; if it is this Pod's, stop the other one first.",
        would=f"set this Pod's data aside and copy {primary.pod}",
    )


def same_timeline(facts: Facts) -> Decision | None:
    """When: the only server that takes writes does so on the very timeline on which this disk's own one took them.
    Then: refuse: each has what the other lacks, and neither Postgres nor pg_rewind can tell; a consent sets this one's
    data aside and copies the other.
    """
    primary = primary_of(facts)
    if primary is None or primary.part is None or primary.pod == facts.identity.pod or not _same_cluster(facts):
        return None
    crowned = 0 < facts.record.crown == _own_term(facts) == primary.part.term
    if not crowned and not _has_another_history(facts, primary.part):
        return None
    if decision := _rebuilt(facts, "same-timeline"):
        return decision
    took = "this Pod's server took them too" if crowned else "this disk copied another server"
    return refuse(
        facts,
        "same-timeline",
        f"{primary.pod} takes the writes on timeline {primary.part.term}, on which {took}: "
        "the two have one name for two histories, and a copy of the one over the other would look healthy and be none. "
        "Find out which history is the right one; if it is this Pod's, stop the other one first.",
        would=f"set this Pod's data aside and copy {primary.pod}",
    )


def _has_another_history(facts: Facts, primary: Part) -> bool:
    """Whether this disk's timeline and the primary's have one number and began at different places. Asked before the
    server starts: it would overwrite its own log with the other's.
    """
    disk = facts.disk
    known = disk.forks and primary.forks and disk.term == primary.term and not disk.running
    return bool(known) and disk.forks != primary.forks


def diverged(facts: Facts) -> Decision | None:
    """When: this disk went on beyond the place where the timeline of the server that takes writes began, or lies on
    another branch.
    Then: its server is stopped, and its data rewound to where the two part; what it has beyond is kept aside first.
    """
    primary, own = primary_of(facts), own_part(facts)
    if primary is None or primary.part is None or primary.pod == facts.identity.pod or not _same_cluster(facts):
        return None
    if own is None or facts.disk.kind not in DATA_KINDS:
        return _stopped_to_rewind(facts, primary)
    standing = own.standing
    if standing is None or standing.term >= primary.part.term or not primary.part.forks:
        return None
    fork = next((fork for fork in primary.part.forks if fork.term == standing.term), None)
    if fork is not None and standing.position <= fork.position:
        return None
    where = "has no such timeline in its history"
    if fork is not None:
        where = f"left that timeline at {position(fork.position)}"
    if facts.holds:
        return say(
            facts,
            "wait",
            "diverged",
            f"This disk is on {place(standing)}, but {primary.pod}, which takes the writes, "
            f"{where}. It is to be rewound, but {hold_of(facts)}: it serves what it has to readers and is not ready.",
            waits_for=("`peerboot resume`",),
            may_run=True,
        )
    return say(
        facts,
        "wait",
        "diverged",
        f"This disk is on {place(standing)}, but {primary.pod}, which takes the writes, {where}: "
        "this Pod's server is stopped, what it has beyond is kept aside, and the data is rewound.",
        waits_for=("this Pod's server to stop",),
    )


def _stopped_to_rewind(facts: Facts, primary: ServerView) -> Decision | None:
    """The second half: the server has ended, because of this very rule."""
    begun = is_rewound(facts) or (stop_reason(facts) == REWIND and not facts.holds)
    if facts.disk.running or facts.disk.kind not in DATA_KINDS or not begun:
        return None
    return say(
        facts,
        "resume",
        "diverged",
        f"This disk went on beyond the place where the timeline of {primary.pod} began: what it has beyond is kept "
        "aside, the data is rewound, and the server starts as one that copies.",
        may_run=True,
    )


def cannot_follow(facts: Facts) -> Decision | None:
    """When: this Pod's server copies nobody although one takes writes and answers: what it needs is no longer there,
    its data is a copy of another history, or it has lasted.
    Then: refuse, and let it serve what it has; a consent sets its data aside and copies that one.
    """
    primary, own = primary_of(facts), own_part(facts)
    if primary is None or primary.part is None or primary.pod == facts.identity.pod or not _same_cluster(facts):
        return None
    if allowed(facts, "cannot-follow") and (own is None or not own.streams) and facts.disk.kind in DATA_KINDS:
        return _rebuilt(facts, "cannot-follow")
    if own is None or own.writes or own.streams:
        return None
    mine = facts.disk.member
    settled = own.standing
    if mine in primary.part.lost_slots:
        why = f"{primary.pod} has dropped log that this Pod's server still needs (its slot {mine} is lost)"
    elif settled is not None and own.term == primary.part.term and own.position > primary.part.position:
        why = (
            f"both are on timeline {own.term}, and this disk is at {position(own.position)}, beyond {primary.pod} at "
            f"{position(primary.part.position)}: two servers took writes on one timeline, or that one lost some"
        )
    elif own.stuck >= STUCK:
        why = (
            f"for {STUCK:g} s it has copied nobody, although {primary.pod} takes writes and answers; the log of this "
            "Pod's server says why"
        )
    else:
        return None
    decision = refuse(
        facts,
        "cannot-follow",
        f"This Pod's server cannot follow: {why}. It serves what it has to readers and is not ready.",
        would=f"set its data aside and copy {primary.pod}",
    )
    return say(
        facts,
        "wait",
        "cannot-follow",
        decision.reason,
        waits_for=("a person's word, or a server that it can follow",),
        may_run=True,
    )


def _rebuilt(facts: Facts, rule: str) -> Decision | None:
    """What a person's consent to copy anew leads to: the server is ended, then its data goes aside."""
    if not allowed(facts, rule):
        return None
    if facts.disk.running and facts.holds:
        return say(
            facts,
            "wait",
            rule,
            f"A person allowed to set this Pod's data aside and to copy it anew, but {hold_of(facts)}.",
            waits_for=("`peerboot resume`",),
            may_run=True,
        )
    if facts.disk.running:
        return say(
            facts,
            "wait",
            rule,
            "A person allowed it: this Pod's server is stopped, its data goes aside, and it copies anew.",
            waits_for=("this Pod's server to stop",),
        )
    return say(
        facts, "replace", rule, "A person allowed it: the data goes aside, and this Pod's server copies the other anew."
    )


def _same_cluster(facts: Facts) -> bool:
    return facts.disk.kind in DATA_KINDS and facts.cluster.cluster == facts.disk.cluster


def _own_term(facts: Facts) -> int:
    own = own_part(facts)
    return own.term if own is not None else facts.disk.term


def seed_first(facts: Facts) -> Decision | None:
    """When: this disk is blank and born, and the lowest expected ordinal makes the cluster.
    Then: wait until its server takes writes, then copy it.
    """
    expected = facts.identity.expected
    silent = "" if not expected or statement_of(facts, expected[0]) else why_unheard(facts, expected[:1])
    if not facts.traits.by_seed or facts.disk.kind != "blank" or facts.record.birth is None or facts.cluster.quorum:
        return None
    if not expected or expected[0] == facts.identity.pod:
        return None
    return say(
        facts,
        "wait",
        "seed-first",
        f"All {len(facts.record.birth.members)} pods were blank and agreed on birth {facts.record.birth.token}: "
        f"{expected[0]} makes the cluster, and this Pod copies it once its server takes writes."
        + (f" Not heard: {silent}." if silent else ""),
        waits_for=(f"{expected[0]} to take writes",),
    )


def own_text(facts: Facts) -> str:
    """What a Pod says whose data is its own, and whose server does not do its part yet."""
    own, primary = own_part(facts), primary_of(facts)
    if not facts.disk.running:
        return f"This disk has data of cluster {facts.disk.cluster}: the server starts with it, as one that copies."
    runs = f"This Pod's server runs with data of cluster {facts.disk.cluster}"
    if own is None:
        return f"{runs} and does not answer peerboot yet."
    if primary is not None and primary.pod != facts.identity.pod:
        return f"{runs}, on {place(own)}, and does not copy {primary.pod} yet, which takes the writes."
    if found := writers(facts):
        takes = "takes the writes by its peerboot's word, and its server does not answer here"
        return f"{runs}, on {place(own)}. {all_of(found)} {takes}: see why in that Pod."
    return f"{runs}, on {place(own)}, as one that copies."


def serving_text(facts: Facts) -> str:
    """What a Pod whose server does its part says."""
    own, primary = own_part(facts), primary_of(facts)
    if own is None or primary is None or primary.part is None:
        return ""
    if own.writes:
        follow = "nobody copies it"
        if copies := own.copied_by:
            follow = f"{all_of(copies)} {'copies' if len(copies) == 1 else 'copy'} it"
        return f"This Pod's server takes the writes of cluster {facts.disk.cluster}, on timeline {own.term}; {follow}."
    behind = f", {own.lag} bytes behind" if own.lag > 0 else ""
    return (
        f"This Pod's server copies {primary.pod}, which takes the writes of cluster {facts.disk.cluster}, on timeline "
        f"{own.term}{behind}."
    )
