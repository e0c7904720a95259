"""Metrics: the promised names are there, say what is so, and pass through the exposition."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peerboot import __version__
from peerboot.certified import Certified
from peerboot.serve import exposition
from tests.run.turned import turned
from tests.run.world import Pod, world

PROMISED = {
    "build_info": {"version"},
    "decision": {"decision", "rule"},
    "decision_changes_total": set(),
    "decision_since_timestamp_seconds": set(),
    "peers": {"state"},
    "evidence_age_seconds": {"peer", "kind"},
    "dns_queries_total": {"result"},
    "dns_query_duration_seconds_count": set(),
    "dns_query_duration_seconds_sum": set(),
    "actions_total": {"action", "result"},
    "last_pass_timestamp_seconds": set(),
    "config_last_write_timestamp_seconds": set(),
    "held": set(),
    "learners": set(),
    "ghost_members": set(),
    "quorum_margin": set(),
    "time_to_started_seconds": set(),
}


LABELS = {
    "findings": "name",
    "dns_query_duration_seconds": "",
    "certificate_end_timestamp_seconds": "file, setting",
    "certificate_start_timestamp_seconds": "file, setting",
}
"""Of those that have no sample in a healthy set, or another name in the exposition."""


def scraped(pod: Pod) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample as Prometheus would read it, by name without the prefix and labels."""
    text = exposition(pod.view.metrics()).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name.removeprefix("peerboot_"), tuple(sorted(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


@turned
async def test_every_promised_metric_is_there_with_its_labels(tmp_path: Path) -> None:
    """Names and labels are a promise to whoever wrote an alert; none of them names a pod."""
    async with world(tmp_path) as w:
        await w.formed()
        labels: dict[str, set[str]] = {}
        for name, given in scraped(w.pods[0]):
            labels.setdefault(name, set()).update(key for key, _ in given)
        assert {name: found for name, found in labels.items() if name in PROMISED} == PROMISED
        assert not any("pod" in found for found in labels.values())


@turned
async def test_the_page_has_each_of_them(tmp_path: Path) -> None:
    """Name, kind and what it says of every metric of a set of etcd, as docs/metrics.md has them."""
    async with world(tmp_path) as w:
        await w.formed()
        rows = []
        for name, text, kind, _ in w.pods[0].view.metrics():
            whole = f"peerboot_{name}{'_total' if kind == 'counter' else ''}"
            labels = ", ".join(sorted(PROMISED.get(whole.removeprefix("peerboot_"), ()))) or LABELS.get(name, "")
            rows.append(f"| `{whole}` | {kind} | {labels} | {text} |")
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    told = [line for line in page.splitlines() if line.startswith("| `peerboot_")]
    assert sorted(rows) == told


@turned
async def test_numbers_of_a_healthy_set(tmp_path: Path) -> None:
    """Three Pods that serve: both others heard, one voter may stop, nothing is held, the permit was written."""
    async with world(tmp_path) as w:
        await w.formed()
        await w.still(60)
        pod = w.pods[0]
        found, wall = scraped(pod), w.clock.wall()
        assert found["build_info", (("version", __version__),)] == 1
        assert found["decision", (("decision", "idle"), ("rule", "serving"))] == 1
        states = {state: found["peers", (("state", state),)] for state in ("heard", "silent", "missing")}
        assert states == {"heard": 2, "silent": 0, "missing": 0}
        assert (found["quorum_margin", ()], found["learners", ()], found["voters", ()]) == (1, 0, 3)
        assert (found["up", ()], found["ready", ()], found["held", ()]) == (1, 1, 0)
        assert found["actions_total", (("action", "write"), ("result", "ok"))] >= 2
        assert found["dns_queries_total", (("result", "found"),)] >= 2
        assert 0 <= wall - found["last_pass_timestamp_seconds", ()] <= 1.5
        assert 55 <= wall - found["config_last_write_timestamp_seconds", ()] <= 70
        assert 55 <= wall - found["decision_since_timestamp_seconds", ()] <= 65
        assert 0 < found["time_to_started_seconds", ()] < 5
        assert found["ghost_members", ()] == 0
        asked = found["dns_query_duration_seconds_count", ()]
        assert (asked >= 2, 0 <= found["dns_query_duration_seconds_sum", ()] <= asked) == (True, True)
        ages = {
            dict(labels)["peer"]: value for (name, labels), value in found.items() if name == "evidence_age_seconds"
        }
        assert sorted(ages) == ["db-1", "db-2"]
        assert all(0 <= age <= 60 for age in ages.values())


@turned
async def test_how_long_a_lost_disk_took(tmp_path: Path) -> None:
    """From the decision that it has to join until its member served; nothing of those that never lost one."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[1]
        await pod.stop()
        pod.wipe()
        began = w.clock.now()
        pod.start()
        await w.until(lambda: pod.node is not None and pod.rule == "serving")
        took = scraped(pod)["rejoin_seconds", ()]
        assert 0 < took <= w.clock.now() - began
        assert ("rejoin_seconds", ()) not in scraped(w.pods[0])


@turned
async def test_when_certificates_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the setting and the file; a set in plain text has no sample."""
    async with world(tmp_path) as w:
        await w.formed()
        pod = w.pods[0]
        assert "certificate_end_timestamp_seconds" not in {name for name, _ in scraped(pod)}
        assert pod.node is not None
        shown = (Certified("PEERBOOT_ETCD_PEER_TLS_DIR", "tls.crt", 1000.0, 2000.0),)
        monkeypatch.setattr(pod.node.doors.system, "certificates", lambda: shown)
        found, labels = scraped(pod), (("file", "tls.crt"), ("setting", "PEERBOOT_ETCD_PEER_TLS_DIR"))
        times = [found[f"certificate_{which}_timestamp_seconds", labels] for which in ("start", "end")]
        assert times == [1000, 2000]


@pytest.mark.parametrize(("weather", "result"), [("servfail", "unknown"), ("nxdomain", "absent")])
def test_dns_queries_are_counted_by_what_came_of_them(weather: str, result: str, tmp_path: Path) -> None:
    """Failures of DNS show as such, and peers that are heard all the same do not count as missing."""

    @turned
    async def story() -> None:
        async with world(tmp_path) as w:
            await w.formed()
            w.weather = weather  # type: ignore[assignment]  # the parameters are its words
            before = scraped(w.pods[0])["dns_queries_total", (("result", result),)]
            await w.still(120)
            found = scraped(w.pods[0])
            assert found["dns_queries_total", (("result", result),)] - before >= 5
            assert found["peers", (("state", "heard"),)] == 2

    story()


@turned
async def test_numbers_of_a_pod_that_waits(tmp_path: Path) -> None:
    """Alone it has neither quorum margin nor start; a hold shows; who is missing is counted."""
    async with world(tmp_path) as w:
        pod = w.pods[0]
        pod.start()
        await w.until(lambda: pod.node is not None and pod.rule == "wait-for-all")
        await w.still(10)
        await pod.view.admin("hold", {"who": "ann"})
        found = scraped(pod)
        names = {name for name, _ in found}
        absent = {"quorum_margin", "time_to_started_seconds", "config_last_write_timestamp_seconds"}
        assert absent & names == set()
        assert (found["held", ()], found["ready", ()], found["quorum", ()]) == (1, 0, 0)
        assert found["peers", (("state", "missing"),)] == 2
