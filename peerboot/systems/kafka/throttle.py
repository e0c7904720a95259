"""Limits on replication while brokers are drained: which settings, and those that an earlier run left (KIP-73).

A rate at a broker limits only the replicas that the lists of their topics name. A drain with a limit begins only where
nobody else has one, so it sets and deletes both; to take single entries out of a list leaves an empty one (measured).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from peerboot.errors import SettingsError
from peerboot.model import Value
from peerboot.outside.kafka.values import BROKER, DELETE, SET, TOPIC, ConfigChange
from peerboot.systems.kafka.drain import Step, amount

LEADER_RATE, FOLLOWER_RATE = "leader.replication.throttled.rate", "follower.replication.throttled.rate"
LEADER_LIST, FOLLOWER_LIST = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"
RATES, LISTS = (LEADER_RATE, FOLLOWER_RATE), (LEADER_LIST, FOLLOWER_LIST)
CORDON = "cordoned.log.dirs"
"""Log directories that get no new replicas (KIP-1066)."""
DIRS = ("log.dirs", "log.dir")
"""Where a broker's directories are told; the second counts where the first is not set."""
CORDON_LEVEL = 30
"""``metadata.version`` from which on brokers tell that they are cordoned: 4.3-IV0."""
RATE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(k|[KMG]i|M|G)B(?:/s)?")
SCALE = {"k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class Throttles(Value, frozen=True, kw_only=True):
    """What is throttled now."""

    rates: Mapping[int, tuple[str, ...]] = {}
    """Which of ``RATES`` a broker has of its own."""
    lists: Mapping[str, Mapping[str, str]] = {}
    """By topic, the values of ``LISTS``."""

    @property
    def standing(self) -> str:
        """A topic whose list is ``*``: a limit that somebody means to stay, which a drain never sets; empty: none."""
        return next((topic for topic, lists in self.lists.items() if "*" in lists.values()), "")

    def leftovers(self) -> tuple[ConfigChange, ...]:
        """What ends them, where no reassignment is under way; nothing where one is meant to stay."""
        if self.standing:
            return ()
        rates = [_change(BROKER, str(node), key, DELETE) for node, keys in self.rates.items() for key in keys]
        return (*rates, *(_change(TOPIC, topic, key, DELETE) for topic, keys in self.lists.items() for key in keys))


def rate_of(text: str) -> int:
    """Bytes in a second from ``50MB/s``; raises ``SettingsError``."""
    match = RATE.fullmatch(text.replace(" ", ""))
    rate = int(float(match[1]) * SCALE[match[2]]) if match else 0
    if rate < 1000:
        raise SettingsError(f"--throttle {text!r} is no rate: write one such as 50MB/s (kB, MB, GB, KiB, MiB, GiB)")
    return rate


def limit(nodes: Iterable[int], rate: int) -> tuple[ConfigChange, ...]:
    """The rate at each of these brokers, as leader and as follower."""
    return tuple(_change(BROKER, str(node), key, SET, str(rate)) for node in sorted(nodes) for key in RATES)


def unlimit(nodes: Iterable[int]) -> tuple[ConfigChange, ...]:
    """No rate at these brokers."""
    return tuple(_change(BROKER, str(node), key, DELETE) for node in sorted(nodes) for key in RATES)


def listed(batch: Sequence[Step], *, add: bool) -> tuple[ConfigChange, ...]:
    """The lists of a batch's topics, or their end: who has a replica now sends, who gets one fetches.

    The others that follow are not in the list of fetchers: a broker that is in sync stays so.
    """
    found = []
    for topic in dict.fromkeys(step.topic for step in batch):
        mine = [step for step in batch if step.topic == topic]
        sends = ",".join(f"{step.index}:{node}" for step in mine for node in step.before)
        gets = ",".join(f"{step.index}:{node}" for step in mine for node in step.added)
        for key, entries in ((LEADER_LIST, sends), (FOLLOWER_LIST, gets)):
            found.append(_change(TOPIC, topic, key, SET if add else DELETE, entries if add else None))
    return tuple(found)


def cordon(node: int) -> ConfigChange:
    """No directory of that broker gets new replicas."""
    return _change(BROKER, str(node), CORDON, SET, "*")


def uncordon(node: int) -> ConfigChange:
    """They do again."""
    return _change(BROKER, str(node), CORDON, DELETE)


def cordoned(settings: Mapping[str, str]) -> bool:
    """Whether a broker with these settings has no directory left that gets new replicas."""
    closed = _names(settings.get(CORDON, ""))
    dirs = next((_names(settings[key]) for key in DIRS if settings.get(key)), set())
    return "*" in closed or bool(dirs and dirs <= closed)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def shown(rate: int) -> str:
    """``50.0 MB/s``."""
    return f"{amount(rate)}/s"


def _change(kind: int, name: str, key: str, operation: int, value: str | None = None) -> ConfigChange:
    return ConfigChange(kind=kind, name=name, key=key, operation=operation, value=value)
