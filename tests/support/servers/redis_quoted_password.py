"""A secured Redis server whose password must be quoted in a URL, and is in no other text."""

from __future__ import annotations

from urllib.parse import quote

from tests.support.servers.redis_tls import SecuredServer


class FortifiedServer(SecuredServer):
    """A secured server; :meth:`betrayed_by` finds its password."""

    password = "xq@z:j/v?k#w%41y"  # opens nothing

    def betrayed_by(self, text: object) -> bool:
        """Tell whether the password is in a text, as it is, quoted, or in parts."""
        return any(part in str(text) for part in (self.password, quote(self.password), "xq", "v?k", "v%3Fk", "41y"))
