"""Queues of a data store and of a control store: metadata, listing and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import QueueHandle, page_of

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver, DataDriver, QueueController
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.stores import Store

METADATA = {"text": "ünï", "number": 1, "nested": {"list": [1, 2.5, None, True]}, "_default_message_ttl": 300}


def names(listing: Any) -> list[str]:
    return [item["name"] for item in page_of(listing)[0]]


@pytest.fixture
def controller(driver: DataDriver) -> QueueController:
    return driver.queue_controller


@pytest.fixture(params=["data", "control"])
def either(request: pytest.FixtureRequest, driver: DataDriver, control_store: Store | None) -> QueueController:
    """The queue controller of each plane: both promise the same, except for the messages."""
    plane: ControlDriver | DataDriver = driver if request.param == "data" else request.getfixturevalue("control")
    return plane.queue_controller


def test_creating_says_whether_the_queue_is_new(controller: QueueController) -> None:
    assert controller.create("q") is True
    assert controller.create("q") is False


def test_creating_again_leaves_the_metadata_as_it_is(controller: QueueController) -> None:
    controller.create("q", {"a": 1})

    controller.create("q", {"b": 2})

    assert controller.get("q") == {"a": 1}


def test_a_queue_without_metadata_has_empty_metadata(controller: QueueController) -> None:
    controller.create("q")

    assert controller.get("q") == {}


def test_metadata_comes_back_as_it_was_given(controller: QueueController) -> None:
    controller.create("q", METADATA)

    assert controller.get("q") == METADATA
    assert controller.get_metadata("q") == METADATA


def test_set_metadata_replaces_all_of_it(controller: QueueController) -> None:
    controller.create("q", {"a": 1, "b": 2})

    controller.set_metadata("q", {"b": 3})

    assert controller.get("q") == {"b": 3}


def test_metadata_is_not_shared_with_the_caller(controller: QueueController) -> None:
    given = {"list": [1]}
    controller.create("q", given)
    given["list"].append(2)
    controller.get("q")["list"].append(3)

    assert controller.get("q") == {"list": [1]}


@pytest.mark.parametrize("method", ["get", "get_metadata", "stats"])
def test_an_absent_queue_is_told_by_its_name_and_project(controller: QueueController, method: str) -> None:
    with pytest.raises(errors.QueueDoesNotExist) as raised:
        getattr(controller, method)("absent", project="p")

    assert (raised.value.queue, raised.value.project) == ("absent", "p")


def test_metadata_of_an_absent_queue_cannot_be_set(controller: QueueController) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        controller.set_metadata("absent", {"a": 1})

    assert not controller.exists("absent")


def test_a_queue_exists_from_its_creation_to_its_deletion(controller: QueueController) -> None:
    assert not controller.exists("q")

    controller.create("q")
    assert controller.exists("q")

    controller.delete("q")
    assert not controller.exists("q")


def test_deleting_is_idempotent(controller: QueueController) -> None:
    controller.create("q")

    controller.delete("q")
    controller.delete("q")
    controller.delete("never there")


def test_queues_are_counted_by_project(controller: QueueController) -> None:
    for name in ("a", "b"):
        controller.create(name, project="p")
    controller.create("a")

    assert controller.calculate_resource_count(project="p") == 2
    assert controller.calculate_resource_count() == 1
    assert controller.calculate_resource_count(project="other") == 0


def test_queues_are_listed_in_byte_order(controller: QueueController) -> None:
    for name in ("b", "a", "B", "10", "9", "é", "z"):
        controller.create(name)

    assert names(controller.list()) == ["10", "9", "B", "a", "b", "z", "é"]


def test_a_list_shows_metadata_only_when_detailed(controller: QueueController) -> None:
    controller.create("q", {"a": 1})

    assert page_of(controller.list())[0] == [{"name": "q"}]
    assert page_of(controller.list(detailed=True))[0] == [{"name": "q", "metadata": {"a": 1}}]


def test_a_list_knows_its_project_only(controller: QueueController) -> None:
    controller.create("mine", project="p")
    controller.create("global")

    assert names(controller.list(project="p")) == ["mine"]
    assert names(controller.list()) == ["global"]


def test_a_list_ends_at_ten_unless_told_otherwise(controller: QueueController) -> None:
    for number in range(12):
        controller.create(f"q{number:02}")

    assert len(names(controller.list())) == 10
    assert len(names(controller.list(limit=3))) == 3
    assert len(names(controller.list(limit=0))) == 12


def test_pages_follow_each_other_to_the_end(controller: QueueController) -> None:
    expected = [f"q{number:02}" for number in range(7)]
    for name in expected:
        controller.create(name)
    found, marker = [], None

    while True:
        page, marker = page_of(controller.list(marker=marker, limit=3))
        if not page:
            break
        assert marker
        found += [item["name"] for item in page]

    assert found == expected
    assert not marker


def test_a_marker_outlives_the_queue_that_it_names(controller: QueueController) -> None:
    for name in ("a", "b", "c"):
        controller.create(name)
    _, marker = page_of(controller.list(limit=2))

    controller.delete("b")

    assert names(controller.list(marker=marker)) == ["c"]


def test_kfilter_keeps_queues_with_these_values(either: QueueController) -> None:
    either.create("red", {"colour": "red", "size": 1})
    either.create("blue", {"colour": "blue", "size": 1})
    either.create("plain")

    assert names(either.list(kfilter={"colour": "red"})) == ["red"]
    assert names(either.list(kfilter={"size": 1})) == ["blue", "red"]
    assert names(either.list(kfilter={"size": 1, "colour": "green"})) == []


def test_name_keeps_queues_whose_name_contains_it(either: QueueController) -> None:
    for name in ("orders", "reorder", "ORDER", "or_der", "100%"):
        either.create(name)

    assert names(either.list(name="order")) == ["orders", "reorder"]
    assert names(either.list(name="_")) == ["or_der"]
    assert names(either.list(name="%")) == ["100%"]
    assert names(either.list(name=".*")) == []


def test_filters_come_before_the_limit(either: QueueController) -> None:
    for number in range(5):
        either.create(f"a{number}", {"odd": number % 2})

    assert names(either.list(kfilter={"odd": 1}, limit=2)) == ["a1", "a3"]
    assert names(either.list(name="4", limit=1)) == ["a4"]


def test_stats_count_messages_by_whether_they_are_claimed(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", "c")
    queue.post("later", delay=60)
    clock.advance(0)
    queue.claim(limit=1)

    stats = queue.stats()

    assert (stats["claimed"], stats["free"], stats["total"]) == (1, 3, 4)


def test_stats_of_an_empty_queue_name_no_messages(queue: QueueHandle) -> None:
    assert queue.stats() == {"claimed": 0, "free": 0, "total": 0}


def test_stats_name_the_oldest_and_the_newest(queue: QueueHandle, clock: ManualClock) -> None:
    (first,) = queue.post("a")
    clock.advance(5)
    queue.post("b")
    clock.advance(10)
    (last,) = queue.post("c")

    stats = queue.stats()

    assert stats["oldest"] == {"id": first, "age": 15, "created": "2023-11-14T22:13:20Z"}
    assert stats["newest"] == {"id": last, "age": 0, "created": "2023-11-14T22:13:35Z"}


def test_stats_forget_expired_messages(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("short", ttl=60)
    queue.post("long", ttl=600)
    clock.advance(60)

    assert queue.stats()["total"] == 1


def test_stats_forget_ended_claims(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    queue.claim(ttl=60)
    clock.advance(60)

    assert queue.stats()["claimed"] == 0
    assert queue.stats()["free"] == 1


def test_a_control_store_counts_no_messages(control: ControlDriver) -> None:
    control.queue_controller.create("q")

    assert control.queue_controller.stats("q") == {"messages": {"claimed": 0, "free": 0, "total": 0}}


def test_a_control_store_keeps_the_same_record_of_a_queue(control: ControlDriver) -> None:
    queues = control.queue_controller

    assert queues.create("q", METADATA, project="p") is True
    assert queues.create("q", {}, project="p") is False
    assert queues.get("q", project="p") == METADATA
    queues.set_metadata("q", {"a": 1}, project="p")
    assert queues.get_metadata("q", project="p") == {"a": 1}
    assert queues.exists("q", project="p")
    assert not queues.exists("q")
    assert queues.calculate_resource_count(project="p") == 1
    queues.delete("q", project="p")
    queues.delete("q", project="p")
    assert not queues.exists("q", project="p")


@pytest.mark.parametrize("method", ["get", "get_metadata", "stats"])
def test_a_control_store_tells_an_absent_queue(control: ControlDriver, method: str) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        getattr(control.queue_controller, method)("absent")


def test_a_control_store_sets_no_metadata_of_an_absent_queue(control: ControlDriver) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        control.queue_controller.set_metadata("absent", {})


def test_a_queue_created_again_is_empty(queue: QueueHandle) -> None:
    queue.post("a", "b")
    queue.drop()

    queue.create()

    assert queue.all() == []
    assert queue.stats()["total"] == 0


def test_a_claim_ends_with_its_queue(queue: QueueHandle) -> None:
    queue.post("a")
    held = queue.claim()
    queue.drop()
    queue.create()

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_ids_are_not_used_again_in_a_queue_created_again(leaf: Backend) -> None:
    queue = QueueHandle(leaf.driver, "queue", None)
    queue.create()
    (old,) = queue.post("old")
    queue.drop()
    queue.create()

    (new,) = queue.post("new")

    assert new != old
    assert queue.get_all([old]) == []


def test_subscriptions_end_with_their_queue(queue: QueueHandle, driver: DataDriver) -> None:
    driver.subscription_controller.create(queue.name, "http://a", 60, {})
    queue.drop()
    queue.create()

    assert page_of(driver.subscription_controller.list(queue.name))[0] == []
    assert driver.subscription_controller.create(queue.name, "http://a", 60, {}) is not None
