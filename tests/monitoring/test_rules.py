"""The alerts of examples/monitoring, by promtool: each fires when it should, and stays quiet in what is benign."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerboot.lab import prometheus
from tests.shape.pages import ROOT, anchors

RULES = ROOT / "examples/monitoring/rules.yaml"
STORIES = tuple(ROOT / "tests/monitoring" / name for name in ("alerts.yaml", "slow_alerts.yaml"))
METRIC = re.compile(r"\bpeerboot_[a-z_]+")


def promtool(*words: str | Path) -> tuple[int, str]:
    """Its exit code and what it says."""
    done = subprocess.run(  # noqa: S603 - the lab's own
        [prometheus.find().promtool, *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def rules() -> dict[str, dict[str, Any]]:
    """By the alert's name."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def stories() -> list[dict[str, Any]]:
    """The unit tests."""
    return [story for path in STORIES for story in yaml.safe_load(path.read_text())["tests"]]


def failing(root: Path, change: dict[str, Any]) -> set[tuple[str, str]]:
    """The unit tests that fail when all rules are changed so: alert, and ``fires`` or ``is quiet``."""
    changed = [{**rule, **change} for rule in rules().values()]
    (root / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": changed}]}))
    for path in STORIES:
        whole = {**yaml.safe_load(path.read_text()), "rule_files": ["rules.yaml"]}
        (root / path.name).write_text(yaml.safe_dump(whole))
    _, said = promtool("test", "rules", *(root / path.name for path in STORIES))
    return set(re.findall(r"^ +name: (\w+) (fires|is quiet): ", said, re.MULTILINE))


def test_the_rules_are_valid() -> None:
    """As Prometheus reads them, with nothing that it would warn of."""
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert (code, f"{len(rules())} rules found" in said) == (0, True), said


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    """All unit tests, with labels and sentences."""
    code, said = promtool("test", "rules", *STORIES)
    assert code == 0, said


@pytest.mark.parametrize("alert", rules())
def test_each_alert_is_tried_both_ways(alert: str) -> None:
    """One unit test or more in which it fires, first not yet and then so, and one or more in which it never does."""
    fires, quiet = list[list[bool]](), list[list[bool]]()
    for story in stories():
        asked = [one for one in story["alert_rule_test"] if one["alertname"] == alert]
        if story["name"].startswith(f"{alert} fires: "):
            fires.append([bool(one["exp_alerts"]) for one in asked])
        elif story["name"].startswith(f"{alert} is quiet: "):
            quiet.append([bool(one["exp_alerts"]) for one in asked])
    assert (len(fires) > 0, all(outcome == [False, True] for outcome in fires)) == (True, True)
    assert (len(quiet) > 0, any(True in outcome for outcome in quiet), [] in quiet) == (True, False, False)


def test_every_unit_test_is_of_an_alert() -> None:
    """None is left of an alert that has another name now."""
    assert {story["name"].split()[0] for story in stories()} == set(rules())


@pytest.mark.parametrize(
    ("change", "outcome"),
    [({"expr": "vector(0) > 1"}, "fires"), ({"expr": "vector(1)", "annotations": {}}, "is quiet"),
     ({"for": "0s"}, "fires")],
    ids=["never fires", "always fires", "fires at once"],
)  # fmt: skip
def test_the_unit_tests_can_fail(change: dict[str, Any], outcome: str, tmp_path: Path) -> None:
    """They see of each alert when it never fires, when it always does, and when it does not wait for its time."""
    expected = {(name, outcome) for name, rule in rules().items() if "for" in rule or "for" not in change}
    assert expected - failing(tmp_path, change) == set()


@pytest.mark.parametrize("alert", rules())
def test_each_alert_says_what_it_has_to(alert: str) -> None:
    """How bad it is, what is so in a summary and a description, and a section of the page that says what to do."""
    rule, page = rules()[alert], (ROOT / "docs/alerts.md").read_text()
    assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})
    assert sorted(rule["annotations"]) == ["description", "runbook", "summary"]
    name, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (name, anchor, anchor in anchors(page)) == ("docs/alerts.md", alert.lower(), True)
    section = re.split(r"^## ", page, flags=re.MULTILINE)
    [own] = [text for text in section if text.startswith(f"{alert}\n")]
    parts = re.findall(r"^\*\*([\w ]+)[.:]\*\*", own, re.MULTILINE)
    assert parts == ["What it means", "What you see", "What to do", "What not to do", "When it is benign"]


def test_only_promised_metrics_are_used() -> None:
    """Rules and dashboard name no metric that docs/metrics.md does not have."""
    promised = set(re.findall(r"^\| `(peerboot_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    promised |= {f"{name}_{part}" for name in promised for part in ("sum", "count")}
    for path in (RULES, ROOT / "examples/monitoring/dashboard.json"):
        named = set(METRIC.findall(path.read_text()))
        assert (len(named) > 10, named - promised) == (True, set())
