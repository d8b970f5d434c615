"""Certificates for the servers that speak TLS."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import trustme


@functools.cache
def certificates() -> Path:
    """A folder with `ca.pem`, and `local.pem` and `named.pem` (for 127.0.0.1 and for model.test) with their `.key`.

    Made once for each process that starts servers; theirs find it in the environment.
    """
    if given := os.environ.get("ZOO_CERTIFICATES"):
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="zoo-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    issue(folder, "ca", local=("127.0.0.1", "localhost"), named=("model.test",))
    return folder


def issue(folder: Path, authority: str, **names: tuple[str, ...]) -> None:
    """Writes `AUTHORITY.pem`, and for each name what it signed: `NAME.pem` and `NAME.key`, for these hosts."""
    signer = trustme.CA()
    signer.cert_pem.write_to_path(folder / f"{authority}.pem")
    for name, hosts in names.items():
        made = signer.issue_cert(*hosts)
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        for part in made.cert_chain_pems:
            part.write_to_path(folder / f"{name}.pem", append=True)
