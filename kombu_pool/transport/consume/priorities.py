"""``x-priority``: consumers of a queue that get its messages before others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu_pool.transport import amqp_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

PRIORITY = "x-priority"
_told = set[str]()


def priority_of(arguments: Mapping[str, Any] | None) -> int:
    """Return the priority that the arguments of a consumer ask for.

    Raises:
        PreconditionFailed: it is no integer.
    """
    priority = (arguments or {}).get(PRIORITY, 0)
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise amqp_errors.precondition_failed(f"{PRIORITY} must be an integer, not {priority!r}", "basic_consume")
    if priority and PRIORITY not in _told:
        _told.add(PRIORITY)
        logger.warning("%s orders the consumers of one connection, not those of several", PRIORITY)
    return priority
