"""In the image's build: the wheels of the context into /made/lib, each checked against the lock once more.

Runs with the build base's Python alone, without network and shell. Leaves /made/packages.json for the SBOM.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

CONTEXT = Path("/context")
MADE = Path("/made")


def lock_hashes() -> set[str]:
    """Every hash that the lock names."""
    return set(re.findall(r"--hash=sha256:([0-9a-f]{64})", (CONTEXT / "run.txt").read_text(encoding="utf-8")))


def packages() -> list[dict[str, str]]:
    """Name, version, file and hash of each wheel, sorted."""
    found = []
    for wheel in sorted((CONTEXT / "wheels").glob("*.whl")):
        name, version, _ = wheel.name.split("-", 2)
        found.append(
            {
                "name": name.replace("_", "-").lower(),
                "version": version,
                "file": wheel.name,
                "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            }
        )
    return found


def main() -> None:
    """Install; a wheel that the lock does not know, or that is not for this Python, ends the build."""
    every, known = packages(), lock_hashes()
    own = [package for package in every if package["name"] == "peerboot"]
    strange = [package["file"] for package in every if package not in own and package["sha256"] not in known]
    if strange or len(own) != 1:
        sys.exit(f"the context is not what the lock names ({strange or 'no peerboot'}): make it anew with `make image`")
    # The lock's own lines with its conditions, and peerboot's wheel: one list, one run of pip, every hash checked.
    text = (CONTEXT / "run.txt").read_text(encoding="utf-8")
    requirements = MADE / "requirements.txt"
    MADE.mkdir(parents=True)
    requirements.write_text(f"{text}\n{CONTEXT / 'wheels' / own[0]['file']} --hash=sha256:{own[0]['sha256']}\n")
    (pip,) = (CONTEXT / "tools").glob("pip-*.whl")
    command = [
        sys.executable, f"{pip}/pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir",
        "--disable-pip-version-check", "--root-user-action=ignore", "--only-binary=:all:", "--require-hashes",
        f"--find-links={CONTEXT / 'wheels'}", f"--requirement={requirements}", f"--target={MADE / 'lib'}",
    ]  # fmt: skip
    subprocess.run(command, check=True)  # noqa: S603 - pip's own wheel, from the context
    requirements.unlink()
    (MADE / "packages.json").write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
