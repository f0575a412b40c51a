"""The types of the values in a body: a read returns them as they were posted."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import OrderedDict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import codec, errors
from kombu_pool.testing.handles import bodies

if TYPE_CHECKING:
    from kombu_pool.testing.handles import QueueHandle

EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
KEPT = [
    dt.datetime(2026, 3, 29, 1, 30, 0, 123456),  # noqa: DTZ001 - naive on purpose
    dt.datetime(2026, 3, 29, 1, 30, tzinfo=EAST),
    dt.datetime(1, 1, 1),  # noqa: DTZ001 - naive on purpose
    dt.datetime.max.replace(tzinfo=dt.timezone.utc),
    dt.date(2026, 3, 29),
    Decimal("1.50"),
    Decimal("-1E-400"),
    uuid.UUID(int=7),
    b"\x00\xff",
    "text",
    7,
    2.5,
    True,
    None,
]
REFUSED = [{1, 2}, frozenset((1,)), dt.timedelta(1), dt.time(1), 1j, bytearray(b"a"), range(3)]


@pytest.mark.parametrize("value", KEPT, ids=repr)
def test_a_value_keeps_its_type(queue: QueueHandle, value: Any) -> None:
    body = {"alone": value, "nested": [{"deep": value}]}
    queue.post(body)

    (got,) = bodies(queue.claim())

    assert got == body
    assert [type(got["alone"]), type(got["nested"][0]["deep"])] == [type(value)] * 2
    assert repr(got["alone"]) == repr(value)


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_a_value_that_would_change_its_type_is_refused_by_its_place(queue: QueueHandle, value: Any) -> None:
    with pytest.raises(errors.MessageNotEncodable) as raised:
        queue.post({"list": ["a", {"odd": value}]})

    assert "body['list'][1]['odd'] is of type " in str(raised.value)
    assert type(value).__name__ in str(raised.value)
    assert queue.all() == []


def test_a_key_that_would_change_its_type_is_refused(queue: QueueHandle) -> None:
    with pytest.raises(errors.MessageNotEncodable, match=r"type datetime\.date"):
        queue.post({dt.date(2026, 3, 29): 1})


def test_subclasses_of_the_types_of_json_count_as_those(queue: QueueHandle) -> None:
    queue.post(OrderedDict(pair=(1, dt.date(2026, 3, 29))))

    assert bodies(queue.claim()) == [{"pair": [1, dt.date(2026, 3, 29)]}]


def test_a_dead_letter_keeps_the_types_of_its_body(origin: QueueHandle, dlq: QueueHandle) -> None:
    origin.post({"when": KEPT[0], "price": Decimal("1.50")})
    origin.reject(origin.claim())

    assert dlq.free() == [{"when": KEPT[0], "price": Decimal("1.50")}]


def test_a_record_that_was_encoded_before_is_stored_for_its_body(queue: QueueHandle) -> None:
    body = {"day": dt.date(2026, 3, 29)}
    record = codec.encode(body, 1000)
    body["day"] = dt.date(2026, 3, 30)

    queue.post_raw([{"ttl": None, "body": body, "record": record}])

    assert bodies(queue.claim()) == [{"day": dt.date(2026, 3, 29)}]


@pytest.mark.parametrize("record", ["text", 7, bytearray(b"\x01")])
def test_a_record_of_another_type_is_refused(queue: QueueHandle, record: Any) -> None:
    with pytest.raises(errors.InvalidMessage, match="record"):
        queue.post_raw([{"ttl": None, "body": 1, "record": record}])

    assert queue.all() == []
