"""What holds of every Kubernetes API that peerboot may meet: the model of ``tests/run`` and a real API server alike.

``class TestContract(Contract)`` in a test file runs it, with a fixture ``place`` that says where; on a real cluster
``place`` is what a fixture ``real_api`` has set up, anew for each test. There the service
account of the token may ``get`` StatefulSet ``db`` and ``get`` and ``update`` ConfigMap ``db-anchor``, which is
empty, both in namespace ``prod``, ``get`` PersistentVolumeClaim ``data-db-1``, and ``create`` events there; nothing
else.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from peerboot import live
from peerboot.anchor import Keeper
from peerboot.events import Events
from peerboot.model import Anchor, Decision, Identity
from peerboot.outside.clock import SystemClock
from peerboot.outside.kubernetes import Kubernetes, KubernetesError

ONE, OTHER = "1" * 32, "2" * 32
UNDO = "kubectl --namespace prod delete configmap db-anchor && kubectl --namespace prod create configmap db-anchor"
HOLDS = Anchor(state="holds", token=ONE, where="ConfigMap db-anchor", undo=UNDO)
SPEC = "configmap:db-anchor"


@dataclass(frozen=True)
class Place:
    """Where an API server is and what is projected into the Pod."""

    base: str
    """``https://10.96.0.1:443``."""
    account: Path
    """With ``token`` and ``ca.crt``."""
    other_ca: Path
    """A certificate that did not sign the API server's."""
    replicas: int = 3
    """Of StatefulSet ``db``."""

    @property
    def door(self) -> Kubernetes:
        """A client as a Pod makes it."""
        return Kubernetes(self.base, "prod", account=self.account)


def pod(name: str = "db-1", statefulset: str = "db", uid: str = "2f6c9d0e-0000-4000-8000-000000000001") -> Identity:
    """One Pod of the set."""
    return Identity(
        namespace="prod", service="peers", statefulset=statefulset, pod=name, ordinal=1, system="etcd", uid=uid,
        domain="cluster.local", replicas=3,
    )  # fmt: skip


async def outcome(door: Kubernetes, name: str = "db") -> tuple[str, str]:
    """How the question for a StatefulSet ended, and in which words."""
    with pytest.raises(KubernetesError) as caught:
        await door.stateful_set(name)
    assert "\n" not in str(caught.value)
    return caught.value.outcome, str(caught.value)


class Contract:
    """Facts about an API server; ``place`` says where it is."""

    async def test_the_stateful_set_is_read(self, place: Place) -> None:
        """Its replicas, where its ordinals start, and that it is not being deleted."""
        found = live.read(await place.door.stateful_set("db"), pod(), at=7.0)
        said = found.state, found.replicas, found.start, found.deleting, found.at, found.reason
        assert said == ("known", place.replicas, 0, False, 7.0, "")
        assert found.uid != ""

    async def test_another_stateful_set_is_forbidden(self, place: Place) -> None:
        """The Role names one; the refusal says which verb on what is missing."""
        said = "403: this Pod may not get statefulsets/web in prod: a Role with that verb is not bound"
        assert await outcome(place.door, "web") == ("forbidden", said)

    async def test_a_token_that_is_not_the_clusters_is_unauthorized(self, place: Place, tmp_path: Path) -> None:
        """401, with the file that holds it."""
        account = _copied(place.account, tmp_path)
        (account / "token").write_text("eyJhbGciOiJub25lIn0.e30.")
        found, said = await outcome(Kubernetes(place.base, "prod", account=account))
        assert (found, said.partition(" (")[0]) == (
            "unauthorized",
            f"401: the API does not accept the token in {account}/token",
        )

    async def test_an_api_server_of_another_ca_is_not_trusted(self, place: Place, tmp_path: Path) -> None:
        """TLS ends before the token is sent."""
        account = _copied(place.account, tmp_path)
        shutil.copy(place.other_ca, account / "ca.crt")
        found, said = await outcome(Kubernetes(place.base, "prod", account=account))
        assert (found, "is not trusted by" in said) == ("tls", True)

    async def test_the_anchor_is_written_once_and_sealed(self, place: Place) -> None:
        """Empty; then the token of the first; the second learns it; nobody can change it any more."""
        keeper, late = Keeper(SPEC, place.door), Keeper(SPEC, place.door)
        before = await place.door.config_map("db-anchor")
        assert (await keeper.ask(), keeper.read().state) == (True, "empty")
        said = await keeper.write(ONE), await late.write(OTHER), keeper.read()
        assert said == (HOLDS, HOLDS, HOLDS)
        after = msgspec.json.decode(await place.door.config_map("db-anchor"))
        assert after["immutable"] is True
        with pytest.raises(KubernetesError) as caught:
            await place.door.replace_config_map("db-anchor", before)
        assert caught.value.outcome == "conflict"
        after["data"] = {}
        with pytest.raises(KubernetesError) as caught:
            await place.door.replace_config_map("db-anchor", msgspec.json.encode(after))
        assert caught.value.outcome == "invalid"

    async def test_a_claim_that_does_not_exist_is_an_answer(self, place: Place) -> None:
        """There is none of the one name that may be asked for; of another the Role says nothing."""
        assert await place.door.has_claim("data-db-1") is False
        with pytest.raises(KubernetesError) as caught:
            await place.door.has_claim("data-db-2")
        assert caught.value.outcome == "forbidden"

    async def test_an_event_is_created(self, place: Place) -> None:
        """The API takes what peerboot tells of itself."""
        said: list[str] = []
        events = Events(pod(), Kubernetes(place.base, "prod", account=place.account, warn=said.append), SystemClock())
        events.note(Decision(kind="refuse", rule="anchor-forbids", reason="Every disk is blank."))
        assert (await events.tell_next(), await events.tell_next(), said) == (True, False, [])


def _copied(account: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("token", "ca.crt"):
        shutil.copy(account / name, copy / name)
    return copy
