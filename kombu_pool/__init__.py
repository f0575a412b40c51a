"""A message broker for Celery and Kombu that needs no broker server of its own.

Importing this package makes ``pool://`` known to Kombu. What it offers is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import _kombu_pool_entry
from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers import open_control, open_data
    from kombu_pool.pooling import (
        Catalog,
        ClaimController,
        DataDriver,
        MessageController,
        QueueController,
        SubscriptionController,
    )

    __version__: str

_kombu_pool_entry.register()

_HOMES = {
    "Catalog": "kombu_pool.pooling",
    "ClaimController": "kombu_pool.pooling",
    "DataDriver": "kombu_pool.pooling",
    "MessageController": "kombu_pool.pooling",
    "QueueController": "kombu_pool.pooling",
    "SubscriptionController": "kombu_pool.pooling",
    "open_control": "kombu_pool.drivers",
    "open_data": "kombu_pool.drivers",
}


def open(  # noqa: A001 - kombu_pool.open() is how it is called
    uri: str,
    *,
    conf: Any = None,
    cache: Any = None,
    clock: Clock | None = None,
    pools: Iterable[Mapping[str, Any]] = (),
    flavors: Iterable[Mapping[str, Any]] = (),
) -> DataDriver:
    """Open the queues that the control store at ``uri`` knows, after adding ``pools`` and ``flavors`` to it.

    ``uri`` may be a broker URL, ``pool+sqlite:///shop.db``, or the store's own, ``sqlite:///shop.db``. What
    :func:`~kombu_pool.pooling.declare_pools` takes is what ``pools`` and ``flavors`` are made of. Close what is
    returned, and the control store is closed along with it.

    Raises:
        ConfigurationError: the URI, an option or a declaration cannot work.
        ConnectionError: the control store cannot be reached.
    """
    pooling = import_module("kombu_pool.pooling")
    hooks = import_module("kombu_pool.storage").DeadLetterHooks(restore_address=_restore_address)
    driver: DataDriver = pooling.DataDriver(
        conf, cache, uri.removeprefix("pool+"), clock=clock, dead_letter_hooks=hooks
    )
    try:
        pooling.declare_pools(driver.control, pools, flavors)
    except BaseException:
        driver.close()
        raise
    return driver


def _restore_address(queue: str, body: Any) -> Any:
    """Restore the address of a dead letter of Kombu's; only this needs the transport."""
    return import_module("kombu_pool.transport.upkeep.dead_letters").restore_address(queue, body)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = _version()
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("kombu-pool"))
    except metadata.PackageNotFoundError:
        return "0+unknown"  # a checkout that was never installed


__all__ = [
    "Catalog",
    "ClaimController",
    "DataDriver",
    "MessageController",
    "QueueController",
    "SubscriptionController",
    "__version__",
    "errors",
    "open",
    "open_control",
    "open_data",
]
