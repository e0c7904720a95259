"""What can be missing on a machine that the lab runs on."""

from __future__ import annotations

from peerboot.errors import PeerbootError


class LabError(PeerbootError):
    """Something that the lab needs is not there, or did not happen in time; one line with what to do."""

    exit_code = 2
