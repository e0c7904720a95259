"""The census over real sockets: a proper word is heard, everything else is unknown with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec
import pytest

from peerboot import census, signing
from peerboot.model import Evidence, Identity, Statement
from peerboot.outside.http import Http
from tests.doors.hostile import BOMB, HOSTILE, Misbehaviour, TurnedClock, bytes_of, no_one, raw, reply, server

KEY, OTHER, THIRD = b"k" * 32, b"o" * 32, b"t" * 32
UNSIGNED = "its reply is not signed with a census key of this Pod, or was made for another question"
KEY_DIFFERS = (
    "its census key (PEERBOOT_SECRET_FILE) differs from this Pod's: give all Pods the same key, which they read again "
    "by themselves; if they have, it is of another set, and the Service's selector is wrong"
)
Keys = tuple[bytes, ...]


def identity(pod: str = "db-0", **changes: Any) -> Identity:
    """One of a set of three."""
    me = Identity(
        namespace="prod",
        service="peers",
        statefulset="db",
        pod=pod,
        ordinal=int(pod.rpartition("-")[2]),
        system="etcd",
        domain="cluster.local",
        replicas=3,
        ips=("127.0.0.99",),
    )
    return msgspec.structs.replace(me, **changes)


def statement(me: Identity, **changes: Any) -> Statement:
    """What a pod with a blank disk says."""
    word = Statement(
        namespace=me.namespace,
        service=me.service,
        statefulset=me.statefulset,
        system=me.system,
        pod=me.pod,
        boot=f"boot-{me.pod}",
        replicas=me.replicas,
        disk="blank",
        nonce=f"nonce-{me.pod}",
    )
    return msgspec.structs.replace(word, **changes)


def headers_of(head: bytes) -> dict[str, str]:
    """The headers of a request as the server hands them on."""
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:] if line]
    return {name.lower(): value for name, _, value in lines}


def speaker(me: Identity, keys: Keys = (KEY,), *, auth: bool = True, **changes: Any) -> Misbehaviour:
    """An honest peerboot."""

    async def behave(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_to(head, me, keys, auth=auth, **changes))
        await writer.drain()

    return behave


def answer_to(head: bytes, me: Identity, keys: Keys = (KEY,), *, auth: bool = True, **changes: Any) -> bytes:
    """The bytes of an honest peerboot's reply."""
    status, headers, body = census.answer(me, keys, auth, headers_of(head), statement(me, **changes))
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    return raw(body, *lines, status=b"%d X" % status)


class Asker:
    """A census of db-0, its clock turned by hand."""

    def __init__(self, keys: Keys = (KEY,), *, auth: bool = True, me: Identity | None = None) -> None:
        self.http = Http()
        self.clock = TurnedClock()
        self.keys = keys
        self.census = census.Census(
            me or identity(), self.http, self.clock, lambda: self.keys, "boot-db-0", auth=auth, timeout=0.4
        )

    async def hear(self, *places: tuple[str, int], pod: str = "db-1") -> Evidence:
        """Ask one pod at these places; what is known of it then."""
        await self.census.ask({pod: places})
        return self.census.evidence(self.clock.now())[pod]


class Make(Protocol):
    """Makes askers that are closed at the end of the test."""

    def __call__(self, keys: Keys = (KEY,), *, auth: bool = True, me: Identity | None = None) -> Asker: ...


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Askers of any kind."""
    made: list[Asker] = []

    def asker(keys: Keys = (KEY,), *, auth: bool = True, me: Identity | None = None) -> Asker:
        made.append(Asker(keys, auth=auth, me=me))
        return made[-1]

    yield asker
    for one in made:
        await one.http.close()


@pytest.fixture
def asker(make: Make) -> Asker:
    """One asker with the usual key."""
    return make()


def unknown(evidence: Evidence) -> tuple[Statement | None, bool, str]:
    """Statement, freshness and reason."""
    return evidence.statement, evidence.fresh, evidence.reason


# ----------------------------------------------------------------- proper words


async def test_a_proper_word_is_heard_with_its_address_and_the_age_of_the_question(asker: Asker) -> None:
    """The word is as old as the question, not as the moment when all answers were in."""
    me = identity("db-1")

    async def slow(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker.clock.time += 7
        writer.write(answer_to(head, me))

    async with server(slow) as there:
        found = await asker.hear(there.place)
    assert found == Evidence(pod="db-1", at=1000.0, statement=statement(me), address="127.0.0.1")


async def test_another_number_of_replicas_is_a_word_like_any_other(asker: Asker) -> None:
    """The rules name it; the census only carries it."""
    async with server(speaker(identity("db-1"), replicas=5)) as there:
        found = await asker.hear(there.place)
    assert (found.statement and found.statement.replicas, found.fresh, found.reason) == (5, True, "")


async def test_a_pod_of_two_families_is_one_pod(asker: Asker) -> None:
    """One process at an IPv4 and an IPv6 address is what dual stack looks like."""
    one = speaker(identity("db-1"))
    async with server(one) as four, server(one, "::1") as six:
        found = await asker.hear(four.place, six.place)
    assert (found.statement, found.fresh) == (statement(identity("db-1")), True)


async def test_one_address_that_answers_is_enough(asker: Asker) -> None:
    """A family that is off, or an address that DNS still lists, does not silence a pod."""
    async with server(speaker(identity("db-1"))) as there:
        with no_one() as nobody:
            found = await asker.hear(nobody, there.place)
    assert (found.statement, found.address, found.fresh) == (statement(identity("db-1")), "127.0.0.1", True)


# -------------------------------------------------------------------- the keys

ROTATION: list[Keys] = [(KEY,), (KEY, OTHER), (OTHER, KEY), (OTHER,)]


@pytest.mark.parametrize("step", range(3), ids=["add second", "make it first", "drop the old"])
@pytest.mark.parametrize("asker_ahead", [False, True], ids=["answerer ahead", "asker ahead"])
async def test_a_rotation_in_three_steps_never_splits(make: Make, step: int, asker_ahead: bool) -> None:
    """While some pods have taken a step and others have not, all hear each other: the first signs, all verify."""
    old, new = ROTATION[step], ROTATION[step + 1]
    made = make(new if asker_ahead else old)
    async with server(speaker(identity("db-1"), old if asker_ahead else new)) as there:
        found = await made.hear(there.place)
    assert (found.statement, found.fresh) == (statement(identity("db-1")), True)


async def test_a_rotation_in_one_step_is_unknown_and_says_what_to_do(make: Make) -> None:
    """Whoever replaces the key at once splits the set until all have it; nobody is taken for blank meanwhile."""
    made = make((KEY,))
    async with server(speaker(identity("db-1"), (OTHER,))) as there:
        found = await made.hear(there.place)
    assert unknown(found) == (None, False, KEY_DIFFERS)


async def test_keys_are_read_anew_at_each_question(asker: Asker) -> None:
    """A rotated Secret needs no restart."""
    async with server(speaker(identity("db-1"), (THIRD,))) as there:
        before = await asker.hear(there.place)
        asker.keys = (THIRD,)
        after = await asker.hear(there.place)
    assert (before.statement, after.statement) == (None, statement(identity("db-1")))


# ------------------------------------------------- another cluster, another pod

OTHERS: dict[str, tuple[dict[str, str], str]] = {
    "namespace": ({"namespace": "dev"}, "it is of another cluster: its namespace is dev"),
    "service": ({"service": "others"}, "it is of another cluster: its service is others"),
    "statefulset": ({"statefulset": "kv"}, "it is of another cluster: its statefulset is kv"),
    "system": ({"system": "kafka"}, "it is of another cluster: its system is kafka"),
}


@pytest.mark.parametrize(("changes", "reason"), OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("auth", [True, False], ids=["keyed", "open"])
async def test_another_cluster_is_unknown_and_named(
    make: Make, changes: dict[str, str], reason: str, auth: bool
) -> None:
    """With the same key, too: the MAC covers what the pods must share. Without keys the statement is read."""
    made = make(auth=auth)
    async with server(speaker(identity("db-1", **changes), auth=auth)) as there:
        found = await made.hear(there.place)
    assert unknown(found) == (None, False, KEY_DIFFERS if auth else reason)


async def test_another_schema_is_unknown_and_named(asker: Asker) -> None:
    """A peerboot of another release refuses the question; its words are shown."""
    body = b'{"error":"schema","say":"this peerboot speaks census schema 2"}'
    async with server(reply(body, status=b"409 Conflict")) as there:
        found = await asker.hear(there.place)
    reason = "it speaks another census schema: this peerboot speaks census schema 2"
    assert unknown(found) == (None, False, reason)


async def test_a_statement_of_another_schema_is_unknown_and_named(make: Make) -> None:
    """Without keys the number in the statement itself decides."""
    made = make(auth=False)
    async with server(speaker(identity("db-1"), auth=False, schema=2)) as there:
        found = await made.hear(there.place)
    assert unknown(found) == (None, False, "it speaks census schema 2, this Pod 1")


async def test_another_pod_at_the_address_is_unknown_and_named(asker: Asker) -> None:
    """DNS is behind: the address belongs to another pod of the set now."""
    async with server(speaker(identity("db-2"))) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, "another pod answered in its place: this is db-2")


async def test_a_statement_of_another_pod_is_unknown_and_named(make: Make) -> None:
    """Without keys the name in the statement itself decides."""
    made = make(auth=False)
    async with server(speaker(identity("db-1"), auth=False, pod="db-7")) as there:
        found = await made.hear(there.place)
    assert unknown(found) == (None, False, "db-7 answered in its place")


# ------------------------------------------------------- replayed and forged


async def exchange(asker: Asker) -> bytes:
    """The bytes of one honest reply of db-1 to db-0."""
    kept: list[bytes] = []

    async def record(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(answer_to(head, identity("db-1")))
        writer.write(kept[-1])

    async with server(record) as there:
        assert (await asker.hear(there.place)).fresh
    return kept[0]


async def test_a_recorded_reply_does_not_answer_a_new_question(make: Make, asker: Asker) -> None:
    """Each question has its own challenge."""
    recorded = await exchange(asker)
    asker.census = make().census
    async with server(bytes_of(recorded)) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, UNSIGNED)


async def test_a_reply_to_another_asker_does_not_count(asker: Asker) -> None:
    """The same challenge under another asker's name: the MAC names both pods."""

    async def misdirected(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers = headers_of(head)
        relayed = headers | {"peerboot-from": "db-2"}
        challenge = headers["peerboot-challenge"]
        relayed["peerboot-mac"] = signing.mac(KEY, "ask", identity(), "db-2", "db-1", challenge, b"")
        text = "\r\n".join(["GET /v1/node HTTP/1.1", *(f"{k}: {v}" for k, v in relayed.items()), "", ""])
        writer.write(answer_to(text.encode(), identity("db-1")))

    async with server(misdirected) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, UNSIGNED)


async def test_a_reply_of_another_pod_of_the_set_does_not_count(asker: Asker) -> None:
    """db-2, which has the key, answers the question that was put to db-1 with its own word."""

    async def impostor(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        challenge = headers_of(head)["peerboot-challenge"]
        body = msgspec.json.encode(statement(identity("db-2")))
        signed = signing.mac(KEY, "answer", identity(), "db-0", "db-2", challenge, body)
        writer.write(raw(body, b"Peerboot-Mac: " + signed.encode()))

    async with server(impostor) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, UNSIGNED)


async def test_the_mac_of_the_question_does_not_sign_the_answer(asker: Asker) -> None:
    """A stranger who plays the question's MAC back has signed nothing."""

    async def mirror(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw(b"", b"Peerboot-Mac: " + headers_of(head)["peerboot-mac"].encode()))

    async with server(mirror) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, UNSIGNED)


async def test_a_changed_body_is_not_signed_any_more(asker: Asker) -> None:
    """Another nonce of the same length in an honest reply: whoever sits in between cannot change a disk's name."""

    async def tampered(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_to(head, identity("db-1")).replace(b"nonce-db-1", b"nonce-db-9"))

    async with server(tampered) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, UNSIGNED)


FORGED = {
    "no MAC": reply(msgspec.json.encode(statement(identity("db-1")))),
    "an empty MAC": reply(msgspec.json.encode(statement(identity("db-1"))), b"Peerboot-Mac: "),
    "a MAC that is no text": reply(msgspec.json.encode(statement(identity("db-1"))), b"Peerboot-Mac: \xff\xfe"),
    "a MAC of zeros": reply(msgspec.json.encode(statement(identity("db-1"))), b"Peerboot-Mac: " + b"0" * 64),
}


@pytest.mark.parametrize("behave", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_reply_is_unknown(asker: Asker, behave: Misbehaviour) -> None:
    """Whatever stands where the signature belongs."""
    async with server(behave) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, UNSIGNED)


def test_a_mac_covers_every_part_of_the_exchange() -> None:
    """Label, key, namespace, service, set, system, both pods, challenge, body: each changes it."""
    usual: dict[str, Any] = {
        "key": KEY, "label": "answer", "identity": identity(), "asker": "db-0", "answerer": "db-1",
        "challenge": "c", "rest": b"r",
    }  # fmt: skip
    others: list[dict[str, Any]] = [
        {"key": OTHER}, {"label": "ask"}, {"asker": "db-2"}, {"answerer": "db-2"}, {"challenge": "d"}, {"rest": b"s"},
        *({"identity": identity(**changes)} for changes, _ in OTHERS.values()),
        {"asker": "db-0db-1", "answerer": ""}, {"challenge": "cr", "rest": b""},
    ]  # fmt: skip
    macs = [signing.mac(**usual), *(signing.mac(**(usual | other)) for other in others)]
    assert len(set(macs)) == len(others) + 1


# ----------------------------------------------------------------- hostile peers


@pytest.mark.parametrize(("behave", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_peer_is_unknown_with_the_reason(asker: Asker, behave: Misbehaviour, reason: str) -> None:
    """Bounded in time and bytes, named, and never blank."""
    async with server(behave) as there:
        found = await asyncio.wait_for(asker.hear(there.place), 10)
    assert unknown(found) == (None, False, reason)


NOT_STATEMENTS = {
    "nothing": b"",
    "not JSON": b"<html>",
    "not UTF-8": b'{"namespace":"\xff"}',
    "half a statement": b'{"namespace":"prod"}',
    "depth without end": b'{"schema":1,"x":' + b"[" * 60_000,
    "a number without end": b'{"schema":' + b"9" * 60_000 + b"}",
    "half a character": b'{"namespace":"\\ud800"}',
    "compressed": BOMB,
    "no boot": msgspec.json.encode(statement(identity("db-1"), boot="")),
}


@pytest.mark.parametrize("body", NOT_STATEMENTS.values(), ids=NOT_STATEMENTS.keys())
async def test_a_body_that_is_no_statement_is_unknown(make: Make, body: bytes) -> None:
    """Also where no key guards it."""
    made = make(auth=False)
    async with server(reply(body, b"Content-Encoding: gzip") if body == BOMB else reply(body)) as there:
        found = await made.hear(there.place)
    assert unknown(found) == (None, False, "it answered something that is not a census statement")


REFUSALS = {
    "a redirect": (b"302 Found", b"", "it answered HTTP 302"),
    "a server error": (b"500 Oops", b"<html>", "it answered HTTP 500"),
    "a refusal of depth without end": (b"409 Conflict", b'{"error":' + b"[" * 60_000, "it answered HTTP 409"),
    "a refusal that is no mapping of text": (b"409 Conflict", b'{"error":1}', "it answered HTTP 409"),
    "a refusal that forges lines": (
        b"421 X",
        b'{"error":"pod","say":"\\nstartup=yes ready=yes\\u001b[2J\\u0000"}',
        "another pod answered in its place: startup=yes ready=yes [2J",
    ),
    "a long refusal": (
        b"409 X",
        b'{"error":"schema","say":"' + b"x" * 9000 + b'"}',
        "it speaks another census schema: " + "x" * 66 + " … " + "x" * 31,
    ),
}


@pytest.mark.parametrize(("status", "body", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refusal_is_unknown_and_its_words_are_one_short_line(
    asker: Asker, status: bytes, body: bytes, reason: str
) -> None:
    """Nobody signed it, and the reason ends in logs and in status.txt."""
    async with server(reply(body, b"Location: /", status=status)) as there:
        found = await asker.hear(there.place)
    assert unknown(found) == (None, False, reason)


async def test_names_in_a_statement_are_one_short_line(make: Make) -> None:
    """Without keys anybody can put anything there."""
    made = make(auth=False)
    async with server(speaker(identity("db-1"), auth=False, namespace="a\n" * 100)) as there:
        found = await made.hear(there.place)
    assert (len(found.reason) < 120, found.reason.isprintable()) == (True, True)


# ---------------------------------------------- older words, twins, stale boots


@pytest.mark.parametrize(
    ("behave", "reason"),
    [(FORGED["no MAC"], UNSIGNED), HOSTILE["reset"], (speaker(identity("db-1"), (OTHER,)), KEY_DIFFERS)],
    ids=["a wrong signature", "a reset", "a wrong key"],
)
async def test_an_older_word_stays_when_no_proper_one_follows(asker: Asker, behave: Misbehaviour, reason: str) -> None:
    """Who cannot sign says nothing about the pod. The older word stays, with its age, and is not fresh."""
    await exchange(asker)
    asker.clock.time += 5
    async with server(behave) as there:
        found = await asker.hear(there.place)
    assert (found.statement, found.at, unknown(found)[1:]) == (statement(identity("db-1")), 1000.0, (False, reason))


async def test_a_new_process_of_a_pod_replaces_the_word_of_the_old(asker: Asker) -> None:
    """A restart is nothing special."""
    await exchange(asker)
    async with server(speaker(identity("db-1"), boot="second", disk="data")) as there:
        found = await asker.hear(there.place)
    assert (found.statement and found.statement.boot, found.fresh) == ("second", True)


async def test_two_processes_under_one_name_are_unknown_and_forget_what_was_heard(asker: Asker) -> None:
    """Which of them spoke before is not known, so nothing said before counts."""
    await exchange(asker)
    one, two = speaker(identity("db-1")), speaker(identity("db-1"), boot="second")
    async with server(one) as here, server(two, "127.0.0.2") as there:
        found = await asker.hear(here.place, there.place)
    assert unknown(found) == (None, False, "two Pods answer as db-1: 127.0.0.1 and 127.0.0.2")


async def test_one_process_at_two_addresses_of_a_family_is_unknown(asker: Asker) -> None:
    """A Pod has one address of each family: this is a copy of a machine, or somebody in between."""
    one = speaker(identity("db-1"))
    async with server(one) as here, server(one, "127.0.0.2") as there:
        found = await asker.hear(here.place, there.place)
    assert unknown(found) == (None, False, "db-1 answers at 127.0.0.1 and 127.0.0.2 at once")


async def test_an_earlier_process_after_a_later_one_is_unknown(asker: Asker) -> None:
    """Both live: DNS led to one, then to the other, then back."""
    first, second = speaker(identity("db-1")), speaker(identity("db-1"), boot="second")
    async with server(first) as here, server(second, "127.0.0.2") as there:
        heard = [await asker.hear(place) for place in (here.place, there.place, here.place)]
    stale = "an earlier process of db-1 answered at 127.0.0.1 after a later one"
    assert [unknown(e)[1:] for e in heard] == [(True, ""), (True, ""), (False, stale)]


@pytest.mark.parametrize(("seconds", "fresh"), [(9.0, False), (10.5, True)], ids=["too soon", "long enough"])
async def test_a_name_in_doubt_stays_so_until_one_process_alone_has_answered_for_a_while(
    asker: Asker, seconds: float, fresh: bool
) -> None:
    """Two that answer by turns are not believed by turns."""
    one, two = speaker(identity("db-1")), speaker(identity("db-1"), boot="second")
    async with server(one) as here, server(two, "127.0.0.2") as there:
        await asker.hear(here.place, there.place)
        asker.clock.time += seconds
        found = await asker.hear(there.place)
    assert (found.fresh, found.statement is not None) == (fresh, fresh)


# -------------------------------------------------------------------- own name


async def test_another_process_under_the_own_name_is_a_twin_for_a_while(asker: Asker) -> None:
    """It is told by its boot, and forgotten ten seconds after it last answered."""
    async with server(speaker(identity("db-0"), boot="other")) as there:
        await asker.census.ask({"db-0": (there.place,)})
    seen = [asker.census.twin()]
    for seconds in (9.0, 1.5):
        asker.clock.time += seconds
        seen.append(asker.census.twin())
    assert seen == ["127.0.0.1", "127.0.0.1", ""]


async def test_this_very_process_is_no_twin(asker: Asker) -> None:
    """An address that POD_IPS does not list, but the own boot answers."""
    async with server(speaker(identity("db-0"), boot="boot-db-0")) as there:
        await asker.census.ask({"db-0": (there.place,)})
    assert asker.census.twin() == ""


async def test_a_stranger_under_the_own_name_is_no_twin(asker: Asker) -> None:
    """Without a key it cannot make a pod wait for ever."""
    async with server(speaker(identity("db-0"), (OTHER,), boot="other")) as there:
        await asker.census.ask({"db-0": (there.place,)})
    assert asker.census.twin() == ""


async def test_the_own_address_is_not_asked(make: Make, asker: Asker) -> None:
    """POD_IPS says which it is."""
    async with server(speaker(identity("db-0"), boot="other")) as there:
        asker.census = make(me=identity(ips=("127.0.0.1",))).census
        await asker.census.ask({"db-0": (there.place,)})
        assert (there.connections, asker.census.twin()) == (0, "")


# ---------------------------------------------------------------------- bounds


async def test_a_hundred_pods_are_asked_sixteen_at_a_time(asker: Asker) -> None:
    """All are heard, and never more than sixteen connections are open."""
    sixteen = asyncio.Barrier(16)

    async def together(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Nobody is answered before as many have come as may come at once.
        await sixteen.wait()
        writer.write(answer_to(head, identity(headers_of(head)["peerboot-to"])))

    async with server(together) as there:
        await asyncio.wait_for(asker.census.ask({f"db-{i}": (there.place,) for i in range(1, 113)}), 20)
        heard = [e.fresh for e in asker.census.evidence(0.0).values()]
        assert (heard, there.most, asker.census.asked) == ([True] * 112, 16, 112)


async def test_eight_addresses_of_a_pod_are_asked(asker: Asker) -> None:
    """DNS cannot make a peerboot ask without end."""
    with no_one() as nobody:
        await asker.hear(*(nobody for _ in range(100)))
    assert asker.census.asked == 8


async def test_a_pod_without_an_address_is_unknown_and_says_so(asker: Asker) -> None:
    """DNS names it and gives no address."""
    assert unknown(await asker.hear()) == (None, False, "DNS gives no address for it")


# ------------------------------------------------------------------- answering


def asking(changes: Mapping[str, str] | None = None, key: bytes = KEY) -> Mapping[str, str]:
    """The headers of one honest question of db-1 to db-0."""
    headers = {
        "peerboot-schema": "1",
        "peerboot-from": "db-1",
        "peerboot-to": "db-0",
        "peerboot-challenge": "0f" * 16,
    }
    made = signing.mac(key, "ask", identity(), "db-1", "db-0", "0f" * 16, b"")
    return headers | {"peerboot-mac": made} | dict(changes or {})


REFUSED: dict[str, tuple[Mapping[str, str], int]] = {
    "another key": (asking(key=OTHER), 401),
    "no MAC": (asking({"peerboot-mac": ""}), 401),
    "a MAC that is no text": (asking({"peerboot-mac": "\udcff"}), 401),
    "another asker than signed": (asking({"peerboot-from": "db-2"}), 401),
    "another pod than signed": (asking({"peerboot-to": "db-2"}), 401),
    "another challenge than signed": (asking({"peerboot-challenge": "0e" * 16}), 401),
    "another schema": (asking({"peerboot-schema": "2"}), 409),
    "no headers at all": ({}, 409),
    "no asker": (asking({"peerboot-from": ""}), 400),
    "an asker that is no text": (asking({"peerboot-from": "\udcff"}), 400),
    "an endless asker": (asking({"peerboot-from": "a" * 300}), 400),
    "a pod that is no text": (asking({"peerboot-to": "\udcff"}), 400),
    "a short challenge": (asking({"peerboot-challenge": "0f"}), 400),
    "a challenge that is not hex": (asking({"peerboot-challenge": "\udcff" * 32}), 400),
}


@pytest.mark.parametrize(("headers", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_only_an_authenticated_asker_gets_the_word(headers: Mapping[str, str], status: int) -> None:
    """Anybody else learns nothing of the disk and nothing of the keys."""
    me = identity()
    given, reply_headers, body = census.answer(me, (KEY,), True, headers, statement(me))
    secrets = [piece for piece in (b"nonce-db-0", KEY) if piece in body or piece in str(reply_headers).encode()]
    assert (given, secrets, "Peerboot-Mac" in reply_headers) == (status, [], False)


def test_an_authenticated_asker_who_wants_another_pod_is_told_who_this_is() -> None:
    """DNS led it to the wrong address."""
    me = identity("db-2")
    status, _, body = census.answer(me, (KEY,), True, asking(), statement(me))
    assert (status, msgspec.json.decode(body)) == (421, {"error": "pod", "say": "this is db-2"})


def test_without_authentication_anybody_gets_the_word_and_nothing_is_signed() -> None:
    """PEERBOOT_CENSUS_AUTH=none is an explicit choice."""
    me = identity()
    status, headers, _ = census.answer(me, (), False, asking({"peerboot-mac": ""}), statement(me))
    assert (status, headers) == (200, {"Content-Type": "application/json"})
