"""Options and fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

# Beside real servers on two cores a moment of any length may pass inside of a test that computes: time proves nothing.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--rewrite`` writes what cases give now; look at the difference before committing it."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the outcome of cases/*.txt")


def pytest_configure() -> None:
    """Started in the background of a script, Ctrl-C is ignored, here and in every program that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# In CI a skip hides a missing server or library, so it counts as a failure. The name begins with a prefix
# that peerboot's settings leave to its tests.
NO_SKIPS = os.environ.get("PEERBOOT_TEST_CI", "") not in ("", "0")


def _without_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.outcome == "skipped":
        report.longrepr = f"CI lets nothing be skipped: {report.longrepr}"
        report.outcome = "failed"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test fails in CI."""
    report = yield
    _without_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A skipped module fails in CI."""
    report = yield
    _without_skip(report)
    return report
