"""Several versions of peerboot in one set are named."""

from __future__ import annotations

from peerboot import skew
from peerboot.model import Evidence, Statement


def evidence(**versions: str) -> dict[str, Evidence]:
    """What other Pods said of themselves; of an empty version nothing was heard."""
    found = {}
    for name, version in versions.items():
        pod = name.replace("_", "-")
        word = Statement(
            namespace="n", service="s", statefulset="db", system="etcd", pod=pod, boot="b", disk="data", version=version
        )
        found[pod] = Evidence(pod=pod, at=1.0, statement=word if version else None)
    return found


def test_one_version() -> None:
    """Nothing is said where all have one, or nothing was heard."""
    assert skew.notices("db-0", "1.0", evidence(db_1="1.0", db_2="")) == ()


def test_two_versions() -> None:
    """Who has which."""
    (found,) = skew.notices("db-0", "1.1", evidence(db_1="1.0", db_2="1.1"))
    assert (found.name, found.pod) == ("peerboot-versions", "")
    assert found.say == (
        "Versions of peerboot differ: 1.0 on db-1 and 1.1 on db-0 and db-2. So it is while one rolls out; let all have "
        "one when it ends."
    )


def test_a_large_set_is_not_listed_whole() -> None:
    """At most eight of each version by name."""
    (found,) = skew.notices("db-0", "1.1", evidence(**{f"db_{n}": "1.0" for n in range(1, 12)}))
    assert "and 3 more" in found.say
