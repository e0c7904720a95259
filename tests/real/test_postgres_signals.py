"""Real servers and their tools, ended by the kubelet or by peerboot while they work."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

from peerboot.systems.postgres import launch
from tests.real.postgres_pod import IN_RECOVERY, STREAMS, Pods, a_primary, few_pods

__all__ = ["few_pods"]


def test_what_works_ends_with_its_container(few_pods: Pods) -> None:
    """SIGTERM in initdb, and in a copy whose primary hangs; ``stop`` in such a copy; the next run makes it."""
    a, b = few_pods.another(0), few_pods.another(1)
    a.permit(1, "init")
    for seconds in (0.0, 0.1, 0.3):
        a.start()
        a.until_said("making a new cluster")
        time.sleep(seconds)
        assert a.terminate() in (143, 0)  # 0 where it was through by then
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert a.sql("SELECT pg_promote()") == "t"
    a.sql("CREATE TABLE t AS SELECT repeat('x', 1000) AS said FROM generate_series(1, 100000)", "postgres")

    new = Path(f"{b.data}.peerboot-new")
    b.permit(2, "clone", a)
    for how in ("signal", "stop"):
        b.start()
        b.until((new / "base").exists, "the copy has begun")
        a.halt(signal.SIGSTOP)
        if how == "signal":
            assert b.terminate() == 143
        else:
            (b.out / launch.PERMIT_NAME).unlink()
            b.write(launch.STOP_NAME, "")
            assert b.ended() == 130
            assert "peerboot has withdrawn the permit and says that what runs here is to end" in b.log
        a.halt(signal.SIGCONT)
        assert not b.data.exists()
        shutil.rmtree(new)  # so that the next one can be seen to have begun
        b.permit(2, "clone", a)
    b.start()
    b.until_sql(STREAMS, "streaming")
    assert not new.exists()


def test_a_server_gets_the_signals_of_its_container(few_pods: Pods) -> None:
    """It is process 1, so SIGINT is a fast shutdown, in order, and a permit that is replaced is the next one's."""
    a = few_pods.another(0)
    a_primary(a)
    assert a.terminate(signal.SIGINT) == 0
    assert "database system is shut down" in a.log
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    a.permit(2, "start")
    a.write(launch.STOP_NAME, "")
    assert a.ended() == 0
    assert "database system is shut down" in a.log
    a.start()
    a.until_sql(IN_RECOVERY, "t")
    assert (a.out / launch.used_name(f"{2:016x}")).exists()
