"""The anchor: a memory of the birth outside the volumes, which turns the loss of all disks into a refusal.

``file:/path`` keeps it in a file on storage that all Pods share. It is written once, compare-and-set by a hard link
that fails when the name exists, and never changed after.

``configmap:NAME`` keeps it in a ConfigMap, which the manifests ship empty, so that ``get`` and ``update`` of that one
name are all that peerboot needs. It is written once, compare-and-set by its ``resourceVersion``, and sealed by
``immutable`` in the same write: from then on it can only be deleted, which is a person's to do. Deleted and made anew
while a cluster serves, or younger than the cluster, it is written by the first healthy voter.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from peerboot.model import SCHEMA, Anchor
from peerboot.outside.files import (
    FilesError,
    directory_lock,
    read_small,
    rename_aside,
    sync_directory,
    why,
    write_whole,
)

if TYPE_CHECKING:
    from peerboot.outside.kubernetes import Kubernetes

LIMIT = 4096
CONFIG_MAP = "configmap:"
KEY = "birth"
"""The one key of the ConfigMap that peerboot writes."""
WRITE_TIMEOUT = 5.0
"""Seconds for reading, writing and reading again; what came of a write that was cut off is seen at the next try."""
TOKEN = re.compile(r"[0-9a-f]{16,128}")
STAMP = re.compile(r"\d{8}T\d{6}Z")


class _Content(msgspec.Struct):
    version: int
    token: str
    at: str = ""
    """When it was written: it tells what was lost from what was left over."""


def _path(spec: str) -> Path:
    return Path(spec.removeprefix("file:"))


def read(spec: str) -> Anchor:
    """What it says; ``unknown`` with the reason when its directory is not there or it cannot be read. Never raises."""
    if not spec:
        return Anchor()
    path = _path(spec)
    try:
        content = read_small(path, LIMIT)
        if content is None:
            if not path.parent.is_dir():  # the shared storage is not mounted; that is not "never written"
                return Anchor(state="unknown", reason=f"{path.parent} is not there", where=str(path))
            # Unlike a ConfigMap it is not deleted and made anew with the set: empty is empty.
            return Anchor(state="empty", older="", where=str(path))
        said = _content(str(path), content)
        return Anchor(state="holds", token=said.token, at=said.at, where=str(path))
    except FilesError as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    except OSError as error:
        return Anchor(state="unknown", reason=f"{path} cannot be read: {why(error)}", where=str(path))


def _content(path: str, content: bytes) -> _Content:
    try:
        found = msgspec.json.decode(content, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FilesError(f"{path} is half written or damaged ({error})") from None
    if found.version > SCHEMA:
        raise FilesError(f"{path} is of a newer peerboot (version {found.version}); this one knows {SCHEMA}")
    if not TOKEN.fullmatch(found.token):
        raise FilesError(f"{path} is damaged: it holds no token")
    if found.at and not STAMP.fullmatch(found.at):
        raise FilesError(f"{path} is damaged: it does not say when it was written")
    return found


def write(spec: str, token: str, replaces: str = "", at: str = "") -> Anchor:
    """Write the token unless somebody has written one; returns what it says then. Never raises.

    ``replaces``: a token that may be written over, that of a birth which came to nothing.
    """
    path = _path(spec)
    content = msgspec.json.encode(_Content(version=SCHEMA, token=token, at=at))
    if replaces:
        return _replace(spec, path, content, replaces)
    # All Pods of a birth write the same token at the same time: each under a name of its own.
    temp = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        write_whole(temp, content, 0o644)
        try:
            with contextlib.suppress(FileExistsError):  # another Pod was first; what it wrote decides
                path.hardlink_to(temp)
        finally:
            temp.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FilesError as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    except OSError as error:
        return Anchor(state="unknown", reason=f"{path} cannot be written: {why(error)}", where=str(path))
    return read(spec)


def _replace(spec: str, path: Path, content: bytes, replaces: str) -> Anchor:
    try:
        with directory_lock(path.parent):
            if read(spec).token == replaces:
                write_whole(path, content, 0o644)
    except FilesError as error:
        return Anchor(state="unknown", reason=str(error), where=str(path))
    return read(spec)


def forget(spec: str, stamp: str) -> str:
    """Rename it aside, for a person allowed to form anew; returns where to. Raises ``FilesError``."""
    path = _path(spec)
    return str(rename_aside(path, stamp)) if read(spec).state != "empty" else ""


# ------------------------------------------------------------------- ConfigMap


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class _ConfigMap(msgspec.Struct):
    kind: Literal["ConfigMap"]
    metadata: _Meta
    data: dict[str, str] | None = None
    immutable: bool | None = None


class Keeper:
    """The anchor of one Pod, wherever it is kept, and what a ConfigMap said last.

    A file is read whenever it is asked for. A ConfigMap is asked for by ``ask``, apart from the pass that reads it.
    """

    def __init__(self, spec: str, kubernetes: Kubernetes | None) -> None:
        self._spec = spec
        self._kubernetes = kubernetes if spec.startswith(CONFIG_MAP) else None
        self._name = spec.removeprefix(CONFIG_MAP)
        self._said = self._unknown("it was not asked yet")
        self._may_write = False
        """The API would let it be written, as far as is known."""

    @property
    def remote(self) -> bool:
        """Whether it has to be asked for."""
        return self._spec.startswith(CONFIG_MAP)

    def read(self) -> Anchor:
        """What it says, of a ConfigMap what it said last. Never raises."""
        return self._said if self.remote else read(self._spec)

    async def ask(self, claim: str = "") -> bool:
        """Read a ConfigMap anew; true when it says something else than before. Bounded; never raises.

        ``claim``: a PersistentVolumeClaim that does not exist before this set has been here; looked for when it is
        empty, for somebody may have made it anew.
        """
        before, (found, content) = self._said, await self._get()
        if found.state == "empty" and not self._may_write:
            # Before anybody is born it is known whether the birth can be remembered.
            found = await self._replace(content, dry_run=True)
        if found.state == "empty" and claim:
            found = msgspec.structs.replace(found, older=await self._older(claim))
        self._said = found
        return before != found

    async def write(self, token: str, replaces: str = "", at: str = "") -> Anchor:
        """Write the token unless somebody has written one, and seal it; returns what it says then. Never raises.

        ``replaces``: see ``write``; a sealed ConfigMap is never written over.
        """
        if not self.remote:
            return write(self._spec, token, replaces, at)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                self._said = await self._put(_Content(version=SCHEMA, token=token, at=at))
        except TimeoutError:
            self._said = self._unknown(f"it was not written within {WRITE_TIMEOUT:g} s")
        return self._said

    def forget(self, stamp: str) -> str:
        """See ``forget``; a sealed ConfigMap can only be deleted, for which peerboot has no right."""
        if self.remote:
            raise FilesError(f"{self._where} cannot be set aside by peerboot: `{self._undo}`")
        return forget(self._spec, stamp)

    @property
    def _where(self) -> str:
        return f"ConfigMap {self._name}"

    @property
    def _undo(self) -> str:
        return f"{self._kubectl} delete configmap {self._name} && {self._make}"

    @property
    def _make(self) -> str:
        return f"{self._kubectl} create configmap {self._name}"

    @property
    def _kubectl(self) -> str:
        return f"kubectl --namespace {self._kubernetes.namespace if self._kubernetes else ''}"

    def _unknown(self, reason: str) -> Anchor:
        return Anchor(state="unknown", reason=reason, where=self._where, undo=self._undo)

    async def _get(self) -> tuple[Anchor, bytes]:
        """What it says, and the whole object."""
        from peerboot.outside.kubernetes import KubernetesError

        if self._kubernetes is None:
            return self._unknown("nobody can ask for it"), b""
        try:
            content = await self._kubernetes.config_map(self._name)
            return self._told(content), content
        except KubernetesError as error:
            more = f": `{self._make}`" if error.outcome == "not-found" else ""
            return self._unknown(f"{error}{more}"), b""
        except FilesError as error:
            return self._unknown(str(error)), b""

    def _told(self, content: bytes) -> Anchor:
        """Raises ``FilesError`` for what is not as peerboot writes it."""
        try:
            found = msgspec.json.decode(content, type=_ConfigMap)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FilesError(f"the API's answer is no ConfigMap ({str(error)[:120]})") from None
        if found.metadata.name != self._name:
            raise FilesError("the API's answer is about another ConfigMap")
        text = (found.data or {}).get(KEY)
        if text is None:
            if found.immutable:
                raise FilesError(f"{self._where} is immutable and empty: `{self._undo}`")
            return Anchor(state="empty", where=self._where, undo=self._undo)
        said = _content(f"{self._where}, key {KEY}", text.encode())
        return Anchor(state="holds", token=said.token, at=said.at, where=self._where, undo=self._undo)

    async def _older(self, claim: str) -> str:
        from peerboot.outside.kubernetes import KubernetesError

        if self._kubernetes is None:
            return ""
        try:
            return f"PersistentVolumeClaim {claim} exists" if await self._kubernetes.has_claim(claim) else ""
        except KubernetesError as error:
            return f"it is not known whether PersistentVolumeClaim {claim} exists: {error}"

    async def _put(self, said: _Content) -> Anchor:
        """Compare and set by ``resourceVersion``: whoever was first counts."""
        now, content = await self._get()
        if now.state != "empty":
            return now
        whole = msgspec.json.decode(content)
        whole["data"] = {**(whole.get("data") or {}), KEY: msgspec.json.encode(said).decode()}
        whole["immutable"] = True
        return await self._replace(msgspec.json.encode(whole))

    async def _replace(self, content: bytes, *, dry_run: bool = False) -> Anchor:
        """What it says after it was replaced, or by whoever was faster."""
        from peerboot.outside.kubernetes import KubernetesError

        if self._kubernetes is None:
            return self._unknown("nobody can ask for it")
        self._may_write = False
        try:
            now = self._told(await self._kubernetes.replace_config_map(self._name, content, dry_run=dry_run))
        except KubernetesError as error:
            if error.outcome != "conflict":
                return self._unknown(str(error))
            now, _ = await self._get()
        except FilesError as error:
            return self._unknown(str(error))
        self._may_write = True
        return now
