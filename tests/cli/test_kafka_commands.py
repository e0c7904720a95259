"""``peerboot kafka …`` before it reaches a broker: what is typed wrongly, and where it cannot be run."""

from __future__ import annotations

import pytest

from tests.cli.rig import Pod

KAFKA = {"PEERBOOT_SYSTEM": "kafka", "PEERBOOT_DATA_DIR": "{root}/volume/metadata"}
WRONG: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "outside": (
        ["drain", "db-3"],
        {"PEERBOOT_SYSTEM": ""},
        2,
        "run this in the peerboot container, as in",
    ),
    "another-system": (["drain", "db-3"], {"PEERBOOT_SYSTEM": "etcd"}, 2, "PEERBOOT_SYSTEM is etcd here"),
    "controllers-only": (["drain", "db-3"], {"PEERBOOT_KAFKA_ROLES": "controller"}, 2, "are controllers only"),
    "observing": (["drain", "db-3", "--yes"], {"PEERBOOT_MODE": "observe"}, 2, "PEERBOOT_MODE=observe changes nothing"),
    "not-of-the-set": (["unregister", "other-3"], {}, 2, "neither a pod of db nor a node id: write db-3, or 3"),
    "no-rate": (["drain", "db-3", "--throttle", "50"], {}, 2, "write one such as 50MB/s"),
    "no-dns": (["drain", "db-3"], {}, 3, "DNS does not tell the set's Pods"),
}


@pytest.mark.parametrize(("args", "changes", "code", "says"), WRONG.values(), ids=WRONG.keys())
def test_one_line_says_what_to_do(pod: Pod, args: list[str], changes: dict[str, str], code: int, says: str) -> None:
    """The right exit code, nothing on stdout, nothing written."""
    before = pod.everything()
    done = pod.run("kafka", *args, changes={**KAFKA, **changes})
    assert (done.code, done.out, done.err.count("\n"), says in done.err) == (code, "", 1, True), done.err
    assert pod.everything() == before


@pytest.mark.parametrize(
    "typed",
    [
        "migrate",
        "migrate --yes",
        "drain db-3 4 --throttle 50MB/s --json",
        "drain db-3 --undo",
        "unregister kafka-3 --yes",
    ],
)
def test_outside_of_a_pod_the_same_command_is_shown_with_its_pod(pod: Pod, typed: str) -> None:
    """What was typed is repeated, no other command, and nothing is added to it: not ``--yes`` either."""
    done = pod.run("kafka", *typed.split(), changes={**KAFKA, "PEERBOOT_SYSTEM": ""})
    there = f"`kubectl exec kafka-0 -c peerboot -- peerboot kafka {typed}`"
    line = f"peerboot: no settings of peerboot are here: run this in the peerboot container, as in {there}\n"
    assert (2, "", line) == (done.code, done.out, done.err)


def test_outside_of_a_pod_what_a_shell_would_read_is_quoted(pod: Pod) -> None:
    """The line can be copied whatever was typed."""
    done = pod.run("kafka", "unregister", "a b;c", changes={**KAFKA, "PEERBOOT_SYSTEM": ""})
    assert done.err.endswith("-- peerboot kafka unregister 'a b;c'`\n"), done.err


@pytest.mark.parametrize("name", ["drain", "unregister"])
def test_each_has_an_example(pod: Pod, name: str) -> None:
    """One line that can be copied."""
    done = pod.run("kafka", name, "--help")
    assert (done.code, f"-- peerboot kafka {name} kafka-3" in done.out) == (0, True)
