"""Who this Pod is: names, ordinals, and the cluster domain from what the kubelet writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot import identity
from peerboot.errors import SettingsError
from peerboot.model import Identity
from peerboot.settings import Settings, read

BASE = {
    "PEERBOOT_SYSTEM": "none",
    "PEERBOOT_SERVICE": "web",
    "PEERBOOT_DATA_DIR": "/data/none",
    "PEERBOOT_SECRET_FILE": "/secret/key",
    "PEERBOOT_REPLICAS": "3",
    "POD_NAME": "web-0",
    "POD_NAMESPACE": "default",
}


def made(hostname: str = "", **more: str | None) -> Settings:
    """Settings of ``web-0``, with changes; None leaves a variable out."""
    environ = {name: value for name, value in {**BASE, **more}.items() if value is not None}
    return read(environ, systems={"none": ()}, hostname=hostname)


NAMES = [
    ("web-0", "web", 0),
    ("web-1", "web", 1),
    ("web-10", "web", 10),
    ("web2-10", "web2", 10),
    ("web-2-10", "web-2", 10),
    ("10-1-2-3", "10-1-2", 3),
    ("a-2147483647", "a", 2147483647),
    ("x" * 61 + "-0", "x" * 61, 0),
]


@pytest.mark.parametrize(("pod", "statefulset", "ordinal"), NAMES, ids=[name[0] for name in NAMES])
def test_pod_names(pod: str, statefulset: str, ordinal: int) -> None:
    """The digits after the last hyphen are the ordinal, and nothing else is; a name of 63 characters is one."""
    who = identity.derive(made(POD_NAME=pod))
    assert (statefulset, ordinal) == (who.statefulset, who.ordinal)
    assert ordinal == who.ordinal_of(pod)


REFUSED = [
    pytest.param("web", "does not end in an ordinal", id="no-ordinal"),
    pytest.param("web-", "is not a DNS label", id="no-digits"),
    pytest.param("-0", "is not a DNS label", id="no-set"),
    pytest.param("web-x", "does not end in an ordinal", id="letters"),
    pytest.param("web0", "does not end in an ordinal", id="no-hyphen"),
    pytest.param("web-01", "no leading zeros", id="leading-zero"),
    pytest.param("web-2147483648", "no ordinal is so large", id="too-large"),
    pytest.param("Web-0", "is not a DNS label", id="upper-case"),
    pytest.param("web.prod-0", "is not a DNS label", id="dot"),
    pytest.param("x" * 62 + "-0", "is not a DNS label", id="64-characters"),
    pytest.param("web-\u0663", "is not a DNS label", id="digit-of-another-script"),
    pytest.param("web\n-0", "is not a DNS label", id="line-break"),
]


@pytest.mark.parametrize(("pod", "why"), REFUSED)
def test_refused_pod_names(pod: str, why: str) -> None:
    """What cannot be a pod of a StatefulSet is refused in one line that says why."""
    with pytest.raises(SettingsError) as caught:
        identity.split_pod(pod)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [59, 60, 63])
def test_host_names_may_be_cut(length: int) -> None:
    """A long host name may have lost the end of its ordinal: it is not believed, POD_NAME is."""
    name = "x" * (length - 2) + "-1"
    if length < 60:
        assert (name[:-2], 1) == identity.split_pod(name, from_host=True)
        return
    with pytest.raises(SettingsError, match="may have been cut at 63"):
        identity.derive(made(POD_NAME=None, hostname=name))
    assert identity.derive(made(POD_NAME=name)).ordinal == 1


def test_ordinals_are_compared_as_names() -> None:
    """``web-1`` is not ``web-10``, a longer set's name is another set, and 01 is no ordinal."""
    who = identity.derive(made())
    given = ["web-1", "web-10", "web-2-1", "webx-1", "web-01", "web-", "web", "web--1", "web-\u0661"]
    assert [who.ordinal_of(pod) for pod in given] == [1, 10, None, None, None, None, None, None, None]


def test_ordinals_start() -> None:
    """Expected are the pods from the first ordinal on; the others are all of them but this one."""
    who = identity.derive(made(PEERBOOT_ORDINALS_START="5", POD_NAME="web-6"))
    assert (who.expected, who.others) == (("web-5", "web-6", "web-7"), ("web-5", "web-7"))


@pytest.mark.parametrize(
    ("pod", "start", "replicas", "outside"),
    [
        ("web-0", "0", "3", False),
        ("web-2", "0", "3", False),
        ("web-3", "0", "3", True),
        ("web-4", "5", "3", True),
        ("web-7", "5", "3", False),
        ("web-8", "5", "3", True),
        ("web-99", "0", None, False),
    ],
    ids=["first", "last", "above", "below-start", "last-from-start", "above-from-start", "unknown-size"],
)
def test_outside_the_range(pod: str, start: str, replicas: str | None, outside: bool) -> None:
    """An ordinal outside the expected ones is said in one line, and is no error by itself."""
    who = identity.derive(made(POD_NAME=pod, PEERBOOT_ORDINALS_START=start, PEERBOOT_REPLICAS=replicas))
    said = identity.outside_range(who)
    assert outside == (pod in said)
    assert "\n" not in said


KUBELET = "nameserver 10.96.0.10\nsearch default.svc.{0} svc.{0} {0} corp.example\noptions ndots:5\n"
HOSTS = "127.0.0.1\tlocalhost\n10.0.0.1\tweb-0.web.default.svc.hosts.domain\tweb-0\n"
DOMAINS = [
    pytest.param(KUBELET.format("cluster.local"), None, "cluster.local", "resolv.conf", id="usual"),
    pytest.param(KUBELET.format("k8s-a.my-corp.net"), None, "k8s-a.my-corp.net", "resolv.conf", id="hyphens"),
    pytest.param(KUBELET.format("local"), None, "local", "resolv.conf", id="one-label"),
    pytest.param(KUBELET.format("Cluster.Local."), None, "cluster.local", "resolv.conf", id="case-and-dot"),
    pytest.param("search a.b default.svc.x.y\n", HOSTS, "x.y", "resolv.conf", id="not-first-in-the-list"),
    pytest.param("search default.svc.a\nsearch default.svc.b\n", None, "b", "resolv.conf", id="last-line-wins"),
    pytest.param("# search default.svc.a\n; search default.svc.b\n", None, "cluster.local", "default", id="comments"),
    pytest.param("search other.svc.x.y\n", HOSTS, "hosts.domain", "hosts", id="another-namespace"),
    pytest.param("search mydefault.svc.x.y\n", None, "cluster.local", "default", id="suffix-of-another-namespace"),
    pytest.param("search default.svc.-bad-\n", HOSTS, "hosts.domain", "hosts", id="not-a-domain"),
    pytest.param("nameserver 8.8.8.8\n", HOSTS, "hosts.domain", "hosts", id="dns-policy-none"),
    pytest.param("nameserver 8.8.8.8\n", "10.0.0.1 node-1\n", "cluster.local", "default", id="nothing-known"),
    pytest.param(
        "nameserver 8.8.8.8\n", HOSTS.replace("web-0", "web-1"), "cluster.local", "default", id="not-own-line"
    ),
    pytest.param(None, None, "cluster.local", "default", id="no-files"),
    pytest.param("\0\xff search\n" * 5000, "\0" * 5000, "cluster.local", "default", id="garbage"),
]


@pytest.mark.parametrize(("resolv", "hosts", "domain", "source"), DOMAINS)
def test_cluster_domain(resolv: str | None, hosts: str | None, domain: str, source: str) -> None:
    """The domain comes from resolv.conf's search list, else from the own line of /etc/hosts, else it is a guess."""
    who = identity.derive(made(), resolv, hosts)
    assert (domain, source) == (who.domain, who.domain_source)
    assert (source == "default") == bool(identity.domain_warning(who))


def test_the_setting_wins() -> None:
    """What the user says of the domain is taken, whatever the files say."""
    who = identity.derive(made(PEERBOOT_CLUSTER_DOMAIN="My.Domain."), KUBELET.format("cluster.local"), HOSTS)
    assert (who.domain, who.domain_source, who.zone) == ("my.domain", "setting", "web.default.svc.my.domain")


def test_names() -> None:
    """The Pod's name is that of its Service with the pod before it."""
    who = identity.derive(made(), KUBELET.format("cluster.local"))
    assert who.fqdn == "web-0.web.default.svc.cluster.local"


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)], ids=["253", "254"])
def test_the_longest_name(extra: int, fits: bool) -> None:
    """A DNS name has 253 characters at most."""
    room = 253 - len("web-0.web.default.svc.") + extra
    domain = ".".join(["a" * 49] * 4) + "." + "b" * (room - 4 * 50)
    if fits:
        assert len(identity.derive(made(PEERBOOT_CLUSTER_DOMAIN=domain)).fqdn) == 253
        return
    with pytest.raises(SettingsError, match="would have 254 characters"):
        identity.derive(made(PEERBOOT_CLUSTER_DOMAIN=domain))


@pytest.mark.parametrize(
    ("resolv", "expected"),
    [
        (KUBELET.format("a"), ("10.96.0.10",)),
        ("nameserver 1.1.1.1\nnameserver fd00::a\n", ("1.1.1.1", "fd00::a")),
        ("".join(f"nameserver 10.0.0.{i}\n" for i in range(5)), ("10.0.0.0", "10.0.0.1", "10.0.0.2")),
        ("nameserver 1.1.1.1\nnameserver 1.1.1.1\n", ("1.1.1.1",)),
        ("nameserver\nnameserver dns.example\n#nameserver 1.1.1.1\n", ()),
        (None, ()),
    ],
    ids=["kubelet", "both-families", "three-at-most", "twice", "wrong", "none"],
)
def test_nameservers(resolv: str | None, expected: tuple[str, ...]) -> None:
    """Name servers are the addresses in resolv.conf, three at most."""
    assert expected == identity.nameservers(resolv)


@settings(deadline=None)
@given(
    statefulset=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True),
    ordinal=st.integers(0, 2**31 - 1),
)
def test_any_pod_of_a_set_round_trips(statefulset: str, ordinal: int) -> None:
    """Whatever a StatefulSet is called, its pods' names are taken apart as they were put together."""
    pod = f"{statefulset}-{ordinal}"
    assert (statefulset, ordinal) == identity.split_pod(pod)


@settings(deadline=None)
@given(st.text(max_size=80), st.booleans())
def test_any_name_is_taken_or_refused(pod: str, from_host: bool) -> None:
    """Any text is the name of exactly one pod, or is refused in one printable line."""
    said = ""
    try:
        statefulset, ordinal = identity.split_pod(pod, from_host=from_host)
    except SettingsError as error:
        said = str(error)
    assert said.isprintable()
    assert said or f"{statefulset}-{ordinal}" == pod


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_files(resolv: str, hosts: str) -> None:
    """No resolv.conf and no /etc/hosts stops a start, and the domain found is one."""
    who: Identity = identity.derive(made(), resolv, hosts)
    assert who.domain_source in ("resolv.conf", "hosts", "default")
    assert "\n" not in who.fqdn
