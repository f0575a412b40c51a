"""Records of every kind in a control store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver


def fill(control: ControlDriver) -> None:
    """Store a record of every kind."""
    control.queue_controller.create("q", {"a": 1}, "p")
    control.flavors_controller.create("fast", "p", ["FIFO"])
    control.pools_controller.create("pool", 1, "memory://pool", "fast")
    control.catalogue_controller.insert("p", "q", "pool")
    for exchange in ("x", "y"):
        control.bindings_controller.create_exchange(exchange, "topic", project="p")
        control.bindings_controller.bind(exchange, "q", "key", project="p")
    control.bindings_controller.bind("x", "y", destination_type="exchange", project="p")
    control.consumers_controller.set_lifetime("q", 60, "p", from_now=True)
    control.consumers_controller.add_holder("q", "one", 60, "p")
    control.consumers_controller.add_holder("q", "two", 60, "p", consuming=False)
