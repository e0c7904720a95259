"""A wrong path at a take-over: the old data is found beside the blank directory, and nothing forms in its place."""

from __future__ import annotations

import pytest

from tests.cli.rig import Pod


@pytest.mark.parametrize(
    ("system", "mark"), [("etcd", "default.etcd/member/snap/db"), ("kafka", "kafka-logs/meta.properties")]
)
def test_a_set_of_one_with_a_wrong_path_does_not_form(pod: Pod, system: str, mark: str) -> None:
    """Its only Pod would form at once: it refuses instead, with exit 5, and writes nothing that lets a server start."""
    old = pod.root / "volume" / mark
    old.parent.mkdir(parents=True)
    old.touch()
    settings = {"PEERBOOT_SYSTEM": system, "PEERBOOT_REPLICAS": "1"}
    settings |= {"PEERBOOT_KAFKA_LOG_DIRS": "{root}/volume/logs"} if system == "kafka" else {}
    result = pod.run("init", changes=settings)
    found = pod.root / "volume" / mark.partition("/")[0]
    assert (result.code, result.out) == (5, "")
    assert f"The data directory is blank, but {found} on the same volume has a server's data" in pod.status
    assert pod.status.startswith("refuse (data-elsewhere): ")
    assert "`peerboot consent " in result.err.splitlines()[-1]
    assert not any((pod.root / "out" / name).exists() for name in ("etcd.yaml", "run.ok"))
