"""Errors by whose fault they are; each kind has the exit code that a Pod's user sees."""

from __future__ import annotations


class PeerbootError(Exception):
    """One line for the user: what, why, what to do. ``exit_code`` is the process's."""

    exit_code = 70


class SettingsError(PeerbootError):
    """A setting is wrong, missing or contradictory."""

    exit_code = 2


class DiscoveryError(PeerbootError):
    """DNS is set up wrongly: waiting longer will not help."""

    exit_code = 3


class DeadlineError(PeerbootError):
    """``init`` waited as long as it was told to."""

    exit_code = 4


class RefusedError(PeerbootError):
    """Going on could lose data or split the cluster."""

    exit_code = 5


class SystemApiError(PeerbootError):
    """The system's admin API failed in a way that repeating does not mend."""

    exit_code = 6


def bug(error: Exception) -> str:
    """The sentence for an error that nobody expected."""
    text = " ".join(str(error).split())
    return f"this is a bug in peerboot: {type(error).__name__}: {text}. Please report it with the lines above."
