"""A set of real Postgres whose servers and peerboots speak TLS with each other."""

from __future__ import annotations

import subprocess
from pathlib import Path

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real import kafka_secrets
from tests.real.postgres_scenes import PATIENT, formed, settled, sql, switched, writing
from tests.real.scenes import MakeLab

ENCRYPTED = (
    "SELECT application_name || ' ' || ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) "
    "WHERE state = 'streaming' ORDER BY 1"
)


async def test_servers_verify_each_other(make_lab: MakeLab, postgres: Server, tmp_path: Path) -> None:
    """Three form, a lost disk is copied and the writes move, all in TLS, verified by the Pods' names. Certificates that
    are renewed while they run are served within seconds, without a restart.
    """
    secrets = kafka_secrets.make(tmp_path)
    async with make_lab(postgres, env={"PEERBOOT_POSTGRES_TLS_DIR": str(secrets.tls)}) as lab:
        await formed(lab)
        async with writing(lab) as writer:
            await lab.wipe(1)
            await lab.until_ready(PATIENT)
            assert await sql(lab, 0, ENCRYPTED) == ["db_1 true", "db_2 true"]
            await switched(lab, 2)
            await lab.until("it takes the writes", lambda: _encrypted(lab, 2, ["db_0 true", "db_1 true"]), PATIENT)
            before = [_served(lab, ordinal) for ordinal in lab.ordinals]
            kafka_secrets.certify(secrets)
            await lab.until("others are served", lambda: _renewed(lab, before), PATIENT)
            await writer.grows()
        await settled(lab, 2)
        assert [lab.pods[ordinal].server.starts for ordinal in (1, 2)] == [1, 1]


async def _encrypted(lab: Lab, ordinal: int, expected: list[str]) -> bool:
    return await sql(lab, ordinal, ENCRYPTED) == expected


async def _renewed(lab: Lab, before: list[str]) -> bool:
    return all(_served(lab, ordinal) != old for ordinal, old in zip(lab.ordinals, before, strict=True))


def _served(lab: Lab, ordinal: int) -> str:
    """The certificate that a server shows, in PEM."""
    asked = subprocess.run(  # noqa: S603 - the lab's own server
        ["openssl", "s_client", "-starttls", "postgres", "-connect", lab.client_address(ordinal)],  # noqa: S607
        input=b"", capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    text = asked.stdout.decode("utf-8", "replace")
    return text[text.index("-----BEGIN CERTIFICATE") : text.index("-----END CERTIFICATE")]
