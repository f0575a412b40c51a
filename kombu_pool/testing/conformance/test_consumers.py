"""Holders and consumers of queues, and the queues that expire without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kombu_pool.storage import ConsumersController, ControlDriver
    from kombu_pool.testing.clock import ManualClock


@pytest.fixture
def consumers(control: ControlDriver) -> ConsumersController:
    return control.consumers_controller


def test_a_living_consumer_is_counted(consumers: ConsumersController) -> None:
    consumers.add_holder("q", "one", 60)
    consumers.add_holder("q", "two", 60)

    assert consumers.count("q") == 2
    assert consumers.count("other") == 0


def test_a_holder_that_does_not_consume_is_not_counted(consumers: ConsumersController) -> None:
    consumers.add_holder("q", "owner", 60, consuming=False)

    assert consumers.count("q") == 0


def test_a_holder_dies_unless_it_is_renewed(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.add_holder("q", "one", 60)
    consumers.add_holder("q", "two", 60)
    clock.advance(59)
    consumers.renew(["one"], 60)

    clock.advance(1)
    assert consumers.count("q") == 1
    clock.advance(59)
    assert consumers.count("q") == 0


def test_renewal_brings_the_dead_back(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.add_holder("q", "one", 60)
    clock.advance(100)

    consumers.renew(["one"], 60)

    assert consumers.count("q") == 1


def test_renewal_reaches_every_queue_of_a_holder(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.add_holder("a", "one", 60)
    consumers.add_holder("b", "one", 60, project="p")
    clock.advance(50)

    consumers.renew(["one", "unknown"], 60)
    clock.advance(50)

    assert consumers.count("a") == 1
    assert consumers.count("b", project="p") == 1


def test_attaching_again_is_one_holder(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.add_holder("q", "one", 60)
    clock.advance(30)
    consumers.add_holder("q", "one", 60)
    clock.advance(40)

    assert consumers.count("q") == 1


def test_a_detached_holder_is_gone_from_every_queue(consumers: ConsumersController) -> None:
    consumers.add_holder("a", "one", 60)
    consumers.add_holder("b", "one", 60, project="p")
    consumers.add_holder("a", "two", 60)

    consumers.remove_holders(["one", "unknown"])
    consumers.remove_holders(["one"])

    assert consumers.count("a") == 1
    assert consumers.count("b", project="p") == 0


def test_a_detached_holder_is_not_renewed(consumers: ConsumersController) -> None:
    consumers.add_holder("q", "one", 60)
    consumers.remove_holders(["one"])

    consumers.renew(["one"], 60)

    assert consumers.count("q") == 0


def test_no_consumer_to_renew_or_remove_is_fine(consumers: ConsumersController) -> None:
    consumers.renew([], 60)
    consumers.remove_holders([])


def test_consumers_of_two_projects_stay_apart(consumers: ConsumersController) -> None:
    consumers.add_holder("q", "one", 60, project="p")

    assert consumers.count("q", project="p") == 1
    assert consumers.count("q") == 0


def test_a_queue_without_lifetime_is_never_abandoned(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.add_holder("q", "one", 60)
    consumers.remove_holders(["one"])
    clock.advance(10**6)

    assert list(consumers.expired_queues()) == []


def test_a_queue_is_abandoned_once_its_last_holder_has_been_gone_too_long(
    consumers: ConsumersController, clock: ManualClock
) -> None:
    consumers.set_lifetime("q", 100, project="p")
    consumers.add_holder("q", "one", 60, project="p")
    consumers.add_holder("q", "two", 60, project="p")
    consumers.remove_holders(["one"])
    clock.advance(30)
    consumers.remove_holders(["two"])

    clock.advance(99)
    assert list(consumers.expired_queues()) == []
    clock.advance(2)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [("p", "q")]


def test_a_holder_that_died_counts_from_its_death(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100)
    consumers.add_holder("q", "one", 60)

    clock.advance(159)
    assert list(consumers.expired_queues()) == []
    clock.advance(2)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]


def test_a_queue_that_never_had_a_holder_is_not_abandoned(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100)
    clock.advance(10**6)

    assert list(consumers.expired_queues()) == []


def test_the_seconds_may_count_from_now(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100, from_now=True)

    clock.advance(99)
    assert list(consumers.expired_queues()) == []
    clock.advance(2)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]


def test_a_living_holder_keeps_a_queue(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100, from_now=True)
    consumers.add_holder("q", "one", 1000)
    clock.advance(500)

    assert list(consumers.expired_queues()) == []


def test_a_holder_that_does_not_consume_keeps_a_queue_too(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 0)
    consumers.add_holder("q", "owner", 60, consuming=False)

    clock.advance(59)
    assert list(consumers.expired_queues()) == []
    clock.advance(2)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]


def test_a_lifetime_of_zero_ends_with_the_last_holder(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 0)
    consumers.add_holder("q", "one", 60)

    consumers.remove_holders(["one"])
    clock.advance(0.5)

    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]


def test_a_touch_starts_the_seconds_anew(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100, from_now=True)
    clock.advance(90)

    consumers.touch("q")

    clock.advance(90)
    assert list(consumers.expired_queues()) == []
    clock.advance(11)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]


def test_a_touch_does_not_start_seconds_that_do_not_count_yet(
    consumers: ConsumersController, clock: ManualClock
) -> None:
    consumers.set_lifetime("q", 100)
    consumers.touch("q")
    consumers.touch("unknown")
    clock.advance(10**6)

    assert list(consumers.expired_queues()) == []


def test_a_new_holder_rescues_a_queue(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100, from_now=True)
    clock.advance(200)

    consumers.add_holder("q", "one", 60)

    assert list(consumers.expired_queues()) == []


def test_abandoned_queues_are_told_up_to_the_limit(consumers: ConsumersController, clock: ManualClock) -> None:
    for number in range(5):
        consumers.set_lifetime(f"q{number}", 10, project="p", from_now=True)
    clock.advance(11)

    assert len(consumers.expired_queues()) == 5
    assert len(consumers.expired_queues(limit=2)) == 2


def test_a_new_lifetime_replaces_the_old_one(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 10, from_now=True)
    consumers.set_lifetime("q", 100, from_now=True)
    clock.advance(50)

    assert list(consumers.expired_queues()) == []
    clock.advance(51)
    assert len(consumers.expired_queues()) == 1


def test_detaching_a_dead_holder_does_not_prolong_its_queue(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 100)
    consumers.add_holder("q", "one", 60)
    clock.advance(150)

    consumers.remove_holders(["one"])

    clock.advance(11)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]


def test_the_live_holders_are_found_by_the_beginning_of_their_names(
    consumers: ConsumersController, control: ControlDriver, clock: ManualClock
) -> None:
    for holder, ttl in (("m:1:a", 60), ("m:1:b", 30), ("m:12:a", 60), ("n:1:a", 60), ("m", 60)):
        consumers.add_holder("q", holder, ttl)
    consumers.add_holder("other", "m:1:a", 60, project="p", consuming=False)

    assert sorted(consumers.holders("m:")) == ["m:12:a", "m:1:a", "m:1:b"]
    assert sorted(consumers.holders("m:1:")) == ["m:1:a", "m:1:b"]
    assert list(consumers.holders("n%")) == []
    clock.advance(30)
    assert sorted(consumers.holders("m:1:")) == ["m:1:a"]
    assert sorted(control.due_maintenance("m:").holders) == ["m:12:a", "m:1:a"]
    assert list(control.due_maintenance().holders) == []
    consumers.remove_holders(["m:1:a"])
    assert list(consumers.holders("m:1:")) == []
