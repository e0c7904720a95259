"""``peerboot etcd restore``: what it prints, and where nothing may be restored."""

from __future__ import annotations

import pytest

from tests.cli.rig import Pod

ETCD = {"PEERBOOT_SYSTEM": "etcd", "PEERBOOT_DATA_DIR": "{root}/volume/etcd"}
WRONG: dict[str, tuple[dict[str, str], int, str]] = {
    "outside": ({"PEERBOOT_SYSTEM": ""}, 2, "run this in the peerboot container, as in"),
    "another-system": ({"PEERBOOT_SYSTEM": "kafka"}, 2, "PEERBOOT_SYSTEM is kafka here"),
    "no-peerboot": ({}, 2, "no peerboot"),
}


@pytest.mark.parametrize(("changes", "code", "says"), WRONG.values(), ids=WRONG.keys())
def test_one_line_says_what_to_do(pod: Pod, changes: dict[str, str], code: int, says: str) -> None:
    """The right exit code, nothing on stdout, nothing written."""
    before = pod.everything()
    done = pod.run("etcd", "restore", changes={**ETCD, **changes})
    assert (done.code, done.out, done.err.count("\n"), says in done.err) == (code, "", 1, True), done.err
    assert pod.everything() == before


def test_outside_of_a_pod_the_same_command_is_shown_with_its_pod(pod: Pod) -> None:
    """What was typed is repeated."""
    done = pod.run("etcd", "restore", "--json", changes={**ETCD, "PEERBOOT_SYSTEM": ""})
    assert done.err.endswith("`kubectl exec etcd-0 -c peerboot -- peerboot etcd restore --json`\n"), done.err


def test_it_has_an_example(pod: Pod) -> None:
    """Its help can be copied."""
    done = pod.run("etcd", "restore", "--help")
    assert "Example: kubectl exec etcd-0 -c peerboot -- peerboot etcd restore" in done.out
