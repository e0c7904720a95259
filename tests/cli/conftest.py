"""Fixtures of the tests through the command line."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.rig import NOBODY, Pod, Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """The command line, ready to run."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def pod(tmp_path: Path, zygote: Zygote) -> Pod:
    """A Pod with right settings."""
    return Pod(tmp_path, zygote)


@pytest.fixture
def ordinary_pod(zygote: Zygote) -> Iterator[Pod]:
    """A Pod whose directories an ordinary user owns and reaches, also when root runs the tests."""
    root = Path(tempfile.mkdtemp(prefix="peerboot-test-"))
    pod = Pod(root, zygote)
    if os.getuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield pod
    for path in (root, *(root / name for name in ("out", "volume", "secret"))):
        path.chmod(0o700)
    shutil.rmtree(root)
