"""Real servers whose log is elsewhere, as the official image's POSTGRES_INITDB_WALDIR has it."""

from __future__ import annotations

import time
from pathlib import Path

from peerboot.systems.postgres import datadir
from tests.real.postgres_pod import IN_RECOVERY, STREAMS, Pod, Pods, few_pods, plan

__all__ = ["few_pods"]


def with_place(pod: Pod) -> Path:
    """The directory for its logs, on a volume of its own."""
    place = pod.root / "wal vol" / "logs"
    pod.environ["POSTGRES_INITDB_WALDIR"] = str(place)
    return place


def test_a_log_elsewhere(few_pods: Pods) -> None:
    """Made after initdbs that were cut off, copied, overtaken and rewound, it lies where each plan has put it."""
    a, b = few_pods.another(0), few_pods.another(1)
    logs, others = with_place(a), with_place(b)
    a.permit(1, "init")
    for seconds in (0.1, 0.3, 0.5):
        a.start()
        a.until_said("making a new cluster")
        time.sleep(seconds)
        a.kill()
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert a.sql("SELECT pg_promote()") == "t"
    assert (a.data / "pg_wal").readlink() == logs / plan(1)
    a.sql("CREATE TABLE t (said text)", "postgres")

    b.permit(2, "clone", a)
    b.start()
    b.until_sql(STREAMS, "streaming")
    assert (b.data / "pg_wal").readlink() == others / plan(2)
    a.sql("INSERT INTO t VALUES ('both')", "postgres")
    b.until_sql("SELECT said FROM t", "both", "postgres")
    b.kill()
    a.sql("INSERT INTO t VALUES ('only a')", "postgres")
    a.kill()
    b.start()
    b.until_sql(IN_RECOVERY, "t")
    assert b.sql("SELECT pg_promote()") == "t"
    b.sql("CHECKPOINT")

    before = {path.name for path in (logs / plan(1)).iterdir() if datadir.SEGMENT.fullmatch(path.name)}
    a.permit(3, "rewind", b)
    a.start()
    a.until_sql(STREAMS, "streaming")
    assert a.sql("SELECT string_agg(said, ',') FROM t", "postgres") == "both"
    assert (a.data / "pg_wal").readlink() == logs / plan(1)
    [kept] = datadir.kept(a.data)
    assert {path.name for path in (kept / "pg_wal").iterdir() if path.is_file()} >= before
    assert datadir.read(a.data).kind == "data"
