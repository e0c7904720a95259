"""Pods of this set beyond the expected ones: whether there may be some that hold data. Pure."""

from __future__ import annotations

from peerboot.model import Facts
from peerboot.rules.words import statement_of


def more_pods(facts: Facts) -> str:
    """Why there may be pods of this set beyond the expected ones that hold data; empty when there are none."""
    if unclear := unclear_pods(facts):
        return unclear
    silent = silent_pods(facts, () if first_day(facts) else wanted_pods(facts))
    unlooked = facts.anchor.state == "empty" and facts.anchor.older is None
    if silent and unlooked and facts.live.ordered and facts.live.claims:
        return "it was not looked for yet whether Pods beyond the expected have been here before"
    return say_silent(facts, silent) if silent else ""


def first_day(facts: Facts) -> bool:
    """Whether an anchor stands for the words of Pods: where they are made one after the other, those above this one do
    not exist before it is ready. It has seen no birth at all, and no claim of a later Pod shows that it was made anew.
    """
    live, anchor = facts.live, facts.anchor
    return live.ordered and anchor.state == "empty" and (not live.claims or anchor.older == "")


def unclear_pods(facts: Facts) -> str:
    """Why it is not known which pods there are. Where others are expected, their words are heard through DNS; one that
    is alone has to hear of DNS itself.
    """
    answer, who, live = facts.peers.answer, facts.identity, facts.live
    if not who.others and (answer is None or answer.outcome != "found" or who.pod not in facts.peers.sightings):
        return "DNS does not show this Pod yet, so it may not show others either"
    if live.state == "unknown":
        return f"the Kubernetes API has not said how many pods the StatefulSet has ({live.reason})"
    return ""


def wanted_pods(facts: Facts) -> tuple[str, ...]:
    """The pods that the live number of replicas wants."""
    live = facts.live
    return tuple(f"{facts.identity.statefulset}-{i}" for i in range(live.start, live.start + live.replicas))


def silent_pods(facts: Facts, wanted: tuple[str, ...]) -> list[str]:
    """Those of these and of DNS's pods that are beyond the expected and have not been heard, by ordinal."""
    who = facts.identity
    seen = {*wanted, *(pod for pod in facts.peers.sightings if who.ordinal_of(pod) is not None)}
    silent = [pod for pod in seen - set(who.expected) if statement_of(facts, pod) is None]
    return sorted(silent, key=lambda pod: (who.ordinal_of(pod) or 0, pod))


def say_silent(facts: Facts, silent: list[str]) -> str:
    """Their names, what is known of them, and what to do where they are not made before this Pod is ready."""
    who = facts.identity
    more = f" and {len(silent) - 5} more" if len(silent) > 5 else ""
    what = "has not said what it holds" if len(silent) == 1 else "have not said what they hold"
    text = f"{', '.join(silent[:5])}{more} of this set {what}"
    if facts.anchor.state == "empty" and facts.anchor.older:
        text += f", and {facts.anchor.older}, so the empty anchor may have been made anew"
    if not facts.live.ordered:
        return text
    return (
        f"{text} (the StatefulSet is OrderedReady and may not make them before this Pod is ready: `kubectl --namespace "
        f"{who.namespace} delete statefulset {who.statefulset} --cascade=orphan`, then apply it with "
        "podManagementPolicy: Parallel; the volumes stay)"
    )
