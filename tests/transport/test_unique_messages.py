"""The headers of unique messages."""

from __future__ import annotations

import pytest
from amqp.exceptions import PreconditionFailed
from celery import Celery

from kombu_pool.contrib.unique_tasks import apply_unique
from kombu_pool.transport import gather
from tests.support.celery.closing_pools import closing_pools
from tests.support.transport.traffic import declare, eventually, publish, take_all


def unique(name="u", **options):
    return {
        "headers": {"x-deduplication-id": name, **{f"x-deduplication-{key}": value for key, value in options.items()}}
    }


def test_a_second_message_is_dropped_until_the_first_is_taken(channel):
    declare(channel, "q")
    publish(channel, "q", "a", "b", **unique())
    publish(channel, "q", "c", **unique("other"))

    assert take_all(channel, "q") == ["a", "c"]
    publish(channel, "q", "d", **unique())
    assert take_all(channel, "q") == ["d"]


def test_unfinished_lasts_until_the_ack(channel):
    declare(channel, "q")
    publish(channel, "q", "a", **unique(scope="unfinished"))
    message = channel.basic_get("q")

    publish(channel, "q", "b", **unique(scope="unfinished"))
    assert channel.basic_get("q") is None
    channel.basic_reject(message.delivery_tag, requeue=True)
    publish(channel, "q", "c", **unique(scope="unfinished"))

    assert take_all(channel, "q") == ["a"]

    def stored():
        publish(channel, "q", "d", **unique(scope="unfinished"))
        return channel.basic_get("q")

    eventually(stored)


def test_the_last_one_replaces_the_others(channel):
    declare(channel, "q")
    publish(channel, "q", "a", "b", "c", **unique(conflict="replace"))

    assert take_all(channel, "q") == ["c"]


@pytest.mark.parametrize("seconds", [600, "600", 600.5])
def test_seconds_outlast_the_message(channel, seconds):
    declare(channel, "q")
    publish(channel, "q", "a", **unique(scope=seconds))
    assert take_all(channel, "q") == ["a"]

    publish(channel, "q", "b", **unique(scope=seconds, conflict="extend"))

    assert take_all(channel, "q") == []


@pytest.mark.parametrize(
    "headers",
    [
        unique(""),
        unique("x" * 256),
        unique(None),
        unique(5),
        unique(scope="ever"),
        unique(scope=0),
        unique(scope=-1),
        unique(scope="nan"),
        unique(scope=None),
        unique(conflict="keep"),
        unique(conflict=1),
    ],
    ids=str,
)
def test_an_invalid_header_is_refused(channel, headers):
    declare(channel, "q")

    with pytest.raises(PreconditionFailed, match="x-deduplication"):
        publish(channel, "q", "a", **headers)

    assert take_all(channel, "q") == []


@pytest.fixture
def task(url):
    with closing_pools(Celery(broker=url, backend="cache+memory://", set_as_current=False)) as app:

        @app.task(shared=False)
        def add(number):
            return number

        yield add


def test_the_result_is_that_of_the_task_that_is_there(task):
    first = apply_unique(task, (1,), unique_id="u", queue="q")
    second = apply_unique(task, (2,), unique_id="u", queue="q")
    other = apply_unique(task, (3,), unique_id="other", queue="q", headers={"x": 1})
    replacing = apply_unique(task, (4,), unique_id="u", conflict="replace", queue="q")

    assert second.id == first.id
    assert len({first.id, other.id, replacing.id}) == 3


def test_a_buffer_does_not_hold_a_unique_task_back(task, channel):
    declare(channel, "q")
    with task.app.connection_for_write() as connection:
        producer = connection.Producer()
        with gather(producer):
            before = task.apply_async((0,), queue="q", producer=producer)
            first = apply_unique(task, (1,), unique_id="u", queue="q", producer=producer)
            second = apply_unique(task, (2,), unique_id="u", queue="q", producer=producer)

    assert second.id == first.id
    assert [channel.basic_get("q", no_ack=True).headers["id"] for _ in "ab"] == [before.id, first.id]
    assert channel.basic_get("q") is None
