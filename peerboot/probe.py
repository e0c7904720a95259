"""``peerboot-probe``: startup and readiness by exec. Standard library only, for it is paid at every probe.

Prints the one sentence of ``status.txt``; the kubelet copies it into the Pod's events, so a wait explains itself
in ``kubectl describe``. Exit 0: yes. 1: no. 2: called wrongly.
"""

from __future__ import annotations

import sys

USAGE = "usage: peerboot-probe [startup|ready]   (output dir from PEERBOOT_OUTPUT_DIR, default /run/peerboot)"
HELP = ("-h", "--help")


def main(argv: list[str] | None = None) -> int:
    """``startup``: the server may start. ``ready``: its member serves. Both as the sidecar last wrote."""
    import os  # a builtin-cheap import; argparse and json would double the run time

    args = sys.argv[1:] if argv is None else argv
    what = args[0] if args else "startup"
    if what not in ("startup", "ready") or len(args) > 1:
        print(USAGE)
        return 0 if what in HELP else 2
    directory = os.environ.get("PEERBOOT_OUTPUT_DIR") or "/run/peerboot"
    try:
        with open(os.path.join(directory, "status.txt"), encoding="utf-8", errors="replace") as file:
            sentence, _, answers = file.read(4096).partition("\n")
    except OSError as error:
        print(f"peerboot has not written {directory}/status.txt yet: {error.strerror or error}")
        return 1
    print(sentence.strip() or "peerboot wrote no sentence yet")
    return 0 if f"{what}=yes" in answers.split() else 1


if __name__ == "__main__":
    sys.exit(main())
