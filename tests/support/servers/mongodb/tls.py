"""A private MongoDB server that requires TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.servers.certificates import certificates
from tests.support.servers.mongodb.standalone import MongoServer

if TYPE_CHECKING:
    import pymongo


class TlsMongoServer(MongoServer):
    """A server whose only port requires TLS, of clients without a certificate too."""

    def _connect(self, **options: Any) -> pymongo.MongoClient:
        return super()._connect(tls=True, tlsCAFile=str(certificates().authority), **options)

    def _arguments(self) -> list[str]:
        files = certificates()
        both = self.folder / "server.pem"
        both.write_text(files.server.read_text() + files.key.read_text())
        return [
            *super()._arguments(),
            *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both), "--tlsCAFile", str(files.authority)),
            "--tlsAllowConnectionsWithoutCertificates",
        ]
