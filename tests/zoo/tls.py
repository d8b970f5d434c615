"""Certificates for the servers that speak TLS."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def certificates() -> Path:
    """A folder with `ca.pem`, and `local.pem` and `named.pem` (for 127.0.0.1 and for model.test) with their `.key`.

    Made once for each process that starts servers; theirs find it in the environment.
    """
    if given := os.environ.get("ZOO_CERTIFICATES"):
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="zoo-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _openssl(folder, "req", "-x509", *_new("ca"), "-subj", "/CN=zoo", "-days", "30", "-out", "ca.pem")
    for name, subject in (("local", "IP:127.0.0.1,DNS:localhost"), ("named", "DNS:model.test")):
        _openssl(folder, "req", *_new(name), "-subj", "/CN=zoo", "-out", f"{name}.csr")
        (folder / f"{name}.cnf").write_text(f"subjectAltName={subject}\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", f"{name}.cnf", "-out", f"{name}.pem"
        )
    return folder


def _new(name: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
