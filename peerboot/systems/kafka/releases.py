"""Kafka's release by the tag of an image, and the quorum that this and a person's word lead to. Pure.

3.7 and 3.8 form static quorums only, and take no file that advertises a controllers' listener; a set that they formed
stays static under every later release, until ``peerboot kafka migrate``. No image says which of both it is to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from peerboot.errors import SettingsError
from peerboot.manifest.options import Options
from peerboot.manifest.writer import Tree, why
from peerboot.systems.kafka.settings import SETTINGS

SETTING = "PEERBOOT_KAFKA_QUORUM"
QUORUMS = next(row.choices for row in SETTINGS if row.name == SETTING)
LEAST, LEAST_DYNAMIC, LEAST_COMPLETE, NEWEST = (3, 7), (3, 9), (4, 0), (4, 3)
"""NEWEST: the last one that peerboot was run with."""
NUMBERED = {"kafka": {3: 3, 4: 4}, "cp-kafka": {7: 3, 8: 4}}
"""Images whose tags begin with a release: its first number to that of Kafka's. Confluent's 7.9 is Kafka 3.9."""
WHY = {
    "static-3.8": (
        "Kafka 3.7 and 3.8 have static quorums only: no controller can be added or removed. When you go to 3.9 or "
        "later make this anew with that image and `--quorum static`, in one step; from 4.1 on `peerboot kafka migrate` "
        "makes the quorum a dynamic one."
    ),
    "static": (
        "The voters are a list in every server's file: no controller can be added or removed. From 4.1 on `peerboot "
        "kafka migrate` makes the quorum a dynamic one; after that make this anew with `--quorum dynamic`."
    ),
    "dynamic": "The voters are in the cluster's own log, and change with the Pods.",
}


def release(image: str) -> tuple[int, int] | None:
    """Kafka's release by an image's tag; None where the tag says nothing that is understood."""
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    found = re.match(r"v?(\d{1,3})\.(\d{1,3})(?=[.-]|$)", tag)
    first = NUMBERED.get(name, {}).get(int(found[1])) if found else None
    return (first, int(found[2])) if found and first is not None else None


def quorum(o: Options) -> Tree:
    """The setting, with its reason, or none where the default is meant; raises ``SettingsError``."""
    found = release(o.server_image)
    _check(o, found)
    chosen = o.quorum or ("static-3.8" if found and found < LEAST_DYNAMIC else "")
    return {**why(WHY[chosen]), SETTING: chosen} if chosen else {}


def _check(o: Options, found: tuple[int, int] | None) -> None:
    if o.quorum and o.quorum not in QUORUMS:
        raise SettingsError(f"--quorum={o.quorum!r} is not a quorum: use {', '.join(QUORUMS[:-1])} or {QUORUMS[-1]}")
    if found and found < LEAST:
        raise SettingsError(f"{_named(o, found)}, which peerboot does not run: name one of 3.7 to 4.3")
    if found and found < LEAST_DYNAMIC:
        if o.split:
            raise SettingsError(
                f"{_named(o, found)}, which has static quorums only, and brokers of a set of their own run beside a "
                "dynamic one: drop --split, or name 3.9 or later"
            )
        if o.quorum not in ("", "static-3.8"):
            raise SettingsError(
                f"{_named(o, found)}, which runs with --quorum static-3.8 alone, and not with {o.quorum}: change that "
                "when you name 3.9 or later"
            )
    if o.split and o.quorum not in ("", "dynamic"):
        raise SettingsError(
            f"--quorum={o.quorum} is for sets that are both: brokers of a set of their own run beside a dynamic quorum "
            "only: drop --split, or --quorum"
        )


def notes(o: Options) -> Iterator[str]:
    """What a person has to know of the image's release and of the quorum, one line each."""
    found = release(o.server_image)
    static_only = found is not None and found < LEAST_DYNAMIC
    if found is None and not o.quorum:
        yield (
            f"--server-image={o.server_image} does not say which release of Kafka it is: a dynamic quorum, as here, "
            "never forms on 3.7 and 3.8, which need --quorum static-3.8"
        )
    if found and static_only:
        yield f"{_named(o, found)}, which has static quorums only: {SETTING}=static-3.8 is set; prefer 4.1 or later"
    elif found and found < LEAST_COMPLETE:
        yield (
            f"{_named(o, found)}, the first release whose voters can be replaced (KIP-853), and its command that makes "
            "a static quorum a dynamic one does not do so: prefer 4.1 or later"
        )
    elif found and found > NEWEST:
        yield (
            f"{_named(o, found)}, newer than any that peerboot was run with (3.7 to 4.3): try it first with a set that "
            "you can do without"
        )
    if o.quorum == "static-3.8" and found and not static_only:
        yield "static-3.8 is for 3.7 and 3.8: name --quorum static together with an image of 3.9 or later"
    if static_only or o.quorum.startswith("static"):
        yield (
            "a set with a static quorum cannot be scaled, and one Pod stays one: a further Pod is refused, as a broker "
            "too (not-a-voter), and one that is scaled away stays a voter"
            + ("; --split is refused" if static_only else "")
        )
    elif not (o.quorum or o.split):
        yield (
            "a set that was formed by 3.7 or 3.8, or is static for another reason, needs --quorum static until it was "
            "made dynamic by `peerboot kafka migrate`: without it its Pods refuse to start"
        )


def _named(o: Options, found: tuple[int, int]) -> str:
    return f"--server-image={o.server_image} is Kafka {found[0]}.{found[1]}"
