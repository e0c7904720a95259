"""``peerboot-probe``: startup and readiness by exec. Standard library only, for it is paid at every probe.

Prints the one sentence of ``status.txt``; the kubelet copies it into the Pod's events, so a wait explains itself
in ``kubectl describe``. Exit 0: yes. 1: no. 2: called wrongly.

``--for 1.5``: while the answer is no, look again for so long. The kubelet asks every few seconds at most; asked so, it
learns of a yes at once instead of at the next round.
"""

from __future__ import annotations

import sys

USAGE = """usage: peerboot-probe [startup|ready] [--for SECONDS]
(output dir from PEERBOOT_OUTPUT_DIR, default /run/peerboot; --for: look again until yes, at most so long, up to 60)"""
HELP = ("-h", "--help")
LONGEST = 60.0
AGAIN = 0.05
"""Seconds between two looks."""


def main(argv: list[str] | None = None) -> int:
    """``startup``: the server may start. ``ready``: its member serves. Both as the sidecar last wrote."""
    import os  # a builtin-cheap import; argparse and json would double the run time
    import time

    args = sys.argv[1:] if argv is None else argv
    what, seconds = _asked(args)
    if not what:
        print(USAGE)
        return 0 if args[:1] in ([HELP[0]], [HELP[1]]) else 2
    path = os.path.join(os.environ.get("PEERBOOT_OUTPUT_DIR") or "/run/peerboot", "status.txt")
    end = time.monotonic() + seconds
    while True:
        sentence, yes = _look(path, what)
        if yes or time.monotonic() + AGAIN > end:
            print(sentence)
            return 0 if yes else 1
        time.sleep(AGAIN)


def _asked(args: list[str]) -> tuple[str, float]:
    """What is asked, empty when it cannot be told, and for how many seconds."""
    rest = list(args)
    what = rest.pop(0) if rest and not rest[0].startswith("-") else "startup"
    seconds = 0.0
    if rest:
        try:
            seconds = float(rest[1]) if len(rest) == 2 and rest[0] == "--for" else -1.0
        except ValueError:
            seconds = -1.0
    return (what if what in ("startup", "ready") and 0.0 <= seconds <= LONGEST else ""), seconds


def _look(path: str, what: str) -> tuple[str, bool]:
    """The sentence, and whether the answer is yes."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            sentence, _, answers = file.read(4096).partition("\n")
    except OSError as error:
        return f"peerboot has not written {path} yet: {error.strerror or error}", False
    return sentence.strip() or "peerboot wrote no sentence yet", f"{what}=yes" in answers.split()


if __name__ == "__main__":
    sys.exit(main())
