"""Options and fixtures that every test may use."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--rewrite`` writes what cases give now; look at the difference before committing it."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the outcome of cases/*.txt")
