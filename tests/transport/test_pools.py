"""Many pools behind one connection: the assignment of queues, and what an outage of one pool does not concern."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

import pytest
from kombu.exceptions import OperationalError

from kombu_pool import drivers, errors
from kombu_pool.transport.consume.claiming import Claimer
from kombu_pool.transport.consume.fetcher import Fetcher
from kombu_pool.transport.consume.scheduler import Scheduler
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.transport.pool_outages import Outages
from tests.support.transport.traffic import Inbox, consume, count, declare, eventually, publish, take_all

#: Bound of a call to a pool that is away, in seconds.
SOON = 5.0
RETRY = {"max_retries": 3, "interval_start": 0.01, "interval_step": 0.01}


@pytest.fixture
def pools(store, tmp_path):
    """The URIs of the pools a and b."""
    return {name: store.uri(tmp_path) for name in ("a", "b")}


def left(uri, queue):
    """Count the messages of a queue in a store, claimed ones too."""
    driver = drivers.open_data(uri)
    try:
        return driver.queue_controller.stats(queue)["messages"]["total"]
    finally:
        driver.close()


@pytest.fixture
def outages(monkeypatch, pools):
    return Outages(monkeypatch, pools)


@pytest.fixture
def options(pools, outages):
    return {
        "pools": [
            {"name": "a", "uri": pools["a"], "weight": 100},
            {"name": "b", "uri": pools["b"], "weight": 100, "flavor": "fast"},
        ],
        "flavors": [{"name": "fast"}],
        "queue_flavors": {"fast.*": "fast", "exactly": "fast"},
    }


@pytest.fixture
def channel(connect, options):
    return connect(**options).channel()


def stored(uri, queue):
    """Count the messages of a queue in a store, without routing."""
    driver = drivers.open_data(uri)
    try:
        return driver.message_controller.count(queue)
    finally:
        driver.close()


def test_queues_land_in_the_pools_of_their_flavor(channel, pools):
    declare(channel, "plain", "fast.one", "exactly")
    for queue in ("plain", "fast.one", "exactly"):
        publish(channel, queue, "x")

    assert [stored(pools["a"], queue) for queue in ("plain", "fast.one", "exactly")] == [1, 0, 0]
    assert [stored(pools["b"], queue) for queue in ("plain", "fast.one", "exactly")] == [0, 1, 1]


def test_a_queue_may_name_its_flavor(channel, pools):
    declare(channel, "q", arguments={"x-pool-flavor": "fast"})

    publish(channel, "q", "x")

    assert (stored(pools["a"], "q"), stored(pools["b"], "q")) == (0, 1)


def test_messages_are_where_the_catalogue_says(channel, connect, options, pools):
    catalog = connect(**options).connection.broker.data.catalog
    for number in range(10):
        declare(channel, f"q{number}", arguments={"x-pool-flavor": "fast"} if number % 2 else {})
        publish(channel, f"q{number}", "x")

    for number in range(10):
        assert stored(pools[catalog.pool_of(f"q{number}")], f"q{number}") == 1


def test_one_connection_consumes_from_many_pools(channel):
    declare(channel, "plain", "fast.one")
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue, callback=inbox)

    publish(channel, "plain", "a")
    publish(channel, "fast.one", "b")

    inbox.wait_for(2)
    assert sorted(inbox.bodies) == ["a", "b"]


def test_a_fanout_reaches_queues_in_all_pools(channel):
    for queue in ("plain", "fast.one"):
        declare(channel, queue)
        channel.queue_bind(queue, "amq.fanout")

    publish(channel, "", "x", exchange="amq.fanout")

    assert [take_all(channel, queue) for queue in ("plain", "fast.one")] == [["x"], ["x"]]


def test_a_connection_without_the_pools_options_finds_the_queues_all_the_same(channel, connect):
    declare(channel, "fast.one")
    publish(channel, "fast.one", "x")

    assert take_all(connect().channel(), "fast.one") == ["x"]


def test_what_is_set_aside_in_one_pool_can_be_consumed(channel, store, pools):
    declare(channel, "fast.one")
    publish(channel, "fast.one", "broken", "behind")
    store.corrupt_first(pools["b"], "fast.one")

    assert take_all(channel, "fast.one") == ["behind"]

    assert count(channel, "kombu_pool.unreadable") == 1


def test_deleting_a_queue_frees_its_name_for_another_pool(channel, pools):
    declare(channel, "q")
    publish(channel, "q", "old")
    channel.queue_delete("q")

    declare(channel, "q", arguments={"x-pool-flavor": "fast"})
    publish(channel, "q", "new")

    assert (stored(pools["a"], "q"), stored(pools["b"], "q")) == (0, 1)


@pytest.fixture
def fast(outages, channel):
    """The pool b, with the queue fast.one in it; the queue plain is in the other one."""
    declare(channel, "plain", "fast.one")
    return outages


def test_a_pool_that_fails_is_named_and_the_others_go_on(channel, fast):
    fast.switch_off("b")

    with pytest.raises(errors.PoolUnavailable, match="'b'") as caught:
        publish(channel, "fast.one", "x")
    publish(channel, "plain", "y")

    assert isinstance(caught.value, channel.connection.client.connection_errors)
    assert take_all(channel, "plain") == ["y"]


def test_consuming_goes_on_from_the_pools_that_answer(channel, fast):
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue, callback=inbox)
    fast.switch_off("b")

    publish(channel, "plain", "y")
    inbox.wait_for(1)
    inbox.expect_no_more()

    assert inbox.bodies == ["y"]


def test_consuming_from_a_pool_goes_on_when_it_answers_again(channel, fast):
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue, callback=inbox)
    fast.switch_off("b")
    publish(channel, "plain", "y")
    inbox.wait_for(1)
    inbox.expect_no_more()

    fast.switch_on("b")
    publish(channel, "fast.one", "x")

    assert inbox.wait_for(2)[1].payload == "x"


def test_the_connection_fails_when_none_of_its_pools_answers(channel, fast, monkeypatch):
    # A store that is switched off sends no wake-up, unlike one that breaks.
    monkeypatch.setattr(Scheduler, "MAX_WAIT", 0.5)
    inbox = consume(channel, "fast.one")
    inbox.expect_no_more()
    fast.switch_off("b")
    channel.basic_qos(prefetch_count=5)

    with pytest.raises(channel.connection.client.connection_errors):
        channel.connection.client.drain_events(timeout=LIMIT)


def test_publishing_to_a_pool_that_is_away_ends_in_a_clear_error_and_not_in_waiting(channel, fast):
    fast.switch_off("b", "unplugged")

    def publish_in_vain():
        producer = channel.connection.client.Producer()
        with pytest.raises(OperationalError, match="'b' is unreachable: unplugged"):
            producer.publish("a", routing_key="fast.one", retry=True, retry_policy=RETRY)

    assert best_of(lambda: seconds_of(publish_in_vain), SOON) < SOON


def test_a_publish_that_is_tried_again_gets_through_when_the_pool_answers(channel, fast):
    fast.switch_off("b")
    producer = channel.connection.client.Producer()

    def answers_again(error, interval):
        if fast.is_down(fast.uri("b")):
            fast.switch_on("b")

    producer.publish("a", routing_key="fast.one", retry=True, retry_policy={**RETRY, "errback": answers_again})

    assert take_all(producer.channel, "fast.one") == ["a"]


def test_a_publish_is_tried_again_as_often_as_its_policy_says_but_not_without_a_pause(channel, fast):
    fast.switch_off("b")
    producer, tries = channel.connection.client.Producer(), []

    def answers_at_last(error, interval):
        tries.append(time.monotonic())
        if len(tries) == 3:
            fast.switch_on("b")

    producer.publish("a", routing_key="fast.one", retry=True, retry_policy={**RETRY, "errback": answers_at_last})

    assert take_all(producer.channel, "fast.one") == ["a"]
    assert tries[2] - tries[0] > 0.1


def test_acknowledgements_wait_for_a_pool_that_is_away_and_hold_up_no_others(channel, fast, pools, caplog):
    caplog.set_level(logging.INFO)
    publish(channel, "plain", "a")
    publish(channel, "fast.one", "b")
    messages = [channel.basic_get(queue) for queue in ("fast.one", "plain")]
    fast.switch_off("b")

    for message in messages:
        message.ack()

    eventually(lambda: left(pools["a"], "plain") == 0)
    eventually(lambda: "not sent yet" in caplog.text)
    assert left(pools["b"], "fast.one") == 1
    fast.switch_on("b")
    eventually(lambda: left(pools["b"], "fast.one") == 0)


def test_a_claim_outlives_an_outage_that_is_shorter_than_it(connect, options, fast, caplog):
    caplog.set_level(logging.INFO)
    channel = connect(**options, claim_ttl=3.0).channel()
    publish(channel, "fast.one", "a")
    message = channel.basic_get("fast.one")
    fast.switch_off("b")
    eventually(lambda: "is not renewed yet" in caplog.text)
    fast.switch_on("b")

    inbox = consume(connect(ack_delay=0.003).channel(), "fast.one")
    with pytest.raises(TimeoutError):
        inbox.wait_for(1, limit=4.0)

    message.ack()


def test_a_connection_closes_in_time_though_its_pool_is_away(connect, options, fast):
    def close():
        channel = connect(**options).channel()
        publish(channel, "fast.one", "a", "b")
        consume(channel, "fast.one").wait_for(1)[0].ack()
        fast.switch_off("b")
        seconds = seconds_of(channel.connection.client.release)
        fast.switch_on("b")
        return seconds

    assert best_of(close, SOON) < SOON


@pytest.fixture(params=[1, 4])
def contended(channel, fast, request, caplog):
    """The inbox of a consumer whose slots a long queue of pool a fills, while the queue of pool b has a message."""
    caplog.set_level(logging.INFO, "kombu_pool")
    channel.basic_qos(prefetch_count=request.param)
    publish(channel, "plain", *range(100))
    inbox = Inbox(channel.connection.client)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue, callback=inbox)
    inbox.wait_for(request.param)
    publish(channel, "fast.one", "late")
    scheduler = channel.connection.dispatcher.scheduler
    eventually(lambda: "fast.one" in {one.queue for one in scheduler.served() if one.empty_until < 0})
    return inbox


def test_a_pool_that_stays_away_is_told_of_once(contended, fast, caplog):
    fast.switch_off("b")
    for number in range(100):
        contended.wait_for(number + 1)[number].ack()
    fast.switch_on("b")
    contended.wait_for(101)

    assert contended.bodies == [*range(100), "late"]
    eventually(lambda: "'b' is reachable again" in caplog.text)
    assert caplog.text.count("'b' is unreachable") == 1


def test_a_pool_that_stays_away_is_asked_ever_more_seldom_until_it_answers(contended, fast, monkeypatch):
    pauses, genuine = [], Fetcher._pause

    def pause(fetcher, seconds):
        if fetcher.place.pool == "b":
            pauses.append(seconds)
        genuine(fetcher, seconds)

    monkeypatch.setattr(Fetcher, "_pause", pause)
    fast.switch_off("b")
    for number in range(100):
        # Slots are offered to pool b meanwhile, also while it has nothing to claim.
        contended.wait_for(number + 1)[number].ack()
        time.sleep(0.01)
    eventually(lambda: len(pauses) >= 4)
    fast.switch_on("b")
    contended.wait_for(101)[100].ack()
    told = len(pauses)
    fast.switch_off("b")
    eventually(lambda: len(pauses) > told)
    fast.switch_on("b")

    assert pauses[:told] == [min(0.1 * 2**number, 1.0) for number in range(told)]
    assert pauses[told] == 0.1


def test_a_pool_that_cannot_be_told_what_is_done_is_named_though_it_is_anothers_turn(contended, fast, caplog):
    fast.switch_off("a")
    for message in contended.messages:
        message.ack()

    eventually(lambda: "'a' is unreachable" in caplog.text)

    fast.switch_on("a")
    while "late" not in contended.bodies:
        contended.wait_for(len(contended.messages) + 1)[-1].ack()


@pytest.mark.usefixtures("long_waits")
@pytest.mark.parametrize("limit", [1, 2, 4, 10])
def test_what_one_pool_leaves_of_a_channels_limit_is_heard_of_by_the_other(channel, limit):
    declare(channel, "plain", "fast.one")
    for queue in ("plain", "fast.one"):
        publish(channel, queue, *range(40))
    channel.basic_qos(prefetch_count=limit)
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue, callback=inbox)

    inbox.wait_for(80)

    assert sorted(inbox.bodies) == sorted([*range(40)] * 2)


@pytest.mark.parametrize("limit", [1, 4])
def test_the_claims_of_two_pools_at_one_time_keep_to_their_channels_limit(channel, monkeypatch, limit):
    declare(channel, "plain", "fast.one")
    for queue in ("plain", "fast.one"):
        publish(channel, queue, *range(10))
    channel.basic_qos(prefetch_count=limit)
    meeting = threading.Barrier(2)
    genuine = Claimer.claim

    def claim(*arguments):
        with suppress(threading.BrokenBarrierError):
            meeting.wait(timeout=0.25)
        return genuine(*arguments)

    monkeypatch.setattr(Claimer, "claim", claim)
    # Longer than a claim takes on a busy machine.
    monkeypatch.setattr(Scheduler, "RESERVATION_TTL", LIMIT)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue)

    eventually(lambda: channel.qos.outstanding() >= limit)
    served = channel.connection.dispatcher.scheduler.served()
    eventually(lambda: all(consumers.grant is None for consumers in served))
    assert channel.qos.outstanding() == limit
