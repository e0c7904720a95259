"""The API's JSON of a StatefulSet to ``model.Live``. Pure; strict: what is not as the API writes it is unknown."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from peerboot.model import Identity, Live

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None


class _Ordinals(msgspec.Struct):
    start: Count = 0


class _Named(msgspec.Struct):
    name: str


class _Template(msgspec.Struct):
    metadata: _Named


class _Spec(msgspec.Struct, rename="camel"):
    replicas: Count | None = None
    ordinals: _Ordinals | None = None
    pod_management_policy: str = "OrderedReady"
    volume_claim_templates: list[_Template] = []


class _Status(msgspec.Struct, rename="camel"):
    replicas: Count | None = None
    observed_generation: int | None = None


class _StatefulSet(msgspec.Struct):
    kind: Literal["StatefulSet"]
    metadata: _Meta
    spec: _Spec
    status: _Status | None = None


def read(content: bytes, who: Identity, at: float) -> Live:
    """What an answer says that was asked for at ``at``; ``unknown`` with the reason when it is none. Never raises.

    Defaults are the API's own (apps/v1): ``.spec.replicas`` 1, ``.spec.ordinals.start`` 0, OrderedReady. Without a
    status of this very ``.spec`` it is not settled.
    """
    try:
        found = msgspec.json.decode(content, type=_StatefulSet)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Live(state="unknown", reason=f"the API's answer is no StatefulSet ({str(error)[:120]})")
    meta, spec, status = found.metadata, found.spec, found.status or _Status()
    if (meta.namespace, meta.name) != (who.namespace, who.statefulset):
        return Live(state="unknown", reason="the API's answer is about another StatefulSet than this Pod's")
    seen = status.observed_generation
    return Live(
        state="known",
        replicas=1 if spec.replicas is None else spec.replicas,
        start=spec.ordinals.start if spec.ordinals else 0,
        pods=status.replicas or 0,
        settled=status.replicas is not None and seen is not None and 0 < meta.generation <= seen,
        deleting=meta.deletion_timestamp is not None,
        ordered=spec.pod_management_policy != "Parallel",
        claims=tuple(template.metadata.name for template in spec.volume_claim_templates),
        uid=meta.uid,
        at=at,
    )


def newer(last: Live, found: Live, asked_at: float) -> Live:
    """What is known after one more question: a failure keeps the last good answer and says why there is none newer.

    Of two questions the one that was asked later counts.
    """
    if asked_at < last.at:
        return last
    if found.state == "known":
        return found
    return msgspec.structs.replace(last, reason=found.reason)


def same(one: Live, other: Live) -> bool:
    """Whether both say the same, whenever they were asked."""
    return one == msgspec.structs.replace(other, at=one.at)
