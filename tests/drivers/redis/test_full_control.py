"""The control store in a Redis that is out of memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from kombu_pool import drivers, errors
from kombu_pool.model import ACTIVE, EXPIRED, Assignment
from kombu_pool.moves import MOVED, PLANNED, Move, Tombstone
from kombu_pool.testing import ManualClock
from tests.support.redis.control_records import fill
from tests.support.servers.redis_server import Server


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def full():
    """A server whose memory a test makes full with ``full.ask``."""
    with Server(maxmemory_policy="noeviction") as server:
        yield server


def test_a_full_store_takes_nothing_new_and_nothing_by_halves(full, clock):
    control = drivers.open_control(full.uri(), clock=clock)
    control.pools_controller.create("pool", 1, "memory://pool")
    control.bindings_controller.create_exchange("x", "direct")
    before = {*full.client().keys()}
    full.ask("CONFIG", "SET", "maxmemory", 1)

    for attempt in (
        lambda: control.queue_controller.create("q"),
        lambda: control.catalogue_controller.insert_if_absent(None, "q", "pool"),
        lambda: control.bindings_controller.bind("x", "q"),
        lambda: control.bindings_controller.create_exchange("y", "direct"),
        lambda: control.flavors_controller.create("fast"),
    ):
        with pytest.raises(errors.StoreFull):
            attempt()

    assert {*full.client().keys()} == before
    control.close()


def test_a_full_store_can_be_consumed_from_and_cleared(full, clock):
    control = drivers.open_control(full.uri(), clock=clock)
    fill(control)
    consumers = control.consumers_controller
    full.ask("CONFIG", "SET", "maxmemory", 1)

    consumers.set_lifetime("q", 60, "p")
    consumers.add_holder("q", "three", 60, "p")
    consumers.renew(["one", "two", "three"], 90)
    assert consumers.touch("q", "p")
    assert consumers.count("q", "p") == 2
    consumers.remove_holders(["one", "two", "three"])
    clock.advance(61)
    assert consumers.expired_queues() == [("p", "q")]
    assert control.catalogue_controller.find("p", "q").state == EXPIRED
    assert not consumers.touch("q", "p")
    assert consumers.expire("q", "p")
    assert control.bindings_controller.unbind_queue("q", "p") == ["x", "y"]
    control.bindings_controller.delete_exchange("y", "p")
    control.catalogue_controller.delete("p", "q")
    control.queue_controller.delete("q", "p")
    control.flavors_controller.delete("fast", "p")
    control.pools_controller.delete("pool")

    assert not control.pools_controller.exists("pool")
    assert [*control.bindings_controller.list(None, "p")] == []
    control.close()


def test_a_queue_is_moved_by_a_full_store(full, clock):
    control = drivers.open_control(full.uri(), clock=clock)
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    catalogue = control.catalogue_controller
    assigned, _ = catalogue.assign(None, "q", "a")
    move = Move("1", "a", "sealed:1", "b", "2", copies=True, phase=PLANNED, holder="h", started=1)
    steps = [
        assigned,
        assigned._replace(move=move),
        Assignment("b", "2", ACTIVE, move),
        Assignment("b", "2", ACTIVE, replace(move, phase=MOVED, tombstones=(Tombstone("a", "sealed:1", 2),))),
        Assignment("b", "2", ACTIVE),
    ]
    full.ask("CONFIG", "SET", "maxmemory", 1)

    for found, changed in pairwise(steps):
        assert catalogue.replace(None, "q", found, changed)

    assert catalogue.moves() == []
    control.pools_controller.delete("a")
    with pytest.raises(errors.PoolInUse):
        control.pools_controller.delete("b")
    control.close()


def test_a_dropped_or_replaced_assignment_has_no_move(full):
    control = drivers.open_control(full.uri())
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    catalogue = control.catalogue_controller
    move = Move("1", "a", "sealed:1", "b", "2", copies=True, phase=PLANNED, holder="h", started=1)
    for queue in ("q", "r"):
        assigned, _ = catalogue.assign(None, queue, "a")
        assert catalogue.replace(None, queue, assigned, assigned._replace(move=move))

    catalogue.insert(None, "q", "a")
    left = [queue for _, queue, _ in catalogue.moves()]
    catalogue.drop_all()

    assert left == ["r"]
    assert catalogue.moves() == []
    for pool in ("a", "b"):
        control.pools_controller.delete(pool)
    control.close()
