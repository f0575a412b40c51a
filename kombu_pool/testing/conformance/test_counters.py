"""The counters of queues in a control store."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from kombu_pool import drivers
from kombu_pool.storage.counters import CounterMethods

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.storage import ControlDriver
    from kombu_pool.storage.counters import Increments
    from kombu_pool.testing.clock import ManualClock


@pytest.fixture
def counting(control: ControlDriver) -> ControlDriver:
    """A control store with a pool; a driver without counters is not tested."""
    if type(control).add_counters is CounterMethods.add_counters:
        pytest.skip("the store keeps no counters, and need not")
    control.pools_controller.create("a", 1, "memory://a")
    return control


def assigned(control: ControlDriver, queue: str, project: Project = None) -> str:
    """Return the incarnation of a queue that is assigned now."""
    return control.catalogue_controller.assign(project, queue, "a")[0].incarnation


def test_a_queue_without_counts_has_no_counters(counting: ControlDriver) -> None:
    assigned(counting, "q")
    counting.add_counters({})

    assert counting.counters() == {}
    assert counting.counters([(None, "q"), (None, "none")]) == {}
    assert counting.counters([]) == {}


def test_counts_add_up(counting: ControlDriver) -> None:
    q, r, p = assigned(counting, "q"), assigned(counting, "r"), assigned(counting, "q", "p")
    counting.add_counters({(None, "q", q): {"published": 2, "acked": 1}, (None, "r", r): {"published": 1}})
    counting.add_counters({(None, "q", q): {"published": 3, "dead_lettered:expired": 1}, ("p", "q", p): {"acked": 4}})

    of_q = {"published": 5, "acked": 1, "dead_lettered:expired": 1}
    assert counting.counters() == {(None, "q"): of_q, (None, "r"): {"published": 1}, ("p", "q"): {"acked": 4}}
    assert counting.counters([("p", "q"), (None, "absent"), (None, "q"), (None, "q")]) == {
        ("p", "q"): {"acked": 4},
        (None, "q"): of_q,
    }


def test_large_sums_are_exact(counting: ControlDriver) -> None:
    key = (None, "q", assigned(counting, "q"))
    for count in (2**52, 1, 10**9 + 7):
        counting.add_counters({key: {"published": count}})

    assert counting.counters() == {(None, "q"): {"published": 2**52 + 10**9 + 8}}


def test_the_counts_of_many_queues_are_added_at_once(counting: ControlDriver) -> None:
    incarnations = {f"q{number}": assigned(counting, f"q{number}") for number in range(30)}
    increments: Increments = {(None, queue, of): {"published": 1, "acked": 2} for queue, of in incarnations.items()}

    for _ in range(2):
        counting.add_counters(increments)

    assert counting.counters() == {(None, queue): {"published": 2, "acked": 4} for queue in incarnations}


def test_counts_of_another_incarnation_or_of_no_queue_are_dropped(counting: ControlDriver) -> None:
    q = assigned(counting, "q")

    counting.add_counters({(None, "q", "another"): {"acked": 1}, (None, "absent", q): {"acked": 1}})
    counting.add_counters({("p", "q", q): {"acked": 1}, (None, "q", q): {"published": 1}})

    assert counting.counters() == {(None, "q"): {"published": 1}}


def test_the_counters_are_deleted_with_the_incarnation(counting: ControlDriver) -> None:
    catalogue, first = counting.catalogue_controller, assigned(counting, "q")
    counting.add_counters({(None, "q", first): {"published": 1}})

    catalogue.begin_deletion(None, "q", first)
    counting.add_counters({(None, "q", first): {"acked": 1}})
    assert counting.counters() == {}
    catalogue.delete(None, "q", incarnation=first)
    second = assigned(counting, "q")
    counting.add_counters({(None, "q", first): {"acked": 1}, (None, "q", second): {"delivered": 1}})

    assert counting.counters() == {(None, "q"): {"delivered": 1}}


def test_the_counters_of_a_queue_that_expires_are_deleted(counting: ControlDriver, clock: ManualClock) -> None:
    counting.add_counters({(None, "q", assigned(counting, "q")): {"published": 1}})
    counting.consumers_controller.set_lifetime("q", 10, from_now=True)

    clock.advance(11)
    assert counting.consumers_controller.expire("q") is True

    assert counting.counters() == {}


def test_the_counters_of_a_deleted_entry_are_deleted(counting: ControlDriver) -> None:
    catalogue = counting.catalogue_controller
    for remove in (partial(catalogue.delete, None, "q"), catalogue.drop_all):
        counting.add_counters({(None, "q", assigned(counting, "q")): {"published": 1}})

        remove()

        assert counting.counters() == {}
        assigned(counting, "q")
        assert counting.counters() == {}


def test_the_counters_outlive_another_assignment_and_the_driver(
    counting: ControlDriver, control_uri: str, clock: ManualClock
) -> None:
    catalogue, first = counting.catalogue_controller, assigned(counting, "q")
    counting.add_counters({(None, "q", first): {"published": 1}})
    second, _ = catalogue.assign(None, "q", "a", replaces=catalogue.find(None, "q"))
    with closing(drivers.open_control(control_uri, clock=clock)) as other:
        other.add_counters({(None, "q", first): {"acked": 1}, (None, "q", second.incarnation): {"published": 1}})

        assert other.counters() == {(None, "q"): {"published": 2}}
    assert counting.counters() == {(None, "q"): {"published": 2}}
