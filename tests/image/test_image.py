"""What is in the image, and how it runs where a Pod confines it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable

import pytest

from peerboot import __version__
from tests.image.conftest import OPENSHIFT, Built
from tools import image

SETTINGS = {
    "PEERBOOT_SYSTEM": "etcd", "PEERBOOT_REPLICAS": "3", "PEERBOOT_SERVICE": "peers", "POD_NAME": "db-0",
    "POD_NAMESPACE": "test", "POD_IPS": "127.0.0.1", "PEERBOOT_NAMESERVERS": "127.0.0.1",
    "PEERBOOT_CENSUS_AUTH": "none",
    "PEERBOOT_DATA_DIR": "/mnt/volume/etcd", "PEERBOOT_STATE_DIR": "/mnt/volume/.peerboot",
    "PEERBOOT_LISTEN": "127.0.0.1:7070", "PEERBOOT_METRICS_LISTEN": "127.0.0.1:7072",
}  # fmt: skip
READS_ALL = (
    "import runpy,sys,threading,os,time,signal,urllib.request;os.makedirs('/mnt/volume/etcd',exist_ok=True);"
    "sys.path.append('/opt/peerboot/lib');sys.argv=['peerboot','sidecar'];"
    "t=threading.Timer(4,lambda:(urllib.request.urlopen('http://127.0.0.1:7072/metrics').read(),"
    "os.kill(os.getpid(),signal.SIGTERM)));t.start();"
    "from peerboot.cli import main;code=main();"
    "bare=sorted(n for n,m in sys.modules.items() if (s:=getattr(m,'__spec__',None)) and s.has_location and s.origin"
    " and s.origin.endswith('.py') and not (s.cached and os.path.exists(s.cached)));"
    "print('BARE',bare,len(sys.modules));sys.exit(code)"
)
"""Runs the sidecar until its metrics were scraped, then lists the modules that came without byte-code."""


def _isolated(built: Built) -> list[str]:
    """The interpreter as the image's programs start it."""
    line = (built.root / "opt/peerboot/bin/peerboot").read_text().splitlines()[0]
    return line.removeprefix("#!").split()


@pytest.mark.parametrize("user", [65532, OPENSHIFT], ids=["default", "openshift"])
def test_any_user_of_group_0_runs_it(built: Built, user: int) -> None:
    """Read-only root, no rights, no line in /etc/passwd: it starts, and writes to its output directory."""
    entry = built.config["Entrypoint"]
    assert isinstance(entry, list)
    done = built.run(*entry, "--version", user=user)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"peerboot {__version__}", "")
    process = built.start(
        *entry, "sidecar", user=user, env=SETTINGS | {"PEERBOOT_DATA_DIR": "/mnt/etcd", "PEERBOOT_STATE_DIR": ""}
    )
    said = _until_said(process, "Not heard")
    assert "wait/wait-for-all" in said


def _until_said(process: subprocess.Popen[str], what: str) -> str:
    """What it wrote until ``what`` came, at most for 20 s; then it is stopped."""
    timer = threading.Timer(20, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    said = ""
    assert process.stderr is not None
    assert process.stdout is not None
    for line in process.stderr:
        said += line
        if what in line:
            break
    timer.cancel()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    process.stdout.close()
    return said


def test_nothing_is_compiled_at_run_time(built: Built) -> None:
    """Every module that the sidecar imports, its metrics scraped, comes from byte-code in the image."""
    done = built.run(*_isolated(built), "-c", READS_ALL, env=SETTINGS)
    found = re.search(r"BARE (\[.*\]) (\d+)", done.stdout)
    assert found is not None, done.stderr
    assert found[1] == "[]"
    assert int(found[2]) > 300


def test_byte_code_is_never_checked_against_its_source(built: Built) -> None:
    """Each file of byte-code says so itself: flags 1, which is a hash that is not looked at."""
    files = sorted((built.root / "opt/peerboot/pycache").rglob("*.pyc"))
    assert len(files) > 500
    flags = {int.from_bytes(file.read_bytes()[4:8], "little") for file in files}
    assert flags == {1}


def test_what_is_installed_is_the_lock(built: Built) -> None:
    """The bill of materials names exactly what is installed, each with a hash that the lock has."""
    bill = json.loads((built.root / "opt/peerboot/sbom.cdx.json").read_text())
    locked = (image.ROOT / "requirements/run.txt").read_text()
    python = [row for row in bill["components"] if row.get("purl", "").startswith("pkg:pypi/")]
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", locked, re.MULTILINE))
    assert {row["name"]: row["version"] for row in python} == pinned
    assert [row["name"] for row in python if row["hashes"][0]["content"] not in locked] == []
    folders = {
        path.name.partition("-")[0].replace("_", "-").lower()
        for path in (built.root / "opt/peerboot/lib").glob("*.dist-info")
    }
    assert folders == {*pinned, "peerboot"}
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "peerboot",
        __version__,
    )
    assert any(row["name"] == "libc6" for row in bill["components"])


def test_the_image_says_what_it_is(built: Built) -> None:
    """Numeric user, an entry point without a shell, OCI labels."""
    labels = built.config["Labels"]
    assert isinstance(labels, dict)
    assert (built.config["User"], built.config["Entrypoint"]) == ("65532:0", ["/opt/peerboot/bin/peerboot"])
    assert labels["org.opencontainers.image.version"] == __version__
    assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])


def test_the_probe_is_on_the_path(built: Built) -> None:
    """``peerboot-probe`` runs by its name, and says that nothing was written yet."""
    done = built.run("peerboot-probe", "startup", user=OPENSHIFT)
    assert (done.returncode, done.stdout.startswith("peerboot has not written")) == (1, True)


def test_two_builds_give_the_same_layers(built: Built, build_again: Callable[[str], str]) -> None:
    """One commit, one tree: the layers' digests are the same, and so is the whole configuration."""
    again = build_again("test-again")
    first, second = image.inspect(built.name), image.inspect(again)
    assert first["rootfs"]["diff_ids"] == second["rootfs"]["diff_ids"]
    assert first == second


def test_no_program_of_a_build_is_left(built: Built) -> None:
    """Neither pip nor wheels nor the build's scripts are in the image; all that is not the base is in two places."""
    assert [name for name in ("context", "made") if (built.root / name).exists()] == []
    assert list((built.root / "opt/peerboot/lib").glob("pip*")) == []
    assert sorted(path.name for path in (built.root / "opt/peerboot").iterdir()) == [
        "bin",
        "lib",
        "pycache",
        "sbom.cdx.json",
    ]
