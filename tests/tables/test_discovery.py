"""What an answer about the set means, and what is named as set up wrongly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerboot.discovery import SPELLINGS, Discovery, alone, findings_of, is_dashed_address
from peerboot.model import Answer, Identity, Target
from peerboot.outside.clock import SystemClock
from peerboot.outside.dns import Dns, Reply, Srv

ZONE = "web.default.svc.cluster.local"


def who(**more: object) -> Identity:
    """Pod ``web-0`` of three."""
    given: dict[str, object] = {
        "namespace": "default",
        "service": "web",
        "statefulset": "web",
        "pod": "web-0",
        "ordinal": 0,
        "system": "none",
        "ips": ("10.0.0.1",),
        "domain": "cluster.local",
        "replicas": 3,
        **more,
    }
    return Identity(**given)  # type: ignore[arg-type]


def answer(*pods: str) -> Answer:
    """Targets, each ``name`` or ``name=address``."""
    targets = []
    for text in pods:
        pod, _, address = text.partition("=")
        targets.append(Target(pod=pod, name=f"{pod}.{ZONE}", port=7070, addresses=(address,) if address else ()))
    return Answer(outcome="found", targets=tuple(targets), complete=True)


NXDOMAIN, NODATA = Reply("absent", reason="NXDOMAIN"), Reply("absent", reason="no such records", nodata=True)
FAILED = Reply("unknown", reason="SERVFAIL from 10.0.0.10")
ADDRESSES = Reply("found", addresses=("10.0.0.1", "10.0.0.2"))
OTHERS = Reply("found", addresses=("10.0.0.2",))
VERSION = Reply("found", texts=("1.1.0",))
ABSENT, UNKNOWN = Answer(outcome="absent", complete=True), Answer(outcome="unknown")

ROWS = [
    # answer, service's addresses, the namespace's name, dns-version, finding
    pytest.param(answer("web-0=10.0.0.1"), ADDRESSES, NODATA, VERSION, "", id="right"),
    pytest.param(UNKNOWN, ADDRESSES, NODATA, VERSION, "", id="set-unknown"),
    pytest.param(ABSENT, FAILED, NODATA, VERSION, "", id="service-unknown"),
    pytest.param(ABSENT, NXDOMAIN, FAILED, FAILED, "", id="domain-unknown"),
    pytest.param(ABSENT, NXDOMAIN, NXDOMAIN, FAILED, "", id="version-unknown"),
    pytest.param(ABSENT, NXDOMAIN, FAILED, NXDOMAIN, "", id="namespace-unknown"),
    pytest.param(ABSENT, NXDOMAIN, NODATA, NXDOMAIN, "not-published", id="dns-without-a-version"),
    pytest.param(ABSENT, NXDOMAIN, NXDOMAIN, VERSION, "not-published", id="dns-without-parents"),
    pytest.param(ABSENT, NXDOMAIN, FAILED, VERSION, "not-published", id="version-is-enough"),
    pytest.param(ABSENT, NXDOMAIN, NODATA, VERSION, "not-published", id="not-published"),
    pytest.param(ABSENT, NXDOMAIN, NXDOMAIN, NXDOMAIN, "wrong-domain", id="wrong-domain"),
    pytest.param(ABSENT, NXDOMAIN, ADDRESSES, NODATA, "wrong-domain", id="wildcard-domain"),
    pytest.param(ABSENT, ADDRESSES, NODATA, VERSION, "no-port-name", id="no-port-name"),
    pytest.param(answer("web-1=10.0.0.2"), OTHERS, NODATA, VERSION, "not-published", id="only-others"),
    pytest.param(answer("web-1=10.0.0.2"), ADDRESSES, NODATA, VERSION, "no-port-name", id="own-without-named-port"),
    pytest.param(answer("web-10=10.0.0.2"), OTHERS, NODATA, VERSION, "not-published", id="web-10-is-not-web-1"),
    pytest.param(
        answer("10-0-0-1=10.0.0.1", "10-0-0-2=10.0.0.2"), ADDRESSES, NODATA, VERSION, "dashed-ip-targets", id="dashed"
    ),
    pytest.param(answer("10-0-0-2=10.0.0.2"), OTHERS, NODATA, VERSION, "dashed-ip-targets", id="others-are-dashed"),
    pytest.param(
        answer("10-0-0-2=10.0.0.2", "web-1=10.0.0.3"),
        OTHERS,
        NODATA,
        VERSION,
        "not-published",
        id="one-other-is-dashed",
    ),
    pytest.param(answer("web-2=10.0.0.1"), ADDRESSES, NODATA, VERSION, "own-name-missing", id="own-address-elsewhere"),
    pytest.param(answer("web-0"), ADDRESSES, NODATA, VERSION, "", id="own-name-without-address"),
    pytest.param(answer("web-0=10.9.9.9"), ADDRESSES, NODATA, VERSION, "", id="own-name-with-a-stale-address"),
]


@pytest.mark.parametrize(("given", "service", "namespace", "version", "expected"), ROWS)
def test_findings(given: Answer, service: Reply, namespace: Reply, version: Reply, expected: str) -> None:
    """Each wrong set-up has its name and its remedy in one line; what is unknown is evidence of nothing."""
    found = findings_of(who(), "peerboot", given, service, namespace, version)
    assert ([expected] if expected else []) == [finding.name for finding in found]
    assert all(finding.exit_code == 3 and finding.say.isprintable() for finding in found)


@pytest.mark.parametrize(
    ("strangers", "expected"),
    [
        (
            ("web-0.web.default.svc.real.domain",),
            "'cluster.local' (from setting) is not the cluster's domain: DNS answers",
        ),
        (("a.other.domain",), "DNS does not list web-0 in Service web"),
    ],
    ids=["same-service-elsewhere", "something-else"],
)
def test_targets_elsewhere(strangers: tuple[str, ...], expected: str) -> None:
    """Targets of this Service under another domain tell the domain; others tell nothing."""
    found = findings_of(who(), "peerboot", answer(), OTHERS, NODATA, VERSION, strangers)
    assert [expected] == [finding.say[: len(expected)] for finding in found]
    assert ("names of real.domain." in found[0].say) == ("real.domain" in strangers[0])


@pytest.mark.parametrize(
    ("label", "dashed"),
    [
        ("10-0-0-1", True),
        ("fd00--1", True),
        ("fd00--0", True),
        ("2001-db8-0-0-0-0-0-1", True),
        ("web-0", False),
        ("db-cafe-0", False),
        ("10-0-0-256", False),
        ("10-0-0", False),
        ("3563616132643265", False),
        ("", False),
    ],
)
def test_dashed_addresses(label: str, dashed: bool) -> None:
    """A label that is an address with dashes is told from names that only look a little like it."""
    assert dashed == is_dashed_address(label, who())


def test_a_set_that_looks_like_an_address() -> None:
    """``10-1-2-3`` is a pod where the StatefulSet is called ``10-1-2``."""
    assert not is_dashed_address("10-1-2-3", who(statefulset="10-1-2", pod="10-1-2-0"))


class Script(Dns):
    """Gives one reply, and notes how each question was spelt."""

    def __init__(self, reply: Reply) -> None:
        super().__init__([], SystemClock())
        self.reply = reply
        self.spelt: list[str] = []

    async def srv(self, name: str) -> Reply:
        assert name == f"_peerboot._tcp.{ZONE}"
        self.spelt.append(self.spelling)
        return self.reply

    async def addresses(self, name: str) -> Reply:
        return Reply("unknown", reason=name)


class Clock(SystemClock):
    """A clock that a test turns."""

    at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.mark.parametrize(
    ("names", "pods", "complete"),
    [
        ((f"web-0.{ZONE}", f"web-1.{ZONE}"), ("web-0", "web-1"), True),
        ((f"web-0.{ZONE}", "web-0.web.default.svc.other.domain"), ("web-0",), True),
        ((f"web-0.{ZONE}", "web-1.web.other.svc.cluster.local"), ("web-0",), True),
        ((f"web-0.{ZONE}", f"x.web-1.{ZONE}"), ("web-0",), True),
        ((f"web-0.{ZONE}", f"evil{ZONE}"), ("web-0",), True),
        ((f"web-0.{ZONE}", ZONE), ("web-0",), True),
        (("a.b.c",), (), False),
    ],
    ids=["all-ours", "foreign-domain", "other-namespace", "deeper", "suffix", "the-service", "nobody-of-ours"],
)
async def test_targets(names: tuple[str, ...], pods: tuple[str, ...], complete: bool) -> None:
    """A target is a pod when it is one label before the Service's own name; an answer without any is no miss."""
    reply = Reply("found", ttl=5.0, via="udp", srv=tuple(Srv(name, 7070, ("10.0.0.1",)) for name in names))
    found = await Discovery(who(), "peerboot", Script(reply), Clock()).ask()
    assert (pods, complete) == (tuple(target.pod for target in found.targets), complete and found.complete)


async def test_addresses_that_stay_unknown() -> None:
    """A target whose address nobody tells is in the set all the same: the answer about names was whole."""
    reply = Reply("found", srv=(Srv(f"web-0.{ZONE}", 7070, ()),))
    found = await Discovery(who(), "peerboot", Script(reply), Clock()).ask()
    assert ((found.targets[0].pod, found.targets[0].addresses), found.complete) == (("web-0", ()), True)


async def test_how_questions_are_spelt() -> None:
    """Early questions carry another bit than the later, plain ones, so that a cached early miss does not last."""
    script, clock = Script(NXDOMAIN), Clock()
    discovery = Discovery(who(), "peerboot", script, clock)
    for after in (0.0, 1.9, 2.0, 7.9, 8.0, 39.0, 40.0, 1e6):
        clock.at = 1000.0 + after
        await discovery.ask()
    assert script.spelt == ["do", "do", "plain", "plain", "cd", "cd", "plain", "plain"]
    assert SPELLINGS[-1][1] == "plain"


REPLIES = st.sampled_from([NXDOMAIN, NODATA, FAILED, ADDRESSES, OTHERS, VERSION])


@settings(deadline=None)
@given(
    pods=st.lists(st.sampled_from(["web-0", "web-1", "web-10", "10-0-0-1", "fd00--1", "x", ""]), max_size=4),
    outcome=st.sampled_from(["found", "absent", "unknown"]),
    service=REPLIES,
    namespace=REPLIES,
    version=REPLIES,
    strangers=st.lists(st.sampled_from(["web-0.web.default.svc.x", "a.b", "", ".web.default.svc."]), max_size=3),
)
def test_any_evidence(
    pods: list[str], outcome: str, service: Reply, namespace: Reply, version: Reply, strangers: list[str]
) -> None:
    """Whatever DNS says: one finding at most, none while the set is unknown and none when this Pod is listed."""
    given = Answer(outcome=outcome, targets=answer(*pods).targets if outcome == "found" else ())  # type: ignore[arg-type]
    found = findings_of(who(), "peerboot", given, service, namespace, version, tuple(strangers))
    assert len(found) <= 1
    if outcome == "unknown" or service.outcome == "unknown" or any(t.pod == "web-0" for t in given.targets):
        assert found == ()


@pytest.mark.parametrize(
    ("pod", "seen", "named"),
    [
        pytest.param(0, ["web-0"], ["alone"], id="the-first-alone"),
        pytest.param(0, [], ["alone"], id="nobody-yet"),
        pytest.param(0, ["web-0", "web-2"], [], id="another-is-there"),
        pytest.param(1, ["web-1"], [], id="not-the-first"),
    ],
)
def test_the_first_pod_alone(pod: int, seen: list[str], named: list[str]) -> None:
    """Only the first of several pods may be kept alone by OrderedReady; ``init`` never exits for it."""
    found = alone(who(pod=f"web-{pod}", ordinal=pod), seen)
    assert ([finding.name for finding in found], sum(finding.exit_code for finding in found)) == (named, 0)
    assert all("podManagementPolicy: Parallel" in finding.say for finding in found)


def test_one_pod_is_not_alone() -> None:
    """A set of one expects nobody else."""
    assert alone(who(replicas=1), ["web-0"]) == ()
