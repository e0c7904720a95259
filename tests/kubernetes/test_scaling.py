"""``kubectl scale``: members come as learners and leave before their Pods end; no acknowledged write is lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.pages import keep
from tests.kubernetes.sets import EtcdSet

MakeSet = Callable[..., EtcdSet]


def _scale(db: EtcdSet, replicas: int, measure: Measure, label: str) -> None:
    began = time.monotonic()
    db.scale(replicas)
    db.wait_ready(150)
    voters = db.wait_voters(90)
    measure(label, time.monotonic() - began)
    assert set(voters) == set(db.pods)


def test_up_and_down_with_a_writer(new_set: MakeSet, measure: Measure) -> None:
    """1, 3, 5, 3, 1, 3: after each step the voters are exactly the replicas, and every acknowledged write is there."""
    db = new_set(replicas=1)
    db.apply()
    db.wait_ready()
    with db.writer("scaled") as writer:
        for before, after in ((1, 3), (3, 5), (5, 3), (3, 1), (1, 3)):
            _scale(db, after, measure, f"kubectl scale {before} to {after}")
    assert writer.lost() == set()
    measure("(1, 3, 5, 3, 1, 3 with a writer)", 0, writer.told())


@contextmanager
def followed(db: EtcdSet, pod: str) -> Iterator[list[str]]:
    """A Pod's log until its end, in a list that is filled when the block is left."""
    command, env = db.kube.cluster.command("-n", db.kube.namespace, "logs", "--follow", pod, "-c", "peerboot")
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:  # noqa: S603 - kubectl
        try:
            yield said
            said.append(process.communicate(timeout=60)[0])
        finally:
            process.kill()


@pytest.mark.row(19)
def test_three_to_one_in_one_step_and_back(new_set: MakeSet, measure: Measure) -> None:
    """Parallel deletes two Pods at once; they leave in turn, and return on old volumes as new members."""
    db = new_set()
    db.apply()
    db.wait_ready()
    ids = db.wait_voters()
    with db.writer("step") as writer:
        with followed(db, db.pod(2)) as log:
            _scale(db, 1, measure, "kubectl scale 3 to 1 in one step")
        keep("log-scaled-down", "logs --follow etcd-2 -c peerboot", "".join(log), db, "it has left")
        assert db.wait_voters() == {db.pod(0): ids[db.pod(0)]}
        _scale(db, 3, measure, "kubectl scale 1 to 3, on the old volumes")
    assert writer.lost() == set()
    after = db.wait_voters()
    assert {name: after[name] == ids[name] for name in ids} == {"etcd-0": True, "etcd-1": False, "etcd-2": False}


@pytest.mark.node
def test_a_pod_that_died_before_it_left(new_set: MakeSet, measure: Measure) -> None:
    """Its peerboot is down while it is scaled away, so it does not leave: one of the others removes its member."""
    db = new_set()
    db.apply()
    db.wait_ready()
    ids, pod = db.wait_voters(), db.pod(2)
    # Killed for the second time within seconds, a container is not started again for ten: the Pod is scaled away then.
    restarts = db.kill_container(pod, "peerboot")

    def again() -> bool | None:
        now = db.container(pod, "peerboot")
        return True if now["restartCount"] > restarts and "running" in now["state"] else None

    db.kube.until("peerboot runs again", 30, again)
    with db.writer("died") as writer:
        with followed(db, pod) as log:
            db.kill_container(pod, "peerboot")
            began = time.monotonic()
            db.scale(2)
        db.wait_ready()
        # What DNS has shown once counts for a minute after its last answer.
        after = db.wait_voters(150)
        took = time.monotonic() - began
    assert "leave" not in "".join(log)
    assert after == {name: ids[name] for name in db.pods}
    assert writer.lost() == set()
    told = [other for other in db.pods if f"Done: remove {ids[pod]}" in db.kube.logs(other)]
    assert len(told) == 1
    measure("a Pod that died before it left: scaled away, removed by another", took)


def test_to_zero_and_back(new_set: MakeSet, measure: Measure) -> None:
    """Nobody is left to leave to: the cluster is kept on its volumes, and comes back with all that it had."""
    db = new_set()
    db.apply()
    db.wait_ready()
    with db.writer("zero") as writer:
        time.sleep(1)
    db.scale(0)
    _scale(db, 3, measure, "kubectl scale 0 to 3")
    assert writer.lost() == set()
