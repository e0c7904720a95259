"""What each container on the node uses, as its cgroup says: ``python -m tests.kubernetes.use``, with the node up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.kubernetes.node import Node

MEMORY = Path("/sys/fs/cgroup/memory/peerboot-node")
CPU = Path("/sys/fs/cgroup/cpuacct/peerboot-node")


def main() -> None:
    """One line for each container: anonymous memory, the most ever charged with page cache, and CPU seconds."""
    node = Node.running()
    pods = json.loads(
        node.run(str(node.kubectl), "--kubeconfig", str(node.kubeconfig), "get", "pods", "-A", "-o", "json")
    )
    for pod in pods["items"]:
        status = pod["status"]
        for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            for group in MEMORY.rglob(each.get("containerID", "none").rpartition("/")[2]):
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                rss, most = int(stat["rss"]) / 2**20, int((group / "memory.max_usage_in_bytes").read_text()) / 2**20
                cpu = int((CPU / group.relative_to(MEMORY) / "cpuacct.usage").read_text()) / 1e9
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} {each['name']}"
                print(f"{name:40} rss {rss:6.1f} MiB, most {most:6.1f} MiB, CPU {cpu:6.2f} s")


if __name__ == "__main__":
    main()
