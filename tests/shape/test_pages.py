"""The pages say what is so: links, commands, examples, rules."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from peerboot import identity, systems
from peerboot.settings import OWN_PREFIXES, read
from peerboot.settings_table import GENERAL
from tests.shape import pages
from tests.shape.pages import ROOT

SECTIONS = ["Name", "Description", "Settings", "What it decides", "Examples", "Failure modes"]
PAGES = pages.markdown()
SYSTEM_PAGES = [Path(f"peerboot/systems/{name}/README.md") for name in systems.BUILT_IN]
ANYWHERE = ("settings", "systems", "replay", "--version", "--help")
"""Commands that need no cluster."""


def _id(path: Path) -> str:
    return str(path)


@pytest.mark.parametrize("path", PAGES, ids=_id)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to another page or heading of the project leads to one."""
    text = (ROOT / path).read_text()
    broken = []
    for link in pages.links(text):
        name, _, anchor = link.partition("#")
        target = (ROOT / path).parent / name if name else ROOT / path
        if not target.exists() or (anchor and anchor not in pages.anchors(target.read_text())):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", SYSTEM_PAGES, ids=_id)
def test_a_system_page_has_its_sections(path: Path) -> None:
    """The page of a system has the same sections as every other, in the same order."""
    assert pages.sections((ROOT / path).read_text()) == SECTIONS


@pytest.mark.parametrize("path", SYSTEM_PAGES, ids=_id)
def test_base_config_examples_are_accepted(path: Path, tmp_path: Path) -> None:
    """A base config that a system's page shows, in its server's format, is one that peerboot takes."""
    name = path.parent.name
    system, text = systems.find(name), (ROOT / path).read_text()
    examples = [example for syntax in ("yaml", "properties") for example in pages.blocks(text, syntax)]
    assert examples != []
    environ = {"PEERBOOT_SYSTEM": name, "PEERBOOT_SERVICE": "db", "POD_NAME": "db-0", "POD_NAMESPACE": "default"}
    environ |= {"PEERBOOT_CLUSTER_DOMAIN": "cluster.local", "PEERBOOT_CENSUS_AUTH": "none"}
    if name == "postgres":
        (tmp_path / "password").write_text("secret\n")
        environ["PEERBOOT_POSTGRES_PASSWORD_FILE"] = str(tmp_path / "password")
    settings = read(environ, systems={name: system.settings})
    for example in examples:
        system.prepare(settings, identity.derive(settings, "", ""), system.parse_base(example, str(path)))


def _peerboot(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - peerboot itself
        [sys.executable, "-m", "peerboot", *words], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@cache
def _is_command(name: str) -> bool:
    return _peerboot(name, "--help").returncode == 0


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _named(text: str, program: str) -> Iterator[str]:
    """The word after a program's name, in code spans and console blocks."""
    for part in (*re.findall(r"`([^`\n]+)`", text), *(command for command, _ in pages.commands(text))):
        found = re.match(rf"(?:.* -- )?{program} ([a-z][a-z-]*)", part)
        if found:
            yield found.group(1)


@pytest.mark.parametrize("path", PAGES, ids=_id)
def test_commands_exist(path: Path) -> None:
    """Every `make` target and every `peerboot` command that a page names exists."""
    text = (ROOT / path).read_text()
    assert set(_named(text, "make")) - _make_targets() == set()
    assert [name for name in _named(text, "peerboot") if not _is_command(name)] == []


@pytest.mark.parametrize("path", ["README.md", "docs/recorder.md", *map(str, SYSTEM_PAGES)])
def test_examples_print_what_the_page_shows(path: str) -> None:
    """Each example that needs no cluster runs, and prints the shown lines, in that order."""
    for command, shown in pages.commands((ROOT / path).read_text()):
        words = command.split()
        if words[0] != "peerboot" or words[1] not in ANYWHERE:
            continue
        done = _peerboot(*words[1:])
        assert (done.returncode, done.stderr) == (0, "")
        printed = iter(done.stdout.splitlines())
        missing = [line for line in shown if line != "…" and line not in printed]
        assert missing == []


@pytest.mark.parametrize("path", SYSTEM_PAGES, ids=_id)
def test_a_system_page_shows_a_run(path: Path) -> None:
    """The page of a system has at least one example that runs anywhere, with what it prints."""
    shown = [lines for command, lines in pages.commands((ROOT / path).read_text()) if command.split()[1] in ANYWHERE]
    assert any(shown)


@pytest.mark.parametrize("path", PAGES, ids=_id)
def test_settings_exist(path: Path) -> None:
    """Every setting that a page names exists."""
    # Of all folders, for a system's pages and settings are there before it can be chosen.
    folders = (ROOT / "peerboot/systems").glob("*/settings.py")
    own = [import_module(f"peerboot.systems.{path.parent.name}.settings").SETTINGS for path in folders]
    known = {row.name for rows in (GENERAL, *own) for row in rows}
    named = set(re.findall(r"\bPEERBOOT_[A-Z0-9_]*[A-Z0-9]\b", (ROOT / path).read_text()))
    assert {name for name in named - known if not name.startswith(OWN_PREFIXES)} == set()


def test_the_pod_of_the_readme_is_one_that_peerboot_takes() -> None:
    """The container in the README sets only known settings and passes known arguments."""
    [example] = pages.blocks((ROOT / "README.md").read_text(), "yaml")
    [container] = yaml.safe_load(example)["initContainers"]
    environ = {var["name"]: var.get("value", "") for var in container["env"]}
    environ |= {"POD_NAME": "db-0", "POD_NAMESPACE": "default", "POD_UID": "1", "POD_IPS": "127.0.0.1"}
    etcd = systems.find("etcd")
    settings = read(environ, systems={"etcd": etcd.settings})
    assert (settings.system, settings.replicas, settings.data_dir) == ("etcd", 3, etcd.default_data_dir)
    assert _is_command(container["args"][0])


def _waits_and_refusals() -> set[str]:
    """The names of all decisions to wait or to refuse: those that stand in the rules' code, and those of the cases."""
    names = set[str]()
    for path in pages.texts():
        text = (ROOT / path).read_text()
        if "cases" in path.parts and path.suffix == ".txt":
            names |= set(re.findall(r"^decision: (?:wait|refuse) \(([a-z-]+)\)$", text, re.MULTILINE))
        elif path.name == "decide.py" or path.match("peerboot/rules/*.py"):
            # Only what is refused or allowed by consent is named right after the facts; the kind comes first elsewhere.
            names |= set(re.findall(r'\(\s*facts,\s*(?:"wait",\s*)?"([a-z]+-[a-z-]+)"', text))
            names |= set(re.findall(r'\(\s*facts,\s*"wait",\s*"([a-z]+)"', text))
    return names


def test_every_wait_and_refusal_has_its_failure_mode() -> None:
    """Whatever peerboot may wait for or refuse is explained, by the name that the user sees."""
    names = _waits_and_refusals()
    assert {"wait-for-all", "corrupt-kept", "held"} <= names
    text = (ROOT / "docs/failure-modes.md").read_text()
    assert {name for name in names if f"({name})" not in text} == set()


def test_failure_modes_name_only_rules_that_exist() -> None:
    """A rule's name in the failure modes is one that peerboot can show."""
    text = (ROOT / "docs/failure-modes.md").read_text()
    assert set(re.findall(r"\(([a-z]+(?:-[a-z]+)+)\)", text)) - _waits_and_refusals() == set()


def test_the_index_lists_every_page() -> None:
    """docs/README.md links to every page of docs/."""
    linked = set(pages.links((ROOT / "docs/README.md").read_text()))
    there = {str(p.relative_to("docs")) for p in PAGES if p.parts[0] == "docs" and p.name != "README.md"}
    assert there - linked == set()
