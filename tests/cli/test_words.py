"""What the commands print that need no Pod: help, version, the catalogues, and what is typed wrongly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from peerboot import __version__
from peerboot.settings_table import GENERAL
from peerboot.systems.etcd.settings import SETTINGS
from peerboot.systems.kafka.settings import SETTINGS as KAFKA_SETTINGS
from peerboot.systems.postgres.settings import SETTINGS as POSTGRES_SETTINGS
from tests.cli.rig import BOUND, Pod, Result, Zygote, command

COMMANDS = (
    "init",
    "sidecar",
    "status",
    "plan",
    "explain",
    "peers",
    "remove",
    "consent",
    "hold",
    "resume",
    "settings",
    "systems",
    "bundle",
    "replay",
    "manifest",
    "etcd",
    "kafka",
    "postgres",
    "lab",
)
ESCAPE = re.compile(r"\x1b|\r")


def test_version_names_the_program(zygote: Zygote) -> None:
    """``--version`` is the name and the version, nothing else."""
    assert Result(0, f"peerboot {__version__}\n", "") == zygote.run(["--version"], {})


def test_help_lists_every_command(zygote: Zygote) -> None:
    """``peerboot --help`` has one entry for each command, the lab among them, and an example."""
    result = zygote.run(["--help"], {})
    assert (result.code, result.err) == (0, "")
    assert list(COMMANDS) == re.findall(r"^    ([a-z]+) ", result.out, re.MULTILINE)
    assert "\nExample: peerboot " in result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_shows_an_example(zygote: Zygote, name: str) -> None:
    """The example is one line that can be copied, and names this command."""
    result = zygote.run([name, "--help"], {"COLUMNS": "60"})
    assert (result.code, result.err) == (0, "")
    (example,) = re.findall(r"^(?:Example|example): (.*)$", result.out, re.MULTILINE)
    assert re.search(rf"\bpeerboot {name}\b", example)


@pytest.mark.parametrize(
    ("args", "say"),
    [
        (["stauts"], "peerboot: argument COMMAND: invalid choice: 'stauts'"),
        ([], "peerboot: the following arguments are required: COMMAND: see `peerboot --help`"),
        (["settings", "--jsno"], "peerboot settings: unrecognized arguments: --jsno: see `peerboot settings --help`"),
        (
            ["explain", "-n", "0"],
            "peerboot explain: argument -n: '0' is not a number from 1 to 200: see `peerboot explain --help`",
        ),
        (["explain", "-n", "x"], "peerboot explain: argument -n: 'x' is not a number from 1 to 200: see"),
        (["remove"], "peerboot remove: the following arguments are required: POD: see `peerboot remove --help`"),
        (["settings", "--system", "etdc"], "peerboot: the system 'etdc' is not known: use etcd, kafka or postgres"),
        (
            ["hold", "--for", "2"],
            "peerboot: --for='2' is not a duration: write it like 500ms, 10s, 2m or 1h",
        ),
        (["status"], "peerboot: no peerboot answers at {root}/out/admin.sock"),
    ],
    ids=["unknown command", "none", "unknown option", "too few", "no number", "no pod", "system", "duration", "nobody"],
)
def test_what_is_typed_wrongly_is_one_line(pod: Pod, args: list[str], say: str) -> None:
    """Exit 2 with one line on stderr and nothing on stdout; the termination log is not that of a one-shot command."""
    result = pod.run(*args)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(say.replace("{root}", str(pod.root))), result.err
    assert pod.last_words == ""


def test_settings_lists_every_row(zygote: Zygote) -> None:
    """``peerboot settings --system etcd`` has a line for each general setting and each of etcd's, in order."""
    result = zygote.run(["settings", "--system", "etcd"], {})
    lines = result.out.splitlines()
    assert lines[0].split() == ["NAME", "DEFAULT", "UNIT", "VALUES", "REASON"]
    assert [row.name for row in (*GENERAL, *SETTINGS)] == [line.split()[0] for line in lines[1:]]
    assert lines[1].split()[:2] == ["PEERBOOT_SYSTEM", "required"]


def test_settings_as_json_is_the_same_table(zygote: Zygote) -> None:
    """Every row with name, default, unit and reason."""
    rows = json.loads(zygote.run(["settings", "--json"], {}).out)
    assert [row.name for row in GENERAL] == [row["name"] for row in rows]
    assert [row.reason for row in GENERAL] == [row["reason"] for row in rows]
    by_name = {row["name"]: row for row in rows}
    assert tuple(by_name["PEERBOOT_LEAVE_TIMEOUT"][key] for key in ("default", "unit")) == ("20s", "duration")


def test_schema_knows_every_key_and_no_other(zygote: Zygote) -> None:
    """The JSON schema of the settings file has each key but that of the file itself, and refuses others."""
    schema = json.loads(zygote.run(["settings", "--system", "etcd", "--json-schema"], {}).out)
    assert [row.key for row in (*GENERAL, *SETTINGS) if row.key != "config_file"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert {key: schema["properties"]["replicas"][key] for key in ("type", "minimum", "maximum")} == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
    }
    assert schema["properties"]["mode"]["enum"] == ["manage", "observe"]


def test_systems_are_listed(zygote: Zygote) -> None:
    """``peerboot systems``: a name a line; as JSON with the settings that are its own."""
    assert Result(0, "etcd\nkafka\npostgres\n", "") == zygote.run(["systems"], {})
    found = json.loads(zygote.run(["systems", "--json"], {}).out)
    listed = {"etcd": SETTINGS, "kafka": KAFKA_SETTINGS, "postgres": POSTGRES_SETTINGS}
    assert [{"name": name, "settings": [row.name for row in rows]} for name, rows in listed.items()] == found


@pytest.mark.parametrize("args", [["--help"], ["settings"], ["settings", "--json"]], ids=["help", "table", "json"])
def test_no_colour_where_nobody_looks(zygote: Zygote, args: list[str]) -> None:
    """What goes to a file or a pipe has no escape sequences, whatever the terminal is said to be."""
    result = zygote.run(args, {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    assert ESCAPE.search(result.out + result.err) is None


@pytest.mark.parametrize("args", [["settings", "--json"], ["--help"]], ids=["more than a buffer", "at exit"])
def test_a_reader_that_goes_away_is_no_error(args: list[str]) -> None:
    """``peerboot … | head -0``: exit 0, nothing on stderr, whether the pipe breaks while printing or at exit."""
    with subprocess.Popen(  # noqa: S603 - this Python
        [sys.executable, "-m", "peerboot", *args],
        env={"PATH": os.environ["PATH"]},  # without PYTHONUNBUFFERED, which would leave nothing for the exit
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert (said, process.wait(BOUND)) == ("", 0)


def test_module_and_script_are_the_same_program() -> None:
    """``python -m peerboot`` and the installed ``peerboot`` print the same."""
    module = command("-m", "peerboot", "--version")
    script = command(
        "-c", "import sys; from peerboot.cli import main; sys.argv[0] = 'peerboot'; sys.exit(main())", "--version"
    )
    assert Result(0, f"peerboot {__version__}\n", "") == module == script
