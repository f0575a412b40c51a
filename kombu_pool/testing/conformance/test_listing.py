"""Listings of messages: order, pages, markers and filters."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool.testing.handles import bodies

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.handles import QueueHandle


def pages(queue: QueueHandle, **options: Any) -> list[list[Any]]:
    """Return the bodies of every page, and check each marker."""
    found: list[list[Any]] = []
    marker = None
    while True:
        page, marker = queue.page(marker=marker, **options)
        if not page:
            assert not marker
            return found
        assert isinstance(marker, str)
        assert marker
        found.append(bodies(page))


def test_a_list_shows_the_free_messages_in_order(queue: QueueHandle) -> None:
    queue.post("a", "b")
    queue.post("urgent", priority=1)

    assert bodies(queue.page()[0]) == ["urgent", "a", "b"]


def test_an_empty_page_has_a_falsy_marker(queue: QueueHandle) -> None:
    page, marker = queue.page()

    assert page == []
    assert not marker


def test_an_absent_queue_lists_nothing(absent: QueueHandle) -> None:
    page, marker = absent.page()

    assert page == []
    assert not marker


def test_a_list_ends_at_ten_unless_told_otherwise(queue: QueueHandle) -> None:
    queue.post(*range(12))

    assert len(queue.page()[0]) == 10
    assert len(queue.page(limit=3)[0]) == 3
    assert len(queue.page(limit=0)[0]) == 12


def test_pages_follow_each_other_to_the_end(queue: QueueHandle) -> None:
    queue.post(*range(7))

    assert pages(queue, limit=3) == [[0, 1, 2], [3, 4, 5], [6]]


def test_pages_go_through_the_priorities(queue: QueueHandle) -> None:
    for priority in (0, 200, 10):
        queue.post(*(f"{priority}-{number}" for number in range(3)), priority=priority)

    assert sum(pages(queue, limit=2), []) == [f"{p}-{number}" for p in (200, 10, 0) for number in range(3)]  # noqa: RUF017


def test_a_page_that_ends_with_the_queue_has_a_marker_for_what_comes_later(queue: QueueHandle) -> None:
    queue.post("a")
    _, marker = queue.page()

    queue.post("b")

    assert bodies(queue.page(marker=marker)[0]) == ["b"]


def test_a_marker_outlives_the_message_that_it_names(queue: QueueHandle) -> None:
    posted = queue.post("a", "b", "c")
    _, marker = queue.page(limit=2)

    queue.delete_all(posted[:2])

    assert bodies(queue.page(marker=marker)[0]) == ["c"]


def test_the_marker_of_a_first_message_that_is_gone_does_not_start_over(queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    _, marker = queue.page(limit=1)
    queue.delete(posted[0])

    page, marker = queue.page(marker=marker, limit=1)

    assert bodies(page) == ["b"]
    assert queue.page(marker=marker, limit=1)[0] == []


@pytest.mark.parametrize("marker", ["unknown", "🐇", "' OR 1=1", "-1", "1.2.3", "{}"])
def test_an_unknown_marker_gives_an_empty_page(queue: QueueHandle, marker: str) -> None:
    queue.post("a")

    page, after = queue.page(marker=marker)

    assert page == []
    assert not after


def test_an_empty_marker_starts_at_the_beginning(queue: QueueHandle) -> None:
    queue.post("a")

    assert bodies(queue.page(marker="")[0]) == ["a"]
    assert bodies(queue.page(marker=None)[0]) == ["a"]


def test_own_messages_are_left_out(queue: QueueHandle) -> None:
    queue.post("mine", client="me")
    queue.post("theirs", client="them")
    queue.post("anonymous", client=None)

    assert bodies(queue.page(client_uuid="me")[0]) == ["theirs", "anonymous"]


def test_echo_shows_own_messages_too(queue: QueueHandle) -> None:
    queue.post("mine", client="me")
    queue.post("theirs", client="them")

    assert bodies(queue.page(client_uuid="me", echo=True)[0]) == ["mine", "theirs"]


def test_without_a_client_nothing_is_left_out(queue: QueueHandle) -> None:
    queue.post("of a client", client="me")
    queue.post("anonymous", client=None)

    assert bodies(queue.page(echo=False, client_uuid=None)[0]) == ["of a client", "anonymous"]


def test_a_client_is_known_by_its_text(queue: QueueHandle) -> None:
    client = uuid.uuid4()
    queue.post("mine", client=client)

    assert queue.page(client_uuid=client)[0] == []
    assert queue.page(client_uuid=str(client))[0] == []


def test_a_client_named_none_is_a_client(queue: QueueHandle) -> None:
    queue.post("anonymous", client=None)
    queue.post("of None", client="None")

    assert bodies(queue.page(client_uuid="None")[0]) == ["anonymous"]
    assert bodies(queue.page(client_uuid=None)[0]) == ["anonymous", "of None"]


def test_claimed_messages_are_shown_when_asked_for(queue: QueueHandle) -> None:
    queue.post("claimed", "free")
    queue.claim(limit=1)

    assert bodies(queue.page()[0]) == ["free"]
    assert bodies(queue.page(include_claimed=True)[0]) == ["claimed", "free"]


def test_delayed_messages_are_shown_when_asked_for(queue: QueueHandle) -> None:
    queue.post("delayed", delay=60)
    queue.post("free")

    assert bodies(queue.page()[0]) == ["free"]
    assert bodies(queue.page(include_delayed=True)[0]) == ["delayed", "free"]


def test_delayed_and_claimed_messages_are_asked_for_separately(queue: QueueHandle) -> None:
    queue.post("claimed")
    queue.claim()
    queue.post("delayed", delay=60)
    queue.post("free")

    assert bodies(queue.page(include_claimed=True)[0]) == ["claimed", "free"]
    assert bodies(queue.page(include_delayed=True)[0]) == ["delayed", "free"]
    assert bodies(queue.page(include_claimed=True, include_delayed=True)[0]) == ["claimed", "delayed", "free"]


def test_the_filters_come_before_the_limit(queue: QueueHandle) -> None:
    queue.post(*range(10))
    queue.claim(limit=8)
    queue.post("mine", client="me")
    queue.post("last")

    assert bodies(queue.page(limit=3, client_uuid="me")[0]) == [8, 9, "last"]


def test_pages_of_all_states_are_in_one_order(queue: QueueHandle) -> None:
    for number in range(9):
        queue.post(number, delay=60 if number % 3 == 1 else 0, priority=number // 5)
    queue.claim(limit=3)

    found = pages(queue, limit=2, include_claimed=True, include_delayed=True)

    assert [body for page in found for body in page] == [5, 6, 7, 8, 0, 1, 2, 3, 4]


def test_a_message_posted_while_paging_is_found_at_the_end(queue: QueueHandle) -> None:
    queue.post("a", "b")
    _, marker = queue.page(limit=1)
    queue.post("c")

    assert bodies(queue.page(marker=marker)[0]) == ["b", "c"]


def test_a_page_may_be_read_after_the_queue_has_changed(queue: QueueHandle, driver: DataDriver) -> None:
    queue.post("a", "b")
    listing = driver.message_controller.list(queue.name)
    page = next(listing)

    queue.purge()

    assert bodies(page) == ["a", "b"]
    assert next(listing)


def test_the_delayed_messages_are_listed_alone(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("later", delay=120)
    queue.post("claimed", "free")
    queue.claim(limit=1)
    queue.post("soon", delay=60)
    queue.post("expiring", delay=60, ttl=30)

    assert sorted(queue.delayed()) == ["expiring", "later", "soon"]
    assert len(queue.delayed(limit=2)) == 2
    clock.advance(61)
    assert queue.delayed() == ["later"]


def test_an_absent_queue_has_no_delayed_messages(absent: QueueHandle) -> None:
    assert absent.delayed() == []
