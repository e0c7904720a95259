"""One real etcd server without peerboot: what it writes is what the reader has to understand."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peerboot.lab.network import dying_with_parent
from peerboot.lab.servers import Server

SERVES_WITHIN = 60.0


class Etcd:
    """Runs one server; its files survive it. All waiting is bounded, and raises ``TimeoutError``."""

    def __init__(
        self, server: Server, root: Path, address: str, name: str = "m0", keys: Mapping[str, Any] | None = None
    ) -> None:
        self.server = server
        self.data_dir = root / "etcd"
        self.address = address
        self.peer_url, self.client_url = f"http://{address}:2380", f"http://{address}:2379"
        self.keys: dict[str, Any] = {
            "name": name,
            "data-dir": str(self.data_dir),
            "listen-peer-urls": self.peer_url,
            "listen-client-urls": self.client_url,
            "initial-advertise-peer-urls": self.peer_url,
            "advertise-client-urls": self.client_url,
            "initial-cluster": f"{name}={self.peer_url}",
            "initial-cluster-token": "token-1",
            "enable-grpc-gateway": True,
            "pre-vote": True,
            **(keys or {}),
        }
        self._config = root / "etcd.yaml"
        self._log = root / "etcd.log"
        self._process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    def start(self, config: str | None = None) -> None:
        """Start it with its keys, or with a config file's text."""
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in self.keys.items())
        self._config.write_text(config if config is not None else text)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a server of the lab's, no shell
                [*dying_with_parent(), str(self.server.path), f"--config-file={self._config}"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    @property
    def log(self) -> str:
        """Everything that it has printed."""
        return self._log.read_text(errors="replace")

    def exit_code(self, seconds: float = SERVES_WITHIN) -> int:
        """Wait for it to exit by itself."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it still runs after {seconds:g} s: {self.log[-2000:]}") from None

    def until(self, true: Callable[[], bool], what: str, seconds: float = SERVES_WITHIN) -> None:
        """Poll while it runs."""
        assert self._process is not None
        end = time.monotonic() + seconds
        while not true():
            assert self._process.poll() is None, f"it exited: {self.log[-2000:]}"
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:g} s: {what}: {self.log[-2000:]}")
            time.sleep(0.02)

    def until_serving(self) -> None:
        """Until a linearizable read is answered."""

        def serves() -> bool:
            try:
                self.post("/v3/kv/range", {"key": "AA=="}, 2.0)
            except OSError:
                return False
            return True

        self.until(serves, "it serves")

    def post(self, path: str, body: Mapping[str, Any], timeout: float = 10.0) -> dict[str, Any]:
        """One call of its gateway; raises ``OSError``."""
        request = urllib.request.Request(f"{self.client_url}{path}", data=json.dumps(body).encode(), method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout) as reply:  # noqa: S310 - to a server that we started
            data: dict[str, Any] = json.load(reply)
        return data

    def put(self, key: str, value: str) -> None:
        """Write one key."""
        self.post("/v3/kv/put", {"key": _coded(key), "value": _coded(value)})

    def get(self, key: str) -> str:
        """Read one key, linearizable."""
        kvs = self.post("/v3/kv/range", {"key": _coded(key)}).get("kvs") or [{"value": ""}]
        return base64.b64decode(kvs[0]["value"]).decode()

    def ids(self) -> tuple[str, str]:
        """Cluster and member id in hex, by its own word."""
        header = self.post("/v3/maintenance/status", {})["header"]
        return f"{int(header['cluster_id']):x}", f"{int(header['member_id']):x}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal it and wait for its end; nothing happens when it has ended already."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            self._process.wait(30)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.stop(signal.SIGKILL)


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
