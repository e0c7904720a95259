"""Secrets are planted wherever a Pod of each system has some, and told by everybody: no bundle holds one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from peerboot import bundled, settings
from peerboot.cases.reader import parse
from peerboot.decide import decide
from peerboot.model import Call, Done, Evidence, Finding, Plan
from peerboot.recorder import Recorder, left, redactor_of
from peerboot.systems import settings_of

CENSUS, PASSWORD = "census-key-" * 4, "p4ss:w0rd/of+the=role"
PRIVATE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
USER, BASE = "alice's secret pw", "keystore-pw-1234"
SECRETS = (CENSUS, PASSWORD, PRIVATE, USER, BASE)


def _settings(root: Path, system: str) -> settings.Settings:
    """Those of a Pod that has a secret of every kind that the system has."""
    for folder in ("tls", "users"):
        (root / folder).mkdir()
    (root / "census").write_text(f"{CENSUS}\n")
    (root / "password").write_text(f"{PASSWORD}\n")
    pem = f"-----BEGIN PRIVATE KEY-----\n{PRIVATE}\n-----END PRIVATE KEY-----\n"
    (root / "tls" / "tls.key").write_text(pem)
    (root / "tls" / "tls.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    (root / "users" / "alice").write_text(USER)
    (root / "base").write_text(f"ssl.keystore.password={BASE}\n")
    own = {
        "etcd": {"ETCD_ROOT_PASSWORD_FILE": "password", "ETCD_PEER_TLS_DIR": "tls", "ETCD_CLIENT_TLS_DIR": "users"},
        "kafka": {"KAFKA_USERS_DIR": "users", "KAFKA_TLS_DIR": "tls"},
        "postgres": {"POSTGRES_PASSWORD_FILE": "password", "POSTGRES_TLS_DIR": "tls"},
    }[system]
    environ = {
        "PEERBOOT_SYSTEM": system,
        "PEERBOOT_SERVICE": "peers",
        "POD_NAME": "db-1",
        "POD_NAMESPACE": "prod",
        "PEERBOOT_SECRET_FILE": str(root / "census"),
        "PEERBOOT_BASE_CONFIG_FILE": str(root / "base"),
        **{f"PEERBOOT_{name}": str(root / path) for name, path in own.items()},
    }
    return settings.read(environ, systems={system: settings_of(system)})


def _known(system: str) -> list[str]:
    """The secrets that such a Pod has."""
    return {
        "etcd": [CENSUS, PASSWORD, PRIVATE, USER, BASE],
        "kafka": [CENSUS, PRIVATE, USER, BASE],
        "postgres": [CENSUS, PASSWORD, PRIVATE, BASE],
    }[system]


def _forms(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret,
        raw.hex(),
        base64.b64encode(raw).decode(),
        base64.b64encode(b"u:" + raw).decode(),
        base64.b64encode(b"a" + raw + b"\n").decode(),
    ]


@pytest.mark.parametrize("system", ["etcd", "kafka", "postgres"])
def test_no_bundle_holds_a_planted_secret(tmp_path: Path, system: str) -> None:
    """Everything that facts, decisions, plans, outcomes, settings and journal can quote is searched for each secret, as
    it is and in hex and base64; what is left on the disk too.
    """
    root = tmp_path / "mounted"
    root.mkdir()
    made, forms = _settings(root, system), [form for secret in _known(system) for form in _forms(secret)]
    text = " and ".join(forms)
    plain = parse("self db-1 of 3\nrecord nonce=n1 problem=x\npeer db-0 blank\n", system)
    words = {"db-0": Evidence(pod="db-0", at=1.0, reason=text, address=text)}
    facts = msgspec.structs.replace(
        plain,
        twin=text,
        evidence=words,
        disk=msgspec.structs.replace(plain.disk, kind="corrupt", reason=text, warning=text),
        record=msgspec.structs.replace(plain.record, problem=text),
        findings=(Finding(name="x", say=text),),
        files={"run.ok": text, "etcd.yaml": text, "pgpass": text, "stop": text, "server.properties": text},
        cluster=msgspec.structs.replace(plain.cluster, elsewhere=text, unresolved=(text,), unreachable=(text,)),
        own_urls=(f"http://x:{PASSWORD}@h:2380",),
    )
    decision = msgspec.structs.replace(decide(facts), reason=text, evidence=(text,), waits_for=(text,), would=text)
    call = Call(name="add-learner", urls=(text,))
    recorder = Recorder(tmp_path, "b1", redactor_of(made, facts.identity), "run.ok")
    recorder.note(facts, decision, Plan(actions=(call,)), [Done(action=call, ok=False, say=text)], 1.0, changed=True)
    recorder._write()
    journal: list[dict[str, Any]] = [{"wall": 1.0, "reason": text}]
    told = json.dumps(bundled.body(recorder.moments(), journal, made, facts.identity), ensure_ascii=False)
    kept = json.dumps(left(tmp_path), ensure_ascii=False)
    assert "db-1" in kept
    assert [form for form in forms if form in told or form in kept] == []
    assert {name for name, value in json.loads(told)["settings"].items() if value == "(redacted)"} >= {
        "PEERBOOT_SECRET_FILE"
    }
