"""A Redis server that requires TLS, a user and a password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.support.servers.certificates import certificates
from tests.support.servers.redis_server import Server

if TYPE_CHECKING:
    from tests.support.servers.redis_server import Option


class TlsServer(Server):
    """A server whose only port requires TLS and a user. Its socket requires the user, without TLS."""

    user = "user"
    password = "password"  # opens nothing

    def uri(self, db: int = 0) -> str:
        return f"rediss://{self._user_info()}@{self.address}/{db}?ssl_ca_certs={certificates().authority}"

    def wrong_password_uri(self, db: int = 0) -> str:
        """Return the URI with a wrong password."""
        return self.uri(db).replace(self._user_info(), f"{self.user}:wrong")

    def socket_uri(self, db: int = 0) -> str:
        return f"redis+socket://{self._user_info()}@{self.socket}?db={db}"

    def _user_info(self) -> str:
        return f"{self.user}:{quote(self.password, safe='')}"

    def _credentials(self) -> dict[str, str]:
        return {"username": self.user, "password": self.password}

    def _defaults(self) -> dict[str, Option]:
        plain, files = super()._defaults(), certificates()
        return {
            **plain,
            "port": 0,
            "tls-port": self.port,
            "tls-ca-cert-file": str(files.authority),
            "tls-cert-file": str(files.server),
            "tls-key-file": str(files.key),
            "tls-auth-clients": "no",
            "user": ["default off", f"{self.user} on >{self.password} ~* &* +@all"],
        }
