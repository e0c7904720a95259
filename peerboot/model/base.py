"""What every value is: immutable, compared by content, encodable as JSON."""

from __future__ import annotations

import msgspec

SCHEMA = 1
"""Version of the census statement and of every file in the state directory."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values: immutable, compared by content, encodable as JSON."""
