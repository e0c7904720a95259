"""The ordered table of rules: the first that matches decides. Pure.

``decide(facts)`` is the only place where verdicts are made. Read the table from top to bottom: first what
keeps a volume from being trusted, then disks with data (they just start), then blank disks (they join what
lives, or all form together, or wait). Every rule's docstring says when it applies and what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peerboot.model import Decision, Facts
from peerboot.rules import (
    asking,
    begun,
    blank,
    born,
    copies,
    corrupt,
    data,
    disaster,
    fixed,
    following,
    handing,
    joining,
    leaving,
    promoting,
    registered,
    serving,
    stopping,
    volume,
)
from peerboot.rules.words import say

Rule = Callable[[Facts], Decision | None]

TABLE: tuple[Rule, ...] = (
    # A volume that cannot be trusted.
    volume.disk_unknown,
    volume.foreign_volume,
    volume.torn_state,
    volume.second_holder,
    volume.volume_in_use,
    # Data: provably foreign or removed, or else it just starts.
    data.looking,
    data.foreign_data,
    data.cloned_data,
    data.unmanaged_cluster,
    fixed.not_a_voter,
    fixed.lists_differ,
    data.log_lost,
    copies.last_copy,
    begun.renew,
    leaving.leave_waits,
    leaving.hand_over,
    leaving.leave,
    stopping.stop_waits,
    begun.stuck_bootstrap,
    data.stale_birth,
    data.foreign_cluster,
    following.two_primaries,
    following.newer_timeline,
    following.same_timeline,
    following.diverged,
    asking.give_way,
    handing.hand_over_writes,
    handing.leave_writes,
    data.scaled_down,
    data.taken_over,
    data.removed_member,
    serving.remove_by_word,
    leaving.clean_up,
    registered.unregister,
    serving.peer_url_differs,
    serving.former_self,
    serving.reap_learner,
    serving.promote_learner,
    serving.serving,
    data.peers_disagree,
    following.cannot_follow,
    asking.promote,
    asking.ask_to_promote,
    asking.promote_waits,
    asking.no_primary,
    fixed.formatted_by_hand,
    fixed.list_unknown,
    disaster.forced,
    disaster.quorum_lost,
    data.own_data,
    corrupt.corrupt_replaced,
    corrupt.corrupt_kept,
    # Blank: on its first start, born, claimed.
    born.first_start,
    born.first_permit,
    begun.interrupted_listed,
    blank.out_of_range,
    blank.quorum_elsewhere,
    begun.interrupted_aside,
    born.birth_lost,
    blank.anchor_forbids,
    blank.anchor_unknown,
    following.seed_first,
    born.born,
    born.born_waits,
    born.claimed,
    # Blank: all say so, or were born into what this disk belongs to.
    volume.data_elsewhere,
    blank.form,
    # Blank: a cluster lives.
    fixed.refill_waits,
    fixed.refill,
    joining.join_waits,
    joining.join,
    joining.replace_unstarted,
    joining.replace_lost,
    # Blank: none that has quorum.
    joining.unstarted_pair,
    born.lost_waits,
    blank.cluster_exists,
    blank.replicas_unknown,
    blank.wait_for_all,
)

HELD_KINDS = ("form", "join", "replace", "renew", "leave")
"""What a hold pauses. Starting with one's own data is never paused."""

HELD_WAITS = ("anchor-forbids",)
"""Waits that act before they wait: they set aside what a person allowed to be set aside."""

HELD_RULES = (
    "remove_by_word",
    "clean_up",
    "unregister",
    "peer_url_differs",
    "former_self",
    "reap_learner",
    "promote_learner",
    "hand_over_writes",
    "promote",
    "ask_to_promote",
    "forced",
)


@dataclass(frozen=True)
class Described:
    """One row of the table as the documentation shows it."""

    name: str
    when: str
    then: str


def decide(facts: Facts) -> Decision:
    """The verdict of the first rule that matches.

    Raises ``AssertionError`` when none does, which a property test shows cannot happen.
    """
    for rule in TABLE:
        if facts.holds and rule.__name__ in HELD_RULES and not _restores(facts, rule):
            continue
        decision = rule(facts)
        if decision is not None:
            return _held(facts, decision)
    raise AssertionError(f"no rule matches: {facts}")


def _restores(facts: Facts, rule: Rule) -> bool:
    """The last server that took the writes takes them again: as starting with one's own data, that is no change."""
    return rule in (asking.promote, asking.ask_to_promote) and promoting.was_last(facts)


def _held(facts: Facts, decision: Decision) -> Decision:
    acts = decision.kind in HELD_KINDS or (decision.kind == "wait" and decision.rule in HELD_WAITS)
    if not facts.holds or not acts or decision.rule == "first-permit":
        # What is permitted already is no new change: to take it back would throw a birth away.
        return decision
    hold = facts.holds[0]
    return say(
        facts,
        "wait",
        "held",
        f"{hold.who} holds automatic changes ({hold.why or 'no reason given'}). Without it: {decision.reason}",
        waits_for=("`peerboot resume`" + (" --all" if hold.scope == "set" else ""),),
    )


def describe() -> tuple[Described, ...]:
    """The table in order, from the rules' own docstrings."""
    rows = []
    for rule in TABLE:
        text = " ".join((rule.__doc__ or "").split())
        when, _, then = text.partition(" Then: ")
        rows.append(Described(rule.__name__.replace("_", "-"), when.removeprefix("When: "), then))
    return tuple(rows)
