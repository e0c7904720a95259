"""etcd with TLS on both listeners, and with passwords: it forms, heals, and says whom it does not trust."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peerboot.lab.client import Client, ClientError, Login, Writer
from peerboot.lab.cluster import Lab
from peerboot.lab.network import namespace_command
from peerboot.lab.servers import VERSIONS, Server, find
from peerboot.outside.http import Http
from tests.certificates import Authority, authority
from tests.real.scenes import MakeLab, formed, healthy, members, writing
from tests.real.secured import NAMES, PASSWORD, ZONE, certified, tls_env, trust


@pytest.fixture
def ours(short_root: Path) -> Authority:
    """The set's CA, which has certified ``tls``."""
    return certified(short_root / "ours")


@pytest.fixture(params=VERSIONS)
def every_etcd(request: pytest.FixtureRequest) -> Server:
    """A real etcd of every release in turn, to which these tests give what it has of TLS."""
    return find(request.param)


async def test_tls_on_both_listeners(make_lab: MakeLab, every_etcd: Server, ours: Authority) -> None:
    """Three form; a lost disk joins; all crash and come back. No acknowledged write is missing."""
    async with make_lab(every_etcd, env=tls_env(ours), trust=trust(ours)) as lab:
        await formed(lab)
        before = await healthy(lab)
        async with writing(lab):
            await lab.wipe(1)
            await healthy(lab)
        after = await healthy(lab)
        assert {name for name in after if after[name] != before[name]} == {"db-1"}


async def test_a_renewed_certificate_needs_no_restart(make_lab: MakeLab, etcd: Server, ours: Authority) -> None:
    """While a client writes the Secret gets another key and certificate: every server shows it, none was restarted, and
    a lost disk joins with it.
    """
    async with make_lab(etcd, env=tls_env(ours), trust=trust(ours)) as lab:
        await formed(lab)
        async with writing(lab):
            old = {o: await asyncio.to_thread(shown, lab, o, ours) for o in lab.ordinals}
            ours.certify(ours.folder / "tls", *NAMES)
            new = {o: await asyncio.to_thread(shown, lab, o, ours) for o in lab.ordinals}
            await lab.wipe(2)
            await healthy(lab)
        assert len(set(old.values()) | set(new.values())) == 2
        assert [lab.pods[o].server.starts for o in (0, 1)] == [1, 1]


def shown(lab: Lab, ordinal: int, ours: Authority) -> bytes:
    """The certificate that a server's client listener shows."""
    host, _, port = lab.client_address(ordinal).rpartition(":")
    with socket.create_connection((host, int(port)), 5) as raw, trust(ours).wrap_socket(raw) as secured:
        return secured.getpeercert(binary_form=True) or b""


async def test_from_plain_text_to_tls_pod_by_pod(make_lab: MakeLab, every_etcd: Server, ours: Authority) -> None:
    """A plain set gets TLS by a rolling update while a client writes: the ids stay, every peer URL is https in the end,
    and a disk that is lost then joins. No acknowledged write is missing.
    """
    secured: set[int] = set()

    def urls() -> list[str]:
        return [f"{'https' if o in secured else 'http'}://{lab.client_address(o)}" for o in sorted(lab.pods)]

    async with make_lab(every_etcd) as lab:
        await formed(lab)
        before = await healthy(lab)
        writer = Writer(urls, pause=0.02, trust=trust(ours))
        writer.start()
        for ordinal in reversed(lab.ordinals):
            lab.pod_env[ordinal] = tls_env(ours)
            await lab.crash(ordinal, recreate=False)
            secured.add(ordinal)
            await lab.create(ordinal)
            await lab.until_ready(120)
            assert await listed_secure(urls, ours, ordinal)
        await lab.wipe(0)
        await lab.until_ready(120)
        await writer.stop()
        after = {row["name"]: id_ for id_, row in (await rows(urls()[1], ours)).items()}
        assert {name for name in before if after[name] != before[name]} == {"db-0"}
        assert [await writer.missing(url) for url in urls()] == [[], [], []]


async def rows(url: str, ours: Authority) -> dict[str, dict[str, Any]]:
    """The member list by id."""
    http = Http(tls=trust(ours))
    try:
        return await Client(url, http).members()
    finally:
        await http.close()


async def listed_secure(urls: Callable[[], list[str]], ours: Authority, ordinal: int) -> bool:
    """Whether that Pod's own server lists it with TLS."""
    with contextlib.suppress(ClientError):
        return any(
            row["name"] == f"db-{ordinal}" and row["peerURLs"][0].startswith("https://")
            for row in (await rows(urls()[ordinal], ours)).values()
        )
    return False


async def test_a_pod_whose_peer_url_is_not_changed_yet(make_lab: MakeLab, etcd: Server, ours: Authority) -> None:
    """On hold a Pod that comes back with TLS stays listed with http: it is not ready and says why, so that Kubernetes
    does not go on to the next. While the others have none it can go back.
    """
    async with make_lab(etcd) as lab:
        await formed(lab)
        await lab.pods[2].run("hold", "--all", "--for", "1h", "--why", "test")
        lab.pod_env[2] = tls_env(ours)
        await lab.crash(2)
        await says(lab, 2, "the others know it without")
        assert await lab.ready(2) is False
        await lab.pods[2].run("resume", "--all")
        await lab.until_ready(120)
        del lab.pod_env[2]
        await lab.crash(2)
        await lab.until_ready(120)
        listed = {row["name"]: row["peerURLs"] for row in (await members(lab)).values()}
        assert [url for urls in listed.values() for url in urls if not url.startswith("http://")] == []


async def test_a_pod_that_was_down_while_another_got_tls(
    make_lab: MakeLab, every_etcd: Server, ours: Authority
) -> None:
    """It comes back with TLS, and its data knows the other by http: it reaches nobody who leads, and is not reached.
    Its own entry is changed by the server of another with TLS, which reaches it then.
    """
    async with make_lab(every_etcd) as lab:
        await formed(lab)
        await lab.crash(1, recreate=False)
        lab.pod_env[2] = lab.pod_env[1] = tls_env(ours)
        await lab.crash(2)
        await lab.until_ready(120, only=(0, 2))
        await lab.create(1)
        await lab.until_ready(120)


async def test_a_pod_that_lost_its_tls(make_lab: MakeLab, etcd: Server, ours: Authority) -> None:
    """Among others that have it: it is not ready, and says what to set; with it again it is."""
    async with make_lab(etcd, env=tls_env(ours), trust=trust(ours)) as lab:
        await formed(lab)
        lab.pod_env[2] = {"PEERBOOT_ETCD_PEER_TLS_DIR": "", "PEERBOOT_ETCD_CLIENT_TLS_DIR": ""}
        await lab.crash(2)
        await says(lab, 2, "The server of db-2 has no TLS, and its cluster has: set PEERBOOT_ETCD_PEER_TLS_DIR again")
        assert await lab.ready(2) is False
        del lab.pod_env[2]
        await lab.crash(2)
        await healthy(lab)


async def test_a_pod_whose_certificate_is_not_accepted(
    make_lab: MakeLab, etcd: Server, ours: Authority, short_root: Path
) -> None:
    """It trusts the others, and they do not accept what it shows: it says whose server does not let it in."""
    theirs = authority(short_root / "theirs")
    folder = theirs.certify(theirs.folder / "tls", *NAMES)
    (folder / "ca.crt").write_bytes(ours.certificate.read_bytes())
    async with make_lab(etcd, env=tls_env(ours), trust=trust(ours)) as lab:
        await formed(lab)
        await lab.crash(2, recreate=False)
        lab.pod_env[2] = tls_env(theirs)
        await lab.wipe(2)
        await says(lab, 2, "The server of db-0 does not let peerboot in: ")
        assert (await lab.decision(2))["may_run"] is False


async def says(lab: Lab, ordinal: int, words: str) -> None:
    """Wait until that Pod's ``status`` has these words."""

    async def said() -> bool:
        return words in str(await lab.pods[ordinal].run("status"))

    await lab.until(f"{lab.pod_name(ordinal)} says {words!r}", said)


async def test_a_pod_with_another_ca(make_lab: MakeLab, etcd: Server, ours: Authority, short_root: Path) -> None:
    """It says that it is not let in and by whom, and forms nothing; with the right one it joins."""
    theirs = authority(short_root / "theirs")
    theirs.certify(theirs.folder / "tls", *NAMES)
    async with make_lab(etcd, env=tls_env(ours), trust=trust(ours)) as lab:
        await formed(lab)
        await lab.crash(2, recreate=False)
        lab.pod_env[2] = tls_env(theirs)
        await lab.wipe(2)
        await says(lab, 2, "The server of db-0 does not let peerboot in: ")
        assert (await lab.decision(2))["may_run"] is False
        await lab.crash(2, recreate=False)
        del lab.pod_env[2]
        await lab.create(2)
        await healthy(lab)


async def test_passwords(make_lab: MakeLab, every_etcd: Server, ours: Authority, short_root: Path) -> None:
    """Somebody adds the user root and has etcd ask for passwords. With the password's file a lost disk joins; a Pod
    without it says what to mount. No acknowledged write is missing.
    """
    password = short_root / "root"
    password.write_text(f"{PASSWORD}\n")
    more = tls_env(ours, ROOT_PASSWORD_FILE=str(password))
    root = Login("root", PASSWORD)
    async with make_lab(every_etcd, env=more, trust=trust(ours), login=root) as lab:
        await lab.start()
        await lab.until_ready(120)
        for words in (("user", "add", "root", "--new-user-password", PASSWORD), ("auth", "enable")):
            done = await asyncio.to_thread(etcdctl, lab, ours, *words)
            assert done.returncode == 0, done.stderr
        before = await healthy(lab)
        async with writing(lab):
            await lab.wipe(1)
            after = await healthy(lab)
        assert {name for name in after if after[name] != before[name]} == {"db-1"}
        await lab.crash(2, recreate=False)
        lab.pod_env[2] = {"PEERBOOT_ETCD_ROOT_PASSWORD_FILE": ""}
        await lab.wipe(2)
        await says(lab, 2, "PEERBOOT_ETCD_ROOT_PASSWORD_FILE")
        await lab.crash(2, recreate=False)
        del lab.pod_env[2]
        await lab.create(2)
        await healthy(lab)


async def test_passwords_without_tls(make_lab: MakeLab, plain_etcd: Server, short_root: Path) -> None:
    """A cluster that asks for passwords and has no TLS, as some charts make them, is refused until somebody allows it;
    then a lost disk joins, and no acknowledged write is missing.
    """
    password = short_root / "root"
    password.write_text(f"{PASSWORD}\n")
    known = {"PEERBOOT_ETCD_ROOT_PASSWORD_FILE": str(password), "PEERBOOT_ETCD_LOGIN_WITHOUT_TLS": "allowed"}
    async with make_lab(plain_etcd, env=known, login=Login("root", PASSWORD)) as lab:
        before = await healthy(await formed(lab))
        async with writing(lab):
            await lab.wipe(1)
            after = await healthy(lab)
        assert {name for name in after if after[name] != before[name]} == {"db-1"}
        lab.pod_env[2] = {"PEERBOOT_ETCD_LOGIN_WITHOUT_TLS": "refused"}
        await lab.crash(2)
        await lab.until("it says what would be sent", lambda: _refused_to_start(lab, 2))


async def _refused_to_start(lab: Lab, ordinal: int) -> bool:
    return "the password would go over the network as it is" in lab.log(ordinal)


def etcdctl(lab: Lab, ours: Authority, *words: str) -> subprocess.CompletedProcess[str]:
    """etcd's own tool with the certificate of the set, which verifies the first Pod's name, as the page says it."""
    folder, tool = ours.folder / "tls", Path(sys.executable).parent / "etcdctl"
    files = ("--cacert", folder / "ca.crt", "--cert", folder / "tls.crt", "--key", folder / "tls.key")
    where = ("--endpoints", f"https://db-0.{ZONE}:2379")
    command = [*(namespace_command(lab.hosts.path) or ()), str(tool), *map(str, files), *where, *words]
    env = {"ETCDCTL_API": "3", "PATH": os.environ["PATH"]}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, env=env)  # noqa: S603
