"""Where logs end, and a person's word to go on with one disk, as the cases have it: read and written."""

from __future__ import annotations

from collections.abc import Mapping

from peerboot.model import Disk, Forced, Identity, LogEnd
from peerboot.rules.disaster import copy_name


def place(keys: Mapping[str, str]) -> tuple[int, int]:
    """Term and index of ``log=3@4711``; zeros where nothing is said."""
    term, _, index = keys.get("log", "0@0").partition("@")
    return int(term), int(index)


def end(keys: Mapping[str, str]) -> LogEnd | None:
    """The same of another pod's word."""
    return LogEnd(term=place(keys)[0], index=place(keys)[1]) if "log" in keys else None


def forced(identity: Identity, keys: Mapping[str, str], plain: list[str]) -> Forced | None:
    """``forced=c1/m1 log=3@4711 [forced-of=…] [copied] [given]`` of the record."""
    if "forced" not in keys:
        return None
    cluster, _, member = keys["forced"].partition("/")
    at = LogEnd(term=place(keys)[0], index=place(keys)[1])
    pairs = keys.get("forced-of") or ",".join(f"{pod}/m{pod.rpartition('-')[2]}" for pod in identity.expected)
    voters = {pod: id_ for pod, _, id_ in (pair.partition("/") for pair in pairs.split(","))}
    copy = copy_name(at) if "copied" in plain else ""
    return Forced(cluster=cluster, member=member, end=at, voters=voters, copy=copy, given="given" in plain)


def of_disk(disk: Disk) -> dict[str, str | None]:
    """The keys that say the term, and the index where there is one."""
    if disk.index:
        return {"log": f"{disk.term}@{disk.index}"}
    return {"tl": str(disk.term) if disk.term else None}


def of_word(at: LogEnd | None) -> str | None:
    """The value of ``log``."""
    return f"{at.term}@{at.index}" if at is not None else None


def of_record(identity: Identity, word: Forced | None) -> tuple[list[str], dict[str, str | None]]:
    """Plain words and keys."""
    if word is None:
        return [], {}
    flags = [name for name, holds in (("copied", bool(word.copy)), ("given", word.given)) if holds]
    usual = {pod: f"m{pod.rpartition('-')[2]}" for pod in identity.expected}
    of = None if word.voters == usual else ",".join(f"{pod}/{id_}" for pod, id_ in word.voters.items())
    return flags, {"forced": f"{word.cluster}/{word.member}", "log": of_word(word.end), "forced_of": of}
