"""Which consumers of a connection claim next, and how many messages: what the scheduler decides, without a store."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from kombu_pool.transport.consume.consumers import Grant
from kombu_pool.transport.consume.scheduler import Scheduler
from tests.support.transport.scheduling import FAR, LIMIT, Setup, ack, settle


@pytest.fixture
def setup():
    return Setup()


@pytest.fixture
def two():
    """Two places whose consumers share a window."""
    return Setup(places=("a", "b"))


def test_the_queue_that_was_served_longest_ago_comes_next(setup):
    for queue in "xyz":
        setup.consume(queue)

    served = []
    for _ in range(6):
        (queue, _), lease = setup.claim()
        served.append(queue)
        settle(lease)

    assert served == [*"xyzxyz"]


@pytest.mark.parametrize(("order", "expected"), [("priority", "zxy"), ("sorted", "xyz"), ("round_robin", "zxy")])
def test_the_order_of_queues_is_what_the_option_says(order, expected):
    setup = Setup(order)
    for queue in "zxy":
        setup.consume(queue)

    served = []
    for _ in range(3):
        (queue, _), lease = setup.claim()
        settle(lease)
        grant = setup.next() if order != "round_robin" else None
        assert grant is None or grant.consumers.queue == queue, "the first queue comes first until it is empty"
        if grant is not None:
            setup.scheduler.done(grant, 0)
        served.append(queue)

    assert served == [*expected]


def test_queues_get_as_many_messages_as_the_others_though_their_claims_differ(two):
    two.consume("x")
    two.consume("y", place="b")
    got = {"x": 0, "y": 0}
    for _ in range(40):
        # There is seldom more than one slot for the second one.
        for place, most in ("a", 4), ("b", 1):
            grant = two.next(place)
            if isinstance(grant, Grant):
                lease = two.lease(grant.consumers, min(most, grant.slots))
                got[grant.consumers.queue] += lease.unsettled
                two.scheduler.done(grant, lease.unsettled)
                settle(lease)

    assert abs(got["x"] - got["y"]) <= LIMIT


def test_a_claim_takes_the_free_slots_and_no_more_than_is_read_ahead(setup):
    setup.consume("q")
    assert setup.claim(came=1)[0] == ("q", 4)
    assert setup.claim()[0] == ("q", 3)
    assert setup.next().is_full

    large = Setup()
    large.consume("q", window=large.new_window(limit=100, read_ahead=10))
    assert large.claim()[0] == ("q", 10)


def test_a_slot_is_free_when_the_store_knows_or_with_the_claim_that_tells_it(setup):
    setup.consume("q")
    _, lease = setup.claim()
    ack(lease, 2)

    grant = setup.next()

    assert (grant.slots, grant.freed_by_ack) == (2, 2)


def test_few_slots_are_left_until_they_are_worth_a_claim(setup):
    setup.consume("q")
    _, lease = setup.claim()
    ack(lease, 1)

    pause = setup.next(leave_few=True)
    assert pause.lingers
    assert setup.window.is_awaited
    setup.window.acknowledged()
    assert setup.woken == ["a"]
    ack(lease, 1)

    assert setup.next(leave_few=True).slots == 2


def test_an_empty_queue_is_left_alone_until_its_watch_reports_something(setup):
    setup.consume("q")
    setup.claim(came=0)

    assert setup.next().empty == {"q"}
    setup.scheduler.watching(setup.places["a"], frozenset({"q"}))
    assert setup.next().empty == {"q"}
    setup.scheduler.woken(setup.places["a"])

    assert isinstance(setup.next(), Grant)


def test_a_watch_that_names_a_queue_leaves_the_others_alone(setup):
    for queue in ("q", "other"):
        setup.consume(queue)
        setup.claim(came=0)
    setup.scheduler.watching(setup.places["a"], frozenset({"q", "other"}))

    setup.scheduler.woken(setup.places["a"], {"q"})

    assert setup.next().consumers.queue == "q"
    assert setup.next().empty == {"other"}


def test_a_queue_that_no_watch_named_is_claimed_from_again_if_no_watch_follows(setup, monkeypatch):
    for queue in ("q", "other"):
        setup.consume(queue)
        setup.claim(came=0)
    setup.scheduler.watching(setup.places["a"], frozenset({"q", "other"}))
    monkeypatch.setattr(setup.scheduler, "EMPTY_TTL", 0.0)

    setup.scheduler.woken(setup.places["a"], {"q"})

    assert [setup.claim(came=0)[0][0] for _ in range(2)] == ["q", "other"]


def test_a_watch_that_timed_out_shows_that_all_queues_are_empty(setup):
    setup.consume("q")
    setup.claim(came=0)
    setup.scheduler.watching(setup.places["a"], frozenset({"q"}))

    setup.scheduler.woken(setup.places["a"], set())

    assert setup.next().empty == {"q"}


def test_a_pass_over_many_queues_of_a_slow_store_comes_to_an_end(setup, monkeypatch):
    monkeypatch.setattr(Scheduler, "EMPTY_TTL", 0.0)
    for queue in "xyz":
        setup.consume(queue)
    since = time.monotonic()

    for _ in range(3):
        setup.claim(came=0, since=since)

    assert setup.next(since=since).empty == {*"xyz"}
    assert isinstance(setup.next(), Grant)


def test_a_claim_that_began_before_a_wake_up_does_not_show_that_a_queue_is_empty(setup):
    setup.consume("q")
    grant = setup.next()
    setup.scheduler.woken(setup.places["a"])

    setup.scheduler.done(grant, 0)

    assert isinstance(setup.next(), Grant)


def test_two_claims_at_once_share_the_window(two):
    first, second = two.consume("x"), two.consume("y", place="b")
    two.window.read_ahead = 3
    grant = two.next("a")
    assert (grant.consumers, grant.slots) == (first, 3)

    other = two.next("b")

    assert (other.consumers, other.slots) == (second, 1)


def test_slots_go_to_who_waits_for_longest_though_that_is_another_place(two):
    two.consume("x")
    two.consume("y", place="b")
    _, lease = two.claim("a")
    settle(lease)
    two.woken.clear()

    assert two.next("a").is_full
    assert two.woken == ["b"]
    assert two.claim("b")[0] == ("y", 4)


def test_who_is_behind_sends_what_is_acknowledged_for_the_others_slots(two):
    two.consume("x")
    two.consume("y", place="b")
    _, lease = two.claim("a")
    ack(lease, 1)

    grant = two.next("a")

    assert (grant.slots, grant.leases) == (0, [lease])
    assert two.next("b").is_full
    settle(lease)
    two.scheduler.done(grant, None)
    assert "b" in two.woken
    assert two.next("b").slots == 4


def test_acknowledgements_of_other_queues_of_a_place_are_sent_before_a_claim(setup):
    setup.consume("x")
    setup.consume("y")
    _, lease = setup.claim()
    ack(lease, 4)

    grant = setup.next()

    assert (grant.consumers.queue, grant.slots, grant.leases) == ("y", 0, [lease])


@pytest.mark.parametrize("reason", ["failing", "asks not", "empty", "cancelled", "no_ack", "paused", "claiming"])
def test_no_consumer_waits_for_a_place_that_takes_no_slots(two, monkeypatch, reason):
    two.consume("x")
    other = two.consume("y", place="b", no_ack=reason == "no_ack")
    _, lease = two.claim("a")
    settle(lease)
    if reason == "failing":
        two.places["b"].failure = ConnectionError()
    elif reason == "asks not":
        assert two.next("a").is_full
        monkeypatch.setattr(Scheduler, "RESERVATION_TTL", 0.0)
    elif reason == "empty":
        two.claim("b", came=0)
    elif reason == "cancelled":
        two.scheduler.remove(other)
    elif reason == "paused":
        other.window = two.new_window()
    elif reason == "claiming":
        grant = two.next("b")
        two.window.reserved[grant] = 1, FAR

    assert two.next("a").slots == (3 if reason == "claiming" else 4)


def test_slots_are_not_kept_for_a_claim_that_does_not_return(two, monkeypatch):
    two.consume("x")
    two.consume("y", place="b")
    two.next("a")
    assert two.next("b").is_full

    monkeypatch.setattr(Scheduler, "RESERVATION_TTL", 0.0)

    assert two.next("b").slots == LIMIT


def test_a_claim_that_was_broken_off_is_over(setup):
    setup.consume("q")
    setup.next()
    assert not isinstance(setup.next(), Grant)

    setup.scheduler.give_up()

    assert isinstance(setup.next(), Grant)


def test_consumers_without_a_limit_claim_once_half_of_what_is_read_ahead_is_delivered(setup):
    consumers = setup.consume("q", window=setup.new_window(limit=0, read_ahead=10))
    consumers.claimed = 6
    assert setup.next().is_full

    consumers.delivered = 1

    assert setup.next().slots == 5


def test_a_consumer_without_acknowledgements_needs_no_slot(setup):
    setup.consume("q")
    setup.claim()

    setup.consume("news", no_ack=True)

    assert setup.next().slots == 256


def test_of_a_control_queue_nothing_else_is_asked_when_it_comes_first(setup):
    setup.consume("tasks")
    setup.consume("news", no_ack=True, in_control_queue=True)

    assert setup.next(only_control=True).consumers.queue == "news"
    assert not isinstance(setup.next(only_control=True), Grant)


def test_consumers_of_a_lower_priority_get_what_the_others_have_no_slots_for(setup):
    high = setup.consume("q", window=setup.new_window(), priority=5)
    low = setup.consume("q", window=setup.new_window(), priority=1)
    low.finish_tag, high.finish_tag = 1, 2

    (_, lease) = setup.claim()
    assert high.window.leases == {lease}
    grant = setup.next()
    assert grant.consumers is low
    setup.scheduler.done(grant, None)
    settle(lease)
    grant = setup.next()
    assert grant.consumers is high
    setup.scheduler.done(grant, 0)
    assert not isinstance(setup.next(), Grant), "the queue is empty for both"


def test_a_lower_priority_waits_for_the_claim_of_a_higher_one(setup):
    setup.consume("q", window=setup.new_window(), priority=5)
    low = setup.consume("q", window=setup.new_window(), priority=1)
    grant = setup.next()
    assert grant.slots == LIMIT

    # The thread that drains events may claim beside that of the place: it would get what was meant for the other.
    assert not isinstance(setup.next(), Grant)

    setup.lease(grant.consumers, LIMIT)
    setup.scheduler.done(grant, LIMIT)
    assert setup.next().consumers is low


def test_no_more_is_claimed_than_consumers_can_start_on(setup):
    consumers, wanted = setup.consume("q"), [2]
    setup.window.demand = lambda: wanted[0]

    assert setup.claim()[0] == ("q", 2)
    consumers.claimed = 2
    pause = setup.next()
    assert pause.limit == Scheduler.DEMAND_INTERVAL
    consumers.delivered, wanted[0] = 2, 1

    assert setup.next().slots == 1


def test_consumers_without_a_limit_that_read_enough_ahead_leave_the_slots_to_the_others(setup):
    news = setup.consume("news", no_ack=True)
    tasks = setup.consume("tasks")
    news.claimed, tasks.finish_tag = 256, 1

    assert setup.next().consumers is tasks


@pytest.mark.parametrize("reason", ["standby", "demand"])
def test_a_higher_priority_that_may_not_claim_delays_no_other(setup, reason):
    high = setup.consume("q", window=setup.new_window(), priority=5)
    low = setup.consume("q")
    if reason == "standby":
        high.single_active, low.single_active = SimpleNamespace(active=False), SimpleNamespace(active=True)
        high.single_active.POLL_INTERVAL = 1.0
    else:
        high.window.demand = lambda: 0

    assert setup.next().consumers is low


def test_who_is_behind_a_higher_priority_keeps_no_slots_from_other_places(two):
    two.consume("x")
    two.consume("y", place="b", window=two.new_window(), priority=5)
    two.consume("y", place="b")
    (queue, _), lease = two.claim("a")
    settle(lease)

    assert (queue, two.next("a").slots) == ("x", LIMIT)


def test_two_claims_at_once_bring_no_more_than_consumers_can_start_on(two):
    two.consume("x")
    two.consume("y", place="b")
    two.window.demand = lambda: 1

    assert two.next("a").slots == 1
    assert not isinstance(two.next("b"), Grant)
