"""``peerboot sidecar`` as a process: what it writes where, on a full disk, with a torn state, watching only."""

from __future__ import annotations

import json
import re
import resource
import signal
import urllib.request
from itertools import pairwise
from pathlib import Path

from tests.cli.rig import BOUND, KEY, Pod, until

WAITS = "wait (wait-for-all): "
FULL = "the file size limit is reached"


def _written(pod: Pod) -> set[str]:
    return {name for name, content in pod.everything().items() if content is not None}


def _two_more_passes(pod: Pod) -> None:
    """``/livez`` tells how long ago the last pass was: the age falls with each."""
    ages = [0.0]

    def passed() -> bool:
        with urllib.request.urlopen(f"http://{pod.env['PEERBOOT_LISTEN']}/livez", timeout=BOUND) as reply:
            found = re.search(r"last pass ([0-9.]+) s ago", reply.read().decode())
        assert found is not None
        ages.append(float(found[1]))
        return sum(later < earlier for earlier, later in pairwise(ages)) >= 2

    until("two passes", passed)


def test_observe_writes_nothing_but_its_own_status(pod: Pod) -> None:
    """PEERBOOT_MODE=observe: two files in the output directory, nothing on the volume; SIGTERM is exit 0."""
    before = _written(pod)
    with pod.running("sidecar", changes={"PEERBOOT_MODE": "observe"}) as process:
        until("a decision", lambda: pod.rule != "")
        assert {*before, "out/status.txt", "out/decision.json"} == _written(pod)
        assert list((pod.root / "volume").iterdir()) == []
        assert (pod.root / "out" / "admin.sock").stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=BOUND)
    assert (process.returncode, out) == (0, "")
    assert KEY not in err
    assert list((pod.root / "volume").iterdir()) == []
    assert pod.last_words.startswith("wait (")


def test_a_full_output_dir_is_said_once_and_recovers(pod: Pod) -> None:
    """While nothing can be written the last good files stay; it is said once; then the news is written."""
    with pod.running("sidecar") as process:
        until("a decision", lambda: pod.rule == "wait-for-all")
        good = (pod.root / "out" / "decision.json").read_bytes()
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
        (pod.root / "volume" / ".peerboot" / "state.json").write_text('{"version": 1, "namesp')
        seen = pod.everything()
        lines = []
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "decision.json cannot be written" in line:
                break
        assert pod.status.startswith(WAITS)
        assert (good, True) == ((pod.root / "out" / "decision.json").read_bytes(), json.loads(good)["kind"] == "wait")
        assert set(seen) == set(pod.everything())
        _two_more_passes(pod)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        until("the news", lambda: pod.rule == "torn-state")
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=BOUND)
    said = "".join(lines) + rest
    for name in ("status.txt", "decision.json"):
        assert said.count(f"{name} cannot be written: {FULL}") == 1
        assert said.count(f"{name} is written again") == 1
    assert json.loads((pod.root / "out" / "decision.json").read_bytes())["kind"] == "refuse"


TORN = b'{"version": 1, "namespace": "shop", "statefu'


def test_a_torn_state_is_kept_aside_and_the_disk_is_unknown(pod: Pod) -> None:
    """A half-written state.json: kept beside, explained, refused with a consent; the next start says the same."""
    state = pod.root / "volume" / ".peerboot"
    state.mkdir()
    (state / "state.json").write_bytes(TORN)
    sentences = []
    for _start in range(2):
        (pod.root / "out" / "decision.json").unlink(missing_ok=True)
        with pod.running("sidecar") as process:
            until("a refusal", lambda: pod.rule == "torn-state")
            sentences.append(pod.status)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=BOUND)
    (kept,) = state.glob("state.json.aside-*")
    assert kept.read_bytes() == TORN
    assert sentences[0] == sentences[1]
    for word in ("half written or damaged", f"it is kept as {kept.name}", "`peerboot consent "):
        assert word in sentences[0]
    assert not (pod.root / "out" / "etcd.yaml").exists()
    assert f"{sentences[1]}\n" == pod.last_words


def test_the_state_of_another_is_foreign(pod: Pod) -> None:
    """A volume whose state was written for another identity: refused, and left exactly as it is."""
    state = pod.root / "volume" / ".peerboot" / "state.json"
    state.parent.mkdir()
    made = {"namespace": "shop", "statefulset": "db", "pod": "db-1", "system": "etcd"}
    state.write_text(json.dumps({"version": 1, "nonce": "0" * 32, "made_wall": 1.0, **made}))
    content = state.read_bytes()
    with pod.running("sidecar") as process:
        until("a refusal", lambda: pod.rule == "foreign-volume")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=BOUND)
    assert f"belongs to {made['system']} pod {made['namespace']}/{made['pod']}" in pod.status
    assert content == state.read_bytes()
    assert sorted(path.name for path in state.parent.iterdir()) == ["journal.jsonl", "state.json"]


def test_an_address_in_use_is_exit_2_before_anything_is_written(pod: Pod) -> None:
    """Another process on the census port: one line, exit 2, and neither volume nor output is touched."""
    with pod.running("sidecar") as first:
        until("a decision", lambda: pod.rule != "")
        second = Path(pod.root, "second")
        second.mkdir()
        other = Pod(second, pod.zygote)
        before = other.everything()
        result = other.run("sidecar", changes={"PEERBOOT_LISTEN": pod.env["PEERBOOT_LISTEN"]})
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert f"PEERBOOT_LISTEN={pod.env['PEERBOOT_LISTEN']} cannot be listened on: " in result.err
        assert before == other.everything()
        assert f"{other.last_words.strip()} exit_code=2\n" in result.err
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=BOUND)


def test_a_secret_that_breaks_while_running_is_said_once(pod: Pod) -> None:
    """Emptied while it runs: the keys read before still count, and the line shows none of them."""
    from peerboot.container import secrets_of
    from peerboot.settings import read
    from peerboot.systems.etcd.spec import SYSTEM

    settings, said = read(pod.env, systems={"etcd": SYSTEM.settings}), list[str]()
    path = pod.root / "secret" / "census"
    keys = secrets_of(settings, said.append)
    assert (KEY.encode(),) == keys()
    path.write_text("")
    assert ((KEY.encode(),), (KEY.encode(),)) == (keys(), keys())
    assert [
        f"PEERBOOT_SECRET_FILE={path} is empty: put a key of 32 bytes or more in it. The keys read before still count."
    ] == said
    path.write_text("n" * 32 + "\n" + KEY)
    assert (b"n" * 32, KEY.encode()) == keys()
