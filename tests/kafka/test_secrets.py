"""What becomes of mounted Secrets: files for the server, users at the format, connections, another certificate."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peerboot import settings
from peerboot.errors import SettingsError
from peerboot.look import diff
from peerboot.model import Decision, Finding, Plan, WriteFile
from peerboot.outside.http import Http
from peerboot.systems.kafka import assess, launch
from peerboot.systems.kafka.config import KafkaConfig
from peerboot.systems.kafka.prepared import Kafka
from peerboot.systems.kafka.spec import SYSTEM
from tests.doors.api_server import Certificates, make_certificates
from tests.kafka.container import Pod
from tests.kafka.fake import fake
from tests.kafka.fake_login import Doorman
from tests.kafka.test_config import identity
from tests.kafka.test_launch import INITIAL, JOIN, pod
from tests.kafka.test_listeners import made
from tests.kafka.test_prepared import facts
from tests.launch.container import PLAN

__all__ = ["pod"]
WAIT = Decision(kind="wait", rule="wait-for-all", reason="why")
SECRET = {"keystore.pem": 0o600, "truststore.pem": 0o640, "server.properties": 0o600, "launch.sh": 0o640}


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """``tls`` and ``users``."""
    _certify(tmp_path, make_certificates(tmp_path, "one"))
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "peerboot").write_text("hidden one")
    return tmp_path


def _certify(folder: Path, made: Certificates) -> None:
    (folder / "tls").mkdir(exist_ok=True)
    for name, path in (("tls.crt", made.chain), ("tls.key", made.key), ("ca.crt", made.ca)):
        shutil.copy(path, folder / "tls" / name)


def kafka(mounted: Path) -> Kafka:
    """Set up for the first of three, all secured."""
    environ = {
        "PEERBOOT_SYSTEM": "kafka", "PEERBOOT_SERVICE": "kafka", "POD_NAME": "kafka-0", "POD_NAMESPACE": "prod",
        "PEERBOOT_CENSUS_AUTH": "none", "PEERBOOT_OUTPUT_DIR": str(mounted), "PEERBOOT_KAFKA_SECURITY": "SASL_SSL",
        "PEERBOOT_KAFKA_TLS_DIR": str(mounted / "tls"), "PEERBOOT_KAFKA_USERS_DIR": str(mounted / "users"),
    }  # fmt: skip
    return SYSTEM.prepare(settings.read(environ, systems={"kafka": SYSTEM.settings}), identity(), {})


def written(plan: Plan) -> dict[str, WriteFile]:
    """By name, in order."""
    return {action.name: action for action in plan.actions if isinstance(action, WriteFile)}


def test_files_with_secrets_are_their_user_s_alone(mounted: Path) -> None:
    """The key and the passwords; what would change in them is in no plan."""
    files = written(kafka(mounted).plan(facts(), WAIT))
    assert {name: action.mode for name, action in files.items()} == SECRET
    shown = [line for action in files.values() for line in diff(facts(), action)]
    assert "keystore.pem would change; it holds secrets and is not shown" in shown
    assert [line for line in shown if "hidden" in line or "PRIVATE" in line] == []


async def test_another_certificate_is_taken_and_a_broken_one_is_not(mounted: Path) -> None:
    """While a Secret cannot be used, what was read before counts, and that is said."""
    there = kafka(mounted)
    contents = {name: action.content for name, action in written(there.plan(facts(), WAIT)).items()}
    (mounted / "tls" / "tls.crt").write_text("nothing")
    assert there.plan(facts(files=contents), WAIT).actions == ()
    [found] = await _findings(there)
    assert (found.name, found.pod, found.say.partition(": PEERBOOT_KAFKA_TLS_DIR")[0]) == (
        "secrets-unusable",
        "kafka-0",
        "The Secrets of kafka-0 cannot be used, and what was read before counts",
    )
    _certify(mounted, make_certificates(mounted, "two"))
    assert list(written(there.plan(facts(files=contents), WAIT))) == ["keystore.pem", "truststore.pem"]
    assert await _findings(there) == ()


async def _findings(there: Kafka) -> tuple[Finding, ...]:
    http = Http()
    try:
        return (await there.look(http, {}, rest=False, timeout=0.1, now=1.0)).findings
    finally:
        await http.close()


SCRAM = 'SCRAM-SHA-512=[name=a,iterations=8192,salt="x=",saltedpassword="y* z="]'


def _with_scram(pod: Pod) -> None:
    text = pod.properties.read_text()
    pod.write(launch.PROPERTIES_NAME, f"{text}listener.name.internal.scram-sha-512.sasl.jaas.config=x\n")


def test_users_of_scram_go_to_the_format(pod: Pod) -> None:
    """Each line of the file is one argument, whatever it has in it, for a voter of a static quorum too; a disk that
    joins gets none of them.
    """
    _with_scram(pod)
    pod.write("scram", f"{SCRAM}\n{SCRAM}\n")
    pod.permit(pod.first())
    assert (pod.run(), pod.calls("format")) == (0, [pod.format_args(*INITIAL, *[f"--add-scram={SCRAM}"] * 2)])
    pod.wipe()
    pod.permit(pod.first("join", plan=PLAN[::-1]))
    assert (pod.run(), pod.calls("format")[1:]) == (0, [pod.format_args(*JOIN)])
    pod.wipe()
    pod.permit(pod.first("plain", plan=f"{PLAN}0"))
    assert (pod.run(), pod.calls("format")[2:]) == (0, [pod.format_args(*[f"--add-scram={SCRAM}"] * 2)])


def test_nothing_is_formatted_without_the_users(pod: Pod) -> None:
    """Nobody could log in to what is formed, the cluster's own user neither."""
    _with_scram(pod)
    pod.permit(pod.first())
    assert (pod.run(), pod.calls("format")) == (1, [])
    said = f"peerboot: {pod.run_dir}/scram is not there, so nothing is formatted: no user could log in"
    assert pod.runs[0].says()[-1] == said


async def test_a_server_that_does_not_let_peerboot_in_is_named(tmp_path: Path) -> None:
    """It is there and says why: another password than the set's is told, not taken for a server that is down."""
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "peerboot").write_text("hidden one")
    async with fake(Doorman("peerboot", "another").answers({})) as there:
        config = made(
            identity("kafka-0"), SECURITY="SASL_PLAINTEXT", USERS_DIR=tmp_path / "users",
            CONTROLLER_PORT=there.address.port,
        )  # fmt: skip
        places = {"kafka-0": (there.address.host,)}
        view = await assess.look(config, places, rest=True, timeout=5.0, now=1.0, prefer="", member="")
    [found] = view.findings
    assert found.say.startswith("The server of kafka-0 does not let peerboot in: ")
    assert (found.name, found.pod) == ("not-let-in", "kafka-0")
    assert ("Invalid username or password" in found.say, "hidden" in found.say) == (True, False)
    assert (view.quorum, view.unreachable, view.views) == (False, ("kafka-0",), ())


def broken() -> KafkaConfig:
    """What a changed Secret is, once it is read."""
    raise SettingsError("the key does not fit")


async def test_a_broker_that_does_not_let_peerboot_in_is_named(tmp_path: Path) -> None:
    """The own broker too: what it keeps, and what its stop would cost, is not known for that reason. Secrets of this
    Pod that cannot be used are told before it, for they may be why.
    """
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "peerboot").write_text("hidden one")
    async with fake(Doorman("peerboot", "another").answers({})) as there:
        config = made(
            identity("kafka-0"), SECURITY="SASL_PLAINTEXT", USERS_DIR=tmp_path / "users",
            BROKER_PORT=there.address.port, CONTROLLER_PORT=1,
        )  # fmt: skip
        stamps = iter((1, 2))
        system = Kafka(config, tmp_path, broken, lambda: next(stamps))
        system._made.renew()
        http = Http()
        view = await system.look(http, {"kafka-0": (there.address.host,)}, rest=False, timeout=5.0, now=1.0)
        await http.close()
    secrets, found = view.findings
    assert (secrets.name, found.name, found.pod) == ("secrets-unusable", "not-let-in", "kafka-0")
    assert secrets.say.endswith("cannot be used, and what was read before counts: the key does not fit.")
    assert found.say.startswith("The broker of kafka-0 does not let peerboot in: ")
    assert ("Invalid username or password" in found.say, "hidden" in found.say) == (True, False)
    why = "its broker does not let peerboot in"
    assert (view.copies, view.copies_untold, view.kept and view.kept.untold) == ((), why, why)
