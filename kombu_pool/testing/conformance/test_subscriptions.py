"""Subscriptions of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import UNKNOWN_ID, page_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Project
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


class Subscriptions:
    """The subscriptions of one queue: every call of its controller, without the queue and the project."""

    def __init__(self, driver: DataDriver, queue: str, project: Project = None) -> None:
        self.controller = driver.subscription_controller
        self.queue, self.project = queue, project

    def __getattr__(self, method: str) -> Any:
        def call(*values: Any, **named: Any) -> Any:
            return getattr(self.controller, method)(self.queue, *values, project=self.project, **named)

        return call

    def create(self, subscriber: str = "http://a", ttl: float = 60, **options: Any) -> Any:
        return self.controller.create(self.queue, subscriber, ttl, options, project=self.project)

    def page(self, **named: Any) -> tuple[list[Any], Any]:
        return page_of(self.list(**named))

    def subscribers(self, **named: Any) -> list[str]:
        return [subscription["subscriber"] for subscription in self.page(**named)[0]]


@pytest.fixture
def subscriptions(queue: QueueHandle, driver: DataDriver) -> Subscriptions:
    return Subscriptions(driver, queue.name)


@pytest.fixture
def of_absent(driver: DataDriver) -> Subscriptions:
    return Subscriptions(driver, "absent")


def test_a_subscription_comes_back_as_it_was_made(subscriptions: Subscriptions, clock: ManualClock) -> None:
    made = subscriptions.create("http://a", 300, post_data="x", nested={"list": [1]})
    clock.advance(7)

    assert subscriptions.get(made) == {
        "id": made,
        "source": "queue",
        "subscriber": "http://a",
        "ttl": 300,
        "age": 7,
        "options": {"post_data": "x", "nested": {"list": [1]}},
        "confirmed": False,
    }


def test_a_subscription_is_found_by_its_subscriber(subscriptions: Subscriptions) -> None:
    made = subscriptions.create("http://a")
    subscriptions.create("http://b")

    assert subscriptions.get_with_subscriber("http://a")["id"] == made


def test_a_subscriber_has_one_subscription_a_queue(
    subscriptions: Subscriptions, driver: DataDriver, queues: MakeQueue
) -> None:
    other = Subscriptions(driver, queues("other").name)

    assert isinstance(subscriptions.create("http://a"), str)
    assert subscriptions.create("http://a") is None
    assert isinstance(other.create("http://a"), str)


def test_an_unknown_subscription_does_not_exist(subscriptions: Subscriptions) -> None:
    for unknown in (UNKNOWN_ID, "", "no id", "🐇", "9" * 40):
        assert not subscriptions.exists(unknown)
        subscriptions.delete(unknown)
        with pytest.raises(errors.SubscriptionDoesNotExist):
            subscriptions.get(unknown)
        with pytest.raises(errors.SubscriptionDoesNotExist):
            subscriptions.update(unknown, ttl=60)
        with pytest.raises(errors.SubscriptionDoesNotExist):
            subscriptions.confirm(unknown)


def test_an_unknown_subscriber_does_not_exist(subscriptions: Subscriptions) -> None:
    with pytest.raises(errors.SubscriptionDoesNotExist):
        subscriptions.get_with_subscriber("http://a")


def test_a_subscription_of_another_queue_does_not_exist(
    subscriptions: Subscriptions, driver: DataDriver, queues: MakeQueue
) -> None:
    made = subscriptions.create()
    other = Subscriptions(driver, queues("other").name)

    assert not other.exists(made)
    with pytest.raises(errors.SubscriptionDoesNotExist):
        other.get(made)
    other.delete(made)
    assert subscriptions.exists(made)


def test_an_expired_subscription_is_not_seen(subscriptions: Subscriptions, clock: ManualClock) -> None:
    made = subscriptions.create("http://a", 60)
    clock.advance(60)

    assert not subscriptions.exists(made)
    assert subscriptions.page()[0] == []
    with pytest.raises(errors.SubscriptionDoesNotExist):
        subscriptions.get(made)
    with pytest.raises(errors.SubscriptionDoesNotExist):
        subscriptions.get_with_subscriber("http://a")
    with pytest.raises(errors.SubscriptionDoesNotExist):
        subscriptions.update(made, ttl=60)
    with pytest.raises(errors.SubscriptionDoesNotExist):
        subscriptions.confirm(made)


def test_a_subscriber_may_come_back_after_its_subscription_expired(
    subscriptions: Subscriptions, clock: ManualClock
) -> None:
    old = subscriptions.create("http://a", 60)
    clock.advance(60)

    new = subscriptions.create("http://a", 60)

    assert new not in (None, old)


def test_confirming_marks_a_subscription(subscriptions: Subscriptions) -> None:
    made = subscriptions.create()

    subscriptions.confirm(made)
    assert subscriptions.get(made)["confirmed"] is True
    subscriptions.confirm(made, confirmed=False)
    assert subscriptions.get(made)["confirmed"] is False
    subscriptions.confirm(made, confirmed=True)
    assert subscriptions.get(made)["confirmed"] is True


def test_an_update_changes_what_it_names(subscriptions: Subscriptions) -> None:
    made = subscriptions.create("http://a", 60, x=1)

    subscriptions.update(made, subscriber="http://b")
    subscriptions.update(made, options={"y": 2})

    found = subscriptions.get(made)
    assert (found["subscriber"], found["ttl"], found["options"]) == ("http://b", 60, {"y": 2})


def test_a_new_ttl_counts_from_now(subscriptions: Subscriptions, clock: ManualClock) -> None:
    made = subscriptions.create(ttl=60)
    clock.advance(50)

    subscriptions.update(made, ttl=30)

    assert subscriptions.get(made)["ttl"] == 30
    clock.advance(29)
    assert subscriptions.exists(made)
    clock.advance(1)
    assert not subscriptions.exists(made)


def test_a_subscriber_cannot_take_the_place_of_another(subscriptions: Subscriptions) -> None:
    made = subscriptions.create("http://a")
    subscriptions.create("http://b")

    with pytest.raises(errors.SubscriptionAlreadyExists):
        subscriptions.update(made, subscriber="http://b", ttl=600)

    found = subscriptions.get(made)
    assert (found["subscriber"], found["ttl"]) == ("http://a", 60)


def test_a_subscriber_may_be_named_again(subscriptions: Subscriptions) -> None:
    made = subscriptions.create("http://a")

    subscriptions.update(made, subscriber="http://a", ttl=90)

    assert subscriptions.get(made)["ttl"] == 90


@pytest.mark.parametrize("changes", [{}, {"confirmed": True}, {"ttl": 60, "colour": "red"}])
def test_an_update_of_nothing_or_of_something_else_is_refused(
    subscriptions: Subscriptions, changes: dict[str, Any]
) -> None:
    made = subscriptions.create()

    with pytest.raises(errors.ConfigurationError):
        subscriptions.update(made, **changes)


def test_deleting_is_idempotent(subscriptions: Subscriptions) -> None:
    made = subscriptions.create()

    subscriptions.delete(made)
    subscriptions.delete(made)

    assert not subscriptions.exists(made)
    assert subscriptions.create() is not None


def test_pages_follow_each_other_to_the_end(subscriptions: Subscriptions) -> None:
    expected = {f"http://{number}" for number in range(12)}
    for subscriber in expected:
        subscriptions.create(subscriber)
    found, marker = [], None

    while True:
        page, marker = subscriptions.page(marker=marker, limit=5)
        if not page:
            break
        assert marker
        found += [subscription["subscriber"] for subscription in page]

    assert len(found) == 12
    assert set(found) == expected
    assert not marker


def test_a_list_ends_at_ten_unless_told_otherwise(subscriptions: Subscriptions) -> None:
    for number in range(12):
        subscriptions.create(f"http://{number}")

    assert len(subscriptions.subscribers()) == 10
    assert len(subscriptions.subscribers(limit=0)) == 12


def test_a_marker_outlives_the_subscription_that_it_names(subscriptions: Subscriptions) -> None:
    for subscriber in ("http://a", "http://b", "http://c"):
        subscriptions.create(subscriber)
    page, marker = subscriptions.page(limit=2)

    subscriptions.delete(page[1]["id"])

    assert len(subscriptions.subscribers(marker=marker)) == 1


def test_options_are_not_shared_with_the_caller(subscriptions: Subscriptions, driver: DataDriver) -> None:
    options = {"list": [1]}
    made = driver.subscription_controller.create("queue", "http://a", 60, options)
    options["list"].append(2)
    subscriptions.get(made)["options"]["list"].append(3)

    assert subscriptions.get(made)["options"] == {"list": [1]}


def test_an_absent_queue_has_nothing_to_list_or_delete(of_absent: Subscriptions) -> None:
    page, marker = of_absent.page()

    assert page == []
    assert not marker
    assert not of_absent.exists(UNKNOWN_ID)
    of_absent.delete(UNKNOWN_ID)


def test_no_subscription_to_an_absent_queue_exists(of_absent: Subscriptions) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: of_absent.get(UNKNOWN_ID),
        lambda: of_absent.get_with_subscriber("http://a"),
        lambda: of_absent.update(UNKNOWN_ID, ttl=60),
        lambda: of_absent.confirm(UNKNOWN_ID),
    ]
    for call in calls:
        with pytest.raises(errors.SubscriptionDoesNotExist):
            call()


def test_a_subscription_may_come_before_its_queue(of_absent: Subscriptions, driver: DataDriver) -> None:
    made = of_absent.create("http://a")

    of_absent.update(made, subscriber="http://b")
    of_absent.confirm(made)

    assert of_absent.create("http://b") is None
    assert of_absent.get_with_subscriber("http://b")["id"] == made
    assert of_absent.subscribers() == ["http://b"]
    assert not driver.queue_controller.exists("absent")
    assert driver.queue_controller.create("absent")
    assert of_absent.get(made)["confirmed"] is True
    of_absent.create("http://c")
    assert sorted(of_absent.subscribers()) == ["http://b", "http://c"]


def test_a_subscription_to_an_absent_queue_makes_no_queue(of_absent: Subscriptions, driver: DataDriver) -> None:
    of_absent.create("http://a")

    assert page_of(driver.queue_controller.list())[0] == []
    assert driver.queue_controller.calculate_resource_count() == 0
    with pytest.raises(errors.QueueDoesNotExist):
        driver.message_controller.post("absent", [{"ttl": 60, "body": 1}], None)


def test_a_subscription_to_an_absent_queue_can_expire_and_be_deleted(
    of_absent: Subscriptions, driver: DataDriver, clock: ManualClock
) -> None:
    made = of_absent.create("http://a", 10)
    deleted = of_absent.create("http://b", 0)
    kept = of_absent.create("http://c", 60)
    of_absent.delete(deleted)
    clock.advance(10)

    assert not of_absent.exists(made)
    assert driver.gc() >= 0
    assert of_absent.page()[0] == [of_absent.get(kept)]
    assert of_absent.create("http://a", 10) not in (None, made)


def test_the_deletion_of_an_absent_queue_ends_its_subscriptions(of_absent: Subscriptions, driver: DataDriver) -> None:
    of_absent.create("http://a", 0)

    driver.queue_controller.delete("absent")

    assert of_absent.page()[0] == []
    driver.queue_controller.create("absent")
    assert of_absent.page()[0] == []


def test_subscriptions_of_two_projects_stay_apart(driver: DataDriver, queues: MakeQueue) -> None:
    mine = Subscriptions(driver, queues("shared", "mine").name, "mine")
    theirs = Subscriptions(driver, queues("shared", "theirs").name, "theirs")
    made = mine.create("http://a")

    assert not theirs.exists(made)
    assert theirs.subscribers() == []
    assert theirs.create("http://a") is not None
