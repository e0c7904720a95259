"""Metrics of one node: every number with its name, help and labels. No label names a pod: the scraper adds that.

Prometheus adds ``peerboot_`` before and ``_total`` after counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from peerboot import __version__, assess
from peerboot.rules.words import healthy_voters, quorum_of

if TYPE_CHECKING:
    from peerboot.certified import Certified
    from peerboot.run import Node
    from peerboot.serve import Metric


MOST_AGES = 192
"""Samples at most: of three kinds, so of 64 pods."""


def of(node: Node, *, up: bool) -> list[Metric]:
    """All metrics now."""
    return [*_decision(node, up), *_cluster(node), *_set(node), *_work(node), *_certificates(node)]


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """One number; no sample while it is not known."""
    return name, text, "gauge", [] if value is None else [({}, float(value))]


def _decision(node: Node, up: bool) -> list[Metric]:
    now, wall, decision = node.doors.clock.now(), node.doors.clock.wall(), node.decision
    in_force = {"decision": decision.kind, "rule": decision.rule}
    return [
        ("build_info", "The version that runs.", "gauge", [({"version": __version__}, 1.0)]),
        _gauge("up", "1 while every loop does work.", up),
        _gauge("last_pass_timestamp_seconds", "When it last looked and decided.", wall - (now - node.last_pass)),
        ("decision", "1 for the decision in force.", "gauge", [(in_force, 1.0)]),
        ("decision_changes", "Changes of the decision.", "counter", [({}, float(node.tally.changes))]),
        _gauge("decision_since_timestamp_seconds", "Since when it is in force.", wall - (now - node.loops.decided_at)),
        _gauge("held", "1 while a person holds automatic changes.", bool(node.memory.active_holds(wall))),
        ("findings", "What ought to be set up otherwise, by its name.", "gauge", _findings(node)),
        _gauge("ready", "1 when this member serves.", node.ready()),
        _gauge(
            "time_to_started_seconds",
            "From the start of peerboot until the server might start.",
            node.tally.started_after,
        ),
        _gauge(
            "rejoin_seconds",
            "From seeing that this disk has to join until its member served, the last time.",
            node.tally.rejoined_after,
        ),
    ]


def _findings(node: Node) -> list[tuple[dict[str, str], float]]:
    found = Counter(finding.name for finding in node.facts.all_findings) if node.facts is not None else {}
    return [({"name": name}, float(count)) for name, count in sorted(found.items())]


def _cluster(node: Node) -> list[Metric]:
    view = assess.fresh_view(node.memory.view, node.doors.clock.now())
    if node.doors.system.traits.quorum_of:
        # Whose quorum it is tells of its voters.
        return [_gauge("quorum", "1 when a linearizable member list was obtained lately.", view.quorum)]
    voters = sum(not member.learner for member in view.members)
    known = node.facts is not None and node.facts.cluster.quorum and view.quorum
    margin = len(healthy_voters(node.facts)) - quorum_of(voters) if node.facts is not None and known else None
    return [
        _gauge("quorum", "1 when a linearizable member list was obtained lately.", view.quorum),
        _gauge("quorum_margin", "How many of the voters that serve could stop before quorum is lost.", margin),
        _gauge("voters", "Voting members listed.", voters),
        _gauge("learners", "Learners listed.", len(view.members) - voters),
        _gauge("ghost_members", "Members listed that are no Pod's of this set.", _ghosts(node) if known else None),
        *(_gauge(one.name, one.text, one.value) for one in view.gauges),
    ]


def _ghosts(node: Node) -> int:
    return sum(_is_ghost(node, member.pod) for member in node.memory.view.members)


def _is_ghost(node: Node, pod: str) -> bool:
    """Beyond the live number of replicas; where that is not known: neither expected nor in DNS."""
    me, live = node.identity, node.memory.live
    ordinal = me.ordinal_of(pod) if pod else None
    if ordinal is None:
        return True
    if live.state == "known" and live.replicas is not None:
        return not live.wants(ordinal)
    return pod not in me.expected and pod not in node.memory.peers.sightings


def _ages(node: Node) -> list[tuple[dict[str, str], float]]:
    """Of what is known of each other pod: its own word, its server's, and DNS."""
    memory, now = node.memory, node.doors.clock.now()
    ages: list[tuple[str, str, float]] = []
    for pod, evidence in memory.evidence.items():
        if evidence.statement is not None:
            ages.append((pod, "census", now - evidence.at))
    ages += [(view.pod, "server", now - memory.view.at) for view in memory.view.views]
    ages += [(pod, "dns", now - sighting.last_at) for pod, sighting in memory.peers.sightings.items()]
    known = sorted((pod, kind, age) for pod, kind, age in ages if pod != node.identity.pod)
    return [({"peer": pod, "kind": kind}, max(age, 0.0)) for pod, kind, age in known[:MOST_AGES]]


def _set(node: Node) -> list[Metric]:
    memory, me = node.memory, node.identity
    others = {*me.others, *(pod for pod in memory.peers.sightings if pod != me.pod)}
    heard = {pod for pod, evidence in memory.evidence.items() if evidence.statement is not None and evidence.fresh}
    states = {
        "heard": len(others & heard),
        "silent": len((others & set(memory.peers.sightings)) - heard),
        "missing": len(others - set(memory.peers.sightings) - heard),
    }
    peers = [({"state": state}, float(count)) for state, count in states.items()]
    results = [({"result": result}, float(memory.dns_results[result])) for result in ("found", "absent", "unknown")]
    return [
        ("peers", "Other pods: heard first hand, silent though in DNS, missing in DNS.", "gauge", peers),
        ("evidence_age_seconds", "How old is what is known of each other pod, by kind.", "gauge", _ages(node)),
        ("dns_query_duration_seconds", "Seconds for a question about the set.", "summary", _spent(node)),
        ("dns_queries", "Questions about the set, by what came of them.", "counter", results),
        _gauge("dns_unknown_seconds", "How long DNS has given no answer.", memory.peers.unknown_for),
        *_live(node),
    ]


def _spent(node: Node) -> list[tuple[dict[str, str], float]]:
    discovery = node.doors.discovery
    return [({"part": "count"}, float(discovery.asked)), ({"part": "sum"}, discovery.spent)]


def _live(node: Node) -> list[Metric]:
    """Of the Kubernetes API, where it is asked."""
    live, api = node.memory.live, node.doors.kubernetes
    if api is None:
        return []
    known = live.state == "known"
    age = node.doors.clock.now() - live.at if known else None
    return [
        ("api_requests", "Requests to the Kubernetes API.", "counter", [({}, float(api.asked))]),
        _gauge("live_replicas", "Replicas that the StatefulSet has, as last heard.", live.replicas if known else None),
        _gauge("live_age_seconds", "How long ago that was heard.", age),
    ]


def _certificates(node: Node) -> list[Metric]:
    """Of a system that has any; also while its server does not answer, which may be for them."""
    shown: Callable[[], tuple[Certified, ...]] | None = getattr(node.doors.system, "certificates", None)
    found = shown() if shown is not None else ()
    of = [({"setting": one.setting, "file": one.file}, one) for one in found]
    return [
        (
            "certificate_start_timestamp_seconds",
            "From when on a mounted certificate is good.",
            "gauge",
            [(labels, one.since) for labels, one in of],
        ),
        (
            "certificate_end_timestamp_seconds",
            "When a mounted certificate ends; of a CA's file the one that ends last.",
            "gauge",
            [(labels, one.until) for labels, one in of],
        ),
    ]


def _work(node: Node) -> list[Metric]:
    acted = [({"action": a, "result": r}, float(n)) for (a, r), n in sorted(node.tally.acted.items())]
    return [
        ("actions", "Actions carried out.", "counter", acted),
        _gauge("config_last_write_timestamp_seconds", "When the server's config was written.", node.tally.written_wall),
        ("dns_messages", "DNS messages sent, all kinds.", "counter", [({}, float(node.doors.dns.asked))]),
        ("census_requests", "Census requests sent.", "counter", [({}, float(node.doors.census.asked))]),
    ]
