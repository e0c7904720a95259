"""What a bundle must not hold, taken out of any tree of built-in values. Pure.

Nothing that is recorded is made of secrets; this is the second lock, for texts of others that quote one.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

GONE = "(redacted)"
SHORTEST = 6
"""Characters below which a secret is no pattern: it would be found in any text."""
PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), GONE),
    (re.compile(r"(?<=://)[^\s'\"<>]{1,512}@"), f"{GONE}@"),
    (
        re.compile(
            r"(?i)((?:password|passwd|passphrase|secret[\w-]*|credentials?|(?:api|access)[_-]?key[\w-]*|auth[_-]?token)"
            r"[\"']?\s*(?:=\s*(?=\S)|:\s*(?=[\"']|[^\s;,]*[0-9!#$%&*+/?@^~])))(?:\"[^\"]*\"|'[^']*'|[^\s;,]+)"
        ),
        rf"\g<1>{GONE}",
    ),
    (re.compile(r"SCRAM-SHA-(?:256|512)\$[^\s'\"]+"), GONE),
    (re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9+/_.~=-]{8,}"), rf"\g<1>{GONE}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), GONE),
    # Who has it and may speak to the admin socket lets a refused plan happen.
    (re.compile(r"(peerboot consent )[0-9a-f]{10}\b"), rf"\g<1>{GONE}"),
    (re.compile(r"(used? (?:up )?consent )[0-9a-f]{10}\b"), rf"\g<1>{GONE}"),
)
"""Private keys in PEM, users in URLs, passwords in settings, HTTP logins, tokens of accounts, consents."""


class Redactor:
    """Takes known secrets and what looks like one out of texts."""

    def __init__(self, secrets: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """``names``: what a secret may not be, for facts are made of it: the Pod's, its set's, its system's."""
        known = {line for secret in secrets for line in (secret.strip(), *map(str.strip, secret.splitlines()))}
        usable = known - {"", "peerboot", *names}
        found = {form for one in usable if len(one) >= SHORTEST and "-----" not in one for form in forms(one)}
        # The longest first, so that no part of one is left beside the mark.
        self._forms = sorted(found, key=lambda form: (-len(form), form))
        self._in_json = {json.dumps(form, ensure_ascii=False)[1:-1] for form in found}

    def touches(self, text: str) -> bool:
        """Whether a JSON text may hold anything of it; once over the whole is a hundred times as fast as each text."""
        return any(form in text for form in self._in_json) or any(pattern.search(text) for pattern, _ in PATTERNS)

    def text(self, text: str) -> str:
        """The same without them."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, GONE)
        for pattern, instead in PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def _key(self, key: Any) -> Any:
        """One that is the name of a field stays, whatever a secret may be called."""
        return self.text(key) if isinstance(key, str) and not key.isidentifier() else key

    def tree(self, tree: Any) -> Any:
        """The same of every text in a tree of dicts, lists and scalars, keys included."""
        if isinstance(tree, str):
            return self.text(tree)
        if isinstance(tree, dict):
            return {self._key(key): self.tree(value) for key, value in tree.items()}
        if isinstance(tree, list | tuple):
            return [self.tree(one) for one in tree]
        return tree


def forms(secret: str) -> set[str]:
    """How a secret may stand in a text: as it is, in a URL, in hex, in base64 wherever it begins in a longer one."""
    raw = secret.encode("utf-8", "surrogateescape")
    found = {secret, quote(secret, safe=""), raw.hex(), raw.hex().upper()}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).decode()
        # The first and the last characters hold bits of what stands beside it.
        first, last = (before * 8 + 5) // 6, (before + len(raw)) * 8 // 6
        if last - first >= SHORTEST:
            piece = coded[first:last]
            found |= {piece, piece.replace("+", "-").replace("/", "_")}
    return found
