"""How those say it that wait for a server to take the writes: who may, and what is in the way. Pure."""

from __future__ import annotations

from peerboot.model import Facts, Intent
from peerboot.rules import candidates, promoting
from peerboot.rules.parts import all_of, hold_of, place
from peerboot.rules.words import DATA_KINDS, is_wanted, statement_of, why_unheard


def nobody(facts: Facts) -> str:
    """What is known of the servers: one of a pod that is silent may take writes still."""
    all_heard = all(promoting.is_heard(facts, pod) for pod in facts.identity.others)
    return "No server takes writes" if all_heard else "No server that is heard takes writes"


def without(facts: Facts, intent: Intent | None) -> str:
    """Past whom a consent goes, who is not passed yet."""
    names = tuple(pod for pod in candidates.unyielding(facts) if intent is None or pod not in intent.past)
    more = "what only it has" if len(names) == 1 else "what only they have"
    comma = "" if intent is not None else ", and"
    silent = tuple(pod for pod in names if not promoting.is_heard(facts, pod))
    stopped = f"; make sure first that no server of {all_of(silent)} runs" if silent else ""
    return f"{comma} without the word of {all_of(names)}: {more} is lost{stopped}" if names else ""


def whom(facts: Facts) -> tuple[str, ...]:
    """Who has to be there, or to speak, for a server to take writes."""
    asking = promoting.foremost(facts)
    if asking is not None:
        return (f"{asking[0]} to take the writes",)
    if facts.holds and candidates.chosen(facts)[0] and not promoting.was_last(facts):
        return ("`peerboot resume`",)
    if heir := candidates.wanted_elsewhere(facts):
        return (f"{heir} to take the writes",)
    if candidates.unexpected(facts):
        return ("PEERBOOT_REPLICAS",) if facts.identity.replicas is None else ("a server that takes writes",)
    silent = tuple(pod for pod in promoting.voices(facts) if candidates.standing_of(facts, pod) is None)
    own = promoting.own_standing(facts)
    best = candidates.best(facts, own) if own is not None and facts.traits.promotes == "best-when-full" else ""
    return silent or ((f"{best} to ask",) if best else ("a person's word",))


def who_may(facts: Facts) -> str:
    """Who is waited for, in sentences."""
    if asking := promoting.foremost(facts):
        return f"{asking[0]} asks to take them, {_what_of(facts, *asking)}."
    if unexpected := candidates.unexpected(facts):
        return unexpected
    unclear = tuple(pod for pod in promoting.voices(facts) if candidates.standing_of(facts, pod) is None)
    more = tuple(pod for pod in candidates.unyielding(facts) if pod not in unclear)
    parts = [_by_policy(facts, unclear)]
    if unclear:
        parts.append(f"Not known of: {why_not(facts, unclear)}.")
    elif not more:
        parts.append("All Pods are heard, and none has more than this one.")
    if more:
        parts.append(f"{all_of(more)} {'has' if len(more) == 1 else 'have'} more than this one.")
    return " ".join(filter(None, parts))


def _what_of(facts: Facts, pod: str, intent: Intent) -> str:
    """What this Pod has to say to the one that asks."""
    mine, word = promoting.own_standing(facts), statement_of(facts, pod)
    if word is not None and word.cluster != facts.disk.cluster:
        return f"but it is of another cluster, {word.cluster}, than this Pod's data"
    if mine is not None and (mine.term, mine.position) > (intent.standing.term, intent.standing.position):
        return f"but it has less, {place(intent.standing)}, so this Pod does not let it"
    if word is not None and promoting.same_crown(facts, word):
        return (
            f"but both took writes on timeline {word.crown}, as copies of one volume do: move the wrong one's data away"
        )
    return "and this Pod has nothing against it"


def _by_policy(facts: Facts, unclear: tuple[str, ...]) -> str:
    """Whose turn it is by PEERBOOT_POSTGRES_PROMOTE; empty where what follows says it."""
    own, who = promoting.own_standing(facts), facts.identity
    if facts.holds and candidates.chosen(facts)[0] and not promoting.was_last(facts):
        return f"It would ask to take them, but {hold_of(facts)} (`peerboot resume`)."
    if heir := candidates.wanted_elsewhere(facts):
        return f"The server of {heir} is to take them over from this Pod's: it is waited for."
    match facts.traits.promotes:
        case "manual":
            return "PEERBOOT_POSTGRES_PROMOTE=manual leaves it to a person to say which one does."
        case "best-when-full" if unclear or own is None:
            return "PEERBOOT_POSTGRES_PROMOTE=best-when-full needs all Pods to be heard."
        case "best-when-full":
            return f"{candidates.best(facts, own)} has most, or as much and the lower ordinal: it is waited for."
    words = {pod: word for pod in promoting.voices(facts) if (word := statement_of(facts, pod)) is not None}
    latest = max(own.term if own is not None else 0, 1)
    crowned = {pod: word.crown for pod, word in words.items() if word.crown >= latest and word.disk != "blank"}
    last = max(crowned, key=lambda pod: crowned[pod], default="")
    if last and last not in who.expected:
        return (
            f"{last} was the last that did, and is none of the {who.replicas} expected Pods: raise PEERBOOT_REPLICAS."
        )
    if last:
        return f"{last} was the last that did, and is waited for."
    lost = (
        "None of them was the last that did: its disk was lost, with what it had sent to no other one yet, so a person "
        "has to say which one does."
    )
    return "" if unclear else lost


def why_not(facts: Facts, pods: tuple[str, ...]) -> str:
    """Of each pod why it does not yield, or why it is not known how far it is."""
    away = tuple(pod for pod in pods if _is_scaled_away(facts, pod))
    silent = tuple(pod for pod in pods if statement_of(facts, pod) is None and pod not in away)
    parts = [why_unheard(facts, silent)] if silent else []
    if away:
        parts.append(f"{all_of(away)} (scaled away, and expected until PEERBOOT_REPLICAS is {facts.live.replicas} too)")
    for pod in pods:
        word = statement_of(facts, pod)
        if word is None or pod in away:
            continue
        if not promoting.is_heard(facts, pod):
            why = facts.evidence[pod].reason or "not heard lately"
        elif word.disk in DATA_KINDS and not word.running:
            why = "its server is not up"
        elif word.disk in DATA_KINDS and word.standing is None:
            why = "its server has not taken in its log yet"
            view = facts.cluster.view_of(pod)
            if view is not None and view.part is not None and view.part.paused:
                why = "its replay is paused: `SELECT pg_wal_replay_resume()` there"
        elif word.disk not in (*DATA_KINDS, "blank"):
            why = f"its disk is {word.disk}"
        elif word.cluster and word.disk != "blank" and word.cluster != facts.disk.cluster:
            why = f"it is of another cluster, {word.cluster}"
        elif word.standing is not None and candidates.beyond(facts, word.standing):
            why = f"it has more: {place(word.standing)}"
        elif promoting.same_crown(facts, word):
            why = (
                f"its server took writes on timeline {word.crown} too: a copied volume; move the wrong one's data away"
            )
        elif word.intent is not None:
            why = "it asks too"
        else:
            why = "it has yet to answer"
        parts.append(f"{pod} ({why})")
    return ", ".join(parts) or "nobody"


def _is_scaled_away(facts: Facts, pod: str) -> bool:
    """Whether an expected pod is silent because the StatefulSet does not want it any more. Its volume may have what no
    other has: it took the writes, or it did not, and nobody is left to say it.
    """
    return pod in facts.identity.expected and not is_wanted(facts, pod) and not promoting.is_heard(facts, pod)
