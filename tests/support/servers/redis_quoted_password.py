"""A TLS Redis server whose password needs quoting in a URL, and occurs in no other text."""

from __future__ import annotations

from urllib.parse import quote

from tests.support.servers.redis_tls import TlsServer


class QuotedPasswordServer(TlsServer):
    """A TLS server; :meth:`is_password_in` finds its password in a text."""

    #: With hyphens, which no name of a temporary folder has. It opens nothing.
    password = "xq-first@z:j/v?k#w%41-last"

    def is_password_in(self, text: object) -> bool:
        """Return whether the text contains the password, plain, quoted, or in parts."""
        return any(
            part in str(text) for part in (self.password, quote(self.password), "xq-first", "v?k", "v%3Fk", "41-last")
        )
