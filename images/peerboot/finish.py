"""In the image's build, on the base that it will run on: byte-code, the programs, the list of what is inside.

All lies in /opt/peerboot. The byte-code of the base's standard library is there too, in a tree of its own, so that the
base stays as it is. It is never checked against its source: a read-only root could not write it anew anyway.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import py_compile
import shutil
import sys
import sysconfig
import uuid
from pathlib import Path

MADE = Path("/made")
ROOT = MADE / "root"
HOME = Path("/opt/peerboot")
PROGRAMS = {"peerboot": "peerboot.cli", "peerboot-probe": "peerboot.probe"}
NEVER_IMPORTED = {
    "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "pydoc_data", "site-packages",
    "dist-packages", "__pycache__",
}  # fmt: skip
NOT_SHIPPED = {"bin"}
"""What pip makes beside the packages: programs that name the build's Python."""


def compile_tree(tree: Path) -> int:
    """Byte-code for every source below ``tree``, below the prefix; returns how many."""
    count = 0
    for folder, inside, names in os.walk(tree):
        inside[:] = sorted(set(inside) - NEVER_IMPORTED)
        for name in sorted(names):
            if name.endswith(".py"):
                py_compile.compile(
                    str(Path(folder) / name),
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
                count += 1
    return count


def write_programs() -> None:
    """Each starts isolated: no environment, no site-packages, so that a base's packages cannot get in the way."""
    (ROOT / "opt/peerboot/bin").mkdir()
    for name, module in PROGRAMS.items():
        program = ROOT / "opt/peerboot/bin" / name
        program.write_text(
            f"#!{sys.executable} -ISXpycache_prefix={HOME}/pycache\n"
            f'import sys\n\nsys.path.append("{HOME}/lib")\nfrom {module} import main\n\nsys.exit(main())\n'
        )
        program.chmod(0o755)


def base_packages() -> list[dict[str, object]]:
    """The Debian packages of the base, if it says which."""
    found: list[dict[str, object]] = []
    status = Path("/var/lib/dpkg/status")
    texts = [status.read_text(errors="replace")] if status.is_file() else []
    # Distroless images keep one file for each package.
    texts += [
        file.read_text(errors="replace") for file in sorted(Path("/var/lib/dpkg/status.d").glob("*")) if file.is_file()
    ]
    for text in texts:
        for entry in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[0] != " ")
            name, version = fields.get("Package", ""), fields.get("Version", "")
            if name and version:
                arch = fields.get("Architecture", "all")
                purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={arch}"
                found.append({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl})
    return sorted(found, key=lambda row: str(row["purl"]))


def bill_of_materials() -> dict[str, object]:
    """CycloneDX 1.5: what is installed, with the hash of the wheel that it came from, and what the base brings."""
    rows: list[dict[str, object]] = []
    main: dict[str, object] = {}
    for package in json.loads((MADE / "packages.json").read_text()):
        # A wheel that this Python does not need is in the context, and not here.
        folder = f"{package['name'].replace('-', '_')}-{package['version']}.dist-info"
        if not any(entry.name.lower() == folder.lower() for entry in (HOME / "lib").iterdir()):
            continue
        purl = f"pkg:pypi/{package['name']}@{package['version']}"
        row = {
            "type": "library",
            "name": package["name"],
            "version": package["version"],
            "purl": purl,
            "bom-ref": purl,
            "hashes": [{"alg": "SHA-256", "content": package["sha256"]}],
        }
        if package["name"] == "peerboot":
            main = {**row, "type": "application"}
        else:
            rows.append(row)
    python = {"type": "platform", "name": "python", "version": platform.python_version(), "bom-ref": "python"}
    components = [*rows, python, *base_packages()]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([main, components], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": main},
        "components": components,
    }


def main() -> None:
    """Put the image's one layer together in /made/root."""
    shutil.copytree(
        MADE / "lib", HOME / "lib", ignore=lambda folder, _: NOT_SHIPPED if Path(folder) == MADE / "lib" else ()
    )
    sys.pycache_prefix = str(HOME / "pycache")
    compile_tree(Path(sysconfig.get_path("stdlib")))
    compile_tree(HOME / "lib")
    sys.path.append(str(HOME / "lib"))
    # Wheels for another Python or machine would be found out in a Pod otherwise.
    for module in ("aiohttp", "dns.asyncresolver", "msgspec", "structlog", "yaml", "prometheus_client", "peerboot.cli"):
        importlib.import_module(module)
    (HOME / "sbom.cdx.json").write_text(json.dumps(bill_of_materials(), indent=1) + "\n")
    (ROOT / "opt").mkdir(parents=True)
    shutil.move(HOME, ROOT / "opt/peerboot")
    write_programs()
    # For a container without a Pod's emptyDir: any user with group 0 may write there.
    (ROOT / "run/peerboot").mkdir(parents=True)
    for folder, _, names in os.walk(ROOT):
        Path(folder).chmod(0o755)
        for name in names:
            file = Path(folder) / name
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
    (ROOT / "run/peerboot").chmod(0o775)


if __name__ == "__main__":
    main()
