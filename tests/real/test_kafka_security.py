"""Sets of real Kafkas with TLS and logins on every listener: they form, heal, and let in whom they should."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from peerboot.lab import jars
from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from peerboot.lab.sets import BROKER_SERVICE, CONTROLLER_SERVICE
from peerboot.outside.kafka import Address, Bounds, Kafka, KafkaError
from peerboot.outside.kafka.values import Quorum
from tests.real import kafka_secrets as secrets_of
from tests.real.kafka_scenes import PATIENT, TOPIC, all_serve, own, run_tool, two_sets, writing
from tests.real.kafka_secrets import NASTY, SECURE_PORT, USER, ZONE, Secrets, controllers, secret_files
from tests.real.scenes import MakeLab

RECORDS = "20"


async def _quorum(lab: Lab, secrets: Secrets, *, sasl: bool = True) -> Quorum:
    async with asyncio.timeout(60):
        while True:
            async with controllers(lab, secrets, sasl=sasl) as kafka:
                try:
                    return await kafka.describe_quorum()
                except KafkaError:
                    await asyncio.sleep(0.3)


async def _voters(lab: Lab, secrets: Secrets, *, sasl: bool = True) -> dict[int, str]:
    """Each voter with the directory id of its own disk."""
    found = {one.id: one.directory for one in (await _quorum(lab, secrets, sasl=sasl)).voters}
    assert {o: own(lab, o)["directory.id"] for o in lab.ordinals} == found
    return found


async def _written_and_read(lab: Lab, config: Path, group: str) -> tuple[int, int]:
    """Records that Kafka's own producer has acknowledged, and those that its consumer finds."""
    told = await run_tool(
        lab, "kafka-run-class.sh", "org.apache.kafka.tools.VerifiableProducer", "--topic", TOPIC, "--max-messages",
        RECORDS, "--acks", "-1", "--producer.config", str(config),
    )  # fmt: skip
    read = await run_tool(
        lab, "kafka-run-class.sh", "org.apache.kafka.tools.VerifiableConsumer", "--topic", TOPIC, "--group-id", group,
        "--max-messages", RECORDS, "--reset-policy", "earliest", "--verbose", "--consumer.config", str(config),
    )  # fmt: skip
    return _count(told, "producer_send_success"), _count(read, "record_data")


def _count(text: str, name: str) -> int:
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return sum(json.loads(line).get("name") == name for line in lines)


async def _make_topic(lab: Lab, config: Path) -> None:
    await run_tool(
        lab, "kafka-topics.sh", "--create", "--topic", TOPIC, "--partitions", "1", "--replication-factor", "3",
        "--command-config", str(config),
    )  # fmt: skip


def _env(secrets: Secrets, security: str, **more: str) -> Mapping[str, str]:
    found = {"PEERBOOT_KAFKA_SECURITY": security}
    found |= {"PEERBOOT_KAFKA_TLS_DIR": str(secrets.tls)} if security.endswith("SSL") else {}
    found |= {"PEERBOOT_KAFKA_USERS_DIR": str(secrets.users)} if security.startswith("SASL") else {}
    return {**found, **{f"PEERBOOT_KAFKA_{name}": value for name, value in more.items()}}


@pytest.fixture
def secrets(short_root: Path) -> Secrets:
    """Of a new CA."""
    return secrets_of.make(short_root / "secrets")


async def test_tls_and_scram_on_every_listener(make_lab: MakeLab, either_kafka: Server, secrets: Secrets) -> None:
    """Three form, controllers by PLAIN and brokers by SCRAM, both in TLS, with a password that no quoting may spoil; a
    user of the Secret writes and reads; a lost disk joins and votes again; all crash and come back. No log, no plan and
    no file that others may read has a password in it.
    """
    env = _env(secrets, "SASL_SSL", LISTENERS=f"EXTERNAL:SASL_SSL:{SECURE_PORT}")
    async with make_lab(either_kafka, env=env) as lab:
        await lab.start()
        await lab.until_ready(PATIENT)
        before = await _voters(lab, secrets)
        client = secrets.client("SASL_SSL")
        await _make_topic(lab, client)
        assert await _written_and_read(lab, client, "one") == (20, 20)
        assert secret_files(lab, 0) == dict.fromkeys(("keystore.pem", "scram", "server.properties"), "0o600")
        plan = await lab.pods[0].run("plan")
        await lab.wipe(1)
        await lab.until_ready(PATIENT)
        after = await _voters(lab, secrets)
        assert [after[o] == before[o] for o in lab.ordinals] == [True, False, True]
        await asyncio.gather(*(lab.crash(ordinal) for ordinal in lab.ordinals))
        await lab.until_ready(PATIENT)
        assert await _voters(lab, secrets) == after
        logs = "".join(lab.log(o, name) for o in lab.ordinals for name in ("peerboot", "server"))
        texts = (logs, str(plan), (lab.pods[0].output / "decision.json").read_text())
        shown = [
            word
            for word in (NASTY, "e]c'r", "orders' own", "PRIVATE KEY", "saltedpassword")
            for t in texts
            if word in t
        ]
        assert shown == []


async def test_a_pod_with_another_password(make_lab: MakeLab, kafka: Server, secrets: Secrets) -> None:
    """It says whose server does not let it in, and why; the others serve on. With the right one again it is ready."""
    async with make_lab(kafka, env=_env(secrets, "SASL_PLAINTEXT")) as lab:
        await lab.start()
        await lab.until_ready(PATIENT)
        wrong = secrets.folder / "wrong"
        shutil.copytree(secrets.users, wrong)
        (wrong / USER).write_text("not it")
        await lab.crash(2, recreate=False)
        lab.pod_env[2] = {"PEERBOOT_KAFKA_USERS_DIR": str(wrong)}
        await lab.create(2)

        async def says_why() -> bool:
            told = str(await lab.pods[2].run("status"))
            return "The server of db-0 does not let peerboot in:" in told and "Authentication failed" in told

        await lab.until("it says why", says_why, PATIENT)
        # The Pod that was killed may have led: the others elect another leader meanwhile.
        await lab.until_ready(PATIENT, only=(0, 1))
        assert await lab.ready(2) is False
        await lab.crash(2, recreate=False)
        del lab.pod_env[2]
        await lab.create(2)
        await lab.until_ready(PATIENT)


@pytest.mark.parametrize("version", [jars.VERSIONS[0], jars.VERSIONS[-1]])
async def test_certificates_on_both_sides(make_lab: MakeLab, version: str, secrets: Secrets) -> None:
    """With SSL nobody without a certificate is let in; a client with one writes and reads. A lost disk joins. When the
    Secret has another certificate it is written for the server, which shows it after its next start.
    """
    more = {"LISTENERS": f"EXTERNAL:SSL:{SECURE_PORT}", "CLIENT_AUTH": "required"}
    async with make_lab(jars.find(version), env=_env(secrets, "SSL", **more)) as lab:
        await lab.start()
        await lab.until_ready(PATIENT)
        before = await _voters(lab, secrets, sasl=False)
        client = secrets.client("SSL")
        await _make_topic(lab, client)
        assert await _written_and_read(lab, client, "one") == (20, 20)
        nobody = ssl.create_default_context(cafile=str(secrets.tls / "ca.crt"))
        bounds = Bounds(open=5, read=5, call=5)
        for port in (9092, 9093, SECURE_PORT):
            where = [Address(lab.pods[0].spec.address, port)]
            async with Kafka(where, kind="broker", tls=nobody, tls_name=ZONE, bounds=bounds) as kafka:
                with pytest.raises(KafkaError):
                    await kafka.versions()
        await lab.wipe(2)
        await lab.until_ready(PATIENT)
        after = await _voters(lab, secrets, sasl=False)
        assert [after[o] == before[o] for o in lab.ordinals] == [True, True, False]
        old = await _shown(lab, secrets)
        store = lab.pods[0].output / "keystore.pem"
        kept = store.read_text()
        secrets_of.certify(secrets)

        async def written() -> bool:
            return store.read_text() != kept

        await lab.until("the new certificate is written", written)
        assert await _shown(lab, secrets) == old
        lab.kill(0)
        await lab.until("the server shows it", lambda: _differs(lab, secrets, old), PATIENT)
        await lab.until_ready(PATIENT)


@pytest.mark.parametrize(("security", "version"), [("SASL_SSL", jars.VERSIONS[-1]), ("SSL", jars.VERSIONS[0])])
@pytest.mark.row(18)
async def test_controllers_and_brokers_as_two_sets(
    make_lab: MakeLab, short_root: Path, security: str, version: str
) -> None:
    """Each set has a certificate for its own names only, of one CA. Both form; while a client writes with acks=all over
    TLS a broker and a controller lose their disks: the one comes back, the other votes again. All crash at once and
    come back: only the lost disks have other directory ids, and no record is missing.
    """
    ours = secrets_of.make(short_root / "ours", f"{CONTROLLER_SERVICE}.lab.svc.cluster.local")
    theirs = secrets_of.beside(ours, short_root / "theirs", f"{BROKER_SERVICE}.lab.svc.cluster.local")
    sasl, kafka = security.startswith("SASL"), jars.find(version)
    async with two_sets(make_lab, kafka, _env(theirs, security), _env(ours, security)) as (controlling, brokers):
        await brokers.start()
        await controlling.start()
        await controlling.until_ready(PATIENT)
        await brokers.until_ready(PATIENT)
        votes = await _voters(controlling, ours, sasl=sasl)
        disks = {o: own(brokers, o)["directory.id"] for o in brokers.ordinals}
        async with writing(brokers, theirs.client(security)) as writer:
            await asyncio.gather(brokers.wipe(1), controlling.wipe(2))
            await controlling.until_ready(PATIENT)
            await brokers.until_ready(PATIENT)
        after = await _voters(controlling, ours, sasl=sasl)
        assert [after[o] == votes[o] for o in controlling.ordinals] == [True, True, False]
        both = ((lab, ordinal) for lab in (brokers, controlling) for ordinal in lab.ordinals)
        await asyncio.gather(*(lab.crash(ordinal) for lab, ordinal in both))
        await controlling.until_ready(PATIENT)
        await all_serve(brokers)
        assert await _voters(controlling, ours, sasl=sasl) == after
        assert [own(brokers, o)["directory.id"] == disks[o] for o in brokers.ordinals] == [True, False, True]
        assert await writer.missing() == []


async def _shown(lab: Lab, secrets: Secrets) -> str:
    """The serial number of what a broker shows; empty while it does not."""
    try:
        _, writer = await asyncio.open_connection(
            lab.pods[0].spec.address, 9092, ssl=secrets.trust, server_hostname=ZONE
        )
    except OSError:
        return ""
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return str(found)


async def _differs(lab: Lab, secrets: Secrets, old: str) -> bool:
    return await _shown(lab, secrets) not in ("", old)
