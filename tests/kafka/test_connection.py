"""One connection: whatever the other side does is one outcome within the time and the bytes that it was given."""

from __future__ import annotations

import asyncio
import ssl
import struct
from pathlib import Path

import pytest

from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError, Login
from tests.doors.api_server import Certificates, make_certificates
from tests.doors.hostile import no_one
from tests.kafka.fake import Answer, fake, goodbye, in_turn, raw, say, silence, trickle
from tests.kafka.fake_login import Doorman
from tests.kafka.vectors import find

QUORUM = find("DescribeQuorumResponse", "a dynamic quorum").raw
SHORT = Bounds(open=0.3, read=0.3, call=0.5, frame=4096)
LONG = Bounds(open=10, read=10, call=20)


async def why_not(there: Address, bounds: Bounds = SHORT, **more: object) -> tuple[str, str]:
    """How a read ended, and in which words."""
    async with Kafka([there], kind="broker", bounds=bounds, **more) as kafka:  # type: ignore[arg-type]
        with pytest.raises(KafkaError) as caught:
            await kafka.describe_quorum()
    return caught.value.outcome, str(caught.value).removeprefix(f"DescribeQuorum at {there}: ")


def resized(size: int) -> Answer:
    """A right answer that names another size."""
    return raw(lambda frame: struct.pack(">i", size) + frame[4:], QUORUM)


HOSTILE: dict[str, tuple[Answer, str, str]] = {
    "silent": (silence, "timeout", "no answer in time"),
    "a byte at a time": (trickle(QUORUM), "timeout", "no answer in time"),
    "closed at once": (goodbye, "refused", "the connection was closed without an answer"),
    "closed in the size": (
        raw(lambda f: f[:3], QUORUM),
        "refused",
        "the connection was closed in the middle of an answer",
    ),
    "closed in the answer": (
        raw(lambda f: f[:-1], QUORUM),
        "refused",
        "the connection was closed in the middle of an answer",
    ),
    "another correlation id": (
        raw(lambda f: f[:7] + bytes([f[7] ^ 1]) + f[8:], QUORUM),
        "protocol",
        "an answer to another request",
    ),
    "a frame over the limit": (resized(4097), "protocol", "an answer of 4097 bytes, where up to 4096 are taken"),
    "a frame of 2 GiB": (
        resized((1 << 31) - 1),
        "protocol",
        "an answer of 2147483647 bytes, where up to 4096 are taken",
    ),
    "a negative frame": (resized(-1), "protocol", "an answer of -1 bytes, where up to 4096 are taken"),
    "a frame without a header": (resized(3), "protocol", "an answer of 3 bytes, where up to 4096 are taken"),
    "a frame that ends early": (
        resized(4),
        "protocol",
        "DescribeQuorum: not Kafka's answer: a varint without an end",
    ),
    "HTTP": (
        raw(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        "protocol",
        "an answer of 1213486160 bytes, where up to 4096 are taken",
    ),
    "a TLS alert": (
        raw(lambda _: bytes.fromhex("15030300020246")),
        "tls",
        "it speaks TLS, and was spoken to without",
    ),
    "another message": (
        say(find("RemoveRaftVoterResponse", "done").raw),
        "protocol",
        "DescribeQuorum: not Kafka's answer: 2 bytes too many",
    ),
}


@pytest.mark.parametrize(("answer", "outcome", "says"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_a_server_does_is_one_outcome(answer: Answer, outcome: str, says: str) -> None:
    """Each misbehaviour ends in time and has a name."""
    async with fake({55: answer}) as there:
        found = await asyncio.wait_for(why_not(there.address), 10)
    assert found == (outcome, says)


EARLY = {name: row[:2] for name, row in HOSTILE.items() if name != "another message"}


@pytest.mark.parametrize(("answer", "outcome"), EARLY.values(), ids=EARLY.keys())
async def test_it_is_the_same_outcome_before_the_login(answer: Answer, outcome: str) -> None:
    """Who misbehaves at the first question is no better than at the second."""
    async with fake({18: answer}) as there:
        found = await asyncio.wait_for(why_not(there.address), 10)
    assert found[0] == outcome


async def test_nobody_listens() -> None:
    """Refused, at once."""
    with no_one() as (address, port):
        assert await why_not(Address(address, port)) == ("refused", "connection refused")


async def test_an_address_that_is_none_is_one_outcome() -> None:
    """A name that cannot be one does not reach the resolver as an exception of another kind."""
    assert (await why_not(Address("a" * 64 + ".invalid", 9092), LONG))[0] == "refused"


async def test_a_connection_on_which_anything_went_wrong_is_not_used_again() -> None:
    """The late answer to a question that was given up is not taken for the next one's."""
    async with (
        fake({55: in_turn(silence, say(QUORUM))}) as there,
        Kafka([there.address], kind="broker", bounds=SHORT) as kafka,
    ):
        with pytest.raises(KafkaError):
            await kafka.describe_quorum()
        found = await kafka.describe_quorum()
        assert (found.leader, there.connections) == (1000, 2)


async def test_a_question_that_is_cancelled_closes_its_connection() -> None:
    """As above; and nothing is left open."""
    async with fake({55: silence}) as there, Kafka([there.address], kind="broker", bounds=LONG) as kafka:
        task = asyncio.create_task(kafka.describe_quorum())
        await there.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        there.answers[55] = say(QUORUM)
        await kafka.describe_quorum()
        assert there.connections == 2


async def test_one_connection_serves_many_calls_and_greets_once() -> None:
    """Versions are asked for once for each connection, in the highest version known; correlation ids differ."""
    async with fake({55: say(QUORUM)}) as there, Kafka([there.address], kind="broker", bounds=LONG) as kafka:
        await kafka.describe_quorum()
        await kafka.describe_quorum()
        seen = [(request.key, request.version, request.client) for request in there.asked]
        ids = {request.correlation for request in there.asked}
    assert (seen, len(ids), there.connections) == (
        [(18, 4, "peerboot"), (55, 2, "peerboot"), (55, 2, "peerboot")],
        3,
        1,
    )


async def test_calls_at_the_same_time_wait_for_each_other() -> None:
    """Answers come in the order of the questions, one at a time on one connection, also when it is not there yet."""
    async with fake({55: say(QUORUM)}) as there, Kafka([there.address], kind="broker", bounds=LONG) as kafka:
        found = await asyncio.gather(*(kafka.describe_quorum() for _ in range(5)))
    assert ({one.leader for one in found}, there.connections) == ({1000}, 1)


async def test_a_call_behind_one_that_was_given_up_goes_over_a_new_connection() -> None:
    """It was not sent on the old one, whose next answer would not have been its own."""
    async with (
        fake({55: silence, 81: say(find("RemoveRaftVoterResponse", "done").raw)}) as there,
        Kafka([there.address], kind="broker", bounds=LONG) as kafka,
    ):
        first = asyncio.create_task(kafka.describe_quorum())
        await there.called.wait()
        second = asyncio.create_task(kafka.remove_voter("c", 1, "UC8UpY3eTKS2i-38xb17jg"))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert (there.calls(), there.connections) == ([55, 81], 2)


async def test_a_change_behind_a_call_that_takes_all_its_time_was_not_sent() -> None:
    """It says so: nothing has to be looked at before it is tried again."""
    async with (
        fake({64: silence}) as there,
        Kafka([there.address], kind="broker", bounds=Bounds(open=1, read=1, call=0.3)) as kafka,
    ):
        first, second = await asyncio.gather(
            kafka.unregister_broker(1), kafka.unregister_broker(2), return_exceptions=True
        )
        assert there.calls() == [64]
    found = [error.sent for error in (first, second) if isinstance(error, KafkaError)]
    assert found == [True, False]


async def test_an_older_server_refuses_the_newest_greeting_and_is_asked_in_its_own() -> None:
    """3.8 has ApiVersions up to 3: it says so in version 0, and the next question is in 3 (KIP-511)."""
    refusing = in_turn(
        say(find("ApiVersionsResponse", "version 4 refused by a 3.8").raw),
        say(find("ApiVersionsResponse", "a dynamic cluster", 3).raw),
    )
    async with fake({18: refusing, 55: say(QUORUM)}) as there, Kafka([there.address], kind="broker") as kafka:
        server = await kafka.versions()
        assert ([request.version for request in there.asked], server.level("kraft.version")) == ([4, 3], 1)


REFUSED = bytes.fromhex("0023 00000001 0012")


def greeting(old: str, new: str) -> dict[int, Answer]:
    """The usual one with a row of its table changed."""
    found = find("ApiVersionsResponse", "a dynamic cluster").raw
    assert found.count(bytes.fromhex(old)) == 1
    return {18: say(found.replace(bytes.fromhex(old), bytes.fromhex(new)))}


RANGES = {
    "no ApiVersions in common": (
        {18: say(REFUSED + bytes.fromhex("0005 0006"))},
        "ApiVersions is needed in version 3 to 4, it has 5 to 6",
    ),
    "a refusal without end": (
        {18: say(REFUSED + bytes.fromhex("0000 0004"))},
        "ApiVersions was refused in the version that the server named",
    ),
    "a call that the release lacks": (
        greeting("0037 0000 0002", "0036 0000 0002"),
        "DescribeQuorum is needed in version 0 to 2, it has none",
    ),
    "a call in newer versions only": (
        greeting("0037 0000 0002", "0037 0003 0005"),
        "DescribeQuorum is needed in version 0 to 2, it has 3 to 5",
    ),
}


@pytest.mark.parametrize(("answers", "says"), RANGES.values(), ids=RANGES.keys())
async def test_versions_that_do_not_overlap_are_said(answers: dict[int, Answer], says: str) -> None:
    """What is needed and what is there, in one line; nothing is asked in a version that the server does not have."""
    async with fake(answers) as there:
        assert await why_not(there.address, LONG) == ("unsupported", says)
        assert there.calls() == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, and a server's certificate for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture
def server_tls(certificates: Certificates) -> ssl.SSLContext:
    """What the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    return context


async def test_a_server_that_the_ca_signed_is_trusted(certificates: Certificates, server_tls: ssl.SSLContext) -> None:
    """The same calls over TLS."""
    trust = ssl.create_default_context(cafile=str(certificates.ca))
    async with fake({55: say(QUORUM)}, server_tls) as there, Kafka([there.address], kind="broker", tls=trust) as kafka:
        assert (await kafka.describe_quorum()).leader == 1000


async def test_the_name_of_a_certificate_may_be_told(certificates: Certificates, server_tls: ssl.SSLContext) -> None:
    """A server that is asked by its address shows the certificate of its name: that one has to be in it, and only
    that one.
    """
    trust = ssl.create_default_context(cafile=str(certificates.ca))
    async with fake({55: say(QUORUM)}, server_tls) as there:
        by_name = Address("localhost", there.address.port)
        async with Kafka([by_name], kind="broker", tls=trust, tls_name="127.0.0.1") as kafka:
            assert (await kafka.describe_quorum()).leader == 1000
        for named in ("", "kafka-0.kafka"):
            asked = by_name if not named else there.address
            async with Kafka([asked], kind="broker", tls=trust, tls_name=named, bounds=LONG) as kafka:
                with pytest.raises(KafkaError) as caught:
                    await kafka.describe_quorum()
            assert (caught.value.outcome, "mismatch" in str(caught.value)) == ("tls", True)


async def test_a_server_of_another_ca_is_not(server_tls: ssl.SSLContext, tmp_path: Path) -> None:
    """Nothing is sent to it, no login either."""
    trust = ssl.create_default_context(cafile=str(make_certificates(tmp_path, "other").ca))
    async with fake({}, server_tls) as there:
        found = await why_not(there.address, LONG, tls=trust, login=Login("PLAIN", "a", "b"))
        assert (found[0], "certificate" in found[1], there.asked) == ("tls", True, [])


async def test_tls_towards_a_listener_without_is_said(certificates: Certificates) -> None:
    """A plain listener reads the hello as a size that it does not take, and closes."""
    trust = ssl.create_default_context(cafile=str(certificates.ca))

    async def closes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(closes, "127.0.0.1", 0)
    async with listening:
        there = Address(*listening.sockets[0].getsockname()[:2])
        assert (await why_not(there, LONG, tls=trust))[0] == "tls"


TAKEN = say(find("SaslHandshakeResponse", "taken").raw)
ADMIN = {
    "scram 256": Login("SCRAM-SHA-256", "admin", "secret"),
    "scram 512": Login("SCRAM-SHA-512", "ad,min", "sécret"),
}


@pytest.mark.parametrize("login", ADMIN.values(), ids=ADMIN.keys())
async def test_scram_logs_in(login: Login) -> None:
    """The server checks the proof, and this side checks the server's; then the first call follows."""
    answers = Doorman(login.user.replace(",", "=2C"), login.password).answers({55: say(QUORUM)})
    async with fake(answers) as there, Kafka([there.address], kind="broker", login=login) as kafka:
        await kafka.describe_quorum()
        assert there.calls() == [17, 36, 36, 55]


PLAIN = Login("PLAIN", "admin", "secret")
LOGGED = say(find("SaslAuthenticateResponse", "taken").raw)


async def test_plain_logs_in() -> None:
    """One message with the name and the password."""
    async with (
        fake({17: TAKEN, 36: LOGGED, 55: say(QUORUM)}) as there,
        Kafka([there.address], kind="broker", login=PLAIN) as kafka,
    ):
        await kafka.describe_quorum()
        sent = [request.body for request in there.asked if request.key == 36]
    assert sent == [find("SaslAuthenticateRequest", "plain").raw]


SCRAM = ADMIN["scram 256"]
FAILURES = {
    "a wrong password": (
        SCRAM,
        Doorman("admin", "other").answers({}),
        "SASL_AUTHENTICATION_FAILED (58): Authentication failed: Invalid username or password",
    ),
    "a server without the password": (
        SCRAM,
        Doorman("admin", "secret", wrong=b"v=AAAA").answers({}),
        "the server's login answer has no proof that it knows the password: another server, or other credentials",
    ),
    "a plain login refused": (
        PLAIN,
        {17: TAKEN, 36: say(find("SaslAuthenticateResponse", "not taken").raw)},
        "SASL_AUTHENTICATION_FAILED (58): Authentication failed: Invalid username or password",
    ),
    "another mechanism": (
        PLAIN,
        {17: say(find("SaslHandshakeResponse", "another mechanism").raw)},
        "it takes GSSAPI, not PLAIN",
    ),
}


@pytest.mark.parametrize(("login", "answers", "says"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_login_that_fails_is_one_outcome(login: Login, answers: dict[int, Answer], says: str) -> None:
    """The server's reason is shown, the password is not, and no call is made."""
    async with fake({**answers, 55: say(QUORUM)}) as there:
        assert await why_not(there.address, LONG, login=login) == ("sasl", says)
        assert there.calls().count(55) == 0


async def test_a_login_is_renewed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server closes a connection whose login has ended (KIP-368): the next call has another one, a fifth earlier."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    answers = {17: TAKEN, 36: LOGGED, 55: say(QUORUM)}
    async with fake(answers) as there, Kafka([there.address], kind="broker", login=PLAIN) as kafka:
        found = []
        for later in (0, 2879, 2890):
            monkeypatch.setattr(loop, "time", lambda later=later: begun + later)
            await kafka.describe_quorum()
            found.append(there.connections)
    assert found == [1, 1, 2]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("kafka-0.kafka:9093", Address("kafka-0.kafka", 9093)),
        ("10.0.0.1:1", Address("10.0.0.1", 1)),
        ("[2001:db8::1]:65535", Address("2001:db8::1", 65535)),
    ],
    ids=["name", "ipv4", "ipv6"],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    """As in Kafka's own settings."""
    assert (Address.parse(text), str(address)) == (address, text)


@pytest.mark.parametrize(
    "text", ["", "kafka", ":9093", "kafka:", "kafka:0", "kafka:65536", "kafka:x", "2001:db8::1:9093", "k:²"]
)
def test_what_is_no_address_is_said(text: str) -> None:
    """Host and port, both, and no guessing where an IPv6 address ends."""
    with pytest.raises(ValueError, match="is not host:port"):
        Address.parse(text)
