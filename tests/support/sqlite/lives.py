"""Queues of a driver and of a control store, for tests of their deadlines."""

from __future__ import annotations

import pytest

from kombu_pool.model import Expiry
from kombu_pool.testing import QueueHandle

OWNER = Expiry(60, holder="owner", holder_ttl=60)


def again(queue, open_data):
    """Return the queue as another process finds it."""
    return QueueHandle(open_data(), queue.name, queue.project)


def expiring(control, expiry, name="q"):
    """Create a queue that expires."""
    catalogue = control.catalogue_controller
    assigned, _ = catalogue.assign(None, name, "pool", lease=60)
    assert catalogue.activate(None, name, assigned.incarnation, {}, expiry)


def state(control, name="q"):
    return control.catalogue_controller.find(None, name).state


def reserve_dead_letter(queue, clock):
    """Let a message die whose publishing is broken off: its reservation stays."""
    queue.driver.queue_controller.set_metadata("q", {"_dead_letter_exchange": "x", "_dead_letter_expired": True})
    queue.post("a", ttl=1)
    clock.advance(1)
    queue.driver.dead_letter_hooks.publish = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        queue.driver.dead_letter_all()
