"""What is told of a choice for Kafka: on stderr, in the head of the file, in its comments, in the help."""

from __future__ import annotations

import re
import shlex

import pytest

from peerboot import cli
from tools import manifests

IMAGES = ("--image", "registry.example/peerboot:1", "--server-image", "registry.example/kafka:4.3.1")
QUIET = (*IMAGES, "--quorum", "dynamic")
"""With it nothing is told but what a choice brings."""
BOTH = ("--tls-secret", "t", "--users-secret", "u")


def _said(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    assert cli.main(["manifest", "kafka", *QUIET, *options]) == 0
    _secret, *lines = capsys.readouterr().err.splitlines()
    return [
        line.removeprefix("peerboot: ")
        for line in lines
        if not line.startswith(("peerboot: the Secret ", "peerboot: nodes"))
    ]


def _open(name: str, protocol: str) -> str:
    return (
        f"{name} is {protocol} and does not ask clients who they are, unlike the set's own listeners: whoever reaches "
        "port 9094 may do everything, unless an authorizer forbids it to User:ANONYMOUS"
    )


INSIDE = (
    "clients of OUT are told each Pod's own name in the cluster and port 9094: for those outside, which cannot look it "
    "up, add a HOST to --listener"
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--listener", "OUT:PLAINTEXT:9094"), [INSIDE]),
        (("--listener", "OUT:SASL_SSL:9094", *BOTH), [INSIDE]),
        (
            ("--listener", "OUT:PLAINTEXT:9094", *BOTH),
            [
                INSIDE,
                _open("OUT", "PLAINTEXT"),
                "OUT is PLAINTEXT: all that its clients send goes over the network as it is",
            ],
        ),
        (("--listener", "OUT:SSL:9094", *BOTH), [INSIDE, _open("OUT", "SSL")]),
        (
            ("--listener", "OUT:SASL_PLAINTEXT:9094", *BOTH),
            [INSIDE, "OUT is SASL_PLAINTEXT: all that its clients send goes over the network as it is"],
        ),
    ],
    ids=["all open", "all closed", "plain text beside both", "TLS alone beside both", "logins alone beside both"],
)
def test_a_listener_that_opens_a_door_is_said(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: list[str]
) -> None:
    """One without logins or TLS where the set's own listeners have them; and without HOST what clients are told."""
    assert _said(capsys, *options) == said


@pytest.mark.parametrize(
    ("label", "say"),
    [
        (
            "topology.kubernetes.io/region",
            (
                "before Kubernetes 1.35 no Pod has the label topology.kubernetes.io/region by itself, and a broker "
                "without it does not start: there drop --rack-label, and let an init container before peerboot write "
                "the zone of its node into the file of PEERBOOT_KAFKA_RACK_FILE"
            ),
        ),
        (
            "zone",
            (
                "no Pod has the label zone by itself (Kubernetes 1.35 copies topology.kubernetes.io/zone and "
                "topology.kubernetes.io/region from the node, no others), in the template it would be the same for "
                "all, and a broker without it does not start: something of yours has to set it on each Pod when that "
                "is made"
            ),
        ),
    ],
)
def test_who_sets_the_label_of_the_rack(capsys: pytest.CaptureFixture[str], label: str, say: str) -> None:
    """Kubernetes 1.35 that of the zone or the region; nobody any other."""
    assert _said(capsys, "--rack-label", label) == [say]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--replicas", "5"), []),
        (("--replicas", "4"), ["4 Pods survive no more losses than 3 do: an odd number is better"]),
        (
            ("--replicas", "1000"),
            [
                (
                    "each of 1000 Pods has a vote, and every change waits for 501 of them: 7 are the most that make "
                    "sense; --split has three that vote, and as many others as you like"
                ),
            ],
        ),
        (
            ("--split", "--replicas", "2"),
            ["kafka-controllers has 3 Pods, whatever --replicas says, which is for the other set"],
        ),
        (
            ("--split", "--replicas", "1"),
            ["kafka-controllers has one Pod, because --replicas is 1: it survives no loss; from 2 on it has 3"],
        ),
    ],
    ids=["five", "four", "a thousand", "two brokers", "one broker"],
)
def test_how_many_vote_is_said(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: list[str]) -> None:
    """An even number, one that nobody wants, and that controllers of a set of their own are three."""
    assert _said(capsys, *options) == said


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        (("--storage", "100Gi"), {"kafka-controllers": "8Gi", "kafka": "100Gi"}),
        (("--controller-storage", "16Gi"), {"kafka-controllers": "16Gi", "kafka": "8Gi"}),
    ],
)
def test_controllers_have_a_size_of_their_own(options: tuple[str, ...], sizes: dict[str, str]) -> None:
    """--storage is the brokers', who keep what clients write."""
    text = manifests.make("--split", *options, system="kafka")[2]
    sets = re.findall(
        r"^kind: StatefulSet\nmetadata:\n  name: (\S+)$.*?^ +storage: (\S+)$", text, re.MULTILINE | re.DOTALL
    )
    assert dict(sets) == sizes


def test_two_brokers_have_three_controllers() -> None:
    """Two that vote survive no loss; one of each is a set to try things with."""
    for replicas, controllers in ((1, 1), (2, 3), (4, 3)):
        text = manifests.make("--split", "--replicas", str(replicas), system="kafka")[2]
        assert re.findall(r"^  replicas: (\d+)$", text, re.MULTILINE) == [str(controllers), str(replicas)]


def _head(*options: str) -> str:
    return manifests.make(*options, system="kafka")[2].partition("\n---\n")[0]


def test_the_head_names_every_object_that_the_pods_wait_for() -> None:
    """All that stderr says is to be made stands in the file too, each command on a line of its own."""
    head = _head("--split", "--namespace", "shop", *manifests.KAFKA_SECURED)
    assert re.findall(r"^# - the (\S+ \S+)", head, re.MULTILINE) == [
        "Secret kafka-tls",
        "Secret kafka-users",
        "ConfigMap kafka-base",
    ]
    assert [line.removeprefix("#   ") for line in head.splitlines() if line.startswith("#   ")] == [
        (
            "head -c 32 /dev/urandom | base64 | kubectl create secret generic kafka-census --namespace shop "
            "--from-file=census=/dev/stdin"
        ),
        (
            "head -c 24 /dev/urandom | base64 | kubectl create secret generic kafka-users --namespace shop "
            "--from-file=peerboot=/dev/stdin"
        ),
        "kubectl create configmap kafka-base --namespace shop --from-file=server.properties",
    ]
    assert "Make these too" not in _head()


@pytest.mark.parametrize(
    ("options", "there"), [((), True), (("--split",), True), (("--no-rbac",), False)], ids=["one", "two", "no rights"]
)
def test_the_head_says_what_is_not_made_anew(options: tuple[str, ...], there: bool) -> None:
    """`replicas:` after a scale: the option is the number of the first day too. Without rights both are one number."""
    words = " ".join(_head(*options).replace("#", " ").split())
    assert ("after `kubectl scale` set `replicas:` to what it is now" in words) == there


@pytest.mark.parametrize(
    ("name", "what", "said"),
    [
        (
            "kafka-controllers",
            "Only the set's",
            "Only the set's own Pods: census, and the server's port for its peers.",
        ),
        ("kafka", "Only the set's", "Only the set's own Pods: census, and the server's port for clients, as one."),
        (
            "kafka",
            "Metrics of",
            "Metrics of peerboot, for a Prometheus in a namespace of this name. The server has no port for its own.",
        ),
        (
            "kafka-controllers",
            "Yours to change; a Pod takes",
            (
                "Yours to change; a Pod takes it at its next start. Controllers and brokers both have it, and each "
                "takes what is for it."
            ),
        ),
        (
            "kafka-controllers",
            "How many brokers",
            (
                "How many brokers there are on the first day: by it new topics get their number of copies, three at "
                "most. It needs no change while there are three or more."
            ),
        ),
    ],
)
def test_comments_are_about_what_is_there(name: str, what: str, said: str) -> None:
    """Of ports that the set has, of metrics that the server has, of files that both sets have."""
    text = manifests.make("--split", "--namespace", "shop", *manifests.KAFKA_SECURED, system="kafka")[2]
    mine = [part for part in text.split("\n---\n") if f"\n    app.kubernetes.io/instance: {name}\n" in part]
    words = " ".join("\n".join(mine).replace("# ", " ").split())
    assert [words[at.start() :][: len(said)] for at in re.finditer(re.escape(what), words)] == [said]


def test_the_help_has_kafkas_own_example(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is taken, and the fields and keys that its choices have."""
    with pytest.raises(SystemExit) as end:
        cli.main(["manifest", "kafka", "--help"])
    out, _ = capsys.readouterr()
    assert end.value.code == 0
    [example] = re.findall(r"^Example: (.*)$", out, re.MULTILINE)
    words = shlex.split(example.partition("|")[0])
    assert (words[:3], cli.main(words[1:])) == (["peerboot", "manifest", "kafka"], 0)
    for word in ("{pod} {ordinal} {service}", "tls.crt, tls.key and ca.crt", "server.properties", "--quorum  "):
        assert word in out, word
