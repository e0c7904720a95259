"""A real Prometheus that scrapes the Pods of a lab every other second, by the rules of the shipped scrape config."""

from __future__ import annotations

import calendar
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from peerboot.lab import prometheus
from peerboot.lab.cluster import Lab
from peerboot.lab.network import dying_with_parent
from peerboot.lab.pod import METRICS_PORT
from peerboot.outside.files import write_whole
from peerboot.outside.http import Http, HttpError
from tests.shape.pages import ROOT

PORT = 9090
MOST = 8 << 20
QUICK = "5s"
"""The ``for`` of every alert that has one, in the copy of the rules: what lasts in these tests lasts some seconds, and
one scrape or two that a busy machine lets fail do not.
"""


class Watch:
    """One Prometheus; ``follow`` says whom it scrapes."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.url = lab, folder, f"http://{lab.network.another()}:{PORT}"
        self._http = Http()

    def write(self) -> None:
        """Its config, and the alerts of examples/monitoring with a shorter ``for``."""
        self.folder.mkdir()
        rules = yaml.safe_load((ROOT / "examples/monitoring/rules.yaml").read_text())
        for rule in rules["groups"][0]["rules"]:
            if "for" in rule:
                rule["for"] = QUICK
        (self.folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        [scrape] = yaml.safe_load((ROOT / "examples/monitoring/scrape.yaml").read_text())
        del scrape["kubernetes_sd_configs"], scrape["scrape_interval"]
        scrape["file_sd_configs"] = [{"files": ["pods.json"], "refresh_interval": "1s"}]
        config = {
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [scrape],
        }
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.follow()

    def follow(self, *more: tuple[str, str]) -> None:
        """Tell of the Pods that there are now what Kubernetes' service discovery tells, which is more than is to be
        scraped: other ports, and a Pod that has ended. ``more``: others, with address.
        """
        there = [*((pod.spec.name, pod.spec.address) for pod in self.lab.pods.values()), *more]
        found = [self._target(name, address) for name, address in there]
        found += [self._target(name, address, port="clients") for name, address in there]
        found.append(self._target(f"{self.lab.spec.statefulset}-9", self.lab.network.another(), phase="Succeeded"))
        write_whole(self.folder / "pods.json", json.dumps(found).encode(), 0o640)

    def _target(self, name: str, address: str, port: str = "pb-metrics", phase: str = "Running") -> dict[str, Any]:
        spec = self.lab.spec
        labels = {
            "namespace": spec.namespace, "pod_controller_name": spec.statefulset, "pod_name": name, "pod_phase": phase,
            "pod_container_port_name": port,
        }  # fmt: skip
        return {
            "targets": [f"{address}:{METRICS_PORT}"],
            "labels": {f"__meta_kubernetes_{key}": value for key, value in labels.items()},
        }

    async def ask(self, path: str, **query: Any) -> Any:
        """``data`` of the HTTP API; raises ``AssertionError`` with what it says for an error."""
        reply = await self._http.fetch(
            "GET", f"{self.url}/api/v1/{path}?{urlencode(query, doseq=True)}", timeout=10, limit=MOST
        )
        answer = json.loads(reply.body)
        assert answer["status"] == "success", f"{path} {query}: {answer.get('error')}"
        return answer["data"]

    async def now(self, expr: str) -> list[dict[str, Any]]:
        """An instant query: samples with ``metric`` and ``value``."""
        found: list[dict[str, Any]] = (await self.ask("query", query=expr))["result"]
        return found

    async def over(self, expr: str, seconds: float) -> list[dict[str, Any]]:
        """A range query that ends now."""
        end = time.time()
        found: list[dict[str, Any]] = (await self.ask("query_range", query=expr, start=end - seconds, end=end, step=1))[
            "result"
        ]
        return found

    async def alerts(self, *states: str) -> set[tuple[str, str]]:
        """Name of each alert that is pending or fires, with the Pod or the set that it names."""
        found = (await self.ask("alerts"))["alerts"]
        return {
            (one["labels"]["alertname"], one["labels"].get("pod") or one["labels"].get("statefulset", ""))
            for one in found
            if one["state"] in (states or ("pending", "firing"))
        }

    async def evaluated(self) -> float:
        """When all alerts had last been looked at, since the epoch, by what Prometheus says itself."""
        [group] = (await self.ask("rules"))["groups"]
        assert [rule["lastError"] for rule in group["rules"] if rule.get("lastError")] == []
        return min(_seconds(rule["lastEvaluation"]) for rule in group["rules"])

    async def ready(self) -> bool:
        """Whether it answers and has looked at the alerts."""
        try:
            return await self.evaluated() > 0
        except HttpError:
            return False

    async def close(self) -> None:
        """Of its client."""
        await self._http.close()


def _seconds(text: str) -> float:
    """Of RFC 3339, to the second."""
    whole, _, _ = text.partition(".")
    return float(calendar.timegm(time.strptime(whole.removesuffix("Z"), "%Y-%m-%dT%H:%M:%S")))


@contextmanager
def running(watch: Watch) -> Iterator[subprocess.Popen[bytes]]:
    """The server, which ends with the test."""
    listen = watch.url.removeprefix("http://")
    with (watch.folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the lab's own
            [*dying_with_parent(), prometheus.find().server, f"--config.file={watch.folder / 'prometheus.yaml'}",
             f"--storage.tsdb.path={watch.folder / 'data'}", f"--web.listen-address={listen}"],
            cwd=watch.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(lab: Lab, what: str, watch: Watch, wanted: set[tuple[str, str]], *states: str) -> None:
    """Wait until just these alerts are in one of the states; raises with what is instead."""
    seen: set[tuple[str, str]] = set()

    async def so() -> bool:
        nonlocal seen
        seen = await watch.alerts(*states)
        return seen == wanted

    try:
        await lab.until(what, so, 90)
    except Exception as error:
        error.add_note(f"alerts: {sorted(seen)}, not {sorted(wanted)}")
        raise


async def looked_again(lab: Lab, watch: Watch, seconds: float) -> None:
    """Wait until the alerts were looked at so long after now, by Prometheus' clock."""
    began = time.time()

    async def so() -> bool:
        return await watch.evaluated() > began + seconds

    await lab.until("the alerts are looked at again", so)
