"""Two of three disks are lost: a person does what docs/recovery.md says, word for word."""

from __future__ import annotations

import base64
import http.client
import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Object
from tests.kubernetes.sets import EtcdSet
from tests.kubernetes.writer import Writer

PAGE = Path(__file__).parents[2] / "docs/recovery.md"
MakeSet = Callable[..., EtcdSet]


def follow(db: EtcdSet, section: str, feed: str = "", **words: str) -> str:
    """Every command of a section as it stands there; its one YAML, if it has one, is what is applied, with this run's
    images, and ``feed`` is the file that a command reads. Returns what they printed.
    """
    text = re.split(rf"^## {re.escape(section)}$", PAGE.read_text(), flags=re.MULTILINE)[1].partition("\n## ")[0]
    printed = ""
    for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        program, *args = shlex.split(line, comments=True)
        if "apply" in args:
            filled = _with(text, words).replace(".shop.svc", f".{db.kube.namespace}.svc")
            (given,) = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", filled, re.DOTALL)]
            _with_image(given, db)
            db.kube.apply([given])
        elif "<" in args:
            _feed(db, args[: args.index("<")], feed)
        elif program == "kubectl":
            printed += db.kube.run(*(_with(arg, words) for arg in args), seconds=310).stdout
            words |= {"TOKEN": found[1]} if (found := re.search(r"cluster-token=([0-9a-f]+)", printed)) else {}
        else:
            assert program == "export"
    assert "kubectl" in text
    return printed


def _with(text: str, words: dict[str, str]) -> str:
    """The page's placeholders filled in."""
    for name, value in words.items():
        text = text.replace(f"${name}", value)
    return text


def _feed(db: EtcdSet, args: list[str], path: str) -> None:
    """A command that reads a file."""
    command, env = db.kube.cluster.command("-n", db.kube.namespace, *args)
    with Path(path).open("rb") as file:
        done = subprocess.run(command, stdin=file, env=env, check=False, capture_output=True, timeout=60)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, b"")


def _with_image(given: dict[str, Any], db: EtcdSet) -> None:
    for container in given["spec"].get("containers", ()):
        container["image"] = db.kube.cluster.etcd_image


def _volume_of(db: EtcdSet, ordinal: int) -> str:
    claim: Object | None = db.kube.get("pvc", db.claim(ordinal))
    assert claim is not None
    return str(claim["spec"]["volumeName"])


@pytest.mark.node
def test_a_volume_is_put_back(new_set: MakeSet, measure: Measure) -> None:
    """One of the two lost volumes was kept: its Pod is the member that it was, and the third joins as a new one."""
    db, ids, writer = _written(new_set)
    old = _volume_of(db, 1)
    db.lose_disk(1, 2)
    _until_lost(db)
    began = time.monotonic()
    follow(db, "Put a volume back", OLD=old)
    db.wait_ready()
    after = db.wait_voters()
    assert ([ids[name] == after[name] for name in db.pods], _volume_of(db, 1)) == ([True, True, False], old)
    assert writer.lost() == set()
    measure("two disks lost: one volume put back by docs/recovery.md", time.monotonic() - began)


def test_what_is_left_becomes_a_cluster_of_one(new_set: MakeSet, measure: Measure) -> None:
    """A person says it at the third, which has its data and its member; the two others join it as new ones."""
    db, ids, writer = _written(new_set)
    db.lose_disk(1, 2)
    _until_lost(db)
    nonce = db.kube.until("it is offered", 60, lambda: _offered(db))
    began = time.monotonic()
    follow(db, "etcd: a cluster of one", NONCE=nonce)
    db.wait_ready()
    after = db.wait_voters()
    assert [ids[name] == after[name] for name in db.pods] == [True, False, False]
    assert writer.lost() == set()
    measure("two disks lost: a cluster of one by a consent", time.monotonic() - began)


def test_what_is_left_becomes_a_cluster_of_one_by_hand(new_set: MakeSet, measure: Measure) -> None:
    """The same without peerboot's help, as in a set whose Pods cannot be restarted alone."""
    db, ids, writer = _written(new_set)
    db.lose_disk(1, 2)
    _until_lost(db)
    began = time.monotonic()
    follow(db, "etcd: a cluster of one, by hand")
    db.wait_ready()
    after = db.wait_voters()
    assert [ids[name] == after[name] for name in db.pods] == [True, False, False]
    assert writer.lost() == set()
    measure("two disks lost: a cluster of one by hand", time.monotonic() - began)


@pytest.mark.node
def test_a_snapshot_is_restored(new_set: MakeSet, measure: Measure, tmp_path: Path) -> None:
    """All disks are lost: what a snapshot had is a new cluster, of other ids, in which all serve."""
    db, ids, writer = _written(new_set)
    snapshot = tmp_path / "snapshot.db"
    snapshot.write_bytes(_snapshot(db))
    db.lose_disk(0, 1, 2)
    db.kube.until(
        "the anchor is remembered", 120, lambda: True if "anchor-forbids" in db.kube.logs(db.pod(0)) else None
    )
    began = time.monotonic()
    printed = follow(db, "etcd: restore a snapshot", str(snapshot))
    assert f"etcd-peers.{db.kube.namespace}.svc.cluster.local:2380" in printed
    db.wait_ready()
    after = db.wait_voters()
    assert [ids[name] == after[name] for name in db.pods] == [False] * 3
    assert writer.lost() == set()
    measure("all disks lost: a snapshot restored by docs/recovery.md", time.monotonic() - began)


def _offered(db: EtcdSet) -> str | None:
    found = re.search(r"peerboot consent (\w+)", db.kube.exec(db.pod(0), "peerboot", "status").replace("\n", " "))
    return found[1] if found else None


def _snapshot(db: EtcdSet) -> bytes:
    """What etcdctl would save: the parts of the gateway's stream, the last of which is the checksum."""
    where = db.gateway(db.pod(0)).address

    def read() -> bytes:
        connection = http.client.HTTPConnection(where, 2379, timeout=30)
        connection.request("POST", "/v3/maintenance/snapshot", "{}")
        lines = connection.getresponse().read(64 << 20).splitlines()
        connection.close()
        return b"".join(base64.b64decode(json.loads(line)["result"]["blob"]) for line in lines if line.strip())

    return db.kube.node.in_network(read)


def _written(new_set: MakeSet) -> tuple[EtcdSet, dict[str, str], Writer]:
    """A set that serves, its voters, and what was written to it."""
    db = new_set()
    db.apply()
    db.wait_ready()
    ids = db.wait_voters()
    with db.writer("written") as writer:
        time.sleep(1)
    return db, ids, writer


def _until_lost(db: EtcdSet) -> None:
    """Both blank Pods have named the page."""

    def named() -> bool | None:
        return True if all("docs/recovery.md" in db.kube.logs(db.pod(ordinal)) for ordinal in (1, 2)) else None

    db.kube.until("the blank Pods name the page", 120, named)
