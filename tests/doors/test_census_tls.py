"""The census over TLS, with real sockets and real certificates: who is heard, and each reason why somebody is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from peerboot import census, trust, x509
from peerboot.model import Evidence, Identity
from peerboot.outside.http import Http, HttpError, TlsError
from peerboot.outside.pair import Mounted
from peerboot.serve import Bounds, Serve
from tests.certificates import Authority, authority
from tests.doors.hostile import TurnedClock, server
from tests.doors.test_census import KEY, OTHER, identity, speaker, statement
from tests.doors.test_serve import FakeView, free_port

ZONE = "peers.prod.svc.cluster.local"
ALL = tuple(f"DNS:db-{ordinal}.{ZONE}" for ordinal in range(3))
NO_TLS = (
    "it does not speak TLS: its PEERBOOT_CENSUS_AUTH is another; set hmac,tls in all Pods first, and tls once all have "
    "that"
)
NOT_ACCEPTED = (
    "it does not accept this Pod's certificate (PEERBOOT_CENSUS_TLS_DIR), which has to be of its CA, in date, and for "
    "clientAuth; or it was about to stop"
)
TLS_ALONE = (
    "it answers over TLS alone (PEERBOOT_CENSUS_AUTH=tls): set hmac,tls in all Pods first, and tls once all have that"
)


def name(pod: str) -> str:
    """Its DNS name, as a certificate has it."""
    return f"DNS:{pod}.{ZONE}"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the set, which has certified each Pod alone, and ``shared`` for all of them."""
    made = authority(tmp_path_factory.mktemp("census") / "ca")
    for ordinal in range(3):
        made.certify(made.folder / f"db-{ordinal}", name(f"db-{ordinal}"))
    made.certify(made.folder / "shared", *ALL)
    return made


@dataclass
class Answering(FakeView):
    """A Pod that answers the census as peerboot does."""

    me: Identity
    auth: str
    keys: tuple[bytes, ...] = (KEY,)
    shown: list[tuple[str, ...] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def census(
        self, headers: Mapping[str, str], shown: tuple[str, ...] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        self.shown.append(shown)
        self.heard.append(headers)
        word = statement(self.me)
        return census.answer(
            self.me, self.keys, "hmac" in self.auth, headers, word, tls="tls" in self.auth, shown=shown
        )


@contextlib.asynccontextmanager
async def pod(
    me: Identity, folder: Path | None, auth: str = "tls", bounds: Bounds | None = None
) -> AsyncIterator[tuple[tuple[str, int], Answering]]:
    """A Pod with that certificate: where it is, and what it was asked."""
    view, port = Answering(me, auth), free_port()
    own = Mounted(str(folder)) if folder is not None else None
    serve = Serve(view, 20.0, bounds, secured=None if own is None else lambda: own.pair().answers)
    await serve.start(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}", "")
    try:
        yield ("127.0.0.1", port), view
    finally:
        await serve.stop()


class Asking:
    """The census of db-0, with that certificate."""

    def __init__(self, folder: Path | None, auth: str = "tls", keys: tuple[bytes, ...] = (KEY,)) -> None:
        self.http, self.clock = Http(), TurnedClock()
        self.said: list[str] = []
        self.own = Mounted(str(folder), self.said.append) if folder is not None else None
        self.census = census.Census(
            identity(), self.http, self.clock, lambda: keys, "boot-db-0", auth="hmac" in auth, tls=self.own, timeout=2.0
        )

    async def hear(self, *places: tuple[str, int], pod: str = "db-1") -> Evidence:
        """Ask one pod at these places; what is known of it then."""
        await self.census.ask({pod: places})
        return self.census.evidence(self.clock.now())[pod]


@contextlib.asynccontextmanager
async def asking(folder: Path | None, auth: str = "tls", keys: tuple[bytes, ...] = (KEY,)) -> AsyncIterator[Asking]:
    """One that is closed in the end."""
    made = Asking(folder, auth, keys)
    try:
        yield made
    finally:
        await made.http.close()


async def heard(asks: Path | None, answers: Path | None, auth: tuple[str, str] = ("tls", "tls")) -> str:
    """Why db-0 does not hear db-1, empty where it does."""
    async with pod(identity("db-1"), answers, auth[1]) as (place, _), asking(asks, auth[0]) as asker:
        found = await asker.hear(place)
        assert (found.statement is None) == (found.reason != "")
        return found.reason


# ------------------------------------------------------------------- who is heard


@pytest.mark.parametrize("kind", ["own", "shared"])
async def test_a_pod_of_the_set_is_heard(ours: Authority, kind: str) -> None:
    """With a certificate for each Pod, and with one for all of them; the address is dialled, the name is verified."""
    asks, answers = ("db-0", "db-1") if kind == "own" else ("shared", "shared")
    async with (
        pod(identity("db-1"), ours.folder / answers) as (place, view),
        asking(ours.folder / asks) as asker,
    ):
        found = await asker.hear(place)
        assert (found.statement, found.fresh, found.address) == (statement(identity("db-1")), True, "127.0.0.1")
        assert asker.census.findings() == ()
        assert view.shown == [tuple(each.removeprefix("DNS:") for each in (ALL if kind == "shared" else ALL[:1]))]


async def test_a_wildcard_of_the_service_is_enough(ours: Authority, tmp_path: Path) -> None:
    """It says that who has it is of this Service's Pods; the body says which, as a key that all share does."""
    folder = ours.certify(tmp_path, f"DNS:*.{ZONE}")
    assert await heard(folder, folder) == ""


async def test_each_question_is_a_connection_of_its_own(ours: Authority) -> None:
    """A certificate that was renewed, or a CA that was changed, counts for the next question."""
    async with pod(identity("db-1"), ours.folder / "db-1") as (place, view), asking(ours.folder / "db-0") as asker:
        for _ in range(2):
            assert (await asker.hear(place)).fresh is True
        said = [headers.get("connection") for headers in view.heard]
        assert (said, await left_open(asker)) == (["close", "close"], 0)


async def left_open(asker: Asking) -> int:
    """Connections that would be used again."""
    session = asker.http._session
    connector: Any = session.connector if session is not None else None
    return sum(len(each) for each in connector._conns.values())


# ------------------------------------------------- who is not heard, and why not

NOT_HEARD: dict[str, tuple[dict[str, object], str]] = {
    "another Pod's": (
        {"names": (name("db-2"),)},
        f"its certificate is not for db-1.{ZONE}: another Pod answers there, or that name has to be put into it",
    ),
    "another Service's wildcard": (
        {"names": ("DNS:*.other.prod.svc.cluster.local", "DNS:*.prod.svc.cluster.local")},
        f"its certificate is not for db-1.{ZONE}: another Pod answers there, or that name has to be put into it",
    ),
    "no name": (
        {"names": ()},
        f"its certificate is not for db-1.{ZONE}: another Pod answers there, or that name has to be put into it",
    ),
    "a common name alone": (
        {"names": (), "common_name": f"db-1.{ZONE}"[:64]},
        f"its certificate is not for db-1.{ZONE}: another Pod answers there, or that name has to be put into it",
    ),
    "for its address alone": (
        {"names": ("IP:127.0.0.1",)},
        f"its certificate is not for db-1.{ZONE}: another Pod answers there, or that name has to be put into it",
    ),
    "expired": (
        {"days": -1},
        "its certificate has expired, by this Pod's clock: renew the Secret of its PEERBOOT_CENSUS_TLS_DIR",
    ),
    "not valid yet": (
        {"early": True},
        "its certificate is not valid yet, by this Pod's clock: set the clocks of both nodes",
    ),
    "for clients alone": (
        {"usages": "clientAuth"},
        ("its certificate is not for serverAuth: make one for serverAuth and clientAuth (PEERBOOT_CENSUS_TLS_DIR)"),
    ),
}


@pytest.mark.parametrize(("certificate", "reason"), NOT_HEARD.values(), ids=NOT_HEARD.keys())
async def test_a_certificate_that_does_not_prove_the_pod(
    ours: Authority, tmp_path: Path, certificate: dict[str, object], reason: str
) -> None:
    """Of the same CA, and nobody is taken for a Pod by it: unknown, with the reason that has what to do."""
    asked = dict(certificate)
    names = asked.pop("names", (name("db-1"),))
    folder = ours.certify(tmp_path, *names, **asked)  # type: ignore[arg-type, misc]
    assert await heard(ours.folder / "db-0", folder) == reason


async def test_another_ca(ours: Authority, tmp_path: Path) -> None:
    """Its names are right, and whoever certified them is nobody."""
    theirs = authority(tmp_path / "theirs")
    folder = theirs.certify(tmp_path / "tls", name("db-1"))
    assert await heard(ours.folder / "db-0", folder) == (
        "its certificate is of another CA than this Pod's ca.crt: give all Pods one CA (PEERBOOT_CENSUS_TLS_DIR)"
    )


NOT_LET_IN: dict[str, dict[str, object]] = {
    "expired": {"days": -1},
    "not valid yet": {"early": True},
    "for servers alone": {"usages": "serverAuth"},
}


@pytest.mark.parametrize("certificate", NOT_LET_IN.values(), ids=NOT_LET_IN.keys())
async def test_an_asker_whose_certificate_is_not_accepted(
    ours: Authority, tmp_path: Path, certificate: dict[str, object]
) -> None:
    """It hears nobody, says that it is its own certificate that is not accepted, and names what is wrong with it."""
    folder = ours.certify(tmp_path, name("db-0"), **certificate)  # type: ignore[arg-type]
    async with pod(identity("db-1"), ours.folder / "db-1") as (place, view), asking(folder) as asker:
        found = await asker.hear(place)
        assert found.statement is None
        assert found.reason == NOT_ACCEPTED
        assert view.shown == []


async def test_an_asker_of_another_ca_learns_nothing(ours: Authority, tmp_path: Path) -> None:
    """Its certificate has the right name, and it trusts the right CA."""
    theirs = authority(tmp_path / "theirs")
    folder = theirs.certify(tmp_path / "tls", name("db-0"))
    (folder / "ca.crt").write_bytes(ours.certificate.read_bytes())
    async with pod(identity("db-1"), ours.folder / "db-1") as (place, view), asking(folder) as asker:
        found = await asker.hear(place)
        assert found.reason == NOT_ACCEPTED
        assert view.shown == []


@pytest.mark.parametrize("names", [(name("db-2"),), ("DNS:shop.prod.svc.cluster.local",), ()], ids=len)
async def test_an_asker_that_is_another_by_its_certificate(
    ours: Authority, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A CA that certifies more than this set lets nobody read what Pods tell each other."""
    folder = ours.certify(tmp_path, *names)
    assert await heard(folder, ours.folder / "db-1") == (
        "it does not take this Pod's certificate (PEERBOOT_CENSUS_TLS_DIR): it is not for "
        f"db-0.{ZONE}, or that is no Pod of this set"
    )


async def test_who_asks_without_a_certificate_is_told_nothing(ours: Authority) -> None:
    """The handshake fails: what a Pod knows of its disk is for those of its set."""
    anybody = ssl.create_default_context(cafile=str(ours.certificate))
    http = Http()
    async with pod(identity("db-1"), ours.folder / "db-1") as ((host, port), view):
        with pytest.raises(TlsError):
            await http.fetch("GET", f"https://{host}:{port}/v1/node", timeout=5, tls=anybody, tls_name=name("db-1")[4:])
        await http.close()
        assert view.shown == []


async def test_a_pod_that_answers_as_another(ours: Authority) -> None:
    """Each has a certificate of its own: db-2 at the address of db-1 is not db-1, whatever its words say."""
    async with pod(identity("db-1"), ours.folder / "db-2") as (place, _), asking(ours.folder / "db-0") as asker:
        assert (await asker.hear(place)).reason == (
            f"its certificate is not for db-1.{ZONE}: another Pod answers there, or that name has to be put into it"
        )


async def test_a_connection_that_was_verified_for_one_is_not_used_for_another(ours: Authority) -> None:
    """An address that was db-2's, which was heard, and that DNS now gives for db-1: it is verified anew."""
    async with pod(identity("db-2"), ours.folder / "db-2") as (place, _), asking(ours.folder / "db-0") as asker:
        assert (await asker.hear(place, pod="db-2")).fresh is True
        assert "its certificate is not for db-1" in (await asker.hear(place, pod="db-1")).reason


async def test_a_reply_to_another_question(ours: Authority) -> None:
    """Who is verified and repeats what it said to somebody is not heard: the challenge has to come back."""
    stale = Answering(identity("db-1"), "tls")
    usual = stale.census

    def repeats(headers: Mapping[str, str], shown: tuple[str, ...] | None = None) -> tuple[int, dict[str, str], bytes]:
        return usual({**headers, "peerboot-challenge": "0f" * 16}, shown)

    stale.census = repeats  # type: ignore[method-assign]
    own, port = Mounted(str(ours.folder / "db-1")), free_port()
    serve = Serve(stale, secured=lambda: own.pair().answers)
    await serve.start(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}", "")
    try:
        async with asking(ours.folder / "db-0") as asker:
            found = await asker.hear(("127.0.0.1", port))
            assert (found.statement, found.reason) == (None, "its reply was made for another question")
    finally:
        await serve.stop()


# ----------------------------------------------------------- from one to the other

MIXED: dict[str, tuple[str, str, str]] = {
    "key, both": ("hmac", "hmac,tls", ""),
    "both, key": ("hmac,tls", "hmac", ""),
    "both, both": ("hmac,tls", "hmac,tls", ""),
    "both, tls": ("hmac,tls", "tls", ""),
    "tls, both": ("tls", "hmac,tls", ""),
    "key, tls": ("hmac", "tls", TLS_ALONE),
    "tls, key": ("tls", "hmac", NO_TLS),
    "tls, none": ("tls", "none", NO_TLS),
    "none, tls": ("none", "tls", TLS_ALONE),
}


@pytest.mark.parametrize(("asks", "answers", "reason"), MIXED.values(), ids=MIXED.keys())
async def test_a_set_on_its_way(ours: Authority, asks: str, answers: str, reason: str) -> None:
    """In steps of one (key, both, tls) everybody hears everybody; two steps apart nobody is heard, and it is said."""
    folders = [ours.folder / pod if "tls" in auth else None for pod, auth in (("db-0", asks), ("db-1", answers))]
    assert await heard(folders[0], folders[1], (asks, answers)) == reason


async def test_who_is_heard_by_the_key_alone_is_named(ours: Authority) -> None:
    """Before the last step one sees who would not be heard after it; once it is heard over TLS it is named no more."""
    async with asking(ours.folder / "db-0", "hmac,tls") as asker:
        async with pod(identity("db-1"), None, "hmac") as (place, _):
            assert (await asker.hear(place)).fresh is True
        assert [(found.name, found.say) for found in asker.census.findings()] == [
            (
                "census-by-key-alone",
                (
                    f"Heard by the census key alone, and not over TLS: db-1 ({NO_TLS}). Before "
                    "PEERBOOT_CENSUS_AUTH=tls all have to be heard over TLS."
                ),
            )
        ]
        async with pod(identity("db-1"), ours.folder / "db-1", "hmac,tls") as (place, _):
            assert (await asker.hear(place)).fresh is True
        assert asker.census.findings() == ()


async def test_a_bad_certificate_silences_nobody_who_has_the_key(ours: Authority, tmp_path: Path) -> None:
    """On the way either proof is enough, so that a wrong Secret is found before it counts."""
    folder = ours.certify(tmp_path, name("db-1"), days=-1)
    async with (
        pod(identity("db-1"), folder, "hmac,tls") as (place, _),
        asking(ours.folder / "db-0", "hmac,tls") as asker,
    ):
        assert (await asker.hear(place)).fresh is True
        assert "db-1 (its certificate has expired" in asker.census.findings()[0].say


async def test_neither_proof(ours: Authority, tmp_path: Path) -> None:
    """With a bad certificate and another key it is not heard, and both reasons are told."""
    folder = ours.certify(tmp_path, name("db-1"), days=-1)
    async with (
        pod(identity("db-1"), folder, "hmac,tls") as (place, _),
        asking(ours.folder / "db-0", "hmac,tls", (OTHER,)) as asker,
    ):
        found = await asker.hear(place)
        assert found.statement is None
        assert found.reason.startswith("over TLS: its certificate has expired")
        assert "; by the key: its census key (PEERBOOT_SECRET_FILE) differs" in found.reason
        assert asker.census.findings() == ()


async def test_without_the_key_nothing_is_gained_by_refusing_tls(ours: Authority) -> None:
    """Where TLS alone counts, one that speaks plain text is not heard, whatever it says and signs."""
    async with (
        server(speaker(identity("db-1"))) as there,
        asking(ours.folder / "db-0") as asker,
    ):
        assert (await asker.hear(there.place)).statement is None
    async with (
        server(speaker(identity("db-1"), (OTHER,))) as there,
        asking(ours.folder / "db-0", "hmac,tls") as asker,
    ):
        assert (await asker.hear(there.place)).statement is None


# -------------------------------------------------------------------- the own one

OWN: dict[str, tuple[dict[str, object], list[tuple[str, bool]]]] = {
    "expired": ({"days": -1}, [("census-certificate-expired", True)]),
    "not valid yet": ({"early": True}, [("census-certificate-early", True)]),
    "another name": ({"names": (name("db-1"),)}, [("census-certificate-names", True)]),
    "no name": ({"names": ()}, [("census-certificate-names", True)]),
    "one usage": ({"usages": "serverAuth"}, [("census-certificate-usages", True)]),
}


@pytest.mark.parametrize(("certificate", "expected"), OWN.values(), ids=OWN.keys())
async def test_what_is_wrong_with_the_own_certificate(
    ours: Authority, tmp_path: Path, certificate: dict[str, object], expected: list[tuple[str, bool]]
) -> None:
    """It has a name and a sentence, and is part of a wait's sentence where this Pod is not heard for it."""
    asked = dict(certificate)
    names = asked.pop("names", (name("db-0"),))
    folder = ours.certify(tmp_path, *names, **asked)  # type: ignore[arg-type, misc]
    async with asking(folder) as asker:
        found = asker.census.findings()
        assert [(one.name, one.pod == "db-0") for one in found] == expected
        assert [one.say for one in found if "\n" in one.say or not one.say.endswith(".")] == []


ENDS: dict[str, tuple[float, int, str]] = {
    "while it is good": (8 * 86400.0, 30, ""),
    "in its last days": (6.5 * 86400.0, 30, "is good for less than 7 days: renew"),
    "in the last quarter of a short life": (5 * 3600.0, 1, "is good for less than a day: renew"),
    "before that": (7 * 3600.0, 1, ""),
}


@pytest.mark.parametrize(("left", "days", "words"), ENDS.values(), ids=ENDS.keys())
def test_one_that_ends_soon(ours: Authority, tmp_path: Path, left: float, days: int, words: str) -> None:
    """It is told of when whoever renews it should have done so, and this Pod is heard all the same."""
    own = x509.read((ours.certify(tmp_path, name("db-0"), days=days) / "tls.crt").read_text())
    found = list(trust.troubles(own, own.until + 1e9, name("db-0")[4:], own.until - left))
    assert [(each, unheard) for each, _, unheard in found] == (
        [("census-certificate-expiring", False)] if words else []
    )
    assert [words in say for _, say, _ in found] == ([True] if words else [])


def test_a_ca_that_has_expired(ours: Authority, tmp_path: Path) -> None:
    """It is told of instead of the certificate, which ends with it."""
    own = x509.read((ours.certify(tmp_path, name("db-0")) / "tls.crt").read_text())
    found = list(trust.troubles(own, own.until, name("db-0")[4:], own.until))
    assert [each for each, _, _ in found] == ["census-authority-expired"]


async def test_a_renewed_certificate_counts_at_once(ours: Authority, tmp_path: Path) -> None:
    """Both sides read it without a restart; a broken one is told, and what was read before counts."""
    theirs, mine = ours.certify(tmp_path / "b", name("db-1"), days=-1), ours.certify(tmp_path / "a", name("db-0"))
    async with pod(identity("db-1"), theirs) as (place, _), asking(mine) as asker:
        assert "its certificate has expired" in (await asker.hear(place)).reason
        ours.certify(theirs, name("db-1"))
        assert (await asker.hear(place)).fresh is True
        (mine / "tls.key").write_text("-----BEGIN PRIVATE KEY-----\n")
        assert (await asker.hear(place)).fresh is True
        broken = [one for one in asker.census.findings() if one.name == "census-certificate-unusable"]
        assert len(broken) == len(asker.said) == 1
        assert broken[0].say == asker.said[0]
        assert "tls.key has to belong to tls.crt" in broken[0].say
        ours.certify(mine, name("db-0"))
        assert (await asker.hear(place)).fresh is True
        assert asker.census.findings() == ()


async def test_a_ca_is_changed_in_three_steps(ours: Authority, tmp_path: Path) -> None:
    """Both CAs in every ca.crt, then the new certificates, then the new CA alone: everybody hears everybody."""
    new = authority(tmp_path / "new")
    one, other = ours.certify(tmp_path / "a", name("db-0")), ours.certify(tmp_path / "b", name("db-1"))
    both = ours.certificate.read_bytes() + new.certificate.read_bytes()
    async with pod(identity("db-1"), other) as (place, _), asking(one) as asker:

        async def hears() -> bool:
            return (await asker.hear(place)).fresh

        for folder in (one, other):
            (folder / "ca.crt").write_bytes(both)
            assert await hears()
        for folder, who in ((one, "db-0"), (other, "db-1")):
            new.certify(folder, name(who))
            (folder / "ca.crt").write_bytes(both)
            assert await hears()
        for folder in (one, other):
            (folder / "ca.crt").write_bytes(new.certificate.read_bytes())
            assert await hears()


# ------------------------------------------------------------------ the one port


@pytest.mark.parametrize("path", ["/livez", "/startupz", "/readyz", "/prestop"])
async def test_probes_go_on_in_plain_text(ours: Authority, path: str) -> None:
    """The kubelet has no certificate, and finds them where they were."""
    http = Http()
    async with pod(identity("db-1"), ours.folder / "db-1") as ((host, port), _):
        assert (await http.fetch("GET", f"http://{host}:{port}{path}", timeout=5)).status == 200
        await http.close()


@pytest.mark.parametrize("path", ["/livez", "/prestop", "/metrics"])
async def test_over_tls_there_is_the_census_alone(ours: Authority, path: str) -> None:
    """What is for the kubelet is in plain text alone."""
    http, own = Http(), Mounted(str(ours.folder / "db-0"))
    async with pod(identity("db-1"), ours.folder / "db-1") as ((host, port), view):
        found = await http.fetch(
            "GET", f"https://{host}:{port}{path}", timeout=5, tls=own.pair().asks, tls_name=name("db-1")[4:]
        )
        await http.close()
        assert (found.status, view.stops) == (404, 0)


async def test_old_versions_of_tls_are_refused(ours: Authority) -> None:
    """So there is no renegotiation, and no certificate goes over the network in plain text."""
    http, old = Http(), Mounted(str(ours.folder / "db-0")).pair().asks
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    async with pod(identity("db-1"), ours.folder / "db-1") as ((host, port), _):
        with pytest.raises(HttpError):
            await http.fetch("GET", f"https://{host}:{port}/v1/node", timeout=5, tls=old, tls_name=name("db-1")[4:])
        await http.close()


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00"], ids=["nothing", "a byte", "a beginning"])
async def test_a_slow_handshake_ends(ours: Authority, sent: bytes) -> None:
    """Each that says too little ends by itself, and a proper question is answered meanwhile."""
    loop = asyncio.get_running_loop()
    async with (
        pod(identity("db-1"), ours.folder / "db-1", bounds=Bounds(entering=1.0)) as (place, _),
        asking(ours.folder / "db-0") as asker,
    ):
        slow = _strangers(place, sent, 4)
        assert (await asker.hear(place)).fresh is True
        assert [await asyncio.wait_for(_end(loop, sock), 30) for sock in slow] == [b""] * 4
        for sock in slow:
            sock.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"], ids=["nothing", "a beginning"])
async def test_of_too_many_handshakes_the_oldest_is_cut(ours: Authority, sent: bytes) -> None:
    """Whoever asks properly is answered although others hold on."""
    loop = asyncio.get_running_loop()
    async with (
        pod(identity("db-1"), ours.folder / "db-1", bounds=Bounds(at_the_door=4, entering=3600.0)) as (place, _),
        asking(ours.folder / "db-0") as asker,
    ):
        slow = _strangers(place, sent, 12)
        assert (await asker.hear(place)).fresh is True
        assert [await asyncio.wait_for(_end(loop, sock), 30) for sock in slow[:8]] == [b""] * 8
        for sock in slow:
            sock.close()


def _strangers(place: tuple[str, int], sent: bytes, count: int) -> list[socket.socket]:
    """So many connections that have said this and wait."""
    made = []
    for _ in range(count):
        sock = socket.create_connection(place)
        sock.setblocking(False)
        sock.sendall(sent)
        made.append(sock)
    return made


async def _end(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    """What comes before the other side closes, which is nothing but an alert."""
    with contextlib.suppress(ConnectionResetError):
        while await loop.sock_recv(sock, 4096):
            pass
    return b""


async def test_garbage_after_a_first_byte_of_tls(ours: Authority) -> None:
    """It ends that connection and no other."""
    async with pod(identity("db-1"), ours.folder / "db-1") as (place, _), asking(ours.folder / "db-0") as asker:
        with socket.create_connection(place) as sock:
            sock.setblocking(False)
            sock.sendall(b"\x16" + b"\xff" * 4000)
            await _end(asyncio.get_running_loop(), sock)
        assert (await asker.hear(place)).fresh is True


async def test_a_plain_server_that_swallows_the_handshake(ours: Authority) -> None:
    """It is silent for the time of one question, also where the key might be asked for."""

    async def silent(_head: bytes, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(silent) as there, asking(ours.folder / "db-0", "hmac,tls") as asker:
        asker.census._timeout = 0.2
        assert (await asker.hear(there.place)).reason == "no answer in 0.2 s"
