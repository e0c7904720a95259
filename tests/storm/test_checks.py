"""Each check of a storm finds what it is there for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.storm import checks
from tests.storm.checks import Memory, Watch
from tests.storm.cluster import Said

NOW = 1000.0


@dataclass
class Set:
    """A lab of one Pod, as the checks see it."""

    root: Path
    said: dict[int, Said] = field(default_factory=dict)
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: list[tuple[int, float]] = field(default_factory=list)
    pods: dict[int, Any] = field(default_factory=dict)
    ordinals: range = range(1)

    @property
    def spec(self) -> Any:
        return SimpleNamespace(root=self.root, replicas=1)

    async def all_said(self) -> dict[int, Said]:
        return self.said

    async def members(self) -> dict[str, dict[str, Any]]:
        return self.listed

    async def ready(self, _ordinal: int) -> bool:
        return True

    def pod_name(self, ordinal: int) -> str:
        return f"db-{ordinal}"

    def data_dir(self, ordinal: int) -> Path:
        return self.root / f"{ordinal}"


def row(pod: int, **more: Any) -> dict[str, Any]:
    """A member as etcd lists it."""
    return {"name": f"db-{pod}", "peerURLs": [f"http://db-{pod}.peers.lab:2380"], **more}


def said(cluster: str = "c1", **more: Any) -> Said:
    """A server's word."""
    return Said(**{"cluster": cluster, "member": "aaaaaaaaaaaa", "leader": "1", "applied": 7, "learner": False, **more})


@pytest.fixture
def lab(tmp_path: Path) -> Set:
    """Nothing is there yet."""
    (tmp_path / "logs").mkdir()
    return Set(tmp_path)


@pytest.fixture
def watch(lab: Set) -> Watch:
    """It has seen nothing yet."""
    return Watch(lab, lambda _text: None)  # type: ignore[arg-type]


async def test_two_clusters(lab: Set, watch: Watch) -> None:
    """Also when one has gone before the other was seen."""
    lab.said = {0: said("c1")}
    await watch.look()
    assert (watch.violations, watch.broken.is_set()) == ([], False)
    lab.said = {0: said("c2")}
    await watch.look()
    assert watch.violations == ["two clusters: c1 (the server of db-0), c2 (the server of db-0)"]
    assert watch.broken.is_set()


async def test_a_member_that_goes_for_no_reason(lab: Set, watch: Watch) -> None:
    """No disk of its Pod was lost since it came; that of another Pod does not matter."""
    lab.listed = {"aaaaaaaaaaaa": row(0), "bbbbbbbbbbbb": row(1)}
    await watch.look()
    lab.lost, lab.listed = [(1, float("inf"))], {"bbbbbbbbbbbb": row(1)}
    await watch.look()
    assert len(watch.violations) == 1
    assert watch.violations[0].startswith("member aaaaaaaaaaaa of db-0 was removed: no disk")


async def test_a_member_that_goes_with_its_disk(lab: Set, watch: Watch) -> None:
    """It may; a log must say who removed it, as a decision that was logged before or a call that was answered."""
    lab.listed = {"aaaaaaaaaaaa": row(0), "cccccccccccc": row(0), "dddddddddddd": row(0)}
    await watch.look()
    lab.lost, lab.listed = [(0, float("inf"))], {"eeeeeeeeeeee": row(0)}
    log = lab.root / "logs" / "db-0.peerboot.log"
    log.write_text(
        "info    db-0 replace/replace-lost: The disk was lost: member aaaaaaaaaaaa. That member is removed.\n"
        "info    db-0 Done: remove cccccccccccc.\n"
        "info    db-0 idle/serving: Member dddddddddddd serves.\n"
    )
    await watch.look()
    assert (watch.violations, watch.unnamed()) == ([], ["dddddddddddd"])


async def test_a_learner_that_never_ran(lab: Set, watch: Watch) -> None:
    """It may be taken back; once it has run it may not."""
    lab.listed = {"aaaaaaaaaaaa": row(0, isLearner=True, name=""), "bbbbbbbbbbbb": row(1)}
    await watch.look()
    lab.listed = {"bbbbbbbbbbbb": row(1), "cccccccccccc": row(0, isLearner=True, name="")}
    await watch.look()
    assert watch.violations == []
    lab.listed["cccccccccccc"]["name"] = "db-0"
    await watch.look()
    del lab.listed["cccccccccccc"]
    await watch.look()
    assert len(watch.violations) == 1


async def test_a_member_whose_data_did_not_read(lab: Set, watch: Watch) -> None:
    """It may go when its Pod's log says that its data was set aside for that; and it is counted."""
    lab.listed = {"aaaaaaaaaaaa": row(0), "bbbbbbbbbbbb": row(1)}
    await watch.look()
    (lab.root / "logs" / "db-0.peerboot.log").write_text(
        "info db-0 replace/corrupt-replaced: The data does not read.\n"
    )
    lab.listed = {}
    await watch.look()
    lab.listed = {"cccccccccccc": row(0)}
    await watch.look()
    assert len(watch.damaged) == 1
    assert [text.split()[1] for text in watch.violations] == ["bbbbbbbbbbbb"]


async def test_an_empty_list_says_nothing(lab: Set, watch: Watch) -> None:
    """Nobody gave one: no member has gone."""
    lab.listed = {"aaaaaaaaaaaa": row(0)}
    await watch.look()
    lab.listed = {}
    await watch.look()
    assert (watch.violations, watch.gone) == ([], {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("db-0: peerboot exited with 70 after 1.0 s", 1),
        ("db-0: peerboot exited with -11 after 1.0 s", 1),
        ("db-0: peerboot exited with -9 after 1.0 s", 0),
        ("db-0: server exited with 2 after 1.0 s", 0),
    ],
    ids=["bug", "segfault", "killed", "etcd-panics"],
)
def test_a_peerboot_that_ends_by_itself(watch: Watch, text: str, found: int) -> None:
    """Whatever its code is; servers may."""
    watch.notice(text)
    assert len(watch.violations) == found


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "Task exception was never retrieved"])
async def test_what_was_not_caught(lab: Set, watch: Watch, line: str) -> None:
    """It is in a log, which is read once it is a whole line."""
    log = lab.root / "logs" / "db-0.peerboot.log"
    log.write_text(f"info all is well\n{line}")
    await watch.look()
    assert watch.violations == []
    log.write_text(f"info all is well\n{line}\n")
    await watch.look()
    assert watch.violations == [f"db-0.peerboot.log: {line}"]


def pod(sentence: str, pid: int | None = 1) -> Any:
    """A Pod with that sentence."""
    return SimpleNamespace(
        sentence=lambda: sentence, says_ready=lambda: False, spec=SimpleNamespace(uid="uid-1", name="db-0"),
        sidecar=SimpleNamespace(pid=pid),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "pid", "found"),
    [("", 0, 1), ("", None, 0), ("wait (looking): ", 0, 1), ("wait (looking): It looks.", 0, 0)],
    ids=["nothing", "no-process", "no-reason", "a-reason"],
)
async def test_a_peerboot_says_why(
    lab: Set, watch: Watch, monkeypatch: pytest.MonkeyPatch, sentence: str, pid: int | None, found: int
) -> None:
    """A sentence with a reason, or it has not had time to say one."""
    monkeypatch.setattr(checks, "SENTENCE_WITHIN", -1.0)
    lab.pods = {0: pod(sentence, pid)}
    await watch.look()
    assert len(watch.violations) == found


@pytest.mark.parametrize(("resident", "found"), [(70_000, 0), (80_000, 1)], ids=["a-little", "much"])
async def test_memory_that_grows(
    lab: Set, watch: Watch, monkeypatch: pytest.MonkeyPatch, resident: int, found: int
) -> None:
    """From the second minute on."""
    monkeypatch.setattr(checks, "_resident", lambda _pid: resident)
    lab.pods = {0: pod("idle (serving): It serves.")}
    watch.memory[1] = Memory(50_000, 50_000, began=-1e6)
    await watch.look()
    assert len(watch.violations) == found


GOOD = {"aaaaaaaaaaaa": row(0)}
UNSETTLED = {
    "no-server": ({}, GOOD),
    "no-list": ({0: said()}, {}),
    "a-ghost": ({0: said()}, {**GOOD, "bbbbbbbbbbbb": row(0)}),
    "a-learner": ({0: said()}, {"aaaaaaaaaaaa": row(0, isLearner=True)}),
    "another-member": ({0: said(member="bbbbbbbbbbbb")}, GOOD),
    "no-leader": ({0: said(leader="0")}, GOOD),
}


@pytest.mark.parametrize(("words", "listed"), list(UNSETTLED.values()), ids=list(UNSETTLED))
async def test_what_is_not_settled(lab: Set, watch: Watch, words: dict[int, Said], listed: dict[str, Any]) -> None:
    """Every Pod's server answers and is its member, all vote, none is listed beside them, and they have a leader."""
    lab.said, lab.listed = words, listed
    assert await watch.unsettled() != ""


async def test_what_is_settled(lab: Set, watch: Watch) -> None:
    """All of that is so."""
    lab.said, lab.listed = {0: said()}, dict(GOOD)
    assert await watch.unsettled() == ""
