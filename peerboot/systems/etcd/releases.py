"""What etcd's releases do with each other: which one comes next, and what is known to go wrong on the way. Pure.

Sources: etcd's upgrade guides and issues 19557, 20793, 20967, 21694; what of it was run here is in
tests/real/test_upgrades.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from peerboot.model import Finding, Member, Release, ServerView
from peerboot.printing import all_of, any_of

Minor = tuple[int, int]
MINORS: tuple[Minor, ...] = ((3, 4), (3, 5), (3, 6), (3, 7))
"""Those that peerboot knows, oldest first."""
UNDECIDED: Minor = (3, 0)
"""What a cluster goes by until its first leader has heard of all servers."""
SOUND_3_5 = 26
"""The first patch of 3.5 that writes promotions and removals to the database in full, and mends it at its start."""
BEFORE_3_6 = "3.5.26"
RENAMED = (
    "corrupt-check-time",
    "compact-hash-check-time",
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "watch-progress-notify-interval",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "bootstrap-defrag-threshold-megabytes",
    "memory-mlock",
    "snapshot-catchup-entries",
    "downgrade-check-time",
    "enable-distributed-tracing",
    "distributed-tracing-address",
    "distributed-tracing-service-name",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
)
"""Keys that 3.6 has under this name, and older releases with ``experimental-`` before it."""
SINCE_3_6 = ("feature-gates", "max-learners", *RENAMED)
GONE_IN_3_6 = ("enable-v2", "experimental-enable-v2v3")


def parsed(version: str) -> tuple[int, int, int] | None:
    """``3.5.26``, also with something behind it; None for what is no version."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def minor_of(version: str) -> Minor | None:
    """``3.5`` of ``3.5.26``."""
    found = parsed(version)
    return found[:2] if found else None


def text(minor: Minor) -> str:
    """``3.5``."""
    return f"{minor[0]}.{minor[1]}"


# ------------------------------------------------------------------ what runs


def release_of(
    views: Iterable[ServerView], members: Sequence[Member], agreed: str, storage: str, pods: Sequence[str] = ()
) -> Release | None:
    """Which versions run and which one may come next; None when no server told its own.

    ``agreed``: the cluster's version by a server's word; ``storage``: that of its database (3.6 and later). ``pods``:
    those of the members, whose servers may not have been asked or did not answer.
    """
    versions = {view.pod: view.version for view in views if parsed(view.version)}
    if not versions:
        return None
    named = pods or tuple(member.pod or member.name or member.id for member in members)
    untold = tuple(pod for pod in named if pod not in versions)
    cluster = minor_of(agreed)
    upcoming, why = _next(versions, untold, cluster)
    stored = minor_of(storage)
    say = f"{_running(versions, untold)}; {why}."
    if cluster is not None:
        levels = f"the cluster's version is {text(cluster)}"
        levels += f", that of its data {text(stored)}" if stored is not None else ""
        say = f"{_running(versions, untold)}; {levels}; {why}."
    return Release(
        versions=versions,
        untold=untold,
        agreed=text(cluster) if cluster else "",
        storage=text(stored) if stored else "",
        next=upcoming,
        say=say,
    )


def _running(versions: Mapping[str, str], untold: Sequence[str]) -> str:
    """``etcd 3.5.1 on all 3``, or which on which pod."""
    distinct = sorted(set(versions.values()), key=lambda one: parsed(one) or (0, 0, 0))
    if len(distinct) == 1 and not untold:
        count = len(versions)
        return f"etcd {distinct[0]} on " + ("its one server" if count == 1 else f"all {count}")
    told = [f"{one} on {all_of([p for p, version in versions.items() if version == one])}" for one in distinct]
    told += [f"an unknown version on {all_of(list(untold))}"] if untold else []
    return f"etcd {', '.join(told)}"


def _next(versions: Mapping[str, str], untold: Sequence[str], cluster: Minor | None) -> tuple[str, str]:
    """The next minor release that all may go to, empty when there is none now; and why, in words."""
    minors = sorted({minor for version in versions.values() if (minor := minor_of(version))})
    low, high = minors[0], minors[-1]
    if len(minors) > 1:
        to = any_of([text(minor) for minor in MINORS if low < minor <= high]) or text(high)
        return "", f"next: all to {to}, before any goes further"
    if untold:
        return "", "next: nothing before the version of all is known"
    if cluster is None:
        return "", "next: nothing before the cluster has decided its version"
    if cluster < low:
        return "", f"next: nothing before the cluster's version is {text(low)}, which its leader decides within seconds"
    following = next((minor for minor in MINORS if minor > low), None)
    if following is None:
        return "", "next: no release that this peerboot knows"
    if low == (3, 5) and (early := _early(versions)):
        return "", f"next: {BEFORE_3_6} or later of 3.5 on {all_of(early)}, and only then 3.6"
    from_where = f", {BEFORE_3_6} or later" if following == (3, 5) else ""
    return text(following), f"next: {text(following)}{from_where}"


def _early(versions: Mapping[str, str]) -> list[str]:
    """Pods whose 3.5 is older than the first sound one."""
    found = {pod: parsed(version) for pod, version in versions.items()}
    return sorted(pod for pod, one in found.items() if one is not None and one[:2] == (3, 5) and one[2] < SOUND_3_5)


# ----------------------------------------------------------------- the traps


def believes_its_log(version: str) -> bool:
    """Before 3.6 members come from snapshots and the log, so that nobody notices what the database says of them."""
    minor = minor_of(version)
    return minor is not None and minor < (3, 6)


def before_3_6(versions: Mapping[str, str]) -> tuple[Finding, ...]:
    """A 3.5 that leaves in the database what 3.6 would take for true."""
    early = _early(versions)
    if not early:
        return ()
    say = (
        f"etcd {all_of(sorted({versions[pod] for pod in early}))} of {all_of(early)} does not write every promotion "
        "and removal of a member to its database, from which 3.6 takes its members: go to "
        f"{BEFORE_3_6} or later of 3.5 on all Pods, and only then to 3.6."
    )
    return (Finding(name="etcd-before-3.6", say=say),)


def skipped(versions: Mapping[str, str]) -> tuple[Finding, ...]:
    """Servers that are more than one minor release apart."""
    minors = {pod: minor for pod, version in versions.items() if (minor := minor_of(version)) in MINORS}
    if not minors:
        return ()
    low, high = min(minors.values()), max(minors.values())
    between = [minor for minor in MINORS if low < minor < high]
    if not between:
        return ()
    oldest, newest = (sorted(pod for pod, one in minors.items() if one == end) for end in (low, high))
    say = (
        f"{all_of(newest)} has etcd {text(high)} while {all_of(oldest)} has {text(low)}: etcd goes up one minor "
        f"release at a time, so first all to {text(between[0])}."
    )
    return (Finding(name="etcd-skips-minor", say=say),)


def database_differs(
    own: str, database: Mapping[str, bool], members: Sequence[Member], version: str
) -> tuple[Finding, ...]:
    """The own database lists other members than the cluster does, as releases before 3.5.26 may leave it. 3.6 believes
    the database. ``database``: whether each member is a learner there, by id.
    """
    if not believes_its_log(version) or not database or not members:
        return ()
    now = {member.id: member for member in members}
    learners = [one for id_, one in sorted(now.items()) if database.get(id_) and not one.learner]
    ghosts = sorted(set(database) - set(now))
    found = []
    if learners:
        ids, pods = all_of([_named(one) for one in learners]), all_of([one.pod or one.name for one in learners])
        then = "3.6 does not start here" if len(learners) > 1 else "3.6 takes it for one"
        say = (
            f"The database of {own} still has {ids} as a learner, a voter by now; {then}. "
            f"Not to 3.6 yet: {_mend(pods)}."
        )
        found.append(Finding(name="etcd-promotion-unwritten", say=say))
    if ghosts:
        say = (
            f"The database of {own} lists {all_of(ghosts)}, no member of the cluster any more; with 3.6 it would be "
            f"one again. Not to 3.6 yet: {BEFORE_3_6} or later of 3.5 here takes it out at its start."
        )
        found.append(Finding(name="etcd-zombie-member", say=say))
    return tuple(found)


def _mend(pods: str) -> str:
    """How the database comes to say voter: by the word of each member at its start, heard by a release that writes it
    down (server/etcdserver/api/membership/cluster.go, UpdateAttributes; run here).
    """
    return f"once {BEFORE_3_6} or later of 3.5 runs here, restart {pods}, whose start writes it down"


def _named(member: Member) -> str:
    return f"{member.id} ({member.pod})" if member.pod else member.id


def does_not_come(own: str, agreed: str, *, blank: bool, learners: int = 0) -> Finding:
    """The own server may start, and has not answered for a while. ``agreed``: the version of the cluster, or of the
    data; ``learners``: how many the own database has, as 3.6 would count them.
    """
    does = "join it" if blank else "start with its data"
    release = (
        f"The cluster's version is {agreed}: an older etcd does not {does}, nor one that is more than one minor "
        "release newer; etcd's own log says whether it is that."
    )
    if learners > 1:
        say = (
            f"The server of {own} does not come up. Its database has {learners} learners, voters by now, with which "
            f"3.6 exits (too many learner members in cluster): {_mend('those members')}. Then 3.6 starts. {release}"
        )
        return Finding(name="etcd-promotion-unwritten", say=say, pod=own)
    return Finding(name="etcd-not-up", say=f"The server of {own} does not come up. {release}", pod=own)


def too_new(told: str, release: Release | None, *, blank: bool = True) -> str:
    """Why an etcd of that minor release must not come into the cluster that serves, for ``ClusterView.unmanaged``;
    empty: nothing is known against it. A ``blank`` one waits until something is known; one with data just starts.

    A blank 3.6 that joins a cluster of 3.4 ends all its servers with "panic: not implemented", at each start again: it
    publishes itself by a request that 3.4 does not know (run here). So does
    one with the data of a young 3.4. What the servers run counts as well as what they
    agreed on: a young cluster goes by 3.0, and a question may fail.
    """
    own = minor_of(told)
    if own is None:
        return ""
    known = [minor for text_ in (release.versions.values() if release else ()) if (minor := minor_of(text_))]
    agreed = minor_of(release.agreed) if release else None
    known += [agreed] if agreed is not None and agreed != UNDECIDED else []
    if not known and not blank:
        return ""
    if not known:
        return (
            f"has not said its version yet, and PEERBOOT_ETCD_VERSION says that etcd {text(own)} is started here, "
            "which could be too new for it: it is asked again"
        )
    theirs = min(known)
    if own[0] == theirs[0] and own[1] - theirs[1] < 2:
        return ""
    step = (theirs[0], theirs[1] + 1)
    return (
        f"goes by version {text(theirs)}, and PEERBOOT_ETCD_VERSION says that etcd {text(own)} is started here, which "
        f"could end its servers for good: go to {text(step)} first, on all Pods, image and PEERBOOT_ETCD_VERSION in "
        "one change; or correct that setting, if it is not what the image has"
    )


def told_otherwise(told: str, own: str, running: str) -> tuple[Finding, ...]:
    """The server of this Pod runs another minor release than PEERBOOT_ETCD_VERSION says."""
    said, runs = minor_of(told), minor_of(running)
    if said is None or runs is None or said == runs:
        return ()
    say = (
        f"PEERBOOT_ETCD_VERSION says {text(said)}, and the server of {own} is etcd {running}: correct the setting, for "
        "this Pod may be kept from starting by it."
    )
    return (Finding(name="etcd-version-told", say=say),)


def settings_lost(base: Mapping[str, object], version: str) -> tuple[Finding, ...]:
    """The user's own keys that the server of this version does not know, and ignores without a word; and those that
    the next one will not.
    """
    minor = minor_of(version)
    if minor is None:
        return ()
    where = "PEERBOOT_BASE_CONFIG_FILE"
    found = []
    if ignored := sorted(key for key in base if not _knows(minor, key)):
        advice = "; ".join(_advice(minor, key) for key in ignored[:3])
        say = f"etcd {version} ignores {all_of(ignored)} of {where} without a word: {advice}."
        found.append(Finding(name="etcd-setting-ignored", say=say))
    following = next((one for one in MINORS if one > minor), None)
    if following is not None and (
        ending := sorted(key for key in base if _knows(minor, key) and not _knows(following, key))
    ):
        advice = "; ".join(_advice(following, key) for key in ending[:3])
        say = f"etcd {text(following)} will ignore {all_of(ending)} of {where} without a word: {advice}."
        found.append(Finding(name="etcd-setting-ends", say=say))
    return tuple(found)


def _knows(minor: Minor, key: str) -> bool:
    if key in SINCE_3_6:
        return minor >= (3, 6)
    if key in GONE_IN_3_6:
        return minor < (3, 6)
    return minor < (3, 7) or not key.startswith("experimental-")


def _advice(minor: Minor, key: str) -> str:
    if key in RENAMED:
        return f"before 3.6 it is experimental-{key}"
    if key in SINCE_3_6:
        return f"{key} is there from 3.6 on"
    if key in GONE_IN_3_6:
        return f"{key} is gone from 3.6 on, drop it"
    plain = key.removeprefix("experimental-")
    new = plain if plain in RENAMED else "a name without experimental-, or one of feature-gates"
    return f"from {text(minor)} on {key} is {new}"
