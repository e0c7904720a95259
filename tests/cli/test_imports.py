"""What each program imports: a Pod's start and each probe pay for it."""

from __future__ import annotations

import json

import pytest

from tests.cli.rig import command

HEAVY = ("aiohttp", "asyncio", "dns", "importlib.metadata", "msgspec", "prometheus_client", "rich", "structlog", "yaml")
ASK = """
import json, sys
before = set(sys.modules)
try:
    exec(sys.argv[1])
except SystemExit:
    pass
print()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def _imported(code: str, **env: str) -> set[str]:
    result = command("-c", ASK, code, env=env)
    assert result.code == 0, result.err
    return set(json.loads(result.out.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import peerboot.cli",
        "import sys; sys.argv = ['peerboot', '--version']; import peerboot.cli; peerboot.cli.main()",
    ],
    ids=["import", "--version"],
)
def test_the_command_line_costs_nothing(code: str) -> None:
    """Neither importing the command line nor ``--version`` loads a library that only running needs."""
    imported = _imported(code)
    assert "peerboot.cli" in imported
    assert set() == {name for name in HEAVY if name in imported}


@pytest.mark.parametrize("name", ["init", "sidecar", "settings", "status"])
def test_the_lab_is_loaded_only_for_the_lab(name: str) -> None:
    """No command but ``lab`` imports anything of the lab, which is not in the image."""
    code = f"import sys, peerboot.cli; peerboot.cli.main([{name!r}])"
    assert sorted(module for module in _imported(code) if module.startswith("peerboot.lab")) == []


def test_init_that_stops_at_a_setting_has_loaded_no_client() -> None:
    """The libraries for DNS, HTTP, logs, YAML and metrics come after the settings are found right."""
    imported = _imported("import peerboot.cli; peerboot.cli.main(['init'])")
    assert "peerboot.container" in imported
    assert set() == {name for name in ("aiohttp", "dns", "prometheus_client", "structlog", "yaml") if name in imported}


@pytest.mark.parametrize(("name", "other"), [("etcd", "kafka"), ("kafka", "etcd")])
def test_a_start_knows_other_systems_by_their_settings(name: str, other: str) -> None:
    """A Pod of one system imports nothing of another but its settings, whose names it has to know."""
    env = {
        "PEERBOOT_SYSTEM": name,
        "PEERBOOT_SERVICE": "store",
        "PEERBOOT_CENSUS_AUTH": "none",
        "POD_NAME": "store-0",
        "POD_NAMESPACE": "prod",
        "PEERBOOT_OUTPUT_DIR": "/no/such/directory",  # it stops there, with its system set up
    }
    imported = _imported("import peerboot.cli; peerboot.cli.main(['init'])", **env)
    assert f"peerboot.systems.{name}.config" in imported
    folder = f"peerboot.systems.{other}"
    assert {folder, f"{folder}.settings"} == {module for module in imported if f"{module}.".startswith(f"{folder}.")}


@pytest.mark.parametrize("auth", ["hmac", "tls"])
def test_certificates_are_read_where_the_census_is_over_tls(auth: str) -> None:
    """A Pod whose census has a key loads nothing of what reads certificates."""
    env = {
        "PEERBOOT_SYSTEM": "etcd",
        "PEERBOOT_SERVICE": "store",
        "PEERBOOT_CENSUS_AUTH": auth,
        "POD_NAME": "store-0",
        "POD_NAMESPACE": "prod",
        **({"PEERBOOT_CENSUS_TLS_DIR": "/no/such"} if auth == "tls" else {"PEERBOOT_SECRET_FILE": "/no/such/key"}),
    }
    code = (
        "import peerboot.cli; peerboot.cli.main(['init'])\n"
        "import peerboot.census, peerboot.container, peerboot.serve, peerboot.view"
    )
    loaded = {"peerboot.outside.pair", "peerboot.x509", "peerboot.outside.either"} & _imported(code, **env)
    assert loaded == ({"peerboot.outside.pair", "peerboot.x509"} if auth == "tls" else set())


def test_the_probe_is_standard_library_only() -> None:
    """``peerboot-probe`` loads nothing of peerboot but itself, and nothing that is slow to load."""
    imported = _imported("from peerboot.probe import main; main(['startup'])")
    assert {"peerboot", "peerboot.probe"} == {name for name in imported if name.startswith("peerboot")}
    slow = {"argparse", "asyncio", "json", "pathlib", "re", "socket", "subprocess", "typing"}
    assert set() == slow & imported
