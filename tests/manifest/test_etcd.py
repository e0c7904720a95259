"""What a person chooses for etcd: TLS, and the password of its root."""

from __future__ import annotations

import pytest

from peerboot import cli, identity, template, trust
from peerboot.outside import yaml
from peerboot.settings import read
from peerboot.systems.etcd import choices
from peerboot.systems.etcd.settings import SETTINGS
from tests.manifest.parsed import env, mounts, probes, variant
from tools import manifests

TLS_DIR, ROOT_FILE = "/etc/etcd-tls", "/etc/etcd-users/root"


def test_both_containers_have_the_certificate_and_peerboot_alone_the_password() -> None:
    """etcd reads the mounted files itself, so that a renewed one counts without a restart."""
    found = variant("secured")
    [program] = found.programs
    told = env(program)
    assert {key: told[key] for key in told if key.startswith("PEERBOOT_ETCD_")} == {
        "PEERBOOT_ETCD_VERSION": "3.6",
        "PEERBOOT_ETCD_PEER_TLS_DIR": TLS_DIR,
        "PEERBOOT_ETCD_CLIENT_TLS_DIR": TLS_DIR,
        "PEERBOOT_ETCD_ROOT_PASSWORD_FILE": ROOT_FILE,
    }
    assert (mounts(program)["tls"], mounts(found.server)["tls"]) == (TLS_DIR, TLS_DIR)
    assert (mounts(program)["users"], "users" in mounts(found.server)) == ("/etc/etcd-users", False)
    volumes = [volume["name"] for volume in found.pod["volumes"]]
    assert sorted(volumes) == sorted(set(volumes))
    assert {v["name"]: v["secret"] for v in found.pod["volumes"] if v["name"] in ("tls", "users")} == {
        "tls": {"secretName": "etcd-tls", "defaultMode": 0o440},
        "users": {"secretName": "etcd-users", "items": [{"key": "root", "path": "root"}], "defaultMode": 0o440},
    }


IMAGES = {
    "etcd:v3.6.16": "3.6",
    "registry:5000/etcd:3.5.33-0": "3.5",
    "registry:5000/etcd": "",
    "etcd:latest": "",
    "etcd:v3.6.16@sha256:0123": "3.6",
    "etcd@sha256:0123": "",
    "etcd:v3.6": "3.6",
}


@pytest.mark.parametrize(("image", "release"), IMAGES.items(), ids=IMAGES)
def test_the_release_is_that_of_the_tag(image: str, release: str) -> None:
    """An image whose tag says no release of etcd gets none."""
    assert release == choices._release(image)


@pytest.mark.parametrize("name", ["secured", "secured-ordered"])
def test_no_probe_needs_a_certificate(name: str) -> None:
    """The kubelet has none: all ask the metrics listener, which has no TLS, or peerboot."""
    asked = {probe: spec["httpGet"]["port"] for probe, spec in probes(variant(name).server).items()}
    expected = {"startupProbe": "metrics", "livenessProbe": "metrics", "readinessProbe": 7070}
    if name == "secured-ordered":
        expected = {"livenessProbe": "metrics", "readinessProbe": "metrics"}
    assert expected == asked


def test_the_certificates_names_are_told() -> None:
    """Each Pod's, those of a later scale-up, and the one that clients use; and what makes the password."""
    text = variant("secured").text
    for name in ("etcd-0.etcd-peers.shop.svc", "etcd-2.etcd-peers.shop.svc", "*.etcd-peers.shop.svc", "etcd.shop.svc"):
        assert f"{name}.DOMAIN" in text.replace("\n# ", " ")
    assert "create secret generic etcd-users --namespace shop --from-file=root=/dev/stdin" in text


def test_a_password_needs_tls(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one line."""
    assert cli.main(["manifest", "etcd", "--users-secret", "u"]) == 2
    assert capsys.readouterr() == (
        "",
        (
            "peerboot: --users-secret=u without --tls-secret would send etcd's password over the network as it is: add "
            "--tls-secret NAME\n"
        ),
    )


def test_what_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """The Secrets to make, and how etcd is told to ask for passwords."""
    assert cli.main(["manifest", "etcd", *manifests.OTHERS["secured"]]) == 0
    said = capsys.readouterr().err
    for words in ("the Secret etcd-tls has", "the Secret etcd-users has", "`etcdctl auth enable`"):
        assert words in said


CERTIFIED = ("--tls", "cert-manager", "--namespace", "shop", "--issuer", "ca")


def test_a_certificate_for_cert_manager() -> None:
    """Every name, both usages, no common name; the Pods mount its Secret. It comes before them."""
    text = manifests.make(*CERTIFIED, "--replicas", "5")[2]
    made = [yaml.load(part) for part in text.split("\n---\n")[1:]]
    kinds = [each["kind"] for each in made if isinstance(each, dict)]
    assert kinds.index("Certificate") == len(kinds) - 2
    found = made[kinds.index("Certificate")]
    assert isinstance(found, dict)
    zone = "etcd-peers.shop.svc.cluster.local"
    assert (found["apiVersion"], found["metadata"]["name"], found["metadata"]["namespace"]) == (
        "cert-manager.io/v1", "etcd-tls", "shop",
    )  # fmt: skip
    assert found["spec"] == {
        "secretName": "etcd-tls",
        "issuerRef": {"kind": "Issuer", "name": "ca"},
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "key encipherment", "server auth", "client auth"],
        "dnsNames": [*(f"etcd-{n}.{zone}" for n in range(5)), f"*.{zone}", "etcd.shop.svc.cluster.local"],
    }
    assert "{secretName: etcd-tls, defaultMode: 288}" in text


def test_a_certificate_for_the_census_too() -> None:
    """Its names are those by which Pods ask each other, both usages are in it, and no key is left to make."""
    made, server, text = manifests.make(*CERTIFIED, "--census-auth", "tls")
    who = identity.derive(
        read(
            {
                "PEERBOOT_SYSTEM": "etcd", "POD_NAME": "etcd-2", "POD_NAMESPACE": "shop", "PEERBOOT_REPLICAS": "3",
                "PEERBOOT_SERVICE": "etcd-peers", "PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_CENSUS_TLS_DIR": TLS_DIR,
                "PEERBOOT_CLUSTER_DOMAIN": "cluster.local",
            },
            systems={"etcd": SETTINGS},
        )
    )  # fmt: skip
    [found] = [yaml.load(part) for part in text.split("\n---\n")[1:] if "\nkind: Certificate\n" in f"\n{part}"]
    assert isinstance(found, dict)
    names = tuple(found["spec"]["dnsNames"])
    assert [pod for pod in who.expected if who.name_of(pod) not in names] == []
    assert trust.is_for(names, who.name_of("etcd-7"))
    assert [line for line in template.notes(made, server) if "census" in line] == []


def test_another_kind_of_issuer_and_other_names() -> None:
    """As they are given."""
    more = ("--tls-secret", "own", "--cluster-domain", "k8s.example.org", "--name", "store")
    text = manifests.make(*CERTIFIED[:-1], "ClusterIssuer/root.ca", *more)[2]
    for words in (
        "issuerRef: {kind: ClusterIssuer, name: root.ca}", "secretName: own",
        "store-2.store-peers.shop.svc.k8s.example.org", "https://store.shop.svc.k8s.example.org:2379",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("args", "say"),
    [
        (["--tls", "cert-manager", "--issuer", "ca"],
         "--tls makes a certificate, whose names have the namespace in them: add --namespace NAME"),
        (["--tls", "cert-manager", "--namespace", "shop"],
         "--tls makes a certificate and needs who issues it: add --issuer NAME, or KIND/NAME"),
        (["--issuer", "ca"], "--issuer is for --tls cert-manager: add that, or drop it"),
        ([*CERTIFIED[:-1], "Ca"],
         "--issuer='Ca' is not an issuer: write its NAME, or KIND/NAME as ClusterIssuer/ca"),
        ([*CERTIFIED, "--cluster-domain", "a..b"],
         "--cluster-domain='a..b' is not a domain: write it like cluster.local"),
    ],
    ids=["namespace", "issuer", "issuer alone", "no issuer", "domain"],
)  # fmt: skip
def test_a_wrong_choice_of_certificates_is_one_line(
    capsys: pytest.CaptureFixture[str], args: list[str], say: str
) -> None:
    """Exit 2, nothing on stdout."""
    assert cli.main(["manifest", "etcd", *args]) == 2
    assert capsys.readouterr() == ("", f"peerboot: {say}\n")
