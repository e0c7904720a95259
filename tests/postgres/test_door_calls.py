"""The calls that change something, by the least role, on real servers of four releases; TLS on the one that has it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerboot.lab.network import Network
from peerboot.lab.postgres import VERSIONS
from peerboot.outside import postgres
from peerboot.outside.postgres import SLOT_IN_USE, How, PostgresError
from peerboot.systems.postgres import datadir
from tests.doors.api_server import Certificates, make_certificates
from tests.postgres.door import HOW, become_standby, caught_up, look, read_again, set_up, standby_of, until
from tests.postgres.server import PORT, Postgres
from tests.postgres.test_config import ODD

NAME = "pg-1.pg.prod.svc.cluster.local"
WITH_TLS = "17"
"""The wheels of 16 and 18 have no OpenSSL."""


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path: Path, network: Network) -> Iterator[Postgres]:
    """A primary."""
    found = set_up(request.param, tmp_path / "first", network)
    yield found
    found.kill()


async def test_slots_are_made_and_dropped(server: Postgres, tmp_path: Path, network: Network) -> None:
    """Once each: what is there, or gone, is no error, and not one in the server's log either."""
    place = (server.address, PORT)
    assert [await postgres.make_slot(*place, "pg_1", **HOW) for _ in range(2)] == [True, False]
    (made,) = (await look(server)).slots
    assert (made.name, made.active, made.wal_status, made.physical) == ("pg_1", False, "reserved", True)
    assert [await postgres.drop_slot(*place, "pg_1", **HOW) for _ in range(2)] == [True, False]
    standby = standby_of(server, tmp_path / "second", network)
    try:
        standby.start()
        await until(server, lambda seen: any(slot.active for slot in seen.slots))
        assert "ERROR" not in server.log
        with pytest.raises(PostgresError) as caught:
            await postgres.drop_slot(*place, "pg_1", **HOW)
    finally:
        standby.kill()
    assert (caught.value.kind, caught.value.code, caught.value.sent) == ("sql", SLOT_IN_USE, False)


async def test_settings_are_read_again(server: Postgres) -> None:
    """Soon after, and when it did is seen."""
    before = await look(server)
    await postgres.reload(server.address, PORT, **HOW)
    seen = await until(server, lambda seen: seen.loaded > before.loaded)
    assert seen.started == before.started


async def test_a_checkpoint_is_waited_for(server: Postgres) -> None:
    """Before a rewind: its control file has the new timeline then."""
    redo = "SELECT redo_lsn FROM pg_control_checkpoint()"
    before = server.sql(redo)
    await postgres.checkpoint(server.address, PORT, **HOW)
    assert server.sql(redo) != before


async def test_a_promotion_is_waited_for(server: Postgres) -> None:
    """It takes writes when the call returns; one that does so already says that it is no standby."""
    server.stop()
    become_standby(server)
    server.start()
    await until(server, lambda seen: seen.settled)
    assert await postgres.promote(server.address, PORT, seconds=30, **HOW)
    server.sql("CREATE TABLE things AS SELECT 1")
    with pytest.raises(PostgresError, match=r"^recovery is not in progress \(SQLSTATE 55000\)$") as caught:
        await postgres.promote(server.address, PORT, seconds=30, **HOW)
    assert (caught.value.kind, caught.value.sent) == ("sql", False)


async def test_looks_in_the_middle_of_a_promotion(server: Postgres) -> None:
    """Each is of one role: a standby of the timeline before, or a primary of the new one."""
    server.stop()
    become_standby(server)
    server.start()
    first = await until(server, lambda seen: seen.settled)

    async def looks() -> set[tuple[bool, int]]:
        found = set()
        while True:
            seen = await look(server)
            found.add((seen.standby, seen.term))
            if not seen.standby:
                return found

    promotion = asyncio.create_task(postgres.promote(server.address, PORT, seconds=30, **HOW))
    found = await asyncio.gather(looks(), looks(), looks())
    assert await promotion
    assert set().union(*found) - {(True, first.term), (False, first.term + 1)} == set()


# ----------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of one Pod: it names the host by which others find it, and no address."""
    return make_certificates(tmp_path_factory.mktemp("tls"), "ours", f"127.9.9.9,DNS:{NAME}")


@pytest.fixture
def secured(tmp_path: Path, network: Network, certificates: Certificates) -> Iterator[Postgres]:
    """One that lets in by TLS alone."""
    server = set_up(
        WITH_TLS, tmp_path / "first", network,
        ssl="on", ssl_cert_file=str(certificates.chain), ssl_key_file=str(certificates.key),
    )  # fmt: skip
    path = server.data_dir / "pg_hba.conf"
    # The test's own line below lets in everybody.
    path.write_text(
        "hostnossl postgres peerboot all reject\n"
        + path.read_text().replace("host postgres peerboot all", "hostssl postgres peerboot all")
    )
    read_again(server)
    yield server
    server.kill()


def secure(ca: Path, name: str = NAME) -> How:
    """With whom to trust, and which name."""
    return How(password=ODD, tls=ssl.create_default_context(cafile=str(ca)), timeout=HOW["timeout"], name=name)


async def test_a_certificate_has_to_name_the_pod(secured: Postgres, certificates: Certificates, tmp_path: Path) -> None:
    """Whatever address it is asked at; another's, or one that another CA signed, is refused."""
    place = (secured.address, PORT)
    seen = await postgres.look(*place, **secure(certificates.ca))
    assert (seen.standby, seen.ordinary) == (False, False)
    other = make_certificates(tmp_path, "other")
    refused = []
    for how in (secure(certificates.ca, "pg-2.pg"), secure(certificates.ca, ""), secure(other.ca)):
        with pytest.raises(PostgresError) as caught:
            await postgres.look(*place, **how)
        refused.append((caught.value.kind, str(caught.value)))
    assert refused == [
        ("tls", "hostname mismatch, certificate is not valid for 'pg-2.pg'"),
        ("tls", f"ip address mismatch, certificate is not valid for '{secured.address}'"),
        ("tls", "unable to get local issuer certificate"),
    ]


async def test_who_does_not_speak_tls(secured: Postgres, certificates: Certificates) -> None:
    """Either side: its pg_hba.conf does not let in without, and nothing is sent to one that has none."""
    with pytest.raises(PostgresError, match=r"^pg_hba\.conf rejects connection for host .*, no encryption$") as caught:
        await look(secured)
    assert caught.value.kind == "hba"
    secured.stop()
    secured.start(ssl="off")
    secured.until_it_answers()
    with pytest.raises(PostgresError) as caught:
        await postgres.look(secured.address, PORT, **secure(certificates.ca))
    assert (caught.value.kind, str(caught.value)) == ("tls", "it does not speak TLS: ssl is off there")


async def test_who_has_all_of_a_primary_that_was_shut_down(server: Postgres, tmp_path: Path, network: Network) -> None:
    """A standby that copied it until its end is beyond what its directory tells; one that was down before the last
    write is not, and lacks that write.
    """
    server.sql("CREATE TABLE told (number int)")
    first, second = (standby_of(server, tmp_path / name, network, name) for name in ("one", "two"))
    try:
        for standby in (first, second):
            standby.start()
            await caught_up(standby, server)
        second.stop()
        server.sql("INSERT INTO told VALUES (1)")
        server.stop()
        end = datadir.end_of(datadir.read(server.data_dir))
        assert end is not None
        second.start()
        seen = [await until(standby, lambda found: found.settled) for standby in (first, second)]
        assert [(one.term, one.position >= end.position) for one in seen] == [(end.term, True), (end.term, False)]
        assert [standby.sql("SELECT count(*) FROM told") for standby in (first, second)] == ["1", "0"]
    finally:
        first.kill()
        second.kill()
