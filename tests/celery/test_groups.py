"""Groups: all tasks of a group are posted together."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType

import pytest
from amqp.exceptions import MessageNacked
from celery import Celery, chain, chord, group, signals
from kombu import Queue
from kombu.exceptions import EncodeError, OperationalError

from kombu_pool.transport import gather
from kombu_pool.transport.publish import celery_groups
from kombu_pool.transport.publish.buffer import PublishBuffer
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually


@contextmanager
def connected(signal, receiver):
    signal.connect(receiver, weak=False)
    yield
    signal.disconnect(receiver)


def numbers(site, count, **options):
    return group(site.signature("note", str(number), **options) for number in range(count))


def waiting(site) -> list[str]:
    """Consume the queued tasks, and return the first argument of each, in order."""
    with site.app.connection_for_read() as connection:
        channel = connection.default_channel
        return [message.payload[0][0] for message in iter(lambda: channel.basic_get("celery", no_ack=True), None)]


def test_the_first_task_of_a_group_goes_out_at_once_and_the_others_together(site, posts):
    numbers(site, 21).apply_async()

    assert posts.sizes == [("celery", 1), ("celery", 20)]
    assert waiting(site) == [str(number) for number in range(21)]


def test_each_queue_gets_its_share_in_one_post(site, posts):
    group(site.signature("note", "x", queue=queue) for queue in ("a", "b") * 10).apply_async()

    assert posts.sizes == [("a", 1), ("b", 10), ("a", 9)]


def test_a_large_group_goes_in_pieces(site, posts, monkeypatch):
    monkeypatch.setattr(PublishBuffer, "MAX_MESSAGES", 10)

    numbers(site, 25).apply_async()

    assert [size for _, size in posts.sizes] == [1, 10, 10, 4]
    assert waiting(site) == [str(number) for number in range(25)]


def test_large_tasks_go_in_smaller_pieces(site, posts, monkeypatch):
    monkeypatch.setattr(PublishBuffer, "MAX_BYTES", 1000)

    group(site.signature("note", "x" * 600) for _ in range(5)).apply_async()

    assert [size for _, size in posts.sizes] == [1, 2, 2]


def test_groups_and_what_is_made_of_them_have_their_results(site):
    add, total = site.app.tasks["add"], site.app.tasks["total"]
    site.lone_worker("--pool=threads", "--concurrency=2")

    sums = group(add.s(n, n) for n in range(5)).apply_async()
    chunks = add.chunks(zip(range(4), range(4), strict=True), 2).apply_async()
    nested = group(add.s(1, 1), chord([add.s(1, 2), add.s(3, 4)], total.s())).apply_async()
    chained = chain(add.s(1, 1), group(add.s(n) for n in range(3))).apply_async()
    late = group(add.s(n, 1) for n in range(2)).apply_async(countdown=0.2)

    assert site.answer(sums) == [0, 2, 4, 6, 8]
    assert site.answer(chunks) == [[0, 2], [4, 6]]
    assert site.answer(nested) == [2, 10]
    assert site.answer(chained) == [2, 3, 4]
    assert site.answer(late) == [1, 2]


def test_those_before_a_task_that_cannot_be_sent_were_sent(site, posts):
    tasks = [*numbers(site, 3).tasks, site.signature("note", object()), site.signature("note", "behind")]

    with pytest.raises(EncodeError):
        group(tasks).apply_async()

    assert posts.sizes == [("celery", 1), ("celery", 2)]


def test_a_full_queue_takes_what_fits(site, posts):
    arguments = {"x-max-length": 3, "x-overflow": "reject-publish"}
    site.app.conf.task_queues = [Queue("celery", queue_arguments=arguments)]

    with pytest.raises(MessageNacked):
        numbers(site, 5).apply_async()

    assert waiting(site) == ["0", "1", "2"]


def test_a_store_that_fails_is_tried_again(site, posts):
    numbers(site, 1).apply_async()
    posts.failing = 1

    numbers(site, 20).apply_async(retry_policy={"interval_start": 0})

    assert posts.sizes == [("celery", 1), ("celery", 20)]


def test_a_store_that_fails_half_way_gets_each_task_once(site, posts, monkeypatch):
    monkeypatch.setattr(PublishBuffer, "MAX_MESSAGES", 5)
    numbers(site, 1).apply_async()
    waiting(site)
    posts.failing = 2

    numbers(site, 12).apply_async()

    assert waiting(site) == [str(number) for number in range(12)]


@pytest.mark.parametrize("options", [{"retry": False}, {"retry_policy": {"max_retries": 1}}])
def test_a_store_that_stays_away_is_an_operational_error(site, posts, options):
    posts.failing = 10

    with pytest.raises(OperationalError, match="simulated failure"):
        numbers(site, 20).apply_async(**options)

    assert posts.sizes == []


def test_an_outage_is_an_operational_error(broker, tmp_path):
    site = Site(tmp_path, broker.short_timeout_url)
    numbers(site, 1).apply_async()

    with broker.outage(), pytest.raises(OperationalError, match=broker.outage_error):
        numbers(site, 20).apply_async(retry=False)

    site.close()


def test_tasks_announce_themselves_as_ever(site, posts):
    heard = []
    with (
        connected(signals.before_task_publish, lambda **_: heard.append("before")),
        connected(signals.after_task_publish, lambda **_: heard.append("after")),
    ):
        numbers(site, 2).apply_async()

    assert heard == ["before", "after"] * 2


def test_groups_go_task_by_task_where_somebody_wants_that(site, posts):
    site.app.conf.broker_transport_options = {"batch_groups": False}

    numbers(site, 3).apply_async()

    assert posts.sizes == [("celery", 1)] * 3


def test_a_single_task_is_sent_at_once_as_before(site, posts):
    site.send("note", "alone")

    assert posts.sizes == [("celery", 1)]


def test_an_eager_group_is_sent_nowhere(site, posts):
    site.app.conf.task_always_eager = True

    result = group(site.signature("add", n, n) for n in range(3)).apply_async()

    assert result.get(disable_sync_subtasks=False) == [0, 2, 4]
    assert posts.sizes == []


def test_rows_of_tasks_that_are_no_group_can_be_gathered_by_hand(site, posts):
    policy = site.app.conf.task_publish_retry_policy

    with site.app.producer_pool.acquire(block=True) as producer, gather(producer, policy):
        for number in range(5):
            site.app.tasks["note"].apply_async((str(number),), producer=producer)
        site.send("note", "over another connection")
        assert posts.sizes == [("celery", 1)]

    assert posts.sizes == [("celery", 1), ("celery", 5)]


def test_a_task_sends_a_group_too(site):
    site.app.conf.worker_send_task_events = False
    site.lone_worker("--pool=solo")

    result = chain(site.signature("add", 1, 2), group(site.signature("add", n) for n in range(20))).apply_async()

    assert site.answer(result) == [3 + n for n in range(20)]
    eventually(lambda: site.counts() == (0, 0))


def test_another_broker_gets_its_tasks_as_before(posts):
    app = Celery("other", broker="memory://", backend="cache+memory://", set_as_current=False)

    group(app.signature("nothing") for _ in range(3)).apply_async()

    with app.connection_for_read() as connection:
        assert connection.default_channel._size("celery") == 3
    assert posts.sizes == []


def test_a_celery_of_another_shape_is_left_alone(monkeypatch):
    class Group:
        def _apply_tasks(self, tasks, connection):
            yield

    canvas = ModuleType(celery_groups.CANVAS)
    canvas.group = Group
    before = Group._apply_tasks
    monkeypatch.setitem(sys.modules, celery_groups.CANVAS, canvas)

    celery_groups.install()

    assert Group._apply_tasks is before
