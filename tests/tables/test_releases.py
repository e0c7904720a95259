"""etcd's releases: which one is next, and each known trap in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from peerboot.model import Member, Release, ServerView
from peerboot.systems.etcd import releases

PODS = ("db-0", "db-1", "db-2")


def views(*versions: str) -> tuple[ServerView, ...]:
    """Servers that told their versions, one a Pod; an empty text told none."""
    return tuple(ServerView(pod=pod, address="::1", version=one) for pod, one in zip(PODS, versions, strict=False))


NEXT: Mapping[str, tuple[Sequence[str], str, str, str]] = {
    "3.4": (("3.4.23",) * 3, "3.4.0", "3.5", ("etcd 3.4.23 on all 3; the cluster's version is 3.4; next: 3.5, "
    "3.5.26 or later.")),
    "3.5-early": (("3.5.1",) * 3, "3.5.0", "", (
        "etcd 3.5.1 on all 3; the cluster's version is 3.5; next: 3.5.26 or later of 3.5 on db-0, db-1 and "
        "db-2, and only "
        "then 3.6."
    )),
    "3.5-one-early": (("3.5.33", "3.5.25", "3.5.26"), "3.5.0", "", (
        "etcd 3.5.25 on db-1, 3.5.26 on db-2, 3.5.33 on db-0; the cluster's version is 3.5; next: 3.5.26 or "
        "later of 3.5 on "
        "db-1, and only then 3.6."
    )),
    "3.5": (("3.5.26",) * 3, "3.5.0", "3.6", "etcd 3.5.26 on all 3; the cluster's version is 3.5; next: 3.6."),
    "mixed": (("3.5.33", "3.5.33", "3.6.16"), "3.5.0", "", (
        "etcd 3.5.33 on db-0 and db-1, 3.6.16 on db-2; the cluster's version is 3.5; next: all to 3.6, before any goes "
        "further."
    )),
    "not-decided": (("3.6.16",) * 3, "3.5.0", "", (
        "etcd 3.6.16 on all 3; the cluster's version is 3.5; next: nothing before the cluster's version is 3.6, "
        "which its "
        "leader decides within seconds."
    )),
    "one-silent": (("3.6.16", "3.6.16"), "3.6.0", "", (
        "etcd 3.6.16 on db-0 and db-1, an unknown version on db-2; the cluster's version is 3.6; next: nothing "
        "before the "
        "version of all is known."
    )),
    "newest": (("3.7.1",) * 3, "3.7.0", "", (
        "etcd 3.7.1 on all 3; the cluster's version is 3.7; next: no release that this peerboot knows."
    )),
    "newer-than-known": (("3.9.0",) * 3, "3.9.0", "", (
        "etcd 3.9.0 on all 3; the cluster's version is 3.9; next: no release that this peerboot knows."
    )),
}  # fmt: skip


@pytest.mark.parametrize(("versions", "agreed", "upcoming", "say"), NEXT.values(), ids=NEXT)
def test_next(versions: Sequence[str], agreed: str, upcoming: str, say: str) -> None:
    """The next minor release, and the sentence that says why it is that or none."""
    members = tuple(Member(id=pod, pod=pod) for pod in PODS)
    found = releases.release_of(views(*versions), members, agreed, "")
    assert found is not None
    assert (upcoming, say) == (found.next, found.say)


def test_nobody_told_a_version() -> None:
    """Servers without a version, or with one that is none, say nothing of releases."""
    assert releases.release_of(views("", "main", ""), (), "", "") is None


SKIPPED: Mapping[str, tuple[Mapping[str, str], list[str]]] = {
    "same": ({"db-0": "3.5.1", "db-1": "3.5.33"}, []),
    "one-apart": ({"db-0": "3.5.33", "db-1": "3.6.16"}, []),
    "two-apart": ({"db-0": "3.4.23", "db-1": "3.6.16"}, ["etcd-skips-minor"]),
    "unknown": ({"db-0": "3.4.23", "db-1": "4.0.0"}, []),
    "nothing": ({}, []),
}


@pytest.mark.parametrize(("versions", "names"), SKIPPED.values(), ids=SKIPPED)
def test_skipped(versions: Mapping[str, str], names: list[str]) -> None:
    """Servers that are more than one minor release apart are named."""
    assert names == [one.name for one in releases.skipped(versions)]


TOO_NEW = {
    "two-newer": ("3.6", "3.4", [], True),
    "three-newer": ("3.7.1", "3.4.0", [], True),
    "one-newer": ("3.5.33", "3.4.0", [], False),
    "same": ("3.6", "3.6", [], False),
    "older": ("3.4", "3.6", [], False),
    "not-told": ("", "3.4", [], False),
    "nothing-known": ("3.6", "", [], True),
    "servers-say-it": ("3.6", "", ["3.4.23"], True),
    "young": ("3.6", "3.0", ["3.4.23"], True),
    "young-and-new": ("3.6", "3.0", ["3.6.16"], False),
    "mixed": ("3.6", "3.5", ["3.5.33", "3.4.23"], True),
    "newer-than-this-peerboot-knows": ("3.8", "3.6", [], True),
    "next-to-it": ("3.8", "3.7", [], False),
    "another-major": ("4.0", "3.6", [], True),
}


@pytest.mark.parametrize(("told", "agreed", "servers", "refused"), TOO_NEW.values(), ids=TOO_NEW)
def test_too_new(told: str, agreed: str, servers: list[str], refused: bool) -> None:
    """What may be more than one minor release newer than any server of the cluster is not let in: also while the
    cluster has not said what it goes by.
    """
    release = Release(versions={f"db-{n}": one for n, one in enumerate(servers)}, agreed=agreed, say="")
    assert refused == bool(releases.too_new(told, release))
    if not agreed and not servers and told:
        assert "has not said its version yet" in releases.too_new(told, None)


TOLD = {
    "as-told": ("3.6", "3.6.16", []),
    "another": ("3.7", "3.6.16", ["etcd-version-told"]),
    "not-told": ("", "3.6.16", []),
    "silent": ("3.6", "", []),
}


@pytest.mark.parametrize(("told", "running", "names"), TOLD.values(), ids=TOLD)
def test_told_otherwise(told: str, running: str, names: list[str]) -> None:
    """A setting that is not what runs is named, for a blank disk will be judged by it."""
    assert names == [one.name for one in releases.told_otherwise(told, "db-0", running)]


VOTERS = tuple(Member(id=f"a{n}", pod=f"db-{n}") for n in range(3))
SAYS_TRUE = {"a0": False, "a1": False, "a2": False}
DATABASE: Mapping[str, tuple[Mapping[str, bool], str, list[str]]] = {
    "as-it-is": (SAYS_TRUE, "3.5.1", []),
    "one-learner": (SAYS_TRUE | {"a1": True}, "3.5.1", ["etcd-promotion-unwritten"]),
    "zombie": (SAYS_TRUE | {"b7": False}, "3.5.1", ["etcd-zombie-member"]),
    "both": (SAYS_TRUE | {"a1": True, "b7": True}, "3.4.23", ["etcd-promotion-unwritten", "etcd-zombie-member"]),
    "3.6-goes-by-it": (SAYS_TRUE | {"a1": True}, "3.6.16", []),
    "not-read": ({}, "3.5.1", []),
}


@pytest.mark.parametrize(("database", "version", "names"), DATABASE.values(), ids=DATABASE)
def test_database_differs(database: Mapping[str, bool], version: str, names: list[str]) -> None:
    """What the own database has wrong is found before 3.6 believes it."""
    assert names == [one.name for one in releases.database_differs("db-0", database, VOTERS, version)]


def test_how_a_promotion_is_written_after_all() -> None:
    """The sentence names the members whose restart writes it down."""
    (found,) = releases.database_differs("db-0", SAYS_TRUE | {"a1": True, "a2": True}, VOTERS, "3.5.33")
    assert found.say == (
        "The database of db-0 still has a1 (db-1) and a2 (db-2) as a learner, a voter by now; 3.6 does not "
        "start here. Not "
        "to 3.6 yet: once 3.5.26 or later of 3.5 runs here, restart db-1 and db-2, whose start writes it down."
    )


SETTINGS: Mapping[str, tuple[Mapping[str, object], str, list[str]]] = {
    "plain": ({"snapshot-count": 1}, "3.6.16", []),
    "gone-in-3.6": ({"enable-v2": True}, "3.6.16", ["etcd-setting-ignored"]),
    "ends-with-3.5": ({"enable-v2": True}, "3.5.33", ["etcd-setting-ends"]),
    "experimental-in-3.5": ({"experimental-corrupt-check-time": "1h"}, "3.5.33", []),
    "experimental-in-3.6": ({"experimental-corrupt-check-time": "1h"}, "3.6.16", ["etcd-setting-ends"]),
    "experimental-in-3.7": ({"experimental-corrupt-check-time": "1h"}, "3.7.1", ["etcd-setting-ignored"]),
    "too-early": ({"max-learners": 2}, "3.5.33", ["etcd-setting-ignored"]),
    "renamed-too-early": ({"corrupt-check-time": "1h"}, "3.4.23", ["etcd-setting-ignored"]),
    "no-version": ({"max-learners": 2}, "", []),
}


@pytest.mark.parametrize(("base", "version", "names"), SETTINGS.values(), ids=SETTINGS)
def test_settings_lost(base: Mapping[str, object], version: str, names: list[str]) -> None:
    """A key that this release ignores, or the next one will, is named."""
    assert names == [one.name for one in releases.settings_lost(base, version)]


def test_a_renamed_key_has_its_other_name_in_the_sentence() -> None:
    """What to write instead stands beside it."""
    (found,) = releases.settings_lost({"experimental-corrupt-check-time": "1h"}, "3.7.1")
    assert found.say == (
        "etcd 3.7.1 ignores experimental-corrupt-check-time of PEERBOOT_BASE_CONFIG_FILE without a word: from 3.7 on "
        "experimental-corrupt-check-time is corrupt-check-time."
    )
