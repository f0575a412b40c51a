"""Input and options that a driver refuses, each by its value."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import drivers, errors
from kombu_pool.testing.handles import QueueHandle, ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import ClaimResult


class Unknown:
    pass


UNENCODABLE = [
    2**64,
    -(2**63) - 1,
    10**400,
    Unknown(),
    {"deep": [Unknown()]},
    "\ud800",
    dt.timezone.utc,
    lambda: None,
]


def with_query(uri: str, query: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


def good(body: Any = "good") -> dict[str, Any]:
    return {"ttl": 60, "body": body}


@pytest.mark.parametrize("body", UNENCODABLE, ids=lambda body: repr(body)[:20].encode("ascii", "replace").decode())
def test_a_body_that_cannot_be_encoded_is_refused(queue: QueueHandle, body: Any) -> None:
    with pytest.raises(errors.MessageNotEncodable) as raised:
        queue.post(body)

    assert raised.value.reason
    assert queue.all() == []


def test_a_body_that_holds_itself_is_refused(queue: QueueHandle) -> None:
    body: list[Any] = []
    body.append(body)

    with pytest.raises(errors.MessageNotEncodable):
        queue.post(body)


@pytest.mark.parametrize("message", [None, "text", b"bytes", 1, [], [("ttl", 60)], ("ttl", 60), {1}])
def test_a_message_is_a_dict(queue: QueueHandle, message: Any) -> None:
    with pytest.raises(errors.InvalidMessage):
        queue.post_raw([message])

    assert queue.all() == []


@pytest.mark.parametrize("priority", [-1, 256, 1.5, "9", 10**30, [1], float("nan")])
def test_a_priority_out_of_range_is_refused_by_its_value(queue: QueueHandle, priority: Any) -> None:
    with pytest.raises(errors.InvalidMessage) as raised:
        queue.post("a", priority=priority)

    assert repr(priority) in str(raised.value)
    assert "priority" in str(raised.value)
    assert queue.all() == []


@pytest.mark.parametrize("field", ["ttl", "delay"])
@pytest.mark.parametrize("value", [-1, -0.5, "60", [60], float("nan"), float("inf"), 10**400])
def test_a_duration_that_is_none_is_refused_by_its_value(queue: QueueHandle, field: str, value: Any) -> None:
    with pytest.raises(errors.InvalidMessage) as raised:
        queue.post_raw([{"ttl": 60, "body": "a", field: value}])

    assert repr(value) in str(raised.value)
    assert field in str(raised.value)
    assert queue.all() == []


@pytest.mark.parametrize(
    "bad",
    [None, {"ttl": -1, "body": "bad"}, {"ttl": 60, "body": Unknown()}, {"ttl": 60, "body": "bad", "priority": 999}],
)
def test_one_bad_message_stops_the_whole_post(queue: QueueHandle, bad: Any) -> None:
    with pytest.raises(errors.InvalidMessage):
        queue.post_raw([good(), bad, good()])

    assert queue.all() == []


def test_a_source_of_messages_that_fails_posts_nothing(queue: QueueHandle) -> None:
    def messages() -> Iterator[Any]:
        yield good()
        raise RuntimeError("the source dried up")

    with pytest.raises(RuntimeError, match="dried up"):
        queue.post_raw(messages())

    assert queue.all() == []


def test_an_invalid_message_is_a_value_error(queue: QueueHandle) -> None:
    with pytest.raises(ValueError, match="priority"):
        queue.post("a", priority=-1)


@pytest.mark.parametrize("metadata", [{"x": Unknown()}, {"x": 2**80}])
def test_metadata_that_cannot_be_stored_is_refused(driver: DataDriver, metadata: dict[str, Any]) -> None:
    with pytest.raises(errors.KombuPoolError):
        driver.queue_controller.create("q", metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        {
            "_default_message_ttl": "soon",
            "_default_message_delay": [1],
            "_max_claim_count": {},
            "_dead_letter_queue": 7,
        },
        {"_default_message_ttl": -1, "_default_message_delay": -1, "_max_claim_count": -1, "_dead_letter_queue": ""},
        {"_default_message_ttl": None, "_default_message_delay": None, "_max_claim_count": 0},
        {"_default_message_ttl": 0, "_default_message_delay": 0, "_max_claim_count": None, "_dead_letter_queue": None},
    ],
)
def test_metadata_that_cannot_be_meant_changes_nothing(
    queues: MakeQueue, clock: ManualClock, metadata: dict[str, Any]
) -> None:
    queue = queues("odd", **metadata)
    (message_id,) = queue.post("a")

    assert queue.get(message_id)["ttl"] == 0
    for _ in range(3):
        assert queue.claim(ttl=10).messages[0]["body"] == "a"
        clock.advance(10)


def open_with(leaf: Backend, **options: Any) -> DataDriver:
    return drivers.open_data(leaf.uri, clock=leaf.clock, options=options)


def test_a_message_longer_than_the_limit_is_refused_with_both_lengths(leaf: Backend) -> None:
    driver = open_with(leaf, max_message_size=100)
    queue = QueueHandle(driver, "queue", None)
    queue.create()

    with pytest.raises(errors.MessageTooLarge) as raised:
        queue.post(b"x" * 50, b"x" * 200)

    assert raised.value.limit == 100
    assert 200 < raised.value.size < 220
    assert queue.all() == []
    with pytest.raises(errors.MessageTooLarge):
        queue.post_raw([{"ttl": None, "body": b"", "record": b"x" * 101}])
    queue.post(b"x" * 90)
    driver.close()


def test_options_are_read_from_the_uri(leaf: Backend) -> None:
    driver = drivers.open_data(with_query(leaf.uri, "max_message_size=10"), clock=leaf.clock)
    queue = QueueHandle(driver, "queue", None)
    queue.create()

    with pytest.raises(errors.MessageTooLarge):
        queue.post("longer than ten bytes")
    driver.close()


def test_given_options_stand_above_those_of_the_uri(leaf: Backend) -> None:
    driver = drivers.open_data(
        with_query(leaf.uri, "max_message_size=10"), clock=leaf.clock, options={"max_message_size": 1000}
    )
    queue = QueueHandle(driver, "queue", None)
    queue.create()

    queue.post("longer than ten bytes")
    driver.close()


@pytest.mark.parametrize("options", [{"colour": "red"}, {"max_message_size": 0}, {"max_message_size": "huge"}])
def test_an_option_that_cannot_work_is_named(leaf: Backend, options: Any) -> None:
    (name,) = options

    with pytest.raises(errors.ConfigurationError, match=name):
        open_with(leaf, **options)


@pytest.mark.parametrize("query", ["colour=red", "max_message_size=-1", "max_message_size=1&max_message_size=2"])
def test_an_option_of_the_uri_that_cannot_work_is_named(leaf: Backend, query: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=query.partition("=")[0]):
        drivers.open_data(with_query(leaf.uri, query), clock=leaf.clock)


def test_a_control_store_refuses_unknown_options(control_uri: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="colour"):
        drivers.open_control(with_query(control_uri, "colour=red"))


CLAIMING: dict[str, Callable[[DataDriver, QueueHandle, ClaimResult, Any], object]] = {
    "create": lambda driver, queue, _, terms: driver.claim_controller.create(queue.name, terms, queue.project),
    "claim_by_id": lambda driver, queue, held, terms: driver.claim_controller.claim_by_id(
        queue.name, ids(held), terms, queue.project
    ),
    "ack_and_claim": lambda driver, queue, held, terms: driver.claim_controller.ack_and_claim(
        queue.name, [(held.messages[0]["id"], held.id)], terms, queue.project
    ),
    "update": lambda driver, queue, held, terms: driver.claim_controller.update(
        queue.name, held.id, terms, queue.project
    ),
    "renew": lambda driver, queue, held, terms: driver.claim_controller.renew(
        [(queue.project, queue.name, held.id)], terms
    ),
}


@pytest.mark.parametrize("call", CLAIMING)
@pytest.mark.parametrize("field", ["ttl", "grace"])
@pytest.mark.parametrize("value", [None, "x", True, float("nan"), float("inf"), -5, [60], 10**400])
def test_a_claim_of_nonsense_is_refused_before_anything_is_written(
    driver: DataDriver, queue: QueueHandle, call: str, field: str, value: Any
) -> None:
    queue.post("a", "b", "c")
    held = queue.claim(1)

    with pytest.raises(errors.InvalidClaim, match=field):
        CLAIMING[call](driver, queue, held, {"ttl": 60, "grace": 0, field: value})

    assert queue.claimed_by(held) == ["a"]
    assert queue.free() == ["b", "c"]


@pytest.mark.parametrize("terms", [None, {}, {"ttl": 60}, [60, 0], {"ttl": 60, "grace": 0, "holder": 5}])
def test_the_metadata_of_a_claim_have_their_form(driver: DataDriver, queue: QueueHandle, terms: Any) -> None:
    queue.post("a")

    with pytest.raises(errors.InvalidClaim):
        driver.claim_controller.create(queue.name, terms, queue.project)

    assert queue.free() == ["a"]
