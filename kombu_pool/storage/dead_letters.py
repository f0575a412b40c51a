"""Dead letters: why a message is one, and how a store hands it to those who know the other stores."""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError

if TYPE_CHECKING:
    from kombu_pool.model import NewMessage, Project
    from kombu_pool.storage.driver import DataDriver
    from kombu_pool.storage.policy import Policy

logger = logging.getLogger(__name__)

# Reasons.
LENT_TOO_OFTEN = "max_claim_count"
REJECTED = "rejected"
OVERFLOWED = "maxlen"
EXPIRED = "expired"
UNREADABLE = "unreadable"

#: Seconds for which a message is kept from others while another store is asked to take it.
PARKING = 60.0


class Delivery(Enum):
    """What became of a dead letter."""

    STORED = auto()
    NOWHERE = auto()
    OUT_OF_REACH = auto()


def hand_over(
    driver: DataDriver, project: Project, target: str | None, policy: Policy, message: NewMessage
) -> Delivery:
    """Hand a dead letter to the hooks of a driver: for a queue, or without ``target`` for the policy's exchange."""
    forward, publish = driver.forward_dead_letter, driver.publish_dead_letter
    try:
        if target is not None:
            stored = forward is not None and forward(project, target, message)
        elif publish is None or policy.dead_letter_exchange is None:
            return Delivery.OUT_OF_REACH
        else:
            stored = publish(project, policy.dead_letter_exchange, policy.dead_letter_routing_key, message)
    except KombuPoolError as error:
        # That must not keep the messages of the queue that it comes from from being lent.
        logger.warning("A message could not be dead-lettered, and stays where it is: %s", error)
        return Delivery.OUT_OF_REACH
    return Delivery.STORED if stored else Delivery.NOWHERE
