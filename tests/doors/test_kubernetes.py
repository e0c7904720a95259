"""The door to the Kubernetes API: every outcome in a closed set of words, bounded, with credentials that rotate."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import live
from peerboot.model import Live
from peerboot.outside import kubernetes
from peerboot.outside.kubernetes import Kubernetes, KubernetesError, base_of
from tests.doors import hostile
from tests.doors.api_contract import Contract, Place, outcome, pod
from tests.doors.api_server import ApiServer, Certificates, Manners, api_server, make_certificates, reply
from tests.doors.hostile import no_one

FIRST, SECOND = "first.token.sig", "second.token.sig"
GET = "get statefulsets/db"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Certificates]:
    """Two that do not trust one another."""
    folder = tmp_path_factory.mktemp("certificates")
    return make_certificates(folder, "one"), make_certificates(folder, "two")


@pytest.fixture
async def server(certificates: tuple[Certificates, Certificates]) -> AsyncIterator[ApiServer]:
    """An API server that knows the first token."""
    async with api_server(certificates[0], FIRST) as there:
        yield there


@pytest.fixture
def account(certificates: tuple[Certificates, Certificates], tmp_path: Path) -> Path:
    """What is projected into the Pod."""
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text(FIRST + "\n")
    shutil.copy(certificates[0].ca, folder / "ca.crt")
    return folder


@pytest.fixture
def place(server: ApiServer, account: Path, certificates: tuple[Certificates, Certificates]) -> Place:
    """For the contract."""
    return Place(server.base, account, certificates[1].ca)


@pytest.fixture
def door(place: Place) -> Kubernetes:
    """A client of the server."""
    return place.door


@contextmanager
def short(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> Iterator[None]:
    """A request may take less time than in a Pod."""
    with monkeypatch.context() as patch:
        patch.setattr(kubernetes, "TIMEOUT", seconds)
        yield


class TestContract(Contract):
    """The model of the API."""


# -------------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({}, ""),
        ({"KUBERNETES_SERVICE_PORT": "443"}, ""),
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, "https://10.96.0.1:6443"),
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "https://10.96.0.1:443"),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "https://[fd00::1]:443"),
    ],
)
def test_where_the_api_is_the_kubelet_says(environ: dict[str, str], base: str) -> None:
    """The two variables of every container; none of them outside of a cluster."""
    assert base_of(environ) == base


async def test_outside_of_a_cluster_every_request_says_so(account: Path) -> None:
    """Nothing is read or opened."""
    said = "KUBERNETES_SERVICE_HOST is not set, so this is no Pod of a cluster"
    assert await outcome(Kubernetes("", "prod", account=account)) == ("no-cluster", said)


@pytest.mark.parametrize(
    ("name", "content", "found", "say"),
    [
        ("token", None, "no-token", "token is not there: project it into peerboot's container"),
        ("token", b"", "no-token", "token holds no token"),
        ("token", b"two words", "no-token", "token holds no token"),
        ("token", b"a\r\nX-Evil: 1", "no-token", "token holds no token"),
        ("token", b"\xff", "no-token", "token holds no token"),
        ("token", b"x" * 70000, "no-token", "token cannot be read: it is longer than 65536 bytes"),
        ("ca.crt", None, "no-ca", "ca.crt is not there: project it into peerboot's container"),
        ("ca.crt", b"", "no-ca", "ca.crt holds no certificate"),
        ("ca.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no-ca", "holds no certificate"),
        ("ca.crt", b"\xff", "no-ca", "ca.crt holds no certificate"),
    ],
)  # fmt: skip
async def test_credentials_that_are_none_are_named(
    server: ApiServer, door: Kubernetes, account: Path, name: str, content: bytes | None, found: str, say: str
) -> None:
    """Which file and what to do; nothing goes out."""
    (account / name).unlink()
    if content is not None:
        (account / name).write_bytes(content)
    got, said = await outcome(door)
    assert (got, said.endswith(say), server.heads) == (found, True, [])


@pytest.mark.parametrize(
    ("status", "body", "found", "say"),
    [
        (401, b"", "unauthorized", "401: the API does not accept the token in ACCOUNT/token"),
        (403, b"{}", "forbidden", f"403: this Pod may not {GET} in prod: a Role with that verb is not bound"),
        (404, b"{}", "not-found", "404: there is no statefulsets/db in prod"),
        (409, b"{}", "conflict", "409: statefulsets/db was changed by somebody else"),
        (422, b'{"message": "is invalid"}', "invalid", "the API answered HTTP 422 to get statefulsets/db (is invalid)"),
        (429, b"[]", "server", "the API answered HTTP 429 to get statefulsets/db"),
        (500, b"\xff", "server", "the API answered HTTP 500 to get statefulsets/db"),
        (503, b'{"message": "no\\nleader"}', "server", "the API answered HTTP 503 to get statefulsets/db (no leader)"),
        (504, b"[" * 100000, "server", "the API answered HTTP 504 to get statefulsets/db"),
        (302, b"", "other", "the API answered HTTP 302 to get statefulsets/db"),
    ],
)  # fmt: skip
async def test_each_status_has_its_word(
    server: ApiServer, door: Kubernetes, account: Path, status: int, body: bytes, found: str, say: str
) -> None:
    """One line each, whatever the body is; one attempt."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body, status))
        await writer.drain()

    server.manners = answer
    assert await outcome(door) == (found, say.replace("ACCOUNT", str(account)))
    assert len(server.heads) == 1


async def hang(_writer: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await asyncio.sleep(30)


async def flood(writer: asyncio.StreamWriter) -> None:
    """More than anybody wants."""
    writer.write(reply(b"", length=1 << 30))
    for _ in range(1 << 14):
        writer.write(b"x" * 65536)
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte now and then."""
    writer.write(reply(b"{", length=1000))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def cut(writer: asyncio.StreamWriter) -> None:
    """Half of it."""
    writer.write(reply(b"{", length=1000))
    await writer.drain()


async def noise(writer: asyncio.StreamWriter) -> None:
    """Another protocol."""
    writer.write(b"SSH-2.0-OpenSSH\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("manners", "say"),
    [
        (hang, "no answer in 0.3 s"),
        (drip, "no answer in 0.3 s"),
        (flood, "a body larger than 1048576 bytes"),
        (cut, "its body broke off"),
        (noise, "it answered something that is not HTTP"),
    ],
)
async def test_bad_manners_are_bounded(
    server: ApiServer, door: Kubernetes, monkeypatch: pytest.MonkeyPatch, manners: Manners, say: str
) -> None:
    """In time and bytes, with one attempt."""
    server.manners = manners
    with short(monkeypatch):
        async with asyncio.timeout(5):
            assert await outcome(door) == ("silent", f"127.0.0.1:{server.port}: {say}")
    assert len(server.heads) == 1


async def test_nobody_listens(account: Path) -> None:
    """Refused, at once."""
    with no_one() as (address, port):
        found = await outcome(Kubernetes(f"https://{address}:{port}", "prod", account=account))
    assert found == ("refused", f"{address}:{port}: connection refused")


async def test_a_handshake_that_hangs_is_bounded(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that is frozen accepts connections and says nothing."""
    async with hostile.server(hostile.silence) as frozen:
        with short(monkeypatch):
            async with asyncio.timeout(5):
                found = await outcome(Kubernetes(f"https://127.0.0.1:{frozen.port}", "prod", account=account))
        await frozen.gone.wait()
    assert found == ("silent", f"127.0.0.1:{frozen.port}: no answer in 0.3 s")


async def test_a_server_without_tls_is_not_trusted(account: Path) -> None:
    """The token is not sent in the clear."""
    got: list[bytes] = []
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        found, said = await outcome(Kubernetes(f"https://127.0.0.1:{port}", "prod", account=account))
        await ended.wait()
    assert (found, "wrong version number" in said, FIRST.encode() in got[0]) == ("tls", True, False)


async def test_a_certificate_for_another_address_is_not_trusted(server: ApiServer, account: Path) -> None:
    """The CA is right, the name is not."""
    found, said = await outcome(Kubernetes(f"https://localhost:{server.port}", "prod", account=account))
    assert (found, "hostname mismatch" in said, server.heads) == ("tls", True, [])


# ----------------------------------------------------------------- credentials


async def test_the_token_is_read_anew_for_each_request(server: ApiServer, door: Kubernetes, account: Path) -> None:
    """The kubelet rotates it, by another file under the same name."""
    await door.stateful_set("db")
    server.tokens = {SECOND}
    assert (await outcome(door))[0] == "unauthorized"
    (account / "new").write_text(SECOND)
    (account / "new").replace(account / "token")
    assert live.read(await door.stateful_set("db"), pod(), 1.0).state == "known"


async def test_a_ca_that_changes_counts_at_the_next_request(
    server: ApiServer, door: Kubernetes, account: Path, certificates: tuple[Certificates, Certificates]
) -> None:
    """The cluster's CA is rotated: until the new one is projected its server is not trusted, then it is."""
    await door.stateful_set("db")
    server.present(certificates[1])
    assert (await outcome(door))[0] == "tls"
    shutil.copy(certificates[1].ca, account / "ca.crt")
    assert live.read(await door.stateful_set("db"), pod(), 1.0).state == "known"
    server.present(certificates[0])
    assert (await outcome(door))[0] == "tls"


async def test_the_request_names_its_maker_and_nothing_else(server: ApiServer, door: Kubernetes) -> None:
    """Path, token, and a user agent for the audit log."""
    await door.stateful_set("db")
    lines = server.heads[0].decode().split("\r\n")
    assert lines[0] == "GET /apis/apps/v1/namespaces/prod/statefulsets/db HTTP/1.1"
    assert sorted(line.partition(":")[0] for line in lines[1:] if line) == [
        "Accept",
        "Authorization",
        "Host",
        "User-Agent",
    ]


# --------------------------------------------------------------------- telling


async def test_trouble_is_said_once_and_its_end_once(server: ApiServer, account: Path) -> None:
    """However often it is asked; what concerns one resource does not speak for the others."""
    warned: list[str] = []
    told: list[str] = []
    door = Kubernetes(server.base, "prod", account=account, warn=warned.append, tell=told.append)
    for weather in ("broken", "broken", "unauthorized", "broken"):
        server.api.weather = weather
        with pytest.raises(KubernetesError):
            await door.stateful_set("db")
    assert [line.split(": ")[1].split(" ")[0] for line in warned] == ["the", "401"]
    server.api.weather = "fine"
    await door.stateful_set("db")
    await door.stateful_set("db")
    assert told == ["The Kubernetes API answers again: get statefulsets/db."]
    for _ in range(2):
        await outcome(door, "web")
        await door.stateful_set("db")
    assert (len(warned), len(told)) == (3, 1)


# ------------------------------------------------------------------------ Live


KNOWN = Live(state="known", replicas=3, pods=3, settled=True, ordered=True, uid="u-1", at=5.0)


def stateful_set(**more: object) -> dict[str, object]:
    """As the API writes one of three replicas."""
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "prod", "uid": "u-1", "generation": 2},
        "spec": {"replicas": 3},
        "status": {"replicas": 3, "observedGeneration": 2},
        **more,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"spec": {}}, {"replicas": 1}),
        ({"spec": {"replicas": 0}}, {"replicas": 0}),
        ({"spec": {"replicas": 5, "ordinals": {"start": 3}}}, {"replicas": 5, "start": 3}),
        ({"spec": {"replicas": 3, "ordinals": {}}}, {}),
        ({"spec": {"replicas": 3, "podManagementPolicy": "OrderedReady"}}, {}),
        ({"spec": {"replicas": 3, "podManagementPolicy": "Parallel"}}, {"ordered": False}),
        ({"status": {"replicas": 5, "observedGeneration": 1}}, {"pods": 5, "settled": False}),
        ({"status": {"replicas": 3}}, {"settled": False}),
        ({"status": {"observedGeneration": 2}}, {"pods": 0, "settled": False}),
        ({"status": None}, {"pods": 0, "settled": False}),
        ({"metadata": {"name": "db", "namespace": "prod", "uid": "u-1"}}, {"settled": False}),
        (
            {"metadata": {"name": "db", "namespace": "prod", "uid": "u-1", "generation": 2, "deletionTimestamp": "x"}},
            {"deleting": True},
        ),
    ],
)
def test_a_stateful_set_is_read_by_the_apis_own_defaults(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """What is left out means what the API means by it; a status that lags behind is no number of Pods to act by."""
    right = msgspec.structs.replace(KNOWN, **expected)
    assert right == live.read(msgspec.json.encode(stateful_set(**given)), pod(), 5.0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100000,
        b'{"kind": "Status", "metadata": {}, "spec": {}}',
        *(
            b'{"kind":"StatefulSet","metadata":{"name":"db","namespace":"prod"},"spec":{"replicas":%s}}' % number
            for number in (b"-1", b"3.0", b'"3"', b"true", b"1e99", b"99999999999", b"{}")
        ),
        b'{"kind":"StatefulSet","metadata":{"name":"db","namespace":"prod"}}',
        b'{"kind":"StatefulSet","metadata":{"name":"db","namespace":"test"},"spec":{"replicas":1}}',
        b'{"kind":"StatefulSet","metadata":{"name":"web","namespace":"prod"},"spec":{"replicas":1}}',
    ],
)
def test_garbage_is_unknown_and_never_a_number(content: bytes) -> None:
    """It has a reason in one line, and what was known before stays known."""
    found = live.read(content, pod(), 9.0)
    assert (found.state, found.replicas, found.at) == ("unknown", 0, 0.0)
    assert (found.reason != "", found.reason.isprintable()) == (True, True)
    kept = live.newer(KNOWN, found, 9.0)
    assert (kept.state, kept.replicas, kept.at, kept.reason) == ("known", 3, 5.0, found.reason)


def test_of_two_questions_the_later_one_counts() -> None:
    """An answer that was long under way replaces no newer one, be it good or bad."""
    late = Live(state="known", replicas=5, at=4.0)
    assert [live.newer(KNOWN, late, 4.0), live.newer(KNOWN, Live(state="unknown", reason="x"), 4.0)] == [KNOWN, KNOWN]


def test_nothing_is_loaded_unless_a_setting_asks() -> None:
    """A container without one of the three settings never imports this door."""
    program = (
        "import sys, peerboot.container, peerboot.run, peerboot.serve, peerboot.view\n"
        "print([m for m in sys.modules if m in ('peerboot.outside.kubernetes', 'peerboot.live', 'peerboot.events')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"
