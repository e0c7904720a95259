"""What a person sees of a set that serves, and of one that waits for what only a person can bring back."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Object
from tests.kubernetes.pages import seen
from tests.kubernetes.sets import EtcdSet, find

MakeSet = Callable[..., EtcdSet]


RECOVERY = Path(__file__).parents[2] / "docs/recovery.md"


def test_a_set_that_serves_and_loses_two_disks(new_set: MakeSet, measure: Measure) -> None:
    """The first minute's log, the Pods, the table, the last decisions. Then quorum is gone for ever: the blank Pods say
    what a person has to do, and the third has its data. A person does what docs/recovery.md says: all three serve, and
    nothing that was acknowledged is missing.
    """
    db = new_set()
    db.apply()
    db.wait_ready()
    pod = db.pod(0)
    seen(db, "log-first-minute", f"logs {pod} -c peerboot", r"form/born.*idle/serving")
    seen(db, "get-pods", "get pods", r"2/2 +Running")
    seen(db, "status", f"exec {pod} -c peerboot -- peerboot status", r"MEMBER.*serving")
    seen(db, "explain", f"exec {pod} -c peerboot -- peerboot explain", r"serving")
    with db.writer("kept") as writer:
        time.sleep(1)
    own = db.voters()[pod]
    db.lose_disk(1, 2)
    cause = r"A quorum needs 2 disks with its data.*only etcd-0 has any"
    seen(db, "describe-quorum-lost", f"describe pod {db.pod(1)}", rf"Unhealthy.*{cause}", 120)
    seen(db, "status-quorum-lost", f"exec {db.pod(1)} -c peerboot -- peerboot status", cause)
    began = time.monotonic()
    _recover(db)
    db.wait_ready()
    assert db.wait_voters()[pod] == own
    assert writer.lost() == set()
    measure("two disks lost: by docs/recovery.md", time.monotonic() - began)


def _recover(db: EtcdSet) -> None:
    """Every command of the page as it stands there, and its Pod, with this run's image."""
    page = RECOVERY.read_text()
    (recover,) = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    recover["spec"]["containers"][0]["image"] = db.kube.cluster.etcd_image
    commands = [shlex.split(line) for line in re.findall(r"^\$ (.*)$", page, re.MULTILINE)]
    assert [command[:2] for command in commands if command[1] == "apply"] == [["kubectl", "apply"]]
    for _, *args in commands:
        if args[0] == "apply":
            db.kube.apply([recover])
        else:
            db.kube.run(*args, seconds=200)


def test_one_pod_is_missing(new_set: MakeSet) -> None:
    """A Pod that does not come: the others name it, in events and in the table."""

    def fewer(objects: list[Object]) -> None:
        find(objects, "StatefulSet")["spec"]["replicas"] = 2

    db = new_set(edit=fewer)
    db.apply()
    pod = db.pod(0)
    missing = r"Not heard: etcd-2 \(not in DNS\)"
    seen(db, "describe-wait-missing", f"describe pod {pod}", rf"Unhealthy.*wait \(wait-for-all\).*{missing}")
    seen(db, "status-wait-missing", f"exec {pod} -c peerboot -- peerboot status", missing)
