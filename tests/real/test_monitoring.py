"""Alerts and dashboard of examples/monitoring, in a real Prometheus that scrapes the peerboots of a real etcd set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.real import secured
from tests.real.scenes import MakeLab, formed
from tests.real.watched import Watch, looked_again, running, until
from tests.shape.pages import ROOT

DASHBOARD = ROOT / "examples/monitoring/dashboard.json"
CHOSEN = {"job": "peerboot", "namespace": "lab", "set": "db", "__rate_interval": "20s"}
"""What a person has chosen; an interval of rates as Grafana would choose it for these scrapes or longer."""
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
SHOWN = 60.0
"""Seconds that the panels show."""


def filled(text: str) -> str:
    """A query as Grafana sends it; raises ``KeyError`` for a variable that the dashboard does not have."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: CHOSEN[found[1]], text)


def panels() -> Iterator[dict[str, Any]]:
    """Those with queries."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


async def empty_panels(watch: Watch) -> list[str]:
    """Titles of panels of which a query has no data, as an instant or over time, as the panel asks."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            expr = filled(target["expr"])
            results = [await watch.now(expr)]
            if target["range"]:
                results.append(await watch.over(expr, SHOWN))
            found += [panel["title"] for result in results if not result]
    return found


async def wrong_choices(watch: Watch) -> list[str]:
    """Variables by which a person cannot choose what is there."""
    found = []
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] != "query":
            continue
        asked = LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert asked is not None
        values = await watch.ask(f"label/{asked[2]}/values", **{"match[]": filled(asked[1])})
        found += [] if values == [CHOSEN[variable["name"]]] else [f"{variable['name']}: {values}"]
    return found


async def quiet(lab: Lab, watch: Watch) -> None:
    """No alert is there, not even one that waits for its time; and for longer than they have to last, none fires."""
    await until(lab, "no alert", watch, set())
    await looked_again(lab, watch, 8)
    assert await watch.over('ALERTS{alertstate="firing"}', 6) == []


async def test_a_set_is_watched(make_lab: MakeLab, plain_etcd: Server, short_root: Path) -> None:
    """In a set of three that has formed and in which a disk was lost, every panel of the dashboard has data, and every
    choice above it; no alert is there. When a Pod's peerboot and server are gone, just the two alerts about that fire;
    on a volume that was another's it refuses, which fires; on its own one all is quiet again. A hold is told.
    """
    ours = secured.certified(short_root / "ca")
    # Clients have TLS and peers have none, which is a finding.
    env = {"PEERBOOT_ETCD_CLIENT_TLS_DIR": str(ours.folder / "tls")}
    async with make_lab(plain_etcd, env=env, trust=secured.trust(ours)) as lab:
        watch = Watch(lab, short_root / "prometheus")
        watch.write()
        with running(watch):
            try:
                await lab.until("Prometheus answers", watch.ready)
                await formed(lab)
                await lab.wipe(1)
                watch.follow()
                await lab.until_ready(120)
                await quiet(lab, watch)
                assert (await empty_panels(watch), await wrong_choices(watch)) == ([], [])
                await _one_is_gone(lab, watch)
                await _another_volume(lab, watch)
                await _a_hold(lab, watch)
            finally:
                await watch.close()


async def _one_is_gone(lab: Lab, watch: Watch) -> None:
    name, address = lab.pods[2].spec.name, lab.pods[2].spec.address
    await lab.crash(2, recreate=False)
    watch.follow((name, address))
    await until(lab, "they fire", watch, {("PeerbootDown", name), ("PeerbootQuorumMarginZero", "db")}, "firing")


async def _another_volume(lab: Lab, watch: Watch) -> None:
    """The Pod that is gone comes back on a volume that was another's, and then on its own."""
    own = lab.volume(2) / ".peerboot/state.json"
    kept = own.read_bytes()
    own.write_bytes((lab.volume(0) / ".peerboot/state.json").read_bytes())
    await lab.create(2)
    watch.follow()
    wanted = {("PeerbootRefused", lab.pod_name(2)), ("PeerbootQuorumMarginZero", "db")}
    await until(lab, "a refusal", watch, wanted, "firing")
    [refused] = [one for one in (await watch.ask("alerts"))["alerts"] if "rule" in one["labels"]]
    assert refused["labels"]["rule"] == "foreign-volume"
    await lab.crash(2, recreate=False)
    own.write_bytes(kept)
    await lab.create(2)
    watch.follow()
    await lab.until_ready(120)
    await quiet(lab, watch)


async def _a_hold(lab: Lab, watch: Watch) -> None:
    assert (await lab.pods[0].run("hold", "--why", "to see it")).returncode == 0
    await until(lab, "a hold", watch, {("PeerbootHeldTooLong", "db")}, "firing")
    [held] = (await watch.ask("alerts"))["alerts"]
    assert "(Pods that are held: 1)" in held["annotations"]["description"]
