"""Makes the first inputs of each target from what is real: servers of the lab, peerboot's own words, DNS packets.

``python -m tests.fuzz.seeds`` writes them to ``build/fuzz/corpus``, and the samples (a log and databases that a server
wrote, without the zeros that it allocates in advance) to ``tests/fuzz/samples``. What is committed is
what ``reduce.py`` keeps of them and of what the fuzzer found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import msgspec

from peerboot.lab.network import Network
from peerboot.lab.servers import VERSIONS, find
from peerboot.model import Birth, Hold, Seal, Statement
from peerboot.statedir import StateDir
from peerboot.systems.kafka import launch as kafka
from peerboot.systems.postgres import launch as postgres
from tests.etcd.conftest import Made, _make
from tests.etcd.damage import frames, last_segment
from tests.fuzz import bolt, census, settings, wal
from tests.fuzz.dns import AGAIN, DIAGNOSE, RAW_STREAM, ZONE, Still
from tests.fuzz.harness import SAMPLES, joined, sparse
from tests.fuzz.state import ME

Seed = tuple[str, bytes]
FOUND = Path("build/fuzz/corpus")


def of_dns() -> Iterator[Seed]:
    """Answers as CoreDNS gives them."""
    srv, host = f"_peerboot._tcp.{ZONE}.", f"web-0.{ZONE}."
    soa = ["cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 30"]
    glued = [f"web-{i}.{ZONE}. 30 IN A 10.0.0.{i}" for i in range(3)] + [f"{host} 30 IN AAAA fd00::1"]
    targets = [f"{srv} 30 IN SRV 0 33 7070 web-{i}.{ZONE}." for i in range(3)]
    found = _packet(srv, "SRV", targets, glued)
    bare = _packet(srv, "SRV", targets[:2], [])
    cut = _packet(srv, "SRV", targets[:1], [], flags=dns.flags.TC)
    four = _packet(host, "A", [f"{host} 30 IN A 10.0.0.1"], [])
    six = _packet(host, "AAAA", [f"{host} 30 IN AAAA fd00::1"], [])
    chain = [f"{host} 30 IN CNAME other.{ZONE}.", f"other.{ZONE}. 30 IN A 10.0.0.2"]
    gone = _packet(srv, "SRV", [], [], soa, rcode=dns.rcode.NXDOMAIN)
    yield "found", bytes([0]) + joined(found)
    yield "found-at-both", bytes([AGAIN + 2]) + joined(found)
    yield (
        "found-dashed",
        bytes([DIAGNOSE | 3]) + joined(_packet(srv, "SRV", [f"{srv} 30 IN SRV 0 33 7070 10-0-0-1.{ZONE}."], [])),
    )
    yield "found-without-glue", bytes([0]) + joined(bare, four, six)
    yield "cut-then-tcp", bytes([0]) + joined(cut, found)
    yield "cut-then-raw-stream", bytes([RAW_STREAM + 2]) + joined(cut, found)
    yield "absent", bytes([0]) + joined(gone, gone)
    yield "absent-again", bytes([AGAIN + 2]) + joined(gone)
    yield "absent-once", bytes([0]) + joined(gone, _packet(srv, "SRV", [], [], rcode=dns.rcode.SERVFAIL))
    yield "no-data", bytes([0]) + joined(*[_packet(srv, "SRV", [], [], soa)] * 2)
    yield "refused", bytes([0]) + joined(_packet(srv, "SRV", [], [], rcode=dns.rcode.REFUSED))
    yield "addresses", bytes([1]) + joined(four, six)
    yield "an-alias", bytes([1]) + joined(_packet(host, "A", chain, []), six)
    yield "no-addresses", bytes([1]) + joined(*[_packet(host, kind, [], [], soa) for kind in ("A", "AAAA")] * 2)
    version = "dns-version.cluster.local."
    yield "text", bytes([2]) + joined(_packet(version, "TXT", [f'{version} 30 IN TXT "1.1.0"'], []))


def _packet(
    name: str, kind: str, answer: list[str], additional: list[str], authority: list[str] | None = None, *,
    rcode: int = 0, flags: int = 0,
) -> bytes:  # fmt: skip
    reply = dns.message.make_response(dns.message.make_query(name, kind, use_edns=0), recursion_available=True)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.flags |= flags | dns.flags.AA
    for section, lines in ((reply.answer, answer), (reply.authority, authority or []), (reply.additional, additional)):
        for line in lines:
            owner, ttl, _, rtype, rest = line.split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, rest))
    return reply.to_wire(max_size=65535)


def of_census() -> Iterator[Seed]:
    """Statements as peers make them, alone and in turn, honest and not."""
    word = Statement(
        namespace=census.ME.namespace, service=census.ME.service, statefulset=census.ME.statefulset, system="etcd",
        pod=census.PEER, uid="u", boot="boot-1", replicas=3, disk="blank", nonce="a" * 32,
    )  # fmt: skip
    hold = Hold(id="h", scope="set", who="me", why="because", made_wall=1.7e9)
    born = msgspec.structs.replace(
        word, disk="data", token="b" * 32, cluster="c0ffee", member="beef", serving=True, holds=(hold,), boot="boot-2"
    )
    first, second = msgspec.json.encode(word), msgspec.json.encode(born)
    honest, flags = bytes([census.SIGNED]), census
    yield "blank", bytes([0]) + joined(honest + b"\n" + first)
    yield "born", bytes([0]) + joined(honest + b"\n" + second)
    yield "without-keys", bytes([census.NO_AUTH]) + joined(b"\0\n" + first)
    yield "unsigned", bytes([0]) + joined(b"\0" + b"0" * 64 + b"\n" + first)
    later = bytes([flags.SIGNED | flags.LATER])
    # One address of the peer, and the own name's, are asked in turn.
    turns = [turn for body in (first, second, first) for turn in (later + b"\n" + body, bytes([flags.FAILED]))][:5]
    yield "restarted-and-back", bytes([0]) + joined(*turns)
    yield "replayed", bytes([0]) + joined(honest + b"\n" + first, bytes([flags.SIGNED | flags.REPLAY]) + b"\n" + first)
    yield "other-key", bytes([0]) + joined(bytes([flags.SIGNED | flags.OTHER_KEY]) + b"\n" + first)
    yield "at-both-addresses", bytes([0]) + joined(honest + b"\n" + first, honest + b"\n" + first)
    refusal = bytes([flags.REFUSED])
    yield "refused", bytes([0]) + joined(refusal + b"\n" + b'{"error":"schema","say":"this peerboot speaks 2"}')
    asked = "peerboot-schema:1\npeerboot-from:db-1\npeerboot-to:db-0\npeerboot-challenge:" + "0f" * 16
    yield "asked", bytes([flags.ANSWER]) + f"{asked}\nsign:yes".encode()
    yield "asked-without-key", bytes([flags.ANSWER]) + asked.encode()


def of_wal(made: dict[str, Made]) -> Iterator[Seed]:
    """Logs of each release: hardly begun, bootstrap, young, and the first bytes of a second segment."""
    for version, dirs in made.items():
        bootstrap, young = _log(dirs.bootstrap), _log(dirs.young)
        begun = bootstrap[: frames(last_segment(dirs.bootstrap))[3][0]]
        yield f"interrupted-{version}", bytes([2 | wal.PADDED, 0]) + begun
        yield f"bootstrap-{version}", bytes([2 | wal.PADDED, 0]) + bootstrap
        yield f"young-{version}", bytes([3, 0]) + young[:1800]
        at = frames(last_segment(dirs.young))[1][0] + 24
        yield f"damaged-{version}", bytes([3, 0]) + young[:at] + bytes([young[at] ^ 1]) + young[at + 1 : 1800]
        yield f"signed-{version}", bytes([3 | wal.SIGNED | wal.PADDED, 0]) + bootstrap
        yield f"second-{version}", bytes([3 | wal.SIGNED | wal.SECOND | wal.SNAPSHOT, 0]) + young[:600]
    yield "none", bytes([2 | wal.NO_LOG, 0])
    yield "none-beside-members", bytes([3 | wal.NO_LOG, 0])
    yield "apart", bytes([3 | wal.PADDED, wal.APART]) + young[:600]
    yield "other-name", bytes([3, wal.OTHER_NAME]) + begun


def of_bolt(made: dict[str, Made]) -> Iterator[Seed]:
    """Databases of each release, of a failed first start and of a member."""
    for version, dirs in made.items():
        for name, data_dir in (("blank", dirs.blank), ("young", dirs.young)):
            coded = sparse(_database(data_dir))
            yield f"{name}-{version}", bytes([0]) + coded
            yield f"{name}-{version}-signed", bytes([bolt.SIGNED]) + coded
    yield "beside-a-log", bytes([bolt.LOG]) + coded


def _log(data_dir: Path) -> bytes:
    segment = last_segment(data_dir)
    return segment.read_bytes()[: frames(segment)[-1][1]]


def _database(data_dir: Path) -> bytes:
    return (data_dir / "member/snap/db").read_bytes()


def of_settings() -> Iterator[Seed]:
    """Files and environments as people write them."""
    file = (
        b"# the set\nsystem: etcd\nreplicas: 3\nservice: db\nnameservers: [10.0.0.10, '10.0.0.11:53']\n"
        b"deadline: 10m\nlog_format: json\nanchor: configmap:db\n"
    )
    yield "file", bytes([0]) + joined(file, b"")
    yield (
        "environment",
        bytes([0])
        + joined(
            b"",
            b"PEERBOOT_REPLICAS=3\nPOD_IPS=10.0.0.1,fd00::1\nPEERBOOT_LISTEN=[::]:7070\nPEERBOOT_X_PORT=tcp://10.0.0.1:1",
        ),
    )
    yield "bare", bytes([settings.BARE]) + joined(file, b"POD_NAMESPACE=x\nPEERBOOT_SECRET_FILE=/etc/key\n")
    yield "kafka", bytes([0]) + joined(b"system: kafka\nkafka_roles: broker\n", b"PEERBOOT_SYSTEM=kafka")
    yield "postgres", bytes([0]) + joined(b"", b"PEERBOOT_SYSTEM=postgres\nPEERBOOT_DEADLINE=1.5h")
    yield (
        "base",
        bytes([settings.BASE]) + joined(b"quota-backend-bytes: 8589934592\nauto-compaction-mode: periodic\n", b""),
    )
    yield (
        "yaml",
        bytes([settings.BASE]) + joined(b"a: {b: [1, 2.5, true, null, 2001-01-01]}\nc: |\n  x\n? d\n: 'e'\n", b""),
    )
    yield "tags", bytes([settings.BASE]) + joined(b"a: !!str 1\nb: !!float 1\nc: !!binary aGk=\nd: !!set {e, f}\n", b"")


def of_state() -> Iterator[Seed]:
    """A state directory's files as peerboot writes them."""
    with tempfile.TemporaryDirectory() as folder:
        state = StateDir(Path(folder), ME, Still())
        nonce = state.ensure_nonce().nonce
        text = (Path(folder) / "state.json").read_bytes()
        yield "new", bytes([0]) + text
        state.record_birth(Birth(token="t" * 32, members={ME.pod: nonce, "db-1": "n" * 32}))
        state.record_permit()
        state.record_seal(Seal(cluster="c0ffee", member="beef"))
        born = (Path(folder) / "state.json").read_bytes()
        yield "born", bytes([0]) + born
        yield "torn", bytes([3]) + born[:200]
        yield "newer", bytes([0]) + born.replace(b'"version": 1', b'"version": 2')
        state.write_holds((Hold(id="h", scope="set", who="me", why="because", made_wall=1.7e9),))
        yield "holds", bytes([1]) + (Path(folder) / "holds.json").read_bytes()
        for rule in ("form", "resume"):
            state.append_decision({"rule": rule, "at": 1.5, "reason": "why"})
        yield "journal", bytes([2]) + (Path(folder) / "journal.jsonl").read_bytes() + b'{"rule":"cut'


def of_permit() -> Iterator[Seed]:
    """Permits as both launch scripts get them."""
    for number, text in enumerate(_texts()):
        yield f"permit-{number}", bytes([number % 2]) + text.encode()


def _texts() -> Iterator[str]:
    plan = "0123456789abcdef"
    made = postgres.Permit(kind="first", work="init", data="/data/pg", plan=plan)
    yield postgres.permit_text(made, "all are blank")
    standing = kafka.Permit(
        kind="first", form="initial", cluster="c" * 22, node=1, directory="d", voters="1@a:9093:d",
        metadata="/data/m", logs=("/data/l",), repair=False, plan=plan,
    )  # fmt: skip
    yield kafka.permit_text(standing, "all are blank")
    yield postgres.permit_text(made, "").replace(plan, "../" * 6)


def main() -> None:
    """Write all of them."""
    network = Network()
    with tempfile.TemporaryDirectory() as folder:
        made = {version: _make(find(version), Path(folder) / version, network) for version in VERSIONS}
        newest = made[VERSIONS[-1]]
        SAMPLES.mkdir(exist_ok=True)
        (SAMPLES / "young.wal").write_bytes(_log(newest.young))
        (SAMPLES / "young.txt").write_text(f"{newest.member} {newest.cluster}\n")
        for name, data_dir in (("blank", newest.blank), ("young", newest.young)):
            (SAMPLES / f"{name}.db").write_bytes(sparse(_database(data_dir)))
        seeds = {"dns": of_dns(), "census": of_census(), "wal": of_wal(made), "bolt": of_bolt(made)}
        seeds |= {"settings": of_settings(), "state": of_state(), "permit": of_permit()}
        for target, found in seeds.items():
            (FOUND / target).mkdir(parents=True, exist_ok=True)
            for name, data in found:
                (FOUND / target / name).write_bytes(data)
    network.close()


if __name__ == "__main__":
    main()
