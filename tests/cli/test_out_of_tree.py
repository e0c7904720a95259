"""Systems of others, by the entry-point group; through one of them the settings as a system gets them, and exit 70."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rig import KEY, Pod, Result

SOURCE = """
import dataclasses, json
from peerboot.errors import SettingsError
from peerboot.settings import Setting

class System:
    name = "store"
    settings = (Setting("PEERBOOT_STORE_PORT", "int", "9000", "Its port.", low=1, high=65535),)
    default_data_dir = "/data/store"

    def prepare(self, settings, identity, base):
        if settings.extra["store_port"] == 13:
            raise RuntimeError("thirteen\\nis not expected")
        raise SettingsError(json.dumps([dataclasses.asdict(settings), str(identity.pod), dict(base)]))

SYSTEM = System()
"""


@pytest.fixture
def store(pod: Pod, tmp_path: Path) -> Pod:
    """A Pod of a system that is not in this tree, which tells as its error what it was given."""
    lib = tmp_path / "lib"
    dist = lib / "store-1.0.dist-info"
    dist.mkdir(parents=True)
    (lib / "store_for_peerboot.py").write_text(SOURCE)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: store\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(
        "[peerboot.systems]\nstore = store_for_peerboot:SYSTEM\nbroken = no_such_module:SYSTEM\n"
    )
    pod.env |= {"PYTHONPATH": str(lib), "PYTHONDONTWRITEBYTECODE": "1", "PEERBOOT_SYSTEM": "store"}
    return pod


def _given(pod: Pod, **changes: str | None) -> dict[str, Any]:
    """The settings as the system got them."""
    result = pod.run("init", changes=changes)
    assert result.code == 2, result.err
    settings: dict[str, Any] = json.loads(result.err.removeprefix("peerboot: "))[0]
    return settings


def test_a_system_of_others_is_found(store: Pod) -> None:
    """It stands in `peerboot systems`, its settings in `peerboot settings`, and a wrong one of them is one line."""
    assert Result(0, "broken\netcd\nkafka\npostgres\nstore\n", "") == store.run("systems")
    found = json.loads(store.run("systems", "--json").out)
    assert found[4] == {"name": "store", "settings": ["PEERBOOT_STORE_PORT"]}
    assert "cannot be loaded" in found[0]["error"]
    last = store.run("settings", "--system", "store").out.splitlines()[-1]
    assert last.split()[:2] == ["PEERBOOT_STORE_PORT", "9000"]
    wrong = store.run("init", changes={"PEERBOOT_STORE_PORT": "0"})
    line = "peerboot: PEERBOOT_STORE_PORT='0' is out of range: write a number from 1 to 65535\n"
    assert Result(2, "", line) == wrong
    unknown = store.run("init", changes={"PEERBOOT_STORE_PROT": "1"})
    assert (
        Result(2, "", "peerboot: PEERBOOT_STORE_PROT is not a setting: did you mean PEERBOOT_STORE_PORT?\n") == unknown
    )


def test_a_system_that_cannot_be_loaded_is_one_line(store: Pod) -> None:
    """A package that does not import is an error for who names it, and for nobody else."""
    result = store.run("init", changes={"PEERBOOT_SYSTEM": "broken"})
    line = (
        "peerboot: the system 'broken' cannot be loaded "
        "(ModuleNotFoundError: No module named 'no_such_module'): repair its package\n"
    )
    assert Result(2, "", line) == result
    assert _given(store)["extra"]["store_port"] == 9000


def test_the_environment_wins_over_the_file(store: Pod) -> None:
    """A value in PEERBOOT_CONFIG_FILE counts where the environment says nothing, or says it with an empty text."""
    path = store.root / "peerboot.yaml"
    path.write_text(
        "replicas: 5\nleave_timeout: 7s\ndeadline: 0\nmode: observe\nstore_port: 9001\n"
        "nameservers: [10.0.0.10, '[fd00::a]:53']\npod_uid: ''\n"
    )
    given = _given(store, PEERBOOT_CONFIG_FILE=str(path), PEERBOOT_NAMESERVERS=None, PEERBOOT_MODE="")
    assert tuple(given[k] for k in ("replicas", "leave_timeout", "deadline", "mode")) == (3, 7.0, 0.0, "observe")
    assert (
        given["extra"],
        given["nameservers"],
        given["pod_uid"],
    ) == ({"store_port": 9001}, ["10.0.0.10", "[fd00::a]:53"], "")


def test_service_links_are_no_settings(store: Pod) -> None:
    """What the kubelet sets for Services named ``peerboot…`` is neither an unknown name nor a value."""
    links = {
        "PEERBOOT_SERVICE_HOST": "10.0.0.1",
        "PEERBOOT_SERVICE_PORT": "7070",
        "PEERBOOT_SERVICE_PORT_PEERBOOT": "7070",
        "PEERBOOT_PORT": "tcp://10.0.0.1:7070",
        "PEERBOOT_PORT_7070_TCP": "tcp://10.0.0.1:7070",
        "PEERBOOT_PORT_7070_TCP_PROTO": "tcp",
        "PEERBOOT_PORT_7070_TCP_PORT": "7070",
        "PEERBOOT_PORT_7070_TCP_ADDR": "10.0.0.1",
        "PEERBOOT_STORE_PORT": "tcp://10.0.0.2:9000",
    }
    assert _given(store) == _given(store, **links)


def test_the_pod_name_falls_back_to_the_host_name(store: Pod) -> None:
    """Without POD_NAME the host name counts, and if that is no pod's name the line says what to set."""
    result = store.run("init", changes={"POD_NAME": None})
    host = socket.gethostname().partition(".")[0]
    assert result.code == 2
    assert result.err.startswith((f"peerboot: the host name '{host}' ", 'peerboot: [{"system": "store"'))
    assert result.err.endswith(("set POD_NAME from metadata.name\n", "{}]\n"))


def test_an_error_that_nobody_expected_is_70(store: Pod) -> None:
    """A bug: exit 70, a traceback, then one line; the same line is the termination log. No secret is in any."""
    before = store.everything()
    result = store.run("init", changes={"PEERBOOT_STORE_PORT": "13"})
    line = "this is a bug in peerboot: RuntimeError: thirteen is not expected. Please report it with the lines above."
    assert (result.code, result.out) == (70, "")
    assert result.err.startswith("Traceback (most recent call last):\n")
    assert f"peerboot: {line}" == result.err.splitlines()[-1]
    assert f"{line}\n" == store.last_words
    assert KEY not in result.err
    assert before == store.everything()


@pytest.mark.parametrize("name", ["init", "plan"])
def test_last_words_are_those_of_the_container(store: Pod, name: str) -> None:
    """The termination log is written by ``init`` and ``sidecar``, not by a command that a person runs beside them."""
    result = store.run(name, changes={"PEERBOOT_REPLICAS": "0"})
    line = "PEERBOOT_REPLICAS='0' is out of range: write a number from 1 to 1000\n"
    assert f"peerboot: {line}" == result.err
    assert {"init": line, "plan": ""}[name] == store.last_words


def test_no_termination_log_is_made_where_there_is_none(store: Pod) -> None:
    """Where no kubelet made the file the words go to stderr only."""
    (store.root / "termination").unlink()
    assert store.run("init", changes={"PEERBOOT_REPLICAS": "0"}).code == 2
    assert not (store.root / "termination").exists()
