"""Sessions of browsers: a signed cookie, and the form token that belongs to it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Time for which a browser that logged in need not do so again, in seconds.
SESSION_TTL = 7 * 86_400


class Sessions:
    """Makes and checks the cookies of one token; without a token every cookie is valid, and ties a form to its browser.

    The state is in the cookie: several processes with the same token share it.
    """

    def __init__(self, token: str | None, now: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(f"kombu_pool.web:{token or ''}".encode()).digest()
        self._now = now
        #: Cookies of one host are shared by all of its ports.
        self.name = f"kombu_pool_{self._sign('name')[:8]}"

    def create(self) -> str:
        """Return the value of a new session's cookie."""
        value = f"{int(self._now() + SESSION_TTL)}.{secrets.token_urlsafe(16)}"
        return f"{value}.{self._sign(value)}"

    def find(self, cookies: str) -> str | None:
        """Return the value of the session's cookie, if the header ``Cookie`` has a valid one."""
        morsel = SimpleCookie(cookies).get(self.name)
        return morsel.value if morsel is not None and self._is_valid(morsel.value) else None

    def _is_valid(self, cookie: str) -> bool:
        value, _, signature = cookie.rpartition(".")
        ends = value.partition(".")[0]
        return _equal(signature, self._sign(value)) and ends.isdecimal() and int(ends) > self._now()

    def form_token(self, cookie: str) -> str:
        """Return what a form of this session must carry."""
        return self._sign(f"form:{cookie}")

    def is_form_token(self, cookie: str, given: str) -> bool:
        """Return whether a form was made for this session."""
        return _equal(given, self.form_token(cookie))

    def header(self, cookie: str, path: str, *, secure: bool) -> str:
        """Return the header ``Set-Cookie``; without a value it ends the session."""
        age = SESSION_TTL if cookie else 0
        end = "; Secure" if secure else ""
        return f"{self.name}={cookie}; Path={path or '/'}; Max-Age={age}; HttpOnly; SameSite=Strict{end}"

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def is_token(given: str, token: str) -> bool:
    """Compare a token that was given with the right one, in a time that does not depend on where they differ."""
    return _equal(given, token)


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
