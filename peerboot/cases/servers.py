"""The part of the little language that is about the cluster's servers; ``reader.py`` has the rest."""

from __future__ import annotations

from peerboot.cases import primary
from peerboot.cases.words import NOW, url_of, words
from peerboot.model import ClusterView, Copies, Identity, Kept, Member, Registration, ServerView


def cluster_of(identity: Identity, by_word: dict[str, list[list[str]]]) -> ClusterView:
    """The view of a case; takes the lines that it knows."""
    quorum = by_word.pop("quorum", None)
    members = []
    for parts in by_word.pop("member", []):
        plain, keys = words(parts)
        url = keys.get("url", url_of(identity, plain[1]))
        unstarted = "unstarted" in plain
        members.append(
            Member(
                id=plain[0],
                name="" if unstarted else plain[1],
                pod=plain[1],
                peer_urls=(url,),
                client_urls=() if unstarted else (url.replace("2380", "2379"),),
                learner="learner" in plain,
            )
        )
    views = []
    for parts in by_word.pop("server", []):
        plain, keys = words(parts)
        member = keys.get("member", "")
        views.append(
            ServerView(
                pod=plain[0],
                address="10.0.0.1",
                cluster=keys.get("cluster", ""),
                member=member,
                leader=member if "leader" in plain else "",
                healthy="healthy" in plain,
                learner="learner" in plain,
                open="closed" not in plain,
                why=keys.get("why", ""),
                complete="complete" in plain,
                applied=int(keys.get("applied", 0)),
                members=tuple(members),
                part=primary.part(keys, plain),
            )
        )
    return ClusterView(
        quorum=quorum is not None,
        cluster=quorum[0][0] if quorum else "",
        fixed=quorum is not None and "fixed" in quorum[0],
        members=tuple(members) if quorum else (),
        views=tuple(views),
        unresolved=tuple(parts[0] for parts in by_word.pop("unresolved", [])),
        unreachable=tuple(parts[0] for parts in by_word.pop("unreachable", [])),
        unmanaged=by_word.pop("unmanaged", [[""]])[0][0],
        only_here=tuple(by_word.pop("only-here", [[]])[0]),
        rescue=by_word.pop("rescue", [[""]])[0][0],
        untold=by_word.pop("untold", [[""]])[0][0],
        soon=by_word.pop("soon", [[""]])[0][0],
        asked_for=tuple(by_word.pop("asked-for", [[]])[0]),
        elsewhere=by_word.pop("elsewhere", [[""]])[0][0],
        kept=_kept(identity, by_word.pop("kept", None)),
        copies=tuple(_copies(parts) for parts in by_word.pop("copies", [])),
        copies_untold=by_word.pop("copies-untold", [[""]])[0][0],
        registrations=tuple(
            Registration(pod=parts[0], id=parts[1], holds="".join(parts[2:3]), remedy="".join(parts[3:4]))
            for parts in by_word.pop("registered", [])
        ),
        at=NOW - 0.1,
    )


def _kept(identity: Identity, lines: list[list[str]] | None) -> Kept | None:
    if lines is None:
        return None
    plain, keys = words(lines[0])
    alone = tuple(filter(None, keys.get("alone", "").split(",")))
    return Kept(
        what="".join(plain[:1]),
        alone=alone,
        alone_more=int(keys.get("more", 0)),
        unsynced=tuple(filter(None, keys.get("unsynced", "").split(","))),
        untold=keys.get("untold", ""),
        remedy=f"`peerboot kafka drain {identity.pod} --yes`",
    )


def _copies(parts: list[str]) -> Copies:
    plain, keys = words(parts)
    found = {key: tuple(filter(None, keys.get(key, "").split(","))) for key in ("in", "behind")}
    more, least = int(keys.get("more", 0)), int(keys.get("least", 1))
    return Copies(name=plain[0], more=more, in_sync=found["in"], behind=found["behind"], least=least)
