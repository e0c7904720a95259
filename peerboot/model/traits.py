"""What differs by system in the rules."""

from __future__ import annotations

from typing import Literal

from peerboot.model.base import Value


class Traits(Value, frozen=True, kw_only=True):
    """How a system's clusters take members. The defaults are etcd's."""

    admits: Literal["listed-first", "started-first"] = "listed-first"
    """``listed-first``: a member is added to the list, and only then its server starts (etcd). ``started-first``: a
    server starts on its own as an observer, which has no vote, and is added once it has caught up (Kafka's KIP-853).
    There a server that was removed is an observer again, with nothing to be put aside."""
    hands_over: bool = True
    """Leadership can be moved to a member by a call, before the leader leaves."""
    fixed: bool = False
    """A cluster forms with a list of voters in every server's file (Kafka's static quorum). A blank server is a voter
    at once, so only peerboot stands between it and an election. Once its servers say that the list is in their log,
    that is what counts."""
    cluster_of_one: bool = True
    """A person can make one surviving member a cluster of its own, as docs/recovery.md tells."""
    forces: bool = False
    """peerboot itself can do that, on a person's word: the system copies its data (``ForcesOne``), and its plan writes
    the file with which the server drops all other members."""
    quorum_of: str = ""
    """Not empty: these servers have no vote, as Kafka's brokers that are a set of their own. The quorum is that of the
    servers behind the headless Service of this name; this set forms nothing, joins it, and its members are those of it
    that are there now."""
    writes: Literal["quorum", "primary"] = "quorum"
    """``primary``: nobody votes. One server takes the writes, the others copy it, and only what the pods agree on makes
    another one take them (ADR 15). The quorum of a ``ClusterView`` is then that exactly one server says so."""
    promotes: Literal["last-primary", "best-when-full", "manual"] = "last-primary"
    """Of those: whose server may come to take writes without a person's word, once all have agreed: the last one that
    did, the one that has most, or nobody's."""
    by_seed: bool = False
    """A cluster is made by the lowest expected ordinal alone, and copied by the others, which are born all the same."""
    watch: float = 10.0
    """Seconds between looks at the servers and rounds of the census at rest. Where the servers elect nobody it takes a
    look to notice that one is gone."""
    in_turn: bool = False
    """Servers stop one after the other: ``/prestop`` waits, within its time, while the stop would leave no majority of
    the voters in sync, or some data with fewer copies than it needs (ADR 12)."""

    @property
    def has_primary(self) -> bool:
        """Whether one server takes the writes and the others copy it, so that nobody votes."""
        return self.writes == "primary"
