"""Postgres by examples/postgres: one set that all tests here disturb in turn, under a client that writes. After each no
acknowledged write is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes.conftest import Measure
from tests.kubernetes.kafka_scene import made_for, refused_of, shown_in
from tests.kubernetes.kafka_sets import Kept, end_namespace
from tests.kubernetes.kube import Cluster, Object
from tests.kubernetes.postgres_sets import Client, PostgresSet, make_postgres
from tests.kubernetes.sets import pod_spec

pytestmark = pytest.mark.node
EXAMPLE = Path(__file__).parents[2] / "examples/postgres/postgres.yaml"
OPENSHIFT = {"runAsUser": 1_000_650_000, "runAsGroup": 0, "fsGroup": 1_000_650_000}
"""What OpenShift gives a Pod that asks for no user: one without a line in the image's passwd."""


@dataclass
class Told:
    """The set, its client, which Pod took the writes at first, and how long it took to form."""

    postgres: PostgresSet
    client: Client
    first: str
    seconds: float


def _formed(cluster: Cluster) -> Told:
    postgres = make_postgres(cluster, f"postgres-{time.monotonic_ns() % 100_000_000}")
    began = time.monotonic()
    postgres.apply()
    postgres.wait_ready()
    seconds = time.monotonic() - began
    told = Told(postgres, Client(postgres), postgres.wait_streaming(), seconds)
    told.client.start()
    return told


def _check(told: Told) -> None:
    told.postgres.wait_ready(60)
    told.postgres.wait_streaming()


@pytest.fixture(scope="module")
def kept(postgres_cluster: Cluster) -> Iterator[Kept[Told]]:
    """The set and its client."""
    kept = Kept(lambda: _formed(postgres_cluster), _check, lambda told: end_namespace(told.postgres.kube))
    yield kept
    kept.end()


@pytest.fixture
def told(kept: Kept[Told], measure: Measure, request: pytest.FixtureRequest) -> Iterator[Told]:
    """Before: healthy. After: the client goes on, and nothing that it was told is missing."""
    told = kept.healthy()
    yield told
    told.client.grows()
    lost = told.client.lost()
    measure(f"({request.node.name})", 0, told.client.told)
    assert lost == set()


def test_the_example_is_what_is_tested(postgres_cluster: Cluster) -> None:
    """examples/postgres is the manifest of these tests but for images and storage, and the API takes it."""
    assert shown_in(EXAMPLE) == made_for(postgres_cluster, system="postgres")
    assert refused_of(postgres_cluster, EXAMPLE, "postgres-example") == ""


def test_three_pods_form_one_cluster(told: Told, measure: Measure) -> None:
    """After two Secrets and one ``kubectl apply`` three Pods are Ready: the lowest ordinal takes the writes, the others
    copy it, and all have one system identifier.
    """
    measure("Postgres: three Pods Ready after kubectl apply", told.seconds)
    postgres = told.postgres
    assert (told.first, len(postgres.identifiers())) == ("postgres-0", 1)
    assert {postgres.sql(pod, "SHOW data_checksums") for pod in postgres.pods} == {"on"}


def test_everything_is_deleted_at_once(told: Told, measure: Measure) -> None:
    """All Pods come back with their data, each at first as one that copies; the one that took the writes takes them
    again, on a new timeline.
    """
    postgres = told.postgres
    before, old = postgres.primary(), postgres.uids().values()
    timeline = postgres.timeline(before)
    began = time.monotonic()
    postgres.delete_pods(*postgres.pods)
    postgres.wait_ready(120, old)
    measure("Postgres: all Pods deleted at once", time.monotonic() - began)
    assert (postgres.wait_streaming(), postgres.timeline(before)) == (before, timeline + 1)


def test_the_primarys_server_is_killed(told: Told, measure: Measure) -> None:
    """SIGKILL to its container: it comes back as one that copies, and takes the writes again once the others let it."""
    postgres = told.postgres
    before = postgres.primary()
    timeline = postgres.timeline(before)
    began = time.monotonic()
    postgres.kill_container(before, "postgres")
    postgres.kube.until("another timeline", 60, lambda: True if postgres.timeline(before) > timeline else None)
    postgres.wait_ready(60)
    measure("Postgres: the primary's container killed", time.monotonic() - began)
    assert postgres.writers() == [before]


def test_the_primarys_pod_is_deleted(told: Told, measure: Measure) -> None:
    """A fast stop, which the image's stop signal asks for; then as above."""
    postgres = told.postgres
    before, old = postgres.primary(), [postgres.uid(postgres.primary())]
    began = time.monotonic()
    postgres.delete_pods(before)
    postgres.wait_ready(60, old)
    measure("Postgres: the primary's Pod deleted", time.monotonic() - began)
    assert postgres.writers() == [before]


def test_a_standby_and_its_volume_are_lost(told: Told, measure: Measure) -> None:
    """It copies the one that takes the writes anew, by itself."""
    postgres = told.postgres
    primary = postgres.primary()
    (ordinal, *_) = [n for n in range(3) if postgres.pod(n) != primary]
    old = [postgres.uid(postgres.pod(ordinal))]
    began = time.monotonic()
    postgres.lose_disk(ordinal)
    postgres.wait_ready(60, old)
    postgres.wait_streaming()
    measure("Postgres: a standby's Pod and volume deleted", time.monotonic() - began)
    assert postgres.writers() == [primary]


def test_a_person_promotes_when_the_primarys_disk_is_lost(told: Told, measure: Measure) -> None:
    """The Pod of ordinal 0, which made the cluster, returns blank and makes no second one; nobody takes writes until a
    person says `peerboot postgres promote --yes` of another one, which the blank one then copies.
    """
    postgres, client = told.postgres, told.client
    assert postgres.primary() == "postgres-0"
    identifiers = postgres.identifiers()
    client.pause()
    old = [postgres.uid("postgres-0")]
    postgres.lose_disk(0)

    def waits() -> bool | None:
        return True if "(no-primary)" in postgres.kube.exec("postgres-1", "peerboot", "status") else None

    postgres.kube.until("nobody takes writes, and a person is asked", 90, waits)
    began = time.monotonic()
    postgres.promote("postgres-1")
    postgres.wait_ready(90, old)
    measure("Postgres: the primary's disk lost, from a person's word", time.monotonic() - began)
    assert (postgres.wait_streaming(), postgres.identifiers()) == ("postgres-1", identifiers)
    client.resume()


def test_scaled_up_and_down(told: Told, measure: Measure) -> None:
    """3, 4, 3: the fourth copies the one that takes the writes; scaled away it leaves no slot behind that would keep
    log for it.
    """
    postgres = told.postgres
    primary = postgres.primary()
    began = time.monotonic()
    postgres.scale(4)
    postgres.wait_ready(90)
    postgres.wait_streaming()
    measure("Postgres: kubectl scale 3 to 4", time.monotonic() - began)
    began = time.monotonic()
    postgres.scale(3)
    _until_slots(postgres, primary, *(f"postgres_{n}" for n in range(3) if postgres.pod(n) != primary))
    measure("Postgres: kubectl scale 4 to 3, its slot dropped", time.monotonic() - began)


def _until_slots(postgres: PostgresSet, primary: str, *names: str) -> None:
    def there() -> bool | None:
        found = postgres.sql(primary, "SELECT slot_name FROM pg_replication_slots ORDER BY 1").split()
        return True if found == list(names) else None

    postgres.kube.until(f"slots are {names}", 200, there)


def test_the_primary_is_scaled_away(told: Told, measure: Measure) -> None:
    """Ordinal 2 takes the writes, and the set becomes one of two, then of one: ordinal 0 takes over before that server
    stops, nobody is asked, and no slot keeps log for it. Scaled up again, they come back with their volumes and copy.
    """
    postgres = told.postgres
    _scaled_away(postgres, 2, measure)
    _until_slots(postgres, "postgres-0", "postgres_1")
    _back(postgres)
    _scaled_away(postgres, 1, measure)
    _back(postgres)


def _scaled_away(postgres: PostgresSet, replicas: int, measure: Measure) -> None:
    postgres.switch_over("postgres-2")
    postgres.kube.until("ordinal 2 takes the writes", 60, lambda: postgres.primary() == "postgres-2" or None)
    postgres.wait_streaming()
    began = time.monotonic()
    postgres.scale(replicas)
    postgres.wait_ready(60)
    assert postgres.wait_streaming() == "postgres-0"
    measure(f"Postgres: kubectl scale 3 to {replicas}, the primary goes", time.monotonic() - began)


def _back(postgres: PostgresSet) -> None:
    postgres.scale(3)
    postgres.wait_ready(90)
    assert postgres.wait_streaming() == "postgres-0"


def test_a_rolling_restart(told: Told, measure: Measure) -> None:
    """``kubectl rollout restart``: one Pod after the other; the one that takes the writes takes them again."""
    postgres = told.postgres
    before, old = postgres.primary(), list(postgres.uids().values())
    began = time.monotonic()
    postgres.kube.run("rollout", "restart", f"statefulset/{postgres.name}")
    postgres.kube.run("rollout", "status", f"statefulset/{postgres.name}", "--timeout=180s", seconds=190)
    postgres.wait_ready(60, old)
    measure("Postgres: kubectl rollout restart", time.monotonic() - began)
    assert postgres.wait_streaming() == before


def _without_a_name(objects: list[Object]) -> None:
    pod_spec(objects)["securityContext"] |= OPENSHIFT


def test_as_a_user_without_a_name(postgres_cluster: Cluster, measure: Measure) -> None:
    """Where the Pod's user is a number that the image's passwd lacks, as on OpenShift, one makes the cluster and the
    other copies it.
    """
    namespace = f"postgres-uid-{time.monotonic_ns() % 100_000_000}"
    postgres = make_postgres(postgres_cluster, namespace, "--replicas=2", edit=_without_a_name)
    began = time.monotonic()
    postgres.apply()
    postgres.wait_ready(90)
    assert postgres.wait_streaming() == "postgres-0"
    measure("Postgres: two Pods Ready as a user without a name", time.monotonic() - began)
    end_namespace(postgres.kube)
