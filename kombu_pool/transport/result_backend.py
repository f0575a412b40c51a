"""What Celery finds as the result backend ``pool``: the answer that there is none, and what to write instead."""

from __future__ import annotations

from typing import Any

from kombu_pool.drivers.masking import mask_uri
from kombu_pool.errors import ConfigurationError

_FILE = "db+sqlite:///results.db"
#: Celery's backends of the same stores; a URL of a scheme that ends with :// is taken over.
_BACKENDS = {
    "redis": "redis://",
    "rediss": "rediss://",
    "valkey": "redis://",
    "valkeys": "rediss://",
    "redis+sentinel": "sentinel://HOST",
    "rediss+sentinel": "sentinel://HOST",
    "redis+cluster": "redis://HOST/0",
    "rediss+cluster": "rediss://HOST/0",
    "redis+socket": "redis+socket://",
    "mongodb": "mongodb://",
    "mongodb+srv": "mongodb+srv://",
}


def refuse(app: Any, url: str) -> None:  # noqa: ARG001 - Celery gives the application
    """Raise ConfigurationError that names Celery's own backend for the store of a broker URL."""
    scheme, _, rest = url.partition("://")
    backend = _BACKENDS.get(scheme, _FILE)
    if backend.endswith("://"):
        backend = mask_uri(backend + rest)
    written = mask_uri(url if scheme == "pool" else f"pool+{url}")
    raise ConfigurationError(
        f"result_backend = {written!r}: pool:// is a broker and keeps no results; write result_backend = {backend!r}, "
        "or 'rpc://' to get results as messages"
    )
