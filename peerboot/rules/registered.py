"""Servers that are gone with their pods and are registered still, where a system keeps more than a member. Pure.

To forget one that holds something would leave that without a copy, and only a person can say where it is to go.
"""

from __future__ import annotations

from collections.abc import Iterable

from peerboot.model import Decision, Facts, Registration
from peerboot.rules.serving import is_first, own_member
from peerboot.rules.unwanted import shrinks, uncounted
from peerboot.rules.words import replicas, say


def unregister(facts: Facts) -> Decision | None:
    """When: a server is registered that does not run and holds nothing, its pod is not wanted by the live number of
    replicas, is no member and is gone by the API, DNS and its own silence, and this Pod's is the first healthy voter.
    Then: the cluster forgets it, the highest ordinal first.
    """
    if not shrinks(facts) or not facts.live.settled or own_member(facts) is None:
        return None
    able = [one for one in _gone(facts) if not one.holds]
    if not able or uncounted(facts) or not is_first(facts):
        return None
    one = max(able, key=lambda one: facts.identity.ordinal_of(one.pod) or 0)
    what = f"its server {one.id} is registered still and holds nothing: the cluster forgets it"
    if facts.traits.has_primary:
        what = f"its slot {one.id} still keeps log for it: the slot is dropped"
    return say(
        facts,
        "idle",
        "unregister",
        f"The StatefulSet has {replicas(facts)} now and the Pod {one.pod} is gone, but {what}.",
        may_run=True,
        target=one.id,
    )


def _gone(facts: Facts) -> Iterable[Registration]:
    """Those of pods that are not wanted, of which nothing is seen and which have left."""
    for one in facts.cluster.registrations:
        ordinal = facts.identity.ordinal_of(one.pod)
        seen = one.pod in facts.peers.sightings or facts.cluster.view_of(one.pod) is not None
        wanted = ordinal is None or facts.live.wants(ordinal)
        if not wanted and not seen and facts.cluster.entry_of(one.pod) is None:
            yield one
