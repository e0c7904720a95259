"""A set that is deleted and made again, and a Pod with a wrong secret."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Kube, Object
from tests.kubernetes.pages import seen
from tests.kubernetes.sets import EtcdSet, new_key, sidecar

MakeSet = Callable[..., EtcdSet]


def _delete_the_set(db: EtcdSet) -> None:
    db.kube.run("delete", "statefulset", db.name, "--wait=true", seconds=90)
    db.kube.until("all Pods are gone", 90, lambda: True if not db.uids() else None)


def _sentence(kube: Kube, pod: str) -> str:
    return kube.run("exec", pod, "-c", "peerboot", "--", "peerboot-probe", check=False).stdout


def test_deleted_and_made_again_on_the_old_volumes_and_on_new_ones(new_set: MakeSet, measure: Measure) -> None:
    """On its old volumes the set is the same cluster. On new ones all is blank but the anchor remembers: it
    refuses, and forms empty once a person has said the two commands that it names.
    """
    db = new_set()
    db.apply()
    db.wait_ready()
    ids = db.wait_voters()
    with db.writer("again") as writer:
        time.sleep(1)
    _delete_the_set(db)
    began = time.monotonic()
    db.kube.apply(db.objects)
    db.wait_ready()
    measure("the set made again on its old volumes", time.monotonic() - began)
    assert db.wait_voters() == ids
    assert writer.lost() == set()
    # The census keys too: those of a first day.
    _delete_the_set(db)
    db.lose_disk(0, 1, 2, recreate=False)
    began = time.monotonic()
    # As a user's tools do, the anchor is applied again, empty: what it remembers must outlive that.
    db.kube.apply(db.objects)
    db.kube.until(
        "every Pod refuses", 60,
        lambda: True if all("anchor" in _sentence(db.kube, pod) for pod in db.pods) else None,
    )  # fmt: skip
    measure("the set made again on new volumes refuses", time.monotonic() - began)
    assert [pod for pod in db.pods if not re.search(r"refuse", db.kube.logs(pod))] == []
    assert db.ready() is None
    cause = r"anchor ConfigMap etcd-anchor remembers a cluster born at \d{8}T.*delete configmap"
    seen(db, "describe-refused-anchor", f"describe pod {db.pod(0)}", rf"Unhealthy.*{cause}", 90)
    seen(db, "log-refused-anchor", f"logs {db.pod(0)} -c peerboot", rf"refuse.*{cause}")
    said = re.search(r"`(kubectl [^`]*)`\.?$", db.kube.logs(db.pod(0)).strip())
    assert said is not None
    for command in said[1].split(" && "):
        assert shlex.split(command)[:3] == ["kubectl", "--namespace", db.kube.namespace]
        db.kube.run(*shlex.split(command)[3:])
    db.wait_ready()
    assert set(db.wait_voters().values()) & set(ids.values()) == set()


def key_by_name(objects: list[Object]) -> None:
    """Each Pod reads the key that has its name in the Secret."""
    env = sidecar(objects)["env"]
    env.sort(key=lambda each: each["name"] != "POD_NAME")  # only what stands above can be named in a value
    (file,) = [each for each in env if each["name"] == "PEERBOOT_SECRET_FILE"]
    file["value"] = "/secret/$(POD_NAME)"


def test_a_wrong_secret_in_one_pod(new_set: MakeSet, measure: Measure) -> None:
    """A blank Pod with another census key is not heard, so nothing forms, and both sides say that the key differs."""
    db = new_set(edit=key_by_name)
    db.apply()
    right, wrong = new_key(), new_key()
    db.write_keys({db.pod(0): [right], db.pod(1): [right], db.pod(2): [wrong]})
    began = time.monotonic()
    db.kube.until(
        "the key differs", 60,
        lambda: True if all("its census key" in _sentence(db.kube, pod) for pod in db.pods) else None,
    )  # fmt: skip
    measure("a wrong secret in one Pod is told by all", time.monotonic() - began)
    assert db.ready() is None
    seen(
        db,
        "describe-wrong-key",
        f"describe pod {db.pod(0)}",
        r"Unhealthy.*census key \(PEERBOOT_SECRET_FILE\) differs",
        90,
    )
    db.write_keys({pod: [right] for pod in db.pods})
    db.look_at_secrets()
    began = time.monotonic()
    db.wait_ready(150)
    measure("formed after the secret was mended", time.monotonic() - began)
    assert set(db.wait_voters()) == set(db.pods)
