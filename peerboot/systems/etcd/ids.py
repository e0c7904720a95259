"""The ids that etcd will compute (server/etcdserver/api/membership/{member,cluster}.go). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def member_id(peer_urls: Iterable[str], token: str) -> int:
    """First 8 bytes, big-endian, of SHA-1 over the sorted peer URLs and the cluster token."""
    digest = hashlib.sha1("".join(sorted(peer_urls)).encode() + token.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big")


def cluster_id(member_ids: Iterable[int]) -> int:
    """First 8 bytes, big-endian, of SHA-1 over the sorted member ids, 8 bytes big-endian each."""
    packed = b"".join(number.to_bytes(8, "big") for number in sorted(member_ids))
    return int.from_bytes(hashlib.sha1(packed, usedforsecurity=False).digest()[:8], "big")


def hexed(number: int) -> str:
    """An id as etcd's logs show it: lower-case hex without leading zeros."""
    return f"{number:x}"


def static_cluster(urls: Iterable[str], token: str) -> str:
    """The cluster id, in hex, of a static bootstrap with one peer URL a member."""
    return hexed(cluster_id(member_id([url], token) for url in urls))
