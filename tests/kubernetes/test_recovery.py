"""Two of three disks are lost: a person does what docs/recovery.md says, word for word."""

from __future__ import annotations

import re
import shlex
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


def follow(db: EtcdSet, section: str, **words: str) -> None:
    """Every command of a section as it stands there; its one YAML is what is applied, with this run's images."""
    text = re.split(rf"^## {re.escape(section)}$", PAGE.read_text(), flags=re.MULTILINE)[1].partition("\n## ")[0]
    for name, value in words.items():
        text = text.replace(f"${name}", value)
    (given,) = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    _with_image(given, db)
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE)]
    assert sum("apply" in command for command in commands) == 1
    for program, *args in commands:
        if "apply" in args:
            db.kube.apply([given])
        elif program == "kubectl":
            db.kube.run(*args, seconds=200)
        else:
            assert program == "export"


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
    """The third has its data and its member; the two others join it as new ones."""
    db, ids, writer = _written(new_set)
    db.lose_disk(1, 2)
    _until_lost(db)
    began = time.monotonic()
    follow(db, "etcd: a cluster of one")
    db.wait_ready()
    after = db.wait_voters()
    assert [ids[name] == after[name] for name in db.pods] == [True, False, False]
    assert writer.lost() == set()
    measure("two disks lost: a cluster of one by docs/recovery.md", time.monotonic() - began)


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
