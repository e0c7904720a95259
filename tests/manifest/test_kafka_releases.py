"""What the tag of Kafka's image says, and which quorum comes of it and of ``--quorum``."""

from __future__ import annotations

import pytest

from peerboot import cli
from peerboot.systems.kafka import choices, releases
from tools import manifests

RELEASES = {
    "apache/kafka:4.3.1": (4, 3),
    "apache/kafka:3.8.1": (3, 8),
    "registry.example:5000/team/kafka:3.7": (3, 7),
    "kafka:v3.9.0-rc3": (3, 9),
    "bitnami/kafka:3.8.1-debian-12-r0": (3, 8),
    "kafka:3.8.1@sha256:" + "0" * 64: (3, 8),
    "confluentinc/cp-kafka:7.8.0": (3, 8),
    "confluentinc/cp-kafka:8.1.0": (4, 1),
    "registry.example:3.8/kafka": None,
    "kafka": None,
    "kafka:latest": None,
    "kafka:3": None,
    "kafka:38": None,
    "kafka:0.45.0-kafka-3.8.0": None,
    "wurstmeister/kafka:2.13-2.8.1": None,
    "team/our-kafka:3.8.1": None,
    "kafka@sha256:" + "0" * 64: None,
}


@pytest.mark.parametrize(("image", "release"), RELEASES.items(), ids=RELEASES.keys())
def test_a_tag_that_is_a_release(image: str, release: tuple[int, int] | None) -> None:
    """Of Kafka's image, and of Confluent's, whose 7.9 is Kafka 3.9; any other image or tag says nothing."""
    assert releases.release(image) == release


STATIC = (
    "a set with a static quorum cannot be scaled, and one Pod stays one: a further Pod is refused, as a broker too "
    "(not-a-voter), and one that is scaled away stays a voter"
)
FORMED = (
    "a set that was formed by 3.7 or 3.8, or is static for another reason, needs --quorum static until it was made "
    "dynamic by `peerboot kafka migrate`: without it its Pods refuse to start"
)
FIRST = (
    "--server-image=x/cp-kafka:7.9.1 is Kafka 3.9, the first release whose voters can be replaced (KIP-853), and its "
    "command that makes a static quorum a dynamic one does not do so: prefer 4.1 or later"
)
CASES: dict[str, tuple[list[str], str | None, list[str]]] = {
    "3.7": (
        ["apache/kafka:3.7.2"],
        "static-3.8",
        [
            (
                "--server-image=apache/kafka:3.7.2 is Kafka 3.7, which has static quorums only: "
                "PEERBOOT_KAFKA_QUORUM=static-3.8 is set; prefer 4.1 or later"
            ),
            f"{STATIC}; --split is refused",
        ],
    ),
    "3.9": (["x/cp-kafka:7.9.1"], None, [FIRST, FORMED]),
    "3.9 of a static set": (["x/cp-kafka:7.9.1", "--quorum", "static"], "static", [FIRST, STATIC]),
    "4.0": (["apache/kafka:4.0.0"], None, [FORMED]),
    "4.1 of a static set": (["apache/kafka:4.1.0", "--quorum", "static"], "static", [STATIC]),
    "4.1 and left at 3.8's": (
        ["apache/kafka:4.1.0", "--quorum", "static-3.8"],
        "static-3.8",
        ["static-3.8 is for 3.7 and 3.8: name --quorum static together with an image of 3.9 or later", STATIC],
    ),
    "4.1 that is dynamic for sure": (["apache/kafka:4.1.0", "--quorum", "dynamic"], "dynamic", []),
    "newer than what was run": (
        ["apache/kafka:4.4.0", "--quorum", "dynamic"],
        "dynamic",
        [
            (
                "--server-image=apache/kafka:4.4.0 is Kafka 4.4, newer than any that peerboot was run with (3.7 to "
                "4.3): try it first with a set that you can do without"
            ),
        ],
    ),
    "not known": (
        ["team/our-kafka:3.8.1"],
        None,
        [
            (
                "--server-image=team/our-kafka:3.8.1 does not say which release of Kafka it is: a dynamic quorum, as "
                "here, never forms on 3.7 and 3.8, which need --quorum static-3.8"
            ),
            FORMED,
        ],
    ),
    "not known, and told": (["team/our-kafka:3.8.1", "--quorum", "static-3.8"], "static-3.8", [STATIC]),
}


@pytest.mark.parametrize(("options", "quorum", "said"), CASES.values(), ids=CASES.keys())
def test_the_quorum_is_one_that_the_release_has(
    capsys: pytest.CaptureFixture[str], options: list[str], quorum: str | None, said: list[str]
) -> None:
    """3.7 and 3.8 get a static quorum, for a dynamic one would never form there. Later ones keep what --quorum says,
    which the head of the file repeats; without it the one set is named that would not start.
    """
    args = ["--image", "registry.example/peerboot:1", "--server-image", *options]
    assert cli.main(["manifest", "kafka", *args]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[1:] == [f"peerboot: {line}" for line in said]
    head = " ".join(out.partition("---")[0].replace("#", " ").split())
    assert head.startswith(f"Made by `peerboot manifest kafka {' '.join(args)}`.")
    chosen, server, _ = manifests.make(*args, system="kafka")
    assert choices.adapted(server, chosen).env.get("PEERBOOT_KAFKA_QUORUM") == quorum


def test_an_upgrade_does_not_lose_the_static_quorum() -> None:
    """Made anew with a later image and --quorum static, as the comment on 3.8's line says, the file keeps a static
    quorum, in the word of later releases.
    """
    old, new = (
        " ".join(manifests.make(*options, system="kafka")[2].replace("#", " ").split())
        for options in (
            ("--server-image", "apache/kafka:3.8.1"),
            ("--server-image", "apache/kafka:4.1.0", "--quorum", "static"),
        )
    )
    assert "make this anew with that image and `--quorum static`, in one step;" in old
    assert "{name: PEERBOOT_KAFKA_QUORUM, value: static}" in new
    assert "after that make this anew with `--quorum dynamic`." in new


WRONG = {
    "a release before 3.7": (
        ["--server-image", "apache/kafka:3.6.2"],
        "--server-image=apache/kafka:3.6.2 is Kafka 3.6, which peerboot does not run: name one of 3.7 to 4.3",
    ),
    "two sets of 3.8": (
        ["--split", "--server-image", "apache/kafka:3.8.1"],
        (
            "--server-image=apache/kafka:3.8.1 is Kafka 3.8, which has static quorums only, and brokers of a set of "
            "their own run beside a dynamic one: drop --split, or name 3.9 or later"
        ),
    ),
    "two sets of a static quorum": (
        ["--split", "--quorum", "static"],
        (
            "--quorum=static is for sets that are both: brokers of a set of their own run beside a dynamic quorum "
            "only: drop --split, or --quorum"
        ),
    ),
    "no quorum": (["--quorum", "raft"], "--quorum='raft' is not a quorum: use dynamic, static or static-3.8"),
    "3.8 and dynamic": (
        ["--quorum", "dynamic", "--server-image", "apache/kafka:3.8.1"],
        (
            "--server-image=apache/kafka:3.8.1 is Kafka 3.8, which runs with --quorum static-3.8 alone, and not with "
            "dynamic: change that when you name 3.9 or later"
        ),
    ),
    "3.8 and later ones' word": (
        ["--quorum", "static", "--server-image", "apache/kafka:3.8.1"],
        (
            "--server-image=apache/kafka:3.8.1 is Kafka 3.8, which runs with --quorum static-3.8 alone, and not with "
            "static: change that when you name 3.9 or later"
        ),
    ),
}


@pytest.mark.parametrize(("args", "say"), WRONG.values(), ids=WRONG.keys())
def test_a_quorum_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Exit 2, one line that names the option, nothing on stdout."""
    assert cli.main(["manifest", "kafka", *args]) == 2
    assert capsys.readouterr() == ("", f"peerboot: {say}\n")
