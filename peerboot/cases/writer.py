"""Facts as the text of a case: the words first, and ``set`` lines for what no word says.

What is written is read again before it is given away, so a case is either exactly these facts or none.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import msgspec

from peerboot.cases import ends, paths
from peerboot.cases.births import births_of, in_a_row
from peerboot.cases.outcome import outcome_of
from peerboot.cases.plans import with_standing
from peerboot.cases.reader import nonce_in, parse
from peerboot.cases.timing import seconds
from peerboot.cases.words import NOW
from peerboot.decide import decide
from peerboot.model import Evidence, Facts, Fork, Intent, Member, Part, ServerView, Standing, Statement
from peerboot.printing import printable


def case_of(facts: Facts, comment: str = "", stands: tuple[str, ...] = (), *, short: bool = False) -> str:
    """One case whose facts are these: comment, facts, ``----``, outcome. ``facts.now`` is that of every case.

    ``stands``: files that hold what the plan writes. ``short``: only what the outcome rests on.

    Raises ``ValueError`` that names what a case cannot say.
    """
    lines = shortest(facts, stands) if short else facts_of(facts, stands)
    given = "\n".join([f"# {line}" for line in comment.splitlines()] + lines)
    return f"{given}\n----\n{outcome_of(parse(given, facts.identity.system))}\n"


def facts_of(facts: Facts, stands: tuple[str, ...] = ()) -> list[str]:
    """The lines above ``----``."""
    system = facts.identity.system
    said = list(filter(None, _words(facts, births_of(facts))))
    said += [f"stands {_join(stands)}"] if stands else []
    told = parse("\n".join(said), system)
    bare = msgspec.structs.replace(facts, files={n: told.files.get(n, t) for n, t in facts.files.items()})
    if "allowed" in said:
        # What is allowed follows from all these facts; it may be something else by the words alone.
        bare = msgspec.structs.replace(bare, consents=told.consents)
    # What stands is what the plan of all these facts writes, which the words alone may not have come to.
    lines = said + [line for line in paths.differences(told, bare) if not _is_of(line, stands)]
    again, wanted = parse("\n".join(lines), system), with_standing(facts, stands) if stands else facts
    if stands:
        wanted = msgspec.structs.replace(wanted, files=again.files)
    if again != wanted:
        left = paths.differences(again, wanted)
        where = left[0].split()[1] if left else "a value that JSON does not tell from another"
        raise ValueError(f"a case cannot say {where} of these facts")
    return lines


def _is_of(line: str, stands: tuple[str, ...]) -> bool:
    return any(line.startswith((f"set files/{name} ", f"unset files/{name}")) for name in stands)


def shortest(facts: Facts, stands: tuple[str, ...] = ()) -> list[str]:
    """The lines that the outcome rests on: what can be left out without another one is."""
    system = facts.identity.system
    lines = facts_of(facts, stands)
    wanted = _outcome("\n".join(lines), system)
    size = max(len(lines) // 2, 1)
    while True:
        at = len(lines)
        while at > 0:
            begin = max(at - size, 1)
            fewer = lines[:begin] + lines[at:]
            if begin < at and _outcome("\n".join(fewer), system) == wanted:
                lines = fewer
            at = begin if begin < at and begin > 1 else 0
        if size == 1:
            return lines
        size //= 2


def _outcome(text: str, system: str) -> str:
    try:
        return outcome_of(parse(text, system))
    except (ValueError, LookupError):
        return ""


# ---------------------------------------------------------------------- words


def _join(values: tuple[str, ...] | list[str]) -> str:
    return " ".join(shlex.quote(value) for value in values)


def _line(*parts: str | bool | None, **keys: str | None) -> str:
    """Plain words, then keys; what is None or False is not said."""
    # A text that would end the line is said in part, and in full by a line of its own.
    said = [shlex.quote(printable(part)) for part in parts if isinstance(part, str)]
    said += [
        f"{key.replace('_', '-')}={shlex.quote(printable(text))}" for key, text in keys.items() if text is not None
    ]
    return " ".join(said)


def _flags(**flags: bool) -> list[str]:
    return [name.replace("_", "-") for name, holds in flags.items() if holds]


def _given(text: str) -> str | None:
    return text or None


def _number(value: int) -> str | None:
    return str(value) if value else None


def _age(at: float, usual: float) -> str | None:
    age = NOW - at
    plain = round(age, 6)
    return None if age == usual else seconds(plain if NOW - plain == at else age)


def _words(facts: Facts, births: dict[str, str]) -> Iterator[str]:
    """What can be said in words; it need not be all."""
    who = facts.identity
    count = "?" if who.replicas is None else str(who.replicas)
    yield _line("self", who.pod, "of", count, start=_number(who.start))
    place = _line("in", f"{who.namespace}/{who.statefulset}", service=who.service, domain=who.domain)
    yield "" if place == "in prod/db service=peers domain=cluster.local" else place
    if facts.traits.quorum_of:
        yield _line("quorum-of", facts.traits.quorum_of)
    yield "fixed" if facts.traits.fixed else ""
    yield _disk(facts)
    yield _record(facts)
    permit = facts.permit if facts.permit != "absent" else "withdrawn" if facts.permit_was_given else ""
    yield _line("permit", permit) if permit else ""
    for pod in dict.fromkeys((*facts.evidence, *facts.peers.sightings)):
        yield _peer(facts, pod, births)
    if (answer := facts.peers.answer) is not None:
        yield _line("dns", answer.outcome, *answer.reason.split())
    yield from _servers(facts)
    yield _anchor(facts, births)
    yield _line("twin", facts.twin) if facts.twin else ""
    yield _line("hold", facts.holds[0].why) if facts.holds else ""
    for removal in facts.removals:
        yield _line("removal", removal.pod)
    for learner in facts.learners:
        yield _line("stalled", learner)
    yield _live(facts)
    yield _line("undone", facts.undone) if facts.undone else ""
    yield _line("predicted", facts.predicted_cluster) if facts.predicted_cluster else ""
    yield "" if facts.looked else "looked no"
    yield "observe" if facts.mode == "observe" else ""
    yield _line("stopping", turn=str(facts.turn)) if facts.stopping else ""
    yield _line("confirm", facts.confirm) if facts.confirm else ""
    yield _line("hands-to", facts.hands_to) if facts.hands_to else ""
    if (stop := facts.files.get("stop", "")) and stop.endswith("\n"):
        yield _line("stop", stop[:-1])
    yield "allowed" if _is_allowed(facts) else ""
    if facts.traits.has_primary and facts.traits.promotes != "last-primary":
        yield _line("promotes", facts.traits.promotes)


def _is_allowed(facts: Facts) -> bool:
    """Whether a person has allowed what these facts are refused for, and nothing else."""
    refused = decide(msgspec.structs.replace(facts, consents=frozenset()))
    return bool(facts.consents) and facts.consents == {refused.consent or nonce_in(refused.reason)}


def _standing(at: Standing | Fork | None) -> str | None:
    return f"{at.term}@{at.position}" if at is not None else None


def _forks(forks: tuple[Fork, ...]) -> str | None:
    return ",".join(f"{fork.term}@{fork.position}" for fork in forks) or None


def _many(names: tuple[str, ...] | None) -> str | None:
    return ",".join(names) if names else None


def _disk(facts: Facts) -> str:
    disk = facts.disk
    return _line(
        "disk",
        disk.kind,
        *_flags(running=disk.running, unlogged=not disk.logged, led=disk.led, making=disk.making),
        cluster=_given(disk.cluster),
        member=_given(disk.member),
        reason=_given(disk.reason),
        warning=_given(disk.warning),
        end=_standing(disk.end),
        forks=_forks(disk.forks),
        lost=_many(disk.lost),
        voters=None if disk.voters is None else ",".join(disk.voters),
        **ends.of_disk(disk),
        **{"for": _age(disk.since, 100.0)},
    )


def _intent(intent: Intent | None) -> dict[str, str | None]:
    if intent is None:
        return {}
    said = f"{intent.token}@{_standing(intent.standing)}"
    return {"intent": said, "past": _many(intent.past), "past_as": _many(intent.past_as)}


def _record(facts: Facts) -> str:
    record, seal, claim = facts.record, facts.record.seal, facts.record.claim
    intent = record.intent
    flags, forced = ends.of_record(facts.identity, record.forced)
    return _line(
        "record",
        *flags,
        *_flags(
            permitted=record.permitted_wall is not None,
            torn=record.torn,
            unwritten=record.unwritten,
            called=bool(intent and intent.called),
        ),
        nonce=_given(record.nonce),
        born=in_a_row(facts, record.birth) if record.birth is not None else None,
        seal=f"{seal.cluster}/{seal.member}" if seal is not None else None,
        claim=f"{claim.cluster}/{claim.member}" if claim is not None else None,
        sealed_voters=None if seal is None or seal.voters is None else ",".join(seal.voters),
        claim_voters=_many(claim.voters) if claim is not None else None,
        foreign=_given(record.foreign),
        elsewhere=_given(record.elsewhere),
        problem=_given(record.problem),
        crown=_number(record.crown),
        let_go=_number(record.let_go),
        **_intent(intent),
        **forced,
    )


def _peer(facts: Facts, pod: str, births: dict[str, str]) -> str:
    if pod == facts.identity.pod:
        return ""
    evidence = facts.evidence.get(pod)
    if evidence is None or evidence.statement is None:
        reason = _given(evidence.reason) if evidence is not None else None
        return _line("peer", pod, "unknown", reason=reason, age=_age(evidence.at, 1.0) if evidence else None)
    return _spoken(facts, evidence, evidence.statement, births)


def _spoken(facts: Facts, evidence: Evidence, word: Statement, births: dict[str, str]) -> str:
    flags = _flags(
        permitted=word.permitted,
        serving=word.serving,
        running=word.running,
        writes=word.writes,
        called=bool(word.intent and word.intent.called),
        silent=not evidence.fresh,
    )
    usual = f"n{evidence.pod.rpartition('-')[2]}"
    return _line(
        "peer",
        evidence.pod,
        word.disk,
        *flags,
        nonce=None if word.nonce == usual else word.nonce,
        born=births.get(word.token) if word.token else None,
        cluster=_given(word.cluster),
        member=_given(word.member),
        of=str(word.replicas) if word.replicas not in (None, facts.identity.replicas) else None,
        turn=_number(word.turn),
        decision=_given(word.decision),
        rule=_given(word.rule),
        settings=_given(word.fingerprint),
        at=_standing(word.standing),
        log=ends.of_word(word.log_end),
        stood=seconds(word.stood) if word.stood else None,
        crown=_number(word.crown),
        confirm=_given(word.confirm),
        yields=_given(word.yields),
        hands_to=_given(word.hands_to),
        heir=_given(word.heir),
        age=_age(evidence.at, 1.0),
        **_intent(word.intent),
    )


def _servers(facts: Facts) -> Iterator[str]:
    cluster = facts.cluster
    for view in cluster.views:
        yield _server(view)
    if cluster.quorum:
        yield _line("quorum", cluster.cluster, "fixed" if cluster.fixed else None)
    members = cluster.members or next((view.members for view in cluster.views if view.members), ())
    for member in members:
        yield _member(facts, member)
    for name in ("unresolved", "unreachable"):
        for host in getattr(cluster, name):
            yield _line(name, host)
    for name in ("unmanaged", "rescue", "untold", "soon", "elsewhere", "copies_untold"):
        if text := getattr(cluster, name):
            yield _line(name.replace("_", "-"), text)
    for name in ("only_here", "asked_for"):
        if texts := getattr(cluster, name):
            yield _line(name.replace("_", "-"), *texts)
    for one in cluster.registrations:
        yield _line("registered", one.pod, one.id, *([one.holds, one.remedy] if one.holds or one.remedy else []))
    for copies in cluster.copies:
        keys = {"in": _many(copies.in_sync), "behind": _many(copies.behind)}
        least = None if copies.least == 1 else str(copies.least)
        yield _line("copies", copies.name, more=_number(copies.more), least=least, **keys)
    if (kept := cluster.kept) is not None:
        yield _line(
            "kept",
            _given(kept.what),
            alone=_many(kept.alone),
            more=_number(kept.alone_more),
            unsynced=_many(kept.unsynced),
            untold=_given(kept.untold),
        )


def _server(view: ServerView) -> str:
    leads = bool(view.leader) and view.leader == view.member
    return _line(
        "server",
        view.pod,
        *_flags(healthy=view.healthy, leader=leads, learner=view.learner, closed=not view.open),
        *_flags(complete=view.complete),
        *(_part_flags(view.part) if view.part is not None else ()),
        cluster=_given(view.cluster),
        member=_given(view.member),
        applied=_number(view.applied),
        why=_given(view.why),
        **(_part(view.part) if view.part is not None else {}),
    )


def _part_flags(part: Part) -> list[str]:
    return _flags(writes=part.writes, settled=part.settled, paused=part.paused, streams=part.streams)


def _part(part: Part) -> dict[str, str | None]:
    return {
        "tl": str(part.term),
        "at": str(part.position),
        "lag": _number(part.lag),
        "stuck": seconds(part.stuck) if part.stuck else None,
        "forks": _forks(part.forks),
        "slots": _many(part.slots),
        "idle-slots": _many(part.idle_slots),
        "lost-slots": _many(part.lost_slots),
        "release": None if part.release == 17 else str(part.release),
        "copied-by": _many(part.copied_by),
    }


def _member(facts: Facts, member: Member) -> str:
    pod = member.pod or member.name or "-"
    url = member.peer_urls[0] if member.peer_urls else ""
    usual = f"http://{facts.identity.name_of(pod)}:2380"
    flags = _flags(learner=member.learner, unstarted=not member.client_urls)
    return _line("member", member.id, pod, *flags, url=None if url == usual else url)


def _anchor(facts: Facts, births: dict[str, str]) -> str:
    anchor = facts.anchor
    if anchor.state == "holds":
        known = births.get(anchor.token, facts.record.nonce or "n")
        return _line("anchor", holds=known, undo=_given(anchor.undo), at=_given(anchor.at))
    if anchor.state == "unknown":
        return _line("anchor", unknown=anchor.reason)
    return "" if anchor.state == "none" else _line("anchor", "empty", older=anchor.older)


def _live(facts: Facts) -> str:
    live = facts.live
    if live.state == "unknown":
        return _line("live", unknown=live.reason)
    if live.state == "none":
        return ""
    flags = _flags(unsettled=not live.settled, deleting=live.deleting, ordered=live.ordered, claims=bool(live.claims))
    pods = None if live.pods == live.replicas else str(live.pods)
    return _line("live", str(live.replicas), *flags, start=_number(live.start), pods=pods, age=_age(live.at, 1.0))
