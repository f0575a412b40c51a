"""A message broker for Celery and Kombu without a broker server of its own.

The import registers ``pool://`` with Kombu. Other modules are loaded at first use.
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


def open(  # noqa: A001 - the call reads kombu_pool.open()
    uri: str,
    *,
    conf: Any = None,
    cache: Any = None,
    clock: Clock | None = None,
    pools: Iterable[Mapping[str, Any]] = (),
    flavors: Iterable[Mapping[str, Any]] = (),
) -> DataDriver:
    """Open the queues of the control store at ``uri``, after adding ``pools`` and ``flavors`` to it.

    ``uri`` is a broker URL, ``pool+sqlite:///shop.db``, or the store's own, ``sqlite:///shop.db``. ``pools`` and
    ``flavors`` are declared as for :func:`~kombu_pool.pooling.declare_pools`. Closing the returned driver closes the
    control store, too.

    Raises:
        ConfigurationError: the URI, an option or a declaration is invalid.
        ConnectionError: the control store is unreachable.
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
    """Restore the address of a dead letter of Kombu; loads the transport, as no other call does."""
    return import_module("kombu_pool.transport.upkeep.dead_letters").restore_address(queue, body)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = _version()
    elif name == "tasks":
        found = import_module("kombu_pool.contrib.tasks").tasks
    elif name in __all__:
        found = getattr(import_module("kombu_pool.drivers" if name.startswith("open_") else "kombu_pool.pooling"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "tasks"})


def _version() -> str:
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("kombu-pool"))
    except metadata.PackageNotFoundError:
        return "0+unknown"  # an uninstalled checkout


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
