"""Certificates of a CA of their own, in directories as a mounted Secret of cert-manager has them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
BOTH = "serverAuth,clientAuth"


@dataclass(frozen=True)
class Authority:
    """A CA, and what it certifies."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """``ca.crt``."""
        return self.folder / "ca.crt"

    def certify(
        self, into: Path, *names: str, common_name: str = "", usages: str = BOTH, days: int = 30, early: bool = False
    ) -> Path:
        """A new pair for these names (``DNS:a``, ``IP:127.0.0.1``), each file put there whole, as the kubelet does.

        A negative number of ``days``: it has expired. ``early``: it is not valid yet, for years.
        """
        new = self.folder / "new"
        new.mkdir(exist_ok=True)
        subject = f"/CN={common_name}" if common_name else "/O=lab"
        _openssl("req", "-new", *CURVE, "-subj", subject, "-keyout", str(new / "tls.key"), "-out", str(new / "csr"))
        extensions = new / "extensions"
        extensions.write_text(
            f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage={usages}\n"
            + (f"subjectAltName={','.join(names)}\n" if names else "")
        )
        signed = ("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial")
        lasts = ("-days", str(days), "-extfile", str(extensions))
        if early:
            self._certify_early(new, extensions)
        else:
            _openssl("x509", "-req", "-in", str(new / "csr"), *signed, *lasts, "-out", str(new / "tls.crt"))
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.certificate, into / "ca.crt")
        for name in ("tls.key", "tls.crt"):
            (new / name).replace(into / name)
        return into

    def _certify_early(self, new: Path, extensions: Path) -> None:
        """By the only command of OpenSSL 3.0 that can say when a certificate begins; it keeps a list of its own."""
        (new / "index.txt").write_text("")
        config = new / "config"
        config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={new}/index.txt\nnew_certs_dir={new}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\n[p]\norganizationName=optional\ncommonName=optional\n"
        )
        _openssl(
            "ca", "-batch", "-notext", "-config", str(config), "-in", str(new / "csr"), "-cert", str(self.certificate),
            "-keyfile", str(self.folder / "ca.key"), "-startdate", "20900101000000Z", "-enddate", "20910101000000Z",
            "-extfile", str(extensions), "-out", str(new / "tls.crt"),
        )  # fmt: skip


def authority(folder: Path, days: int = 3650) -> Authority:
    """A new one."""
    folder.mkdir(parents=True)
    _openssl(
        "req", "-x509", *CURVE, "-subj", "/CN=ca", "-days", str(days), "-keyout", str(folder / "ca.key"), "-out",
        str(folder / "ca.crt"),
    )  # fmt: skip
    return Authority(folder)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S603, S607 - our own words
