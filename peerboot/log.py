"""Logging: one sentence a line in text, the same facts as keys in JSON. The one door to structlog."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Event = MutableMapping[str, Any]


def _text(_logger: object, _name: str, event: Event) -> str:
    """``2026-01-02T03:04:05.678Z info  db-0 wait/wait-for-all: This disk is blank …``."""
    stamp, level = event.pop("ts"), event.pop("level")
    pod, decision, rule = event.pop("pod", ""), event.pop("decision", ""), event.pop("rule", "")
    head = f"{decision}/{rule}: " if decision else ""
    rest = "".join(
        f" {key}={value}" for key, value in sorted(event.items()) if key != "msg" and value not in ("", None, ())
    )
    return f"{stamp} {level:<7} {pod} {head}{event['msg']}{rest}"


class Log:
    """What the stages call: ``log.info("sentence", key=value)``."""

    def __init__(self, fmt: str, level: str, pod: str, stream: TextIO | None = None) -> None:
        """``fmt`` is ``text`` or ``json``; ``level`` a key of ``LEVELS``."""
        # Imported on use: commands that log nothing do not pay for it.
        import structlog

        processors: list[Any] = [
            structlog.processors.EventRenamer("msg"),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="ts", utc=True),
            structlog.processors.JSONRenderer(default=str) if fmt == "json" else _text,
        ]
        self._log: Any = structlog.wrap_logger(
            structlog.PrintLogger(stream or sys.stderr),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        ).bind(pod=pod)

    def debug(self, msg: str, **keys: object) -> None:
        self._log.debug(msg, **keys)

    def info(self, msg: str, **keys: object) -> None:
        self._log.info(msg, **keys)

    def warning(self, msg: str, **keys: object) -> None:
        self._log.warning(msg, **keys)

    def error(self, msg: str, **keys: object) -> None:
        self._log.error(msg, **keys)
