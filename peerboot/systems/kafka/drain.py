"""Which replicas go where when brokers are drained, and why one must not be. Pure.

Kafka moves what it is told to (KIP-455) and checks little: it takes a broker that is down for a target and two replicas
in one rack. Here a partition keeps its number of replicas and their order; only the places of the brokers that are
drained are filled anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from peerboot.model import Value

NAMED = 3
"""Partitions that a refusal names; of the others it gives the number."""


class Broker(Value, frozen=True, kw_only=True):
    """A broker that is registered."""

    id: int
    rack: str = ""
    alive: bool = True
    """It is not fenced: it sends heartbeats to the controllers."""
    free: int = -1
    """Bytes of its emptiest volume; -1: not known."""
    cordoned: bool = False
    """None of its directories gets new replicas (KIP-1066), as after a drain; what it has stays there."""


class Part(Value, frozen=True, kw_only=True):
    """A partition as the cluster has it. Under a reassignment ``replicas`` are those that it will have."""

    topic: str
    index: int
    replicas: tuple[int, ...]
    """The preferred leader first."""
    in_sync: tuple[int, ...]
    leader: int
    """-1: none."""
    least: int = 1
    """``min.insync.replicas``."""
    size: int = -1
    """Bytes of its log; -1: not known."""
    before: tuple[int, ...] = ()
    """Not empty: a reassignment is under way, and these were its replicas before."""

    @property
    def name(self) -> str:
        """As Kafka's tools write it."""
        return f"{self.topic}-{self.index}"


class Step(Value, frozen=True, kw_only=True):
    """One partition's replicas, now and then."""

    topic: str
    index: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    size: int = -1

    @property
    def name(self) -> str:
        """As Kafka's tools write it."""
        return f"{self.topic}-{self.index}"

    @property
    def added(self) -> tuple[int, ...]:
        """Brokers that get a copy."""
        return tuple(one for one in self.after if one not in self.before)


def held(parts: Iterable[Part], nodes: Collection[int]) -> tuple[Part, ...]:
    """Those that these brokers have a replica of, or had before a reassignment that is under way."""
    return tuple(part for part in parts if set(nodes) & {*part.replicas, *part.before})


def adopted(part: Part, leaving: Collection[int], brokers: Mapping[int, Broker]) -> bool:
    """Whether the reassignment under way does what is wanted: nothing stays there, and all that it goes to is alive.

    It is an earlier run's, which was killed, or somebody's who wants the same.
    """
    alive = all(node in brokers and brokers[node].alive for node in part.replicas)
    return bool(part.before) and not set(leaving) & set(part.replicas) and alive


def takers(brokers: Mapping[int, Broker], leaving: Collection[int]) -> dict[int, Broker]:
    """Those that may get replicas. One that is cordoned was drained, and a move would fill it again."""
    return {one.id: one for one in brokers.values() if one.alive and not one.cordoned and one.id not in leaving}


def steps(parts: Sequence[Part], brokers: Mapping[int, Broker], leaving: Collection[int]) -> tuple[Step, ...]:
    """A new list of replicas for each partition that one of these brokers has, by topic and number.

    Each goes to a broker that is alive, is not cordoned and has no replica of it: in a rack that the others are not
    in while there is such a one, then to the one with the fewest replicas (of two, the preferred leader of fewer).
    """
    stay = takers(brokers, leaving)
    # Kafka spreads over racks only where every broker has one (AdminUtils).
    racks = {one.id: one.rack for one in stay.values()} if all(one.rack for one in stay.values()) else {}
    load = Counter(dict.fromkeys(stay, 0))
    leads = Counter(dict.fromkeys(stay, 0))
    for part in parts:
        load.update(node for node in part.replicas if node in stay)
        leads.update(part.replicas[:1])
    found = []
    for part in sorted(parts, key=lambda one: (one.topic, one.index)):
        now = part.before or part.replicas
        if not set(leaving) & set(now) or adopted(part, leaving, brokers):
            continue
        after = list(now)
        for place, node in enumerate(now):
            if node not in leaving:
                continue
            # Of a place that is not filled yet the rack does not count.
            used = {racks.get(one, "") for one in after if one not in leaving}
            free = [one for one in stay if one not in after]
            if not free:
                raise ValueError(f"{part.name} has more replicas than there are brokers")
            chosen = min(
                free,
                key=lambda one: (bool(racks) and racks[one] in used, load[one], leads[one] if place == 0 else 0, one),
            )
            after[place] = chosen
            load[chosen] += 1
            leads[chosen] += place == 0
        found.append(Step(topic=part.topic, index=part.index, before=now, after=tuple(after), size=part.size))
    return tuple(found)


def too_few(parts: Iterable[Part], brokers: Mapping[int, Broker], leaving: Collection[int]) -> str:
    """That fewer brokers would be left than a partition has replicas; empty when there are enough."""
    stay = set(takers(brokers, leaving))
    left = len(stay)
    short = [part for part in held(parts, leaving) if _misses(part.before or part.replicas, stay, leaving)]
    if not short:
        return ""
    worst = min(short, key=lambda part: (-len(part.before or part.replicas), part.topic))
    copies = len(worst.before or worst.replicas)
    topics = sorted({part.topic for part in short} - {worst.topic})
    more = f" (as {'has' if len(topics) == 1 else 'have'} {_some(topics)})" if topics else ""
    closed = sorted(one.id for one in brokers.values() if one.alive and one.cordoned and one.id not in leaving)
    alive, reopen = "alive", ""
    if closed:
        alive = "alive and not cordoned"
        reopen = f"end a cordon (`peerboot kafka drain {' '.join(map(str, closed))} --undo --yes`), "
    return (
        f"{worst.topic} has {copies} replicas of a partition{more}, and {left} other {_brokers(left)} "
        f"{'is' if left == 1 else 'are'} {alive}: {reopen}start or add brokers first, or lower its "
        "replication factor with `kafka-reassign-partitions.sh`"
    )


def lame(parts: Iterable[Part], brokers: Mapping[int, Broker], leaving: Collection[int]) -> str:
    """That another replica of one of the partitions is at a broker that is down; empty when none is.

    Kafka ends a move only when all of its replicas are in sync (PartitionReassignmentReplicas), not just the new ones.
    """
    found = [
        (part, node)
        for part in held(parts, leaving)
        for node in part.before or part.replicas
        if node not in leaving and not (node in brokers and brokers[node].alive)
    ]
    if not found:
        return ""
    names, down = [part.name for part, _ in found], sorted({node for _, node in found})
    who_is = f"broker {down[0]}" if len(down) == 1 else f"brokers {', '.join(map(str, down))}"
    return (
        f"{_some(names)} {'has' if len(names) == 1 else 'have'} a replica at {who_is} too, which "
        f"{'is' if len(down) == 1 else 'are'} down, and Kafka ends a move only when all replicas are in sync: start "
        f"{'it' if len(down) == 1 else 'them'}, or name {'it' if len(down) == 1 else 'them'} here as well"
    )


def _misses(now: Sequence[int], stay: set[int], leaving: Collection[int]) -> bool:
    """Whether there is no broker for a replica that leaves."""
    return len(stay - set(now)) < len(set(now) & set(leaving))


def stuck(parts: Iterable[Part], brokers: Mapping[int, Broker], leaving: Collection[int]) -> str:
    """Partitions that nobody could copy safely now; empty when there are none.

    One without a leader has no source. One that has too few in sync has its leader as the only good copy: a broker that
    is drained and leads it is a source as good as any, another may be lost meanwhile.
    """
    mine = held(parts, leaving)
    silent = [part for part in mine if part.leader < 0]
    if silent:
        who = sorted({node for part in silent for node in part.replicas})
        return (
            f"{_some([part.name for part in silent])} {'has' if len(silent) == 1 else 'have'} no leader, so there is "
            f"nothing to copy from: start the brokers that have it ({', '.join(map(str, who))}) first; "
            "delete a topic only where the volumes of all of them are lost"
        )
    weak = [part for part in mine if _weak(part) and not _source(part, brokers, leaving)]
    if weak:
        one = weak[0]
        return (
            f"{_some([part.name for part in weak])} {'has' if len(weak) == 1 else 'have'} fewer replicas in sync than "
            f"min.insync.replicas ({one.name}: {len(one.in_sync)} of {one.least}): bring those that lag back first"
        )
    return ""


def only_copies(parts: Iterable[Part], brokers: Mapping[int, Broker], leaving: Collection[int]) -> tuple[Part, ...]:
    """Partitions that have too few in sync, or one replica only, and whose source is a broker that is drained."""
    return tuple(
        part
        for part in held(parts, leaving)
        if (_weak(part) or len(part.replicas) == 1) and _source(part, brokers, leaving)
    )


def foreign(parts: Iterable[Part], brokers: Mapping[int, Broker], leaving: Collection[int]) -> str:
    """That somebody else's reassignment of one of the partitions is under way; empty when none is.

    One that takes a replica away from a broker that is drained is an earlier run's: where it goes to a broker that died
    since, it is replaced.
    """
    others = [
        part
        for part in held(parts, leaving)
        if part.before and set(leaving) & set(part.replicas) and not adopted(part, leaving, brokers)
    ]
    if not others:
        return ""
    return (
        f"a reassignment of {_some([part.name for part in others])} is under way that leaves replicas there: wait "
        "until `kafka-reassign-partitions.sh --list` shows none, or cancel it"
    )


def too_full(todo: Iterable[Step], brokers: Mapping[int, Broker]) -> str:
    """That a broker has less room than it would get; empty where there is room, or nothing is known."""
    gets: Counter[int] = Counter()
    for step in todo:
        for node in step.added:
            gets[node] += max(step.size, 0)
    for node, size in sorted(gets.items()):
        free = brokers[node].free
        if 0 <= free < size:
            return (
                f"broker {node} would get {amount(size)} and has {amount(free)} free: enlarge its volume, or shorten "
                "the topics' retention"
            )
    return ""


def batches(todo: Sequence[Step], most: int) -> tuple[tuple[Step, ...], ...]:
    """In order, at most so many partitions in each."""
    return tuple(tuple(todo[start : start + most]) for start in range(0, len(todo), most))


def amount(size: int) -> str:
    """Bytes for a person: ``1.4 GB``."""
    number, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{size} B" if unit == "B" else f"{number:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """``1 replica``, ``2 replicas``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def who(node: int, name: str) -> str:
    """``broker 3 (kafka-3)``, or ``broker 3`` where nothing more is known."""
    return f"broker {node} ({name})" if name and name != str(node) else f"broker {node}"


def _weak(part: Part) -> bool:
    return len(part.in_sync) < min(part.least, len(part.before or part.replicas))


def _source(part: Part, brokers: Mapping[int, Broker], leaving: Collection[int]) -> bool:
    """Whether a broker that is drained leads the partition, and lives."""
    return part.leader in leaving and part.leader in brokers and brokers[part.leader].alive


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _brokers(number: int) -> str:
    return "broker" if number == 1 else "brokers"
