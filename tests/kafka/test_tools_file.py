"""The command of docs/kafka-clients.md that makes a configuration for Kafka's tools of what a server's Pod has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from peerboot.systems.kafka import properties
from tests.doors.api_server import Certificates, make_certificates
from tests.kafka.test_listeners import made, tls, users
from tests.shape import pages

__all__ = ["tls", "users"]
STORES = {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": "/run/peerboot/keystore.pem",
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": "/run/peerboot/truststore.pem",
}
NEEDS = {"SSL": ("tls",), "SASL_PLAINTEXT": ("users",), "SASL_SSL": ("tls", "users"), "PLAINTEXT": ()}
MODULES = {"SCRAM-SHA-512": "scram.ScramLoginModule", "PLAIN": "plain.PlainLoginModule"}
OWN = r'username="peerboot" password="a \"b\" \\c, ]"'
"""As Kafka reads it: a password with all that is quoted."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, and a server's certificate."""
    return make_certificates(tmp_path_factory.mktemp("tls"), "ours")


def _script() -> str:
    """What the page gives to ``sh`` in the Pod."""
    [block] = pages.blocks((pages.ROOT / "docs/kafka-clients.md").read_text(), "sh")
    first, rest = block.split("\n", 1)
    assert first == "kubectl exec -i kafka-0 -- sh <<'END'"
    return rest.removesuffix("END\n")


def _made_of(folder: Path, text: str) -> dict[str, str]:
    """The file that the script makes of that server.properties, which nobody else may read."""
    server, client = folder / "server.properties", folder / "client.properties"
    server.write_text(text)
    script = _script().replace("/run/peerboot/server.properties", str(server))
    script = script.replace("/tmp/client.properties", str(client))  # noqa: S108 - of the container
    done = subprocess.run(["/bin/sh"], check=False, input=script, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert oct(client.stat().st_mode & 0o777) == "0o600"
    return properties.parse(client.read_text())


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
@pytest.mark.parametrize("security", NEEDS)
def test_the_tools_log_in_as_the_brokers_do(
    tmp_path: Path, tls: Path, users: Path, security: str, mechanism: str
) -> None:
    """Protocol, stores and login are those of the brokers' own listener, whatever other listeners there are."""
    needed = NEEDS[security]
    dirs = {f"{name.upper()}_DIR": path for name, path in (("tls", tls), ("users", users)) if name in needed}
    more = {"SASL_MECHANISM": mechanism, "LISTENERS": "AN_INTERNAL:PLAINTEXT:9096,FIRST:PLAINTEXT:9097"}
    made_of = _made_of(tmp_path, made(SECURITY=security, **dirs, **more).properties())
    login = made_of.pop("sasl.jaas.config", "")
    assert made_of == {
        "security.protocol": security,
        **({"sasl.mechanism": mechanism} if "users" in needed else {}),
        **(STORES if "tls" in needed else {}),
    }
    begins = f"org.apache.kafka.common.security.{MODULES[mechanism]} required {OWN}" if "users" in needed else ""
    assert login[: len(begins)] == begins
    assert login[len(begins) :] == (
        "" if not begins else r' user_orders="o" user_peerboot="a \"b\" \\c, ]";' if mechanism == "PLAIN" else ";"
    )
