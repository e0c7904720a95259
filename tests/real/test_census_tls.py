"""The census by certificates with real servers: it forms without a key, goes from one proof to the other and back while
it runs, and says whom it does not take for a Pod.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peerboot.lab.cluster import Lab
from peerboot.lab.servers import Server
from tests.certificates import Authority, authority
from tests.real.scenes import MakeLab, formed, healthy, ids, writing
from tests.real.secured import ZONE, certified, tls_env, trust
from tests.real.test_tls import says


@pytest.fixture
def ours(short_root: Path) -> Authority:
    """The set's CA, which has certified ``tls`` for all Pods, and each Pod alone."""
    made = certified(short_root / "ours")
    for ordinal in range(3):
        made.certify(made.folder / f"db-{ordinal}", f"DNS:db-{ordinal}.{ZONE}")
    return made


def by_tls(folder: Path) -> dict[str, str]:
    """No key at all."""
    return {"PEERBOOT_CENSUS_AUTH": "tls", "PEERBOOT_CENSUS_TLS_DIR": str(folder), "PEERBOOT_SECRET_FILE": ""}


def by_either(folder: Path) -> dict[str, str]:
    """On the way."""
    return {"PEERBOOT_CENSUS_AUTH": "hmac,tls", "PEERBOOT_CENSUS_TLS_DIR": str(folder)}


async def test_the_first_day_without_a_key(make_lab: MakeLab, plain_etcd: Server, ours: Authority) -> None:
    """With etcd's own certificate, which all Pods share: three form, a lost disk joins, and the certificate is renewed
    while they run; nobody waits for anybody.
    """
    env = tls_env(ours) | by_tls(ours.folder / "tls")
    async with make_lab(plain_etcd, env=env, trust=trust(ours)) as lab:
        before = await healthy(await formed(lab))
        async with writing(lab):
            ours.certify(ours.folder / "tls", *(f"DNS:db-{n}.{ZONE}" for n in range(3)), f"DNS:{ZONE}", "IP:127.0.0.1")
            await lab.wipe(1)
            after = await healthy(lab)
        assert {name for name in after if after[name] != before[name]} == {"db-1"}
        assert [lab.pods[o].sidecar.starts for o in (0, 2)] == [1, 1]


@pytest.mark.parametrize("system", ["kafka", "postgres"])
async def test_other_systems(make_lab: MakeLab, ours: Authority, request: pytest.FixtureRequest, system: str) -> None:
    """The census is the same for all: without a key their Pods form too."""
    async with make_lab(request.getfixturevalue(system), env=by_tls(ours.folder / "tls")) as lab:
        await lab.start()
        await lab.until_ready(180)
        assert [await lab.rule(o) for o in lab.ordinals] == ["serving"] * 3


async def test_from_the_key_to_certificates_and_back(make_lab: MakeLab, plain_etcd: Server, ours: Authority) -> None:
    """Pod by Pod to either proof, to TLS alone, and back, while a client writes; with a lost disk in the middle of each
    step, which joins. No acknowledged write is missing.
    """

    def own(kind: Callable[[Path], dict[str, str]], ordinal: int) -> dict[str, str]:
        return kind(ours.folder / f"db-{ordinal}")

    async with make_lab(plain_etcd) as lab:
        await formed(lab)
        async with writing(lab):
            for kind in (by_either, by_tls, by_either, None):
                for ordinal in reversed(lab.ordinals):
                    lab.pod_env[ordinal] = {} if kind is None else own(kind, ordinal)
                    before = await ids(lab)
                    if ordinal == 1:
                        await lab.wipe(1)
                    else:
                        await lab.crash(ordinal)
                    after = await healthy(lab)
                    assert {name for name in after if after[name] != before[name]} == (
                        {"db-1"} if ordinal == 1 else set()
                    )


async def test_two_steps_at_once(make_lab: MakeLab, plain_etcd: Server, ours: Authority) -> None:
    """A new set of which one Pod has the key alone, and two have certificates alone, forms nothing: all say why. Once
    it has them too they form.
    """
    env = by_tls(ours.folder / "tls")
    async with make_lab(plain_etcd, env=env) as lab:
        lab.pod_env[2] = {
            "PEERBOOT_CENSUS_AUTH": "hmac",
            "PEERBOOT_CENSUS_TLS_DIR": "",
            "PEERBOOT_SECRET_FILE": str(lab.secret_file(2)),
        }
        await lab.start()
        await says(lab, 0, "db-2 (it does not speak TLS: its PEERBOOT_CENSUS_AUTH is another")
        await says(lab, 2, "it answers over TLS alone (PEERBOOT_CENSUS_AUTH=tls): set hmac,tls in all Pods first")
        assert [(await lab.decision(o))["may_run"] for o in lab.ordinals] == [False, False, False]
        del lab.pod_env[2]
        await lab.crash(2)
        await healthy(lab)


WRONG = {
    "another Pod's": ("db-1", {}, "is not for db-2."),
    "expired": ("db-2", {"days": -1}, "The certificate of PEERBOOT_CENSUS_TLS_DIR has expired"),
    "not valid yet": ("db-2", {"early": True}, "is not valid yet by this Pod's clock"),
}


@pytest.mark.parametrize(("pod", "more", "words"), WRONG.values(), ids=WRONG.keys())
async def test_a_pod_with_a_wrong_certificate(
    make_lab: MakeLab, plain_etcd: Server, ours: Authority, pod: str, more: dict[str, int], words: str
) -> None:
    """A new set waits for it, it says itself what is wrong, and all form once the Secret is renewed: nothing is
    restarted for that.
    """
    folder = ours.certify(ours.folder / "wrong", f"DNS:{pod}.{ZONE}", **more)  # type: ignore[arg-type]
    async with make_lab(plain_etcd) as lab:
        for ordinal in lab.ordinals:
            lab.pod_env[ordinal] = by_tls(ours.folder / f"db-{ordinal}" if ordinal != 2 else folder)
        await lab.start()
        await says(lab, 2, words)
        await says(lab, 0, "db-2 (its certificate ")
        assert [(await lab.decision(o))["may_run"] for o in lab.ordinals] == [False, False, False]
        ours.certify(folder, f"DNS:db-2.{ZONE}")
        await healthy(lab)
        assert [lab.pods[o].sidecar.starts for o in lab.ordinals] == [1, 1, 1]


async def test_a_pod_of_another_ca(make_lab: MakeLab, plain_etcd: Server, ours: Authority, short_root: Path) -> None:
    """It hears nobody and is not heard, whatever names its certificate has; its blank disk waits."""
    theirs = authority(short_root / "theirs")
    folder = theirs.certify(theirs.folder / "tls", f"DNS:db-2.{ZONE}")
    async with make_lab(plain_etcd) as lab:
        for ordinal in lab.ordinals:
            lab.pod_env[ordinal] = by_tls(ours.folder / f"db-{ordinal}" if ordinal != 2 else folder)
        await lab.start()
        await says(lab, 0, "db-2 (its certificate is of another CA than this Pod's ca.crt")
        await says(lab, 2, "db-0 (its certificate is of another CA than this Pod's ca.crt")
        assert (await started(lab)) == []


async def started(lab: Lab) -> list[int]:
    """Ordinals whose server may run."""
    return [o for o in lab.ordinals if (await lab.decision(o)).get("may_run")]
