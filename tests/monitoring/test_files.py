"""What examples/monitoring has besides the rules fits together: what to scrape, operator's objects, dashboard."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.test_rules import RULES, promtool
from tests.shape.pages import ROOT
from tools import manifests

FOLDER = ROOT / "examples/monitoring"
MANIFESTS = manifests.variants()
GIVEN = {"job", "namespace", "statefulset", "pod"}
"""Labels that the rules want of whoever scrapes."""
KINDS = {"row", "stat", "table", "timeseries", "state-timeline"}
"""Panels that are in Grafana itself."""
BUILT_IN = {"__rate_interval"}
"""Variables that Grafana has."""


def test_the_prometheus_rule_has_the_same_alerts() -> None:
    """And is an object as the operator wants it."""
    made = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text())
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert made["spec"] == yaml.safe_load(RULES.read_text())


def test_the_scrape_config_is_valid(tmp_path: Path) -> None:
    """As a part of a whole one, with the rules beside it. Debian's Prometheus is built without Kubernetes' discovery,
    of which only the role is chosen.
    """
    [job] = yaml.safe_load((FOLDER / "scrape.yaml").read_text())
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    config = tmp_path / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "scrape_configs": [job]}))
    code, said = promtool("check", "config", "--lint=all", "--lint-fatal", config)
    assert code == 0, said


def test_both_ways_to_scrape_give_the_same_labels() -> None:
    """Those that the rules want; namespace and pod the operator gives by itself."""
    [job] = yaml.safe_load((FOLDER / "scrape.yaml").read_text())
    [endpoint] = yaml.safe_load((FOLDER / "pod-monitor.yaml").read_text())["spec"]["podMetricsEndpoints"]
    by_config = {row["target_label"]: row["source_labels"] for row in job["relabel_configs"] if "target_label" in row}
    by_monitor = {row["targetLabel"]: row.get("sourceLabels") for row in endpoint["relabelings"]}
    assert {*by_config, "job"} == {*by_monitor, "namespace", "pod"} == GIVEN
    assert by_config["statefulset"] == by_monitor["statefulset"] == ["__meta_kubernetes_pod_controller_name"]
    assert job["job_name"] == next(row["replacement"] for row in endpoint["relabelings"] if row["targetLabel"] == "job")
    keeps = [row["regex"] for row in job["relabel_configs"] if row.get("action") == "keep"]
    assert (keeps, job["scrape_interval"]) == ([endpoint["port"]], endpoint["interval"])
    asked = {name for by in re.findall(r"(?:by|on) \(([^)]*)\)", RULES.read_text()) for name in by.split(", ")}
    assert asked - GIVEN == {"rule", "version", "setting", "file", "instance"}


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifests_have_what_is_scraped(name: str) -> None:
    """In each set just one container with a port of that name; its Pods let in the namespace of the PodMonitor."""
    monitor = yaml.safe_load((FOLDER / "pod-monitor.yaml").read_text())
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    objects = [each for each in yaml.safe_load_all(MANIFESTS[name]) if each]
    sets = [each["spec"]["template"] for each in objects if each["kind"] == "StatefulSet"]
    assert sets != []
    for template in sets:
        pod = template["spec"]
        ports = [
            port["containerPort"]
            for container in (*pod.get("initContainers", ()), *pod["containers"])
            for port in container.get("ports", ())
            if port["name"] == endpoint["port"]
        ]
        assert ports == [7072]
        [policy] = [
            each["spec"]
            for each in objects
            if each["kind"] == "NetworkPolicy"
            and each["spec"]["podSelector"]["matchLabels"] == template["metadata"]["labels"]
        ]
        assert monitor["metadata"]["namespace"] in set(_let_in(policy, 7072))


def _let_in(policy: dict[str, Any], port: int) -> Iterator[str]:
    """Names of the namespaces that reach that port."""
    for rule in policy["ingress"]:
        if any(each["port"] == port for each in rule["ports"]):
            for who in rule.get("from", ()):
                yield who.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", "")


# ------------------------------------------------------------------ dashboard


def dashboard() -> dict[str, Any]:
    """As it is shipped."""
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def variables() -> dict[str, dict[str, Any]]:
    """By name."""
    return {one["name"]: one for one in dashboard()["templating"]["list"]}


def test_the_dashboard_has_what_grafana_asks_for() -> None:
    """A title, a uid of 40 characters at most, a schema, no id of a database; numbers of panels only once."""
    found = dashboard()
    assert (found["title"], found["schemaVersion"] >= 36, "id" in found) == ("peerboot", True, False)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", found["uid"])
    ids = [panel["id"] for panel in found["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    assert {panel["type"] for panel in found["panels"]} == KINDS


def test_the_variables_lead_from_one_to_the_next() -> None:
    """First the data source, then queries, each of which uses only what was chosen before."""
    chosen = list[str]()
    for name, one in variables().items():
        used = re.findall(r"\$\{?(\w+)", json.dumps([one.get("query"), one.get("datasource")]))
        assert set(used) - {*chosen} == set()
        chosen.append(name)
    assert chosen == ["datasource", "job", "namespace", "set"]
    assert variables()["datasource"]["type"] == "datasource"


def test_each_panel_says_what_it_shows() -> None:
    """A title that no other has and a description; each query has an expression, a refId of its own, and the data
    source of the variable.
    """
    shown = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["title"] for panel in shown}) == len(shown)
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in shown:
        targets = panel["targets"]
        assert (panel["description"].endswith("."), panel["datasource"]) == (True, source)
        assert [target["refId"] for target in targets] == list("ABCDEFGH"[: len(targets)])
        assert [target["datasource"] for target in targets] == [source] * len(targets)
        for target in targets:
            assert set(re.findall(r"\$\{?(\w+)", target["expr"])) - BUILT_IN == {"job", "namespace", "set"}
            assert target["expr"].count('job=~"$job"') == len(re.findall(r"\bpeerboot_\w+", target["expr"]))


def test_panels_lie_beside_each_other() -> None:
    """Within Grafana's 24 columns, and none on another."""
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)
