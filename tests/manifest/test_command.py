"""``peerboot manifest`` on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from peerboot import IMAGE, cli
from tests.cli.rig import command
from tests.manifest.parsed import parse
from tools import manifests

SOURCE = """
class System:
    name = "store"
    settings = ()
    default_data_dir = "/data/store"

SYSTEM = System()

class Raising(System):
    def manifest(self):
        raise RuntimeError("not\\ntoday")

class Odd(System):
    def manifest(self):
        return {}

RAISING, ODD = Raising(), Odd()
"""


def test_it_prints_the_manifest_and_says_what_is_left_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """YAML on stdout, exactly the example's; on stderr how the Secret is made, and that no registry is named."""
    assert cli.main(["manifest", "etcd"]) == 0
    out, err = capsys.readouterr()
    assert out == (Path(__file__).parents[2] / "examples/etcd/etcd.yaml").read_text()
    assert err == (
        "peerboot: make the Secret that the Pods wait for, once: head -c 32 /dev/urandom | base64 | "
        "kubectl create secret generic etcd-census --from-file=census=/dev/stdin\n"
        f"peerboot: nodes pull {IMAGE} and etcd:v3.6.16: name them as in your registry, by --image and --server-image\n"
    )


def test_what_is_lost_and_what_is_dangerous_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """--no-rbac says what is lost, --with-secret not to commit it, an even number that it is no better."""
    assert cli.main(["manifest", "etcd", "--no-rbac", "--with-secret", "--replicas", "2"]) == 0
    out, err = capsys.readouterr()
    secret, lost, even, _images = err.splitlines()
    assert secret == "peerboot: the Secret is in the output: do not commit it"
    assert lost.startswith("peerboot: without rights in the Kubernetes API ")
    assert even == "peerboot: 2 Pods survive no more losses than 1 do: an odd number is better"
    [key] = [o["stringData"]["census"].strip() for o in parse(out) if o["kind"] == "Secret"]
    assert key not in err


WRONG = {
    "name with capitals": (
        ["--name", "Etcd"],
        "--name='Etcd' is not a short name of lower-case letters, digits and hyphens that begins with a letter",
    ),
    "name that is empty": (
        ["--name", ""],
        "--name='' is not a short name of lower-case letters, digits and hyphens that begins with a letter",
    ),
    "name that is too long": (
        ["--name", "a" * 53],
        (
            "--name=aaaaaaaaaaaaaaaaaaaa… has 53 characters: use 52 at most, for a StatefulSet with a longer "
            "name gets no Pods"
        ),
    ),
    "namespace": (
        ["--namespace", "my_shop"],
        "--namespace='my_shop' is not a namespace: use lower-case letters, digits and hyphens",
    ),
    "no replicas": (["--replicas", "0"], "--replicas=0 is out of range: write a number from 1 to 1000"),
    "replicas below nothing": (["--replicas", "-3"], "--replicas=-3 is out of range: write a number from 1 to 1000"),
    "image": (
        ["--image", "peer boot"],
        "--image='peer boot' is not an image: write it like registry.example/team/name:tag",
    ),
    "image with more lines": (
        ["--image", "a\nb: c"],
        "--image='a\\nb: c' is not an image: write it like registry.example/team/name:tag",
    ),
    "server image": (
        ["--server-image", "-"],
        "--server-image='-' is not an image: write it like registry.example/team/name:tag",
    ),
    "storage": (["--storage", "8GB"], "--storage='8GB' is not a size: write it like 8Gi or 500Mi"),
    "storage in bytes": (["--storage", "8"], "--storage='8' is not a size: write it like 8Gi or 500Mi"),
    "no storage": (["--storage", "0"], "--storage='0' is not a size: write it like 8Gi or 500Mi"),
    "storage class": (["--storage-class", "Fast!"], "--storage-class='Fast!' is not a name of a StorageClass"),
    "namespace to print without its name": (
        ["--with-namespace"],
        "--with-namespace prints a Namespace and needs its name: add --namespace NAME",
    ),
    "label of no namespace": (
        ["--pod-security", "none"],
        "--pod-security is a label of the Namespace: use it together with --with-namespace",
    ),
    "events without rights": (
        ["--events", "--no-rbac"],
        "--events needs the right to create them: drop --no-rbac, or --events",
    ),
    "ordered without an anchor": (
        ["--ordered-ready", "--no-rbac"],
        (
            "--ordered-ready needs the anchor, without which ordinal 0 would form an empty cluster when its disk is "
            "lost: drop --no-rbac"
        ),
    ),
}


EMPTY = ("--namespace", "--tls-secret", "--users-secret", "--listener", "--rack-label", "--base-config", "--quorum")


@pytest.mark.parametrize("option", [*EMPTY, "--controller-storage"])
def test_an_empty_value_is_not_taken_for_none(capsys: pytest.CaptureFixture[str], option: str) -> None:
    """It is a shell variable that is not set, and the set would be made without what was meant: exit 2, one line."""
    assert cli.main(["manifest", "kafka", option, ""]) == 2
    assert capsys.readouterr() == (
        "",
        f"peerboot: {option}='' is empty: write its value, or drop it if you mean none\n",
    )


def test_the_empty_class_is_a_class() -> None:
    """--storage-class '' is what Kubernetes calls volumes that were made by hand."""
    assert 'storageClassName: ""\n' in manifests.make("--storage-class", "")[2]


@pytest.mark.parametrize(("args", "say"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Exit 2, one line that names the option, nothing on stdout."""
    assert cli.main(["manifest", "etcd", *args]) == 2
    assert capsys.readouterr() == ("", f"peerboot: {say}\n")


def test_only_kafka_can_be_split(capsys: pytest.CaptureFixture[str]) -> None:
    """--split of etcd, and a name that is too long once a set of it has its suffix: exit 2, one line."""
    assert cli.main(["manifest", "etcd", "--split"]) == 2
    assert capsys.readouterr() == (
        "",
        "peerboot: --split is not for etcd: all its servers are alike: drop it\n",
    )
    assert cli.main(["manifest", "kafka", "--split", "--name", "a" * 41]) == 2
    assert capsys.readouterr().err.startswith(
        "peerboot: --name=aaaaaaaaaaaaaaaaaaaa… has 53 characters: use 52 at most"
    )


def test_kafka_refuses_to_form_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """--ordered-ready of Kafka: exit 2, one line that says why."""
    assert cli.main(["manifest", "kafka", "--ordered-ready"]) == 2
    assert capsys.readouterr() == (
        "",
        (
            "peerboot: --ordered-ready is not for kafka: its set would form with ordinal 0 alone, and brokers that "
            "form alone keep one copy of everything: drop it, all Pods are made at once\n"
        ),
    )


@pytest.mark.parametrize(
    ("args", "say"),
    [
        ([], "the following arguments are required: SYSTEM"),
        (["kafka", "--rack", "x"], "unrecognized arguments: --rack x"),
        (["etcd", "--replicas", "three"], "argument --replicas: invalid int value: 'three'"),
        (["etcd", "--pod-security", "loose"], "argument --pod-security: invalid choice: 'loose'"),
        (
            ["etcd", "--native-sidecar", "--plain-sidecar"],
            "argument --plain-sidecar: not allowed with argument --native-sidecar",
        ),
    ],
    ids=["no system", "abbreviated", "no number", "no choice", "both"],
)
def test_what_cannot_be_parsed_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], say: str) -> None:
    """Exit 2, one line that leads to the help."""
    with pytest.raises(SystemExit) as end:
        cli.main(["manifest", *args])
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    # What no command knows is said by the whole program.
    assert re.match(rf"peerboot( manifest)?: {re.escape(say)}", err)
    assert re.search(r": see `peerboot( manifest)? --help`\n$", err)


def test_a_system_that_is_not_known_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The systems that there are, exit 2."""
    assert cli.main(["manifest", "etdc"]) == 2
    assert capsys.readouterr() == ("", "peerboot: the system 'etdc' is not known: use etcd, kafka or postgres\n")


@pytest.mark.parametrize(
    ("name", "say"),
    [
        ("store", "the system 'store' brings no manifest: write one by hand, after that of `peerboot manifest etcd`"),
        ("raising", "the manifest of 'raising' cannot be made (RuntimeError: not today): repair its package"),
        ("odd", "the manifest of 'odd' is no peerboot.manifest.server.Server: repair its package"),
    ],
)
def test_a_system_of_others_may_bring_none(tmp_path: Path, name: str, say: str) -> None:
    """One out of this tree that knows nothing of manifests loads as ever; asked for one it is one line, exit 2."""
    dist = tmp_path / "store-1.0.dist-info"
    dist.mkdir()
    (tmp_path / "store_for_peerboot.py").write_text(SOURCE)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: store\nVersion: 1.0\n")
    entries = "".join(f"{one} = store_for_peerboot:{one.upper()}\n" for one in ("raising", "odd"))
    (dist / "entry_points.txt").write_text(f"[peerboot.systems]\nstore = store_for_peerboot:SYSTEM\n{entries}")
    env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    listed = command("-m", "peerboot", "systems", env=env)
    assert (listed.code, listed.out.split()) == (0, ["etcd", "kafka", "odd", "postgres", "raising", "store"])
    asked = command("-m", "peerboot", "manifest", name, env=env)
    assert (asked.code, asked.out, asked.err) == (2, "", f"peerboot: {say}\n")
    helped = command("-m", "peerboot", "manifest", name, "--help", env=env)
    assert (helped.code, helped.err, helped.out.splitlines()[-1].partition(":")[0]) == (0, "", "Example")


@pytest.mark.parametrize("args", [["init"], ["settings", "--system", "etcd"], ["systems"]], ids=lambda args: args[0])
def test_nobody_else_pays_for_it(args: list[str]) -> None:
    """No other command imports anything of the manifests."""
    code = (
        "import json, sys, peerboot.cli\n"
        f"peerboot.cli.main({args!r})\n"
        "print()\nprint(json.dumps([m for m in sys.modules if 'manifest' in m or m == 'peerboot.template']))"
    )
    done = command("-c", code)
    assert json.loads(done.out.splitlines()[-1]) == []


def test_the_variants_are_one_text_each() -> None:
    """What tests on a real API server apply: every variant by name, those of examples/ among them."""
    made = manifests.variants()
    assert set(manifests.SHOWN) | set(manifests.KAFKA_SHOWN) <= set(made)
    for name, text in made.items():
        system = "kafka" if name in manifests.KAFKA | manifests.KAFKA_SPLIT else "etcd"
        system = "postgres" if name in manifests.POSTGRES else system
        assert text.startswith(f"# Made by `peerboot manifest {system}"), name
