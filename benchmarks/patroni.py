"""The same set of Postgres by Patroni with an etcd of one member, for ``postgres_set.py``.

Patroni is what a user would pick who wants failover without a person; it needs etcd beside it, and its agent runs in
the server's container. Its intervals are its defaults. It comes from the package index, into ``build/patroni``, when it
is measured: nothing of peerboot needs it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from peerboot.lab import servers
from peerboot.lab.container import Container
from peerboot.lab.pod import PodSpec
from peerboot.lab.postgres import SUPERUSER_PASSWORD, as_user
from peerboot.lab.servers import Server
from peerboot.systems.postgres.config import ROLE

WANTED = ("patroni[etcd3]==4.1.5", "psycopg[binary]==3.3.9")
HOME = Path(__file__).parents[1] / "build/patroni"
SCOPE = "bench"


def provide() -> Path:
    """Its Python, with Patroni in it."""
    python, stamp = HOME / "bin/python", HOME / "wanted"
    text = " ".join(WANTED)
    if not stamp.exists() or stamp.read_text() != text:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)  # noqa: S603 - our own words
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *WANTED], check=True)  # noqa: S603
        stamp.write_text(text)
    return python


@asynccontextmanager
async def an_etcd(spec: PodSpec, address: str) -> AsyncIterator[str]:
    """One member on an address of its own; its client URL."""
    server, _ = servers.best()
    url, peer = f"http://{address}:2379", f"http://{address}:2380"
    data = spec.directory / "etcd"
    command = (
        str(server.path), f"--data-dir={data}", f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", "--name=one",
        f"--initial-cluster=one={peer}",
    )  # fmt: skip
    container = Container("etcd", command, {"PATH": "/usr/bin:/bin"}, spec.logs / "etcd.log", spec.timing)
    container.start()
    try:
        await _listens(address, 2379)
        yield url
    finally:
        await container.stop(0.0)


async def _listens(address: str, port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise TimeoutError(f"nobody listens on {address}:{port}")


def agent(spec: PodSpec, server: Server, etcd: str, password: str, roles: str) -> Container:
    """The container of one Pod: Patroni, which starts the server. ``roles``: SQL that its first one is given."""
    run = spec.directory / "run"
    run.mkdir(parents=True, exist_ok=True)
    spec.volume.mkdir(parents=True, exist_ok=True)
    (run / "roles.sql").write_text(roles)
    psql = server.path / "bin/psql"
    (run / "roles.sh").write_text(f'#!/bin/sh\nexec {psql} -Xq -v ON_ERROR_STOP=1 -f {run}/roles.sql "$1"\n')
    (run / "roles.sh").chmod(0o755)
    settings = {"shared_buffers": "16MB", "wal_keep_size": "512MB", "wal_log_hints": "on"}
    config = {
        "scope": SCOPE,
        "name": spec.name,
        "restapi": {"listen": f"{spec.address}:8008", "connect_address": f"{spec.address}:8008"},
        "etcd3": {"hosts": etcd.removeprefix("http://")},
        "bootstrap": {
            "dcs": {"postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": settings}},
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            "post_init": str(run / "roles.sh"),
        },
        "postgresql": {
            "listen": f"{spec.address}:5432",
            "connect_address": f"{spec.address}:5432",
            "data_dir": str(spec.volume / "pgdata"),
            "bin_dir": str(server.path / "bin"),
            "pgpass": str(run / "pgpass"),
            "pg_hba": ["host all all all scram-sha-256", "host replication all all scram-sha-256"],
            "authentication": {
                "superuser": {"username": "postgres", "password": SUPERUSER_PASSWORD},
                "replication": {"username": ROLE, "password": password},
            },
            "parameters": {"unix_socket_directories": ""},
            # Its default waits for a checkpoint of some minutes. The script and peerboot ask for one at once.
            "basebackup": [{"checkpoint": "fast"}],
        },
    }
    # JSON is YAML.
    (run / "patroni.yml").write_text(json.dumps(config))
    command = (*as_user(), str(provide()), "-m", "patroni", str(run / "patroni.yml"))
    return Container("patroni", command, dict(spec.server_env), spec.logs / f"{spec.name}.log", spec.timing)
