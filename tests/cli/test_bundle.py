"""``peerboot bundle`` in a Pod: from the running peerboot and from what one left, without any secret."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

import pytest

from tests.cli.rig import BOUND, KEY, Pod, until
from tests.recorder.made import bundle as a_bundle

PASSWORD = "r00t+p4ss/w0rd"
PRIVATE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
OLD_KEY = "old-" * 10
SECRETS = (KEY, OLD_KEY, PASSWORD, PRIVATE, "userinfo-pw")


def _plant(pod: Pod) -> dict[str, str | None]:
    """Secrets in every place where a Pod of etcd has one."""
    secret = pod.root / "secret"
    (secret / "census").write_text(f"{KEY}\n{OLD_KEY}\n")
    (secret / "root").write_text(f"{PASSWORD}\n")
    (pod.root / "base.yaml").write_text("quota-backend-bytes: 123456789\n")
    return {
        "PEERBOOT_ETCD_ROOT_PASSWORD_FILE": str(secret / "root"),
        "PEERBOOT_ETCD_LOGIN_WITHOUT_TLS": "allowed",
        "PEERBOOT_BASE_CONFIG_FILE": str(pod.root / "base.yaml"),
        "PEERBOOT_LAB_NOTE": f"http://ann:userinfo-pw@db-0/ {PASSWORD}",
        "ETCD_PASSWORD": PASSWORD,
    }


def _found(text: str) -> list[str]:
    """Secrets that a text holds as they are, in hex or in base64, of the file they were in too."""
    found = []
    for secret in SECRETS:
        raw = secret.encode()
        forms = [secret, raw.hex(), base64.b64encode(raw).decode(), base64.b64encode(raw + b"\n").decode()]
        found += [form for form in forms if form in text]
    return found


@pytest.mark.parametrize("mode", ["manage", "observe"])
def test_a_running_peerboot_gives_its_bundle(pod: Pod, mode: str) -> None:
    """Decisions with facts, settings and the moment of now; none of the Pod's secrets, and replay reads it."""
    changes = {**_plant(pod), "PEERBOOT_MODE": mode}
    with pod.running("sidecar", changes=changes):
        until("a decision", lambda: pod.rule == "wait-for-all")
        result = pod.run("bundle", changes=changes)
    assert (result.code, result.err) == (0, "")
    data = json.loads(result.out)
    assert ("running", "db-0", "etcd", mode) == (
        data["source"],
        data["pod"],
        data["system"],
        data["settings"]["PEERBOOT_MODE"],
    )
    assert "wait-for-all" in [moment["decision"]["rule"] for moment in data["moments"]]
    assert data["now"]["decision"]["rule"] == "wait-for-all"
    assert data["settings"]["PEERBOOT_SECRET_FILE"] == "(redacted)"
    assert _found(result.out) == []
    path = pod.root / "taken"
    path.write_text(result.out)
    assert pod.run("replay", str(path)).code == 0


def test_the_bundle_of_one_that_is_gone(pod: Pod) -> None:
    """After a process was killed its decisions are on the volume, without secrets, and ``--output`` writes them."""
    changes = _plant(pod)
    kept = pod.root / "volume" / ".peerboot" / "recorder.bin"
    with pod.running("sidecar", changes=changes) as process:
        until("a record", kept.exists)
        process.send_signal(signal.SIGKILL)
        process.wait(BOUND)
    taken = pod.root / "taken"
    result = pod.run("bundle", "--output", str(taken), changes=changes)
    assert (result.code, result.err) == (0, "")
    assert taken.stat().st_mode & 0o777 == 0o600
    data = json.loads(taken.read_text())
    assert (data["source"], data["now"]) == ("disk", None)
    assert len(data["moments"]) >= 1
    assert _found(taken.read_text()) == []
    assert pod.run("replay", str(taken)).code == 0


def test_the_last_seconds_are_written_when_it_ends(pod: Pod) -> None:
    """One that is told to stop leaves its decisions at once."""
    with pod.running("sidecar") as process:
        until("a decision", lambda: pod.rule != "")
        process.send_signal(signal.SIGTERM)
        process.wait(BOUND)
    assert pod.run("bundle").code == 0


def test_where_nothing_was_left_it_says_so(pod: Pod) -> None:
    """Neither a peerboot nor a record of one: exit 2 and one line that says where both were looked for."""
    result = pod.run("bundle")
    where = pod.root / "volume" / ".peerboot"
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"peerboot: no peerboot answers at {pod.root}/out/admin.sock")
    assert result.err.endswith(f"; nor has one left anything in {where}\n")


def test_a_file_that_cannot_be_written(pod: Pod) -> None:
    """``--output`` to where nothing can be written: exit 2 and one line."""
    with pod.running("sidecar"):
        until("a decision", lambda: pod.rule != "")
        result = pod.run("bundle", "--output", "/no/such/dir/file")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("peerboot: /no/such/dir/file cannot be written: ")


def test_replay_needs_no_pod(pod: Pod, tmp_path: Path) -> None:
    """``replay`` works without any setting of a Pod."""
    path = tmp_path / "empty.bundle"
    path.write_bytes(a_bundle([]))
    result = pod.zygote.run(["replay", str(path)], {})
    assert (result.code, result.err) == (0, "")
