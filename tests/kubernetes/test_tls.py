"""etcd with TLS as `peerboot manifest etcd --tls-secret` has it, in real Pods with real names."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.certificates import authority
from tests.kubernetes.conftest import Measure
from tests.kubernetes.kube import Cluster
from tests.kubernetes.sets import EtcdSet, manifest, set_of

pytestmark = pytest.mark.node
ROLL = 240


def test_a_plain_set_gets_tls_by_a_rolling_update(
    new_set: Callable[..., EtcdSet], cluster: Cluster, measure: Measure, tmp_path: Path
) -> None:
    """Formed without, then the manifest with --tls-secret is applied, and Kubernetes restarts Pod after Pod while a
    client writes: the ids stay, all peer URLs are https. A lost disk joins, and no acknowledged write is missing.
    """
    db = new_set()
    db.apply()
    db.wait_ready()
    before = db.wait_voters()
    ours = authority(tmp_path / "ca")
    zone = f"{db.kube.namespace}.svc.cluster.local"
    names = (
        *(f"DNS:{pod}.{db.peers}.{zone}" for pod in db.pods),
        f"DNS:*.{db.peers}.{zone}",
        f"DNS:{db.client}.{zone}",
    )
    folder = ours.certify(tmp_path / "tls", *names)
    files = {each.name: base64.b64encode(each.read_bytes()).decode() for each in folder.iterdir()}
    db.kube.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "etcd-tls"}, "data": files}])
    db.trust = ssl.create_default_context(cafile=str(ours.certificate))
    db.trust.check_hostname = False  # the address of a Service is in no certificate
    db.trust.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    secured = set_of(EtcdSet, db.kube, manifest(cluster, "--replicas=3", "--tls-secret", "etcd-tls"))
    with db.writer("tls") as writer:
        began = time.monotonic()
        db.kube.apply(secured.objects)
        db.kube.run("rollout", "status", f"statefulset/{db.name}", f"--timeout={ROLL}s", seconds=ROLL + 10)
        measure("etcd: from plain text to TLS by a rolling update", time.monotonic() - began)
        old = db.uids()
        assert before == db.wait_voters()
        db.kube.until("all peer URLs are https", 30, lambda: _all_https(db))
        db.lose_disk(1)
        db.wait_ready(old=[old[db.pod(1)]])
        after = db.wait_voters()
    assert [before[name] == after[name] for name in db.pods] == [True, False, True]
    assert writer.lost() == set()


def _all_https(db: EtcdSet) -> bool | None:
    urls = [url for member in db.members().values() for url in member["peerURLs"]]
    return True if all(url.startswith("https://") for url in urls) else None
