"""Rules for a disk without data: it is born with all others, or waits. Pure."""

from __future__ import annotations

from peerboot import birth
from peerboot.model import Decision, Facts
from peerboot.rules.beyond import more_pods, say_silent, silent_pods, unclear_pods, wanted_pods
from peerboot.rules.parts import all_of, writers
from peerboot.rules.words import (
    allowed,
    clusters_seen,
    empty,
    formed_without,
    in_range,
    listed_without_quorum,
    lost_to_another,
    quorum_of,
    refuse,
    replicas,
    say,
    statement_of,
    unheard,
    why_unheard,
)


def out_of_range(facts: Facts) -> Decision | None:
    """When: the disk is blank and this Pod is not one of the expected.
    Then: refuse: it is being scaled down, or PEERBOOT_REPLICAS is too small.
    """
    if not empty(facts) or in_range(facts):
        return None
    who, live = facts.identity, facts.live
    if live.state == "unknown":
        return say(
            facts,
            "wait",
            "out-of-range",
            f"{who.pod} is not one of the {who.replicas} pods of PEERBOOT_REPLICAS, and the Kubernetes API has not "
            f"said how many the StatefulSet has now: {live.reason}.",
            waits_for=("the live number of replicas",),
        )
    if live.state == "known":
        return refuse(
            facts,
            "out-of-range",
            f"The StatefulSet has {replicas(facts)} now (ordinals from {live.start}), and {who.pod} is not one "
            "of them: it does not join. Scale it up to have it join.",
        )
    return refuse(
        facts,
        "out-of-range",
        f"{who.pod} is not one of the {who.replicas} expected pods (ordinals from {who.start}): it does not join. "
        "Raise PEERBOOT_REPLICAS, set PEERBOOT_REPLICAS_FROM=statefulset, or scale the set down.",
    )


def quorum_elsewhere(facts: Facts) -> Decision | None:
    """When: the disk holds nothing, the quorum of its cluster is another set's, and none is seen.
    Then: wait for it: this set never forms one.
    """
    theirs = facts.traits.quorum_of
    if not empty(facts) or not theirs or facts.cluster.quorum or facts.disk.running:
        return None
    formed = f"This disk is {facts.disk.kind}, and its cluster is formed by the servers of {theirs}"
    if facts.looked and facts.cluster.elsewhere:
        formed += f", none of which has shown a quorum yet ({facts.cluster.elsewhere})"
        waits_for = f"the quorum of {theirs}"
    else:
        # What was not asked has not been answered. Once somebody was, the log tells what came of it.
        formed += ", which are being asked: nothing was heard of them yet"
        waits_for = "the first look at them"
    return say(
        facts,
        "wait",
        "quorum-elsewhere",
        f"{formed}. This Pod forms nothing and joins them when they have a quorum.",
        waits_for=(waits_for,),
    )


def anchor_forbids(facts: Facts) -> Decision | None:
    """When: this disk is blank, no cluster serves, and the anchor holds another birth than this disk's. One that is
    not born yet hears all the others first, those that the set has beyond the expected too.
    Then: refuse: all disks were lost, or the anchor is another set's. A consent forms anew; a ConfigMap, which is
    sealed, has to be deleted by a person.
    """
    if facts.disk.kind != "blank" or facts.cluster.quorum or not _remembers_another(facts):
        return None
    # A birth that came to nothing, as every pod said itself, is no cluster.
    nothing = facts.anchor.token in facts.record.former
    if nothing and not facts.anchor.undo:
        return None
    born = facts.record.birth if facts.record.permitted_wall is None else None
    silent = [] if born else silent_pods(facts, wanted_pods(facts))
    if born is None and (not facts.looked or clusters_seen(facts) or unheard(facts) or unclear_pods(facts)):
        return None
    if silent and not facts.live.ordered:
        # They exist and may hold the data: that is waited for below.
        return None
    undo = facts.anchor.undo
    if nothing:
        return refuse(
            facts,
            "anchor-forbids",
            f"The anchor {facts.anchor.where} is sealed with an earlier birth of this very disk, which came to "
            f"nothing: nothing is lost. `{undo}`",
        )
    if not undo and allowed(facts, "anchor-forbids"):
        return say(
            facts,
            "wait",
            "anchor-forbids",
            "A person allowed it: the anchor is set aside, then all form anew.",
            waits_for=("the anchor to be set aside",),
        )
    who = f"This disk is born into {born.token}" if born else "Every disk is blank"
    if silent:
        who = f"This disk is blank, {say_silent(facts, silent)}"
    where, since = facts.anchor.where, f"at {facts.anchor.at} " if facts.anchor.at else ""
    its_data = "its data is missing" + (" or on the volumes of the others" if silent else "")
    return refuse(
        facts,
        "anchor-forbids",
        f"{who}, but the anchor {where} remembers a cluster born {since}as {facts.anchor.token}. If you did not delete "
        f"that one yourself, {its_data}: look for its volumes (`kubectl get pv`), or restore a backup. Only if nothing "
        "of it is wanted any more, let this set form empty" + (f": `{undo}`" if undo else "."),
        would="" if undo else "set the anchor aside, so that a new, empty cluster forms",
    )


def _remembers_another(facts: Facts) -> bool:
    """Whether the anchor holds a token that is not that of this disk's birth, or of the one that it could be born into,
    which an earlier one of those that are being born may have written.
    """
    own = facts.record.birth or birth.may_be_born(facts).birth
    return facts.anchor.state == "holds" and (own is None or own.token != facts.anchor.token)


def anchor_unknown(facts: Facts) -> Decision | None:
    """When: a cluster is about to form and the anchor cannot be read, or it remembers a cluster and the servers were
    not asked yet.
    Then: wait for it, or for the first look at the servers.
    """
    if facts.disk.kind != "blank" or facts.cluster.quorum:
        return None
    if not facts.looked and facts.record.birth is None and _remembers_another(facts):
        return say(
            facts,
            "wait",
            "anchor-unknown",
            f"The anchor {facts.anchor.where} remembers a cluster: its servers are looked for before anything is said.",
            waits_for=("the first look at DNS and the servers",),
        )
    if facts.anchor.state != "unknown":
        return None
    return say(
        facts,
        "wait",
        "anchor-unknown",
        f"The anchor cannot be read ({facts.anchor.reason}), so it is not known whether a cluster was here before.",
        waits_for=("the anchor",),
    )


def form(facts: Facts) -> Decision | None:
    """When: the disk is blank and every expected pod said itself that it is blank, or born into the same birth, and
    no other cluster is seen than the one that this birth leads to, which lists this Pod as never started.
    Then: this disk is born, late if need be.
    """
    if facts.disk.kind != "blank" or facts.record.birth is not None or facts.traits.quorum_of:
        return None
    verdict = birth.may_be_born(facts)
    if verdict.kind != "born-now" or verdict.birth is None:
        return None
    if lost_to_another(facts) or formed_without(facts) or _other_clusters(facts, verdict.birth.token):
        return None
    alone = not facts.identity.others
    who = "This is the only expected pod and its disk is" if alone else "All expected pods say that their disks are"
    if (unclear := more_pods(facts)) and not allowed(facts, "form"):
        refused = refuse(
            facts,
            "form",
            f"{who} blank, but {unclear}: nothing forms until it is known that no pod beyond the expected holds data.",
            would=f"form with {', '.join(facts.identity.expected)} alone",
        )
        return say(
            facts,
            "wait",
            "form",
            refused.reason,
            # A claim that was found meanwhile is another thing to know, so the log tells it too.
            waits_for=("DNS, and the word of every pod that this set has", *filter(None, (facts.anchor.older,))),
        )
    why = "This is the only expected pod and its disk is blank: it"
    if facts.identity.others:
        count = len(verdict.birth.members)
        why = f"All {count} expected pods said themselves that their disks are blank: this one"
    return say(facts, "form", "form", f"{why} is born into {verdict.birth.token}.")


def _other_clusters(facts: Facts, token: str) -> bool:
    """Whether a cluster is seen that this birth does not lead to. Those that were born a moment earlier are in its."""
    if facts.predicted_cluster:
        return bool(set(clusters_seen(facts)) - {facts.predicted_cluster})
    words = (statement_of(facts, pod) for pods in clusters_seen(facts).values() for pod in pods)
    return any(word is None or word.token != token for word in words)


def cluster_exists(facts: Facts) -> Decision | None:
    """When: the disk is blank, no quorum has been seen, but a server answers or a peer's disk has or had a cluster.
    Then: wait for its quorum; form nothing.
    """
    if not empty(facts) or facts.cluster.quorum:
        return None
    seen = clusters_seen(facts)
    verdict = birth.may_be_born(facts)
    blocked = verdict.blockers if facts.disk.kind == "blank" and facts.record.birth is None else ()
    if not seen and not blocked:
        return None
    parts = [f"{', '.join(pods)} of cluster {cluster}" for cluster, pods in seen.items()]
    named = {pod for pods in seen.values() for pod in pods}
    parts += [f"{pod}: {verdict.why[pod]}" for pod in blocked if pod not in named]
    beyond = [] if facts.live.state == "known" else [pod for pod in blocked if pod not in facts.identity.expected]
    silent = unheard(facts)
    primary = facts.traits.has_primary
    lacks = "none of its servers takes writes" if primary else "none of its servers has shown a quorum yet"
    if primary and (taking := writers(facts)):
        # Not a server that could be copied: it does not answer, or there are two.
        lacks = f"{all_of(taking)} takes the writes by its peerboot's word, and its server does not answer here"
        lacks = "more than one of its servers takes writes" if len(taking) > 1 else lacks
    reason = (
        f"A cluster exists or was begun ({'; '.join(parts)}), and {lacks}: this Pod, whose disk is {facts.disk.kind}, "
        "neither forms nor joins."
    )
    waits_for = ("a server that takes writes",) if primary else ("the cluster's quorum",)
    if silent:
        reason += f" Not heard: {why_unheard(facts, silent)}."
    elif primary and not writers(facts):
        reason += " A Pod with data says, in its own words, which server may take the writes."
    elif hopeless := _too_few_have_data(facts):
        # What it waits for is another thing now, so the log tells it too.
        reason, waits_for = f"{reason} {hopeless}", ("a lost volume, a backup, or a person",)
    if beyond:
        reason += (
            f" {', '.join(beyond)} is beyond the {facts.identity.replicas} pods of PEERBOOT_REPLICAS: raise it, or "
            "scale the set down and put that volume away."
        )
    return say(facts, "wait", "cluster-exists", reason, waits_for=waits_for)


def _too_few_have_data(facts: Facts) -> str:
    """What a person has to do once all pods have said that too few of their disks have data for a quorum."""
    words = {pod: statement_of(facts, pod) for pod in facts.identity.others}
    # One that has only its bootstrap can vote as well.
    holders = sorted(
        pod
        for pod, word in words.items()
        if word is None or birth.holds_something(word) or (word.disk == "bootstrap" and word.cluster)
    )
    voters = [member for member in listed_without_quorum(facts) if not member.learner]
    needed = quorum_of(len(voters) or len(facts.identity.expected))
    if not holders or len(holders) >= needed:
        return ""
    lacking, alone = needed - len(holders), len(holders) == 1
    have = f"only {', '.join(holders)} {'has' if alone else 'have'} any"
    leave = f"Leave {'it and its volume as they are' if alone else 'them as they are'}"
    lost = "1 lost volume" if lacking == 1 else f"{lacking} lost volumes"
    back = (
        f"A quorum needs {needed} disks with its data, and all pods have said that {have}: no more come by themselves. "
        f"{leave}. Put {lost} back (`kubectl get pv`), or restore a backup"
    )
    if not facts.traits.cluster_of_one:
        return f"{back}. peerboot's docs/recovery.md shows with etcd how a volume is put back."
    who = f"{holders[0]} a cluster of one" if alone else "the one that has most a cluster of one, which it says itself"
    return (
        f"{back}; where neither can be had, a person makes {who}, which the others join: `peerboot status` there says "
        "how. For each of the three peerboot's docs/recovery.md has the commands."
    )


def replicas_unknown(facts: Facts) -> Decision | None:
    """When: the disk is blank, nobody has a cluster, and the number of pods is not told.
    Then: refuse: how many are there now is not how many there ought to be.
    """
    if not empty(facts) or facts.identity.replicas is not None:
        return None
    return refuse(
        facts,
        "replicas-unknown",
        "This disk is blank and PEERBOOT_REPLICAS is not set, so it is not known who must agree to form. Set it to the "
        "StatefulSet's .spec.replicas.",
    )


def wait_for_all(facts: Facts) -> Decision | None:
    """When: the disk is blank, and not every expected pod has been heard.
    Then: wait for them, for ever if need be: the silent one may hold the data.
    """
    if not empty(facts):
        return None
    verdict = birth.may_be_born(facts)
    silent = tuple(pod for pod in facts.identity.others if pod in verdict.missing and statement_of(facts, pod) is None)
    named = [f"{pod}: {why}" for pod, why in verdict.why.items() if pod not in silent]
    parts = ([f"not heard: {why_unheard(facts, silent)}"] if silent else []) + named
    if facts.live.state == "known" and facts.live.replicas < len(facts.identity.expected):
        expected = facts.identity.replicas
        parts.append(
            f"the StatefulSet has only {replicas(facts)} now: scale it to {expected}, which form the cluster "
            "(PEERBOOT_REPLICAS)"
        )
    return say(
        facts,
        "wait",
        "wait-for-all",
        f"This disk is {facts.disk.kind}; a cluster forms only when all {facts.identity.replicas} pods say themselves "
        "that theirs are blank. " + (_upper("; ".join(parts)) if parts else "Waiting for a fresh word of each") + ".",
        waits_for=verdict.missing,
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:] if text.startswith("not heard") else text
