"""Rules for a volume that cannot be read or that is not this Pod's own. Pure."""

from __future__ import annotations

from peerboot.model import Decision, Facts
from peerboot.rules.words import allowed, refuse, say


def disk_unknown(facts: Facts) -> Decision | None:
    """When: the data directory cannot be looked at (I/O error, no permission), or it is blank and nothing can be
    written beside it (no room).
    Then: wait and look again; a server that runs is left alone.
    """
    if facts.record.unwritten and facts.disk.kind == "blank":
        return say(
            facts,
            "wait",
            "disk-unknown",
            f"Nothing can be written beside the data directory, which is blank: {facts.record.problem}. Without a "
            "nonce this disk is unknown to all, also to this Pod. It is tried again until it can.",
            waits_for=("the volume to take what is written",),
        )
    if facts.disk.kind != "unknown":
        return None
    return say(
        facts,
        "wait",
        "disk-unknown",
        f"The data directory cannot be looked at: {facts.disk.reason}. It is looked at again until it can.",
        waits_for=("the data directory",),
        # A first permit could let a server form or join on whatever this disk is.
        may_run=facts.permit == "resume",
    )


def foreign_volume(facts: Facts) -> Decision | None:
    """When: the state directory was written for another pod, set, namespace or system.
    Then: refuse, for it is a snapshot or a clone; a consent moves the data aside and joins as new.
    """
    if not facts.record.foreign:
        return None
    if allowed(facts, "foreign-volume"):
        return say(
            facts,
            "replace",
            "foreign-volume",
            "A person allowed it: this volume's data goes aside, then this Pod joins as new.",
        )
    return refuse(
        facts,
        "foreign-volume",
        f"This volume belongs to {facts.record.foreign}, not to {facts.identity.namespace}/{facts.identity.pod}: "
        "it is a snapshot, a clone or another Pod's. Mount the right volume.",
        would="move its data aside and join as a new member",
    )


def torn_state(facts: Facts) -> Decision | None:
    """When: the state directory is torn and the data directory holds no data of its own to go by.
    Then: refuse, for the disk is unknown, not blank; a consent takes it as a new disk.
    """
    if not facts.record.problem or facts.disk.kind in ("data", "bootstrap"):
        return None
    if facts.disk.kind == "corrupt":
        return refuse(
            facts,
            "torn-state",
            f"peerboot's own state is not readable: {facts.record.problem}. And the data beside it does not read "
            f"({facts.disk.reason}): it may be the best copy that is left, so nothing is touched. Mount the right "
            "volume, or move both away yourself.",
        )
    if allowed(facts, "torn-state"):
        return say(facts, "renew", "torn-state", "A person allowed it: this volume is taken as a new disk.")
    return refuse(
        facts,
        "torn-state",
        f"peerboot's own state is not readable: {facts.record.problem}. So it is not known what this volume was.",
        would="take this volume as a new, blank disk",
    )


def second_holder(facts: Facts) -> Decision | None:
    """When: another process answers under this Pod's own name, and this one has not let a server start.
    Then: wait until it is gone.
    """
    if not facts.twin or facts.permit != "absent":
        return None
    return say(
        facts,
        "wait",
        "second-holder",
        f"Another process answers as {facts.identity.pod} ({facts.twin}): two Pods hold one name. "
        "This one waits until the other is gone; if that one was force-deleted, make sure that its node is dead.",
        waits_for=(f"the other {facts.identity.pod} to stop",),
    )


def volume_in_use(facts: Facts) -> Decision | None:
    """When: a server that this Pod did not let start holds the lock of the data directory.
    Then: wait until it stops (the former Pod of this name is still going down). One that only observes lets no server
    start, so there whoever holds the lock is this Pod's own.
    """
    if not facts.disk.running or facts.permit_was_given or facts.mode == "observe":
        return None
    return say(
        facts,
        "wait",
        "volume-in-use",
        "A server still holds the lock of the data directory: the former Pod of this name has not stopped yet.",
        waits_for=("the server that holds the volume to stop",),
    )


def data_elsewhere(facts: Facts) -> Decision | None:
    """When: the disk is blank, nothing is remembered of it, the volume has a server's data in another directory, and
    the next thing would be an empty server: no quorum of this set's own is there to join.
    Then: refuse, for a wrong path would put an empty cluster in the old one's place; a consent goes on all the same.
    """
    found = facts.record.elsewhere
    if facts.disk.kind != "blank" or not found or (facts.cluster.quorum and not facts.traits.quorum_of):
        return None
    if allowed(facts, "data-elsewhere"):
        return None
    return refuse(
        facts,
        "data-elsewhere",
        f"The data directory is blank, but {found} on the same volume has a server's data, and an empty server would "
        "take its place. Correct PEERBOOT_DATA_DIR and the settings of the directories beside it; or, if that data is "
        "not wanted, move it to another volume.",
        would="leave that data where it is and go on with the blank directory",
    )
