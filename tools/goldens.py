"""Writes the goldens of this version: ``python -m tools.goldens``. All that crosses between two peerboots, or between
two releases over time, as this version writes it: ``tests/goldens/<version>/``.

Each file is ``{"wrote": …, "means": …}``: what was written, and what its own reader made of it. ``schema.json`` has
what the readers take. Only what has been there since the first release is imported at the top: this is also run with a
former release's ``peerboot`` on the path (``PYTHONSAFEPATH=1 PYTHONPATH=…``) to make the goldens of that.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from peerboot import __version__, anchor, census, statedir
from peerboot.log import Log
from peerboot.model import Birth, Claim, Decision, Disk, Facts, Hold, Identity, Record, Seal, Statement
from peerboot.report import Report
from peerboot.rules.words import consent_nonce
from peerboot.settings import read
from peerboot.systems.etcd import config as etcd
from peerboot.systems.etcd.spec import SYSTEM

HERE = Path(__file__).parents[1] / "tests" / "goldens"
KEY = b"a key of the goldens, which is no secret"
CHALLENGE = "0123456789abcdef0123456789abcdef"
NONCES = {"db-0": "n0" * 16, "db-1": "n1" * 16, "db-2": "n2" * 16}
TOKEN = "4c9816d15f4b630a8d819d5220578233"  # noqa: S105 - of a birth, no secret
WALL = 1767225600.0
BIRTH = Birth(token=TOKEN, members=NONCES)


def _mac() -> Callable[..., str]:
    """What signs; formerly the census did it itself."""
    try:
        found: Callable[..., str] = import_module("peerboot.signing").mac
    except ModuleNotFoundError:
        found = vars(census)["mac"]
    return found


class Still:
    """A clock that stands, and chance that is none; fulfils ``peerboot.outside.clock.Clock`` as far as it is asked."""

    def now(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return WALL

    def token(self, size: int = 16) -> str:
        return "ab" * size

    def jitter(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps here, least of all {seconds} s")


def identity(pod: str = "db-0") -> Identity:
    """One of a set of three."""
    return Identity(
        namespace="prod", service="peers", statefulset="db", pod=pod, ordinal=int(pod[-1]), system="etcd",
        domain="cluster.local", replicas=3, ips=("10.0.0.5",),
    )  # fmt: skip


HOLD = Hold(id="0badcafe", scope="set", who="ann", why="node upgrade", made_wall=WALL, until_wall=WALL + 3600)


def statements() -> Mapping[str, Statement]:
    """What a Pod says of its disk, from its first day on."""
    usual: dict[str, Any] = {
        "namespace": "prod", "service": "peers", "statefulset": "db", "system": "etcd", "pod": "db-1", "boot": "b1",
        "replicas": 3, "nonce": NONCES["db-1"], "fingerprint": "f" * 16, "version": __version__,
    }  # fmt: skip
    has: dict[str, Any] = {"cluster": "c1", "member": "a1", "token": TOKEN, "permitted": True, "applied": 99}
    return {
        "blank": Statement(**usual, disk="blank", decision="wait", rule="wait-for-all", reason="Not heard: db-2."),
        "born": Statement(**usual, disk="blank", token=TOKEN),
        "serving": Statement(**usual, **has, disk="data", serving=True, running=True, holds=(HOLD,), stood=12.5),
        "corrupt": Statement(**usual, disk="corrupt", cluster="c1", member="a1", permitted=True),
        "unknown": Statement(**{**usual, "nonce": ""}, disk="unknown", reason="input/output error"),
    }


# --------------------------------------------------------------- what crosses


def exchanges() -> dict[str, Any]:
    """Each word with the request that it answers, signed with ``KEY``: ``/v1/node``."""
    me, other, found = identity("db-0"), identity("db-1"), {}
    for name, statement in statements().items():
        ask = {
            "peerboot-schema": "1", "peerboot-from": "db-0", "peerboot-to": "db-1", "peerboot-challenge": CHALLENGE,
            "peerboot-mac": _mac()(KEY, "ask", me, "db-0", "db-1", CHALLENGE, b""),
        }  # fmt: skip
        status, headers, body = census.answer(other, (KEY,), True, ask, statement)
        wrote = {"ask": ask, "status": status, "headers": headers, "body": body.decode()}
        found[f"census-{name}"] = {"wrote": wrote, "means": msgspec.to_builtins(statement)}
    return found


def durable() -> dict[str, Any]:
    """What lies in the state directory, from a first day on, and what was read of it."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        state = statedir.StateDir(Path(directory), identity(), Still())
        file = Path(directory) / "state.json"
        state.ensure_nonce()
        own = state.read().nonce
        steps: dict[str, Callable[[], object]] = {
            "blank": lambda: None,
            "born": lambda: state.record_birth(Birth(token=TOKEN, members={**NONCES, "db-0": own})),
            "permitted": state.record_permit,
            "sealed": lambda: state.record_seal(Seal(cluster="c1", member="a0")),
            "claimed": lambda: state.record_claim(Claim(cluster="c1", member="a9", nonce=own)),
        }
        for name, step in steps.items():
            step()
            found[f"state-{name}"] = {"wrote": file.read_text(), "means": msgspec.to_builtins(state.read())}
        state.write_holds((HOLD,))
        state.append_decision({"wall": WALL, "kind": "wait", "rule": "wait-for-all", "reason": "Not heard: db-2."})
        holds, journal = Path(directory) / "holds.json", Path(directory) / "journal.jsonl"
        found["holds"] = {"wrote": holds.read_text(), "means": msgspec.to_builtins(state.read_holds())}
        found["journal"] = {"wrote": journal.read_text(), "means": state.read_journal(9)}
        where = f"file:{directory}/anchor"
        anchor.write(where, TOKEN, at="20260101T000000Z")
        said = msgspec.to_builtins(anchor.read(where))
        said.pop("where")
        found["anchor"] = {"wrote": (Path(directory) / "anchor").read_text(), "means": said}
    return found


def permits() -> dict[str, Any]:
    """What lets a server start, and what it lets it do: etcd.yaml in its three forms, run.ok."""
    said = {
        "PEERBOOT_SYSTEM": "etcd", "PEERBOOT_SERVICE": "peers", "PEERBOOT_REPLICAS": "3", "PEERBOOT_SECRET_FILE": "/k",
        "POD_NAME": "db-0", "POD_NAMESPACE": "prod",
    }  # fmt: skip
    settings = read(said, systems={"etcd": SYSTEM.settings})
    made = etcd.prepare(settings, identity(), {})
    texts = {
        "form": made.form_file(BIRTH, "The cluster forms."),
        "join": made.join_file((), "a9", "It joins."),
        "resume": made.resume_file(Disk(kind="data", cluster="c1", member="a0")),
    }
    found: dict[str, Any] = {
        f"etcd-{name}": {"wrote": text, "means": {"kind": etcd.permit_kind(text), "keys": _keys(text)}}
        for name, text in texts.items()
    }
    for system, parts in RUN_OK.items():
        try:
            launch = import_module(f"peerboot.systems.{system}.launch")
        except ModuleNotFoundError:
            continue  # a release from before that system
        permit = launch.Permit(**parts)
        text = launch.permit_text(permit, "The server starts.")
        found[f"run-ok-{system}"] = {"wrote": text, "means": msgspec.to_builtins(permit)}
    return found


RUN_OK: Mapping[str, Mapping[str, Any]] = {
    "kafka": {"kind": "resume", "plan": "ab" * 16, "cluster": "c1", "node": 1, "metadata": "/data/metadata",
              "logs": ("/data/logs",)},
    "postgres": {"kind": "resume", "plan": "ab" * 16, "work": "start", "data": "/data/pgdata", "system": "7"},
}  # fmt: skip


def _keys(text: str) -> list[str]:
    return [line.partition(":")[0] for line in text.splitlines() if line and not line.startswith("#")]


def told() -> dict[str, Any]:
    """status.txt, decision.json (which is /v1/decision), and the nonce that a person may consent to."""
    facts = Facts(now=1000.0, identity=identity(), disk=Disk(kind="blank"), record=Record(nonce=NONCES["db-0"]))
    decision = Decision(kind="wait", rule="wait-for-all", reason="Not heard: db-2 (connection refused).",
                        waits_for=("db-2",))  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        report = Report(Path(directory), Log("text", "error", "db-0"), "")
        report.tell(facts, decision, ready=False, wall=WALL)
        status, document = ((Path(directory) / name).read_text() for name in ("status.txt", "decision.json"))
    return {
        "status": {"wrote": status, "means": {"startup": False, "ready": False}},
        "decision": {"wrote": document, "means": json.loads(document)},
        "consent": {"wrote": "foreign-cluster", "means": consent_nonce(facts, "foreign-cluster")},
    }


def schema() -> dict[str, Any]:
    """What the readers of this version take, as JSON Schemas."""
    kinds = {"census": Statement, "state": statedir._State, "holds": tuple[Hold, ...], "anchor": anchor._Content}
    return {name: msgspec.json.schema(kind) for name, kind in kinds.items()}


def goldens() -> dict[str, str]:
    """Content by name of file."""
    parts = {**exchanges(), **durable(), **permits(), **told(), "schema": schema()}
    return {f"{name}.json": json.dumps(part, indent=1, sort_keys=True) + "\n" for name, part in parts.items()}


def main() -> int:
    """Write them."""
    parser = argparse.ArgumentParser(description="Write what this version of peerboot writes, for later ones to read.")
    parser.add_argument("--to", type=Path, default=HERE / __version__, help="the directory")
    directory = parser.parse_args().to
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in goldens().items():
        (directory / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
