"""What every story in this folder needs."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is synced to disk: here processes die, not machines, and syncing would be nearly all of the time."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
