"""TLS certificates for test servers, signed by a certificate authority of the test process."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.process import supervisor
from tests.support.servers.programs import require

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
# Python 3.13 and later require these extensions.
_AUTHORITY = "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"
_SERVER = """\
subjectAltName = IP:127.0.0.1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificates:
    """Paths of the PEM files."""

    authority: Path
    server: Path
    key: Path


@functools.cache
def certificates() -> Certificates:
    """Return the certificates of this process, created on the first call."""
    folder = Path(tempfile.mkdtemp(prefix="kp-"))
    supervisor().add_folder(folder)
    _create_authority(folder)
    _create_server_certificate(folder)
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")


def _create_authority(folder: Path) -> None:
    extensions = [word for extension in _AUTHORITY for word in ("-addext", extension)]
    names = ("-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
    _openssl(folder, "req", "-x509", "-days", "2", *_KEY, *names, *extensions)


def _create_server_certificate(folder: Path) -> None:
    (folder / "server.ext").write_text(_SERVER)
    _openssl(folder, "req", "-new", *_KEY, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    request = ("-in", "server.csr", "-out", "server.pem", "-extfile", "server.ext")
    authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    _openssl(folder, "x509", "-req", "-days", "2", *request, *authority)


def _openssl(folder: Path, *arguments: str) -> None:
    command = [require("openssl"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
