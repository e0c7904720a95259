"""The door to this Pod's running peerboot: its admin socket."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from typing import Any

from peerboot.errors import PeerbootError, RefusedError, SettingsError, SystemApiError
from peerboot.outside.http import Http, HttpError

ANSWER_LIMIT = 4 << 20
BY_EXIT_CODE: Mapping[int, type[PeerbootError]] = {5: RefusedError, 6: SystemApiError}
"""What the other side's no leaves with here; everything else is a question that was put wrongly."""


async def ask(path: str, method: str, name: str, payload: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """One question to the running peerboot.

    Raises ``SettingsError`` when none answers, and what the other side raised when it says no.
    """
    http = Http(unix=path)
    try:
        body = json.dumps(payload).encode() if payload is not None else None
        reply = await http.fetch(method, f"http://peerboot/{name}", body=body, timeout=10.0, limit=ANSWER_LIMIT)
    except HttpError as error:
        raise SettingsError(
            f"no peerboot answers at {path} ({error}): run this in the peerboot container "
            "(kubectl exec POD -c peerboot -- …), or set PEERBOOT_ADMIN_SOCKET"
        ) from None
    finally:
        await http.close()
    try:
        data = json.loads(reply.body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise PeerbootError(f"peerboot at {path} answered HTTP {reply.status} without a JSON object")
    if reply.status >= 400:
        kind = BY_EXIT_CODE.get(data.get("exit_code", 2), SettingsError)
        raise kind(str(data.get("say") or data.get("error") or f"HTTP {reply.status}"))
    return data


def person(environ: Mapping[str, str]) -> str:
    """Who types this, as far as the machine knows."""
    if name := environ.get("USER"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # OpenShift gives UIDs that have no passwd entry.
        return f"uid {os.getuid()}"
