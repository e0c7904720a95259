"""What a storm reads of a volume, beside what the server itself says."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerboot.lab.network import Network
from peerboot.lab.servers import VERSIONS, find
from tests.etcd.server import Etcd
from tests.storm import disks


def test_the_log_says_whose_it_is(tmp_path: Path) -> None:
    """Cluster and member as the server tells them, read without its help."""
    network = Network()
    server = Etcd(find(VERSIONS[-1]), tmp_path, network.another())
    server.start()
    try:
        server.until_serving()
        said = server.ids()
    finally:
        server.kill()
        network.close()
    assert disks.identity(server.data_dir) == said


@pytest.mark.parametrize(
    "head", [b"", b"\0" * 64, b"\x04\0\0\0\0\0\0\0\xff\xff\xff\xff", b"\x02\0\0\0\0\0\0\0\x08\x02"],
    ids=["empty", "preallocated", "garbage", "an-entry"],
)  # fmt: skip
def test_a_log_that_says_nothing_yet(head: bytes, tmp_path: Path) -> None:
    """Cut off before its first record, or no log at all: nobody's."""
    wal = tmp_path / "member" / "wal"
    wal.mkdir(parents=True)
    assert disks.identity(tmp_path) is None
    (wal / "0000000000000000-0000000000000000.wal").write_bytes(head)
    assert disks.identity(tmp_path) is None
