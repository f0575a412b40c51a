"""Who gets the slots of a channel's prefetch limit when several want them."""

from __future__ import annotations

import pytest

from kombu_pool.transport.consume.deliveries import Subscription
from kombu_pool.transport.consume.prefetch import Credit

LIMIT = 4


@pytest.fixture
def channel(connection):
    channel = connection.channel()
    channel.basic_qos(prefetch_count=LIMIT)
    return channel


@pytest.fixture
def credit(channel):
    return channel.qos


@pytest.fixture
def fed(channel):
    """Some that share the slots, in the order in which they were fed; all but the last wait for slots."""
    subscriptions = [Subscription(channel, f"q{number}", False, None) for number in range(3)]
    for number, one in enumerate(subscriptions):
        one.fed = number
        one.consumers = ["anybody"]
        if one is not subscriptions[-1]:
            assert no_room(channel.qos, one) == 0
    return subscriptions


def no_room(credit, subscription):
    """Ask for room for it while there is none."""
    credit.paused = True
    try:
        return credit.room(subscription, patient=True)
    finally:
        credit.paused = False


def gives_way(credit, subscription, room=LIMIT, coming=0):
    """Let it give way, as a fetcher does, if it is to."""
    is_to = credit.is_anothers_turn(subscription, room, coming)
    if is_to:
        credit.give_way(subscription)
    return is_to


def test_who_waits_for_longer_gets_all_slots(credit, fed):
    first, second, last = fed

    assert gives_way(credit, last)
    assert [credit.promise(one, LIMIT) for one in (last, second)] == [0, 0]

    assert not gives_way(credit, first)
    assert credit.promise(first, LIMIT) == LIMIT


def test_slots_that_come_back_with_a_claim_are_the_others_too(credit, fed, monkeypatch):
    monkeypatch.setattr(credit, "outstanding", lambda: LIMIT)

    assert gives_way(credit, fed[-1], room=1, coming=1)


def test_who_gives_way_hands_on_what_was_kept_for_him(credit, fed):
    first, second, last = fed
    assert credit.room(first, patient=True) == LIMIT
    assert gives_way(credit, last)
    assert no_room(credit, first) == 0

    assert gives_way(credit, second)

    assert [credit.promise(one, LIMIT) for one in (last, second, first)] == [0, 0, LIMIT]


def test_nobody_gives_way_for_slots_that_another_is_about_to_take(credit, fed):
    first, _, last = fed
    assert credit.promise(first, LIMIT) == LIMIT

    assert not gives_way(credit, last)


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param({"quiet_until": float("inf")}, id="whose queue was just found empty"),
        pytest.param({"fed": 3}, id="who was fed later"),
        pytest.param({"no_ack": True}, id="who needs no slots"),
        pytest.param({"consumers": []}, id="who is cancelled"),
    ],
)
def test_nobody_gives_way_to(credit, fed, reason):
    for one in fed[:-1]:
        vars(one).update(reason)

    assert not gives_way(credit, fed[-1])


def test_nobody_gives_way_who_has_no_limit(credit, fed):
    credit.prefetch_count = 0

    assert not gives_way(credit, fed[-1])


def test_who_does_not_take_his_turn_has_no_slots_kept_for_long(credit, fed, monkeypatch):
    monkeypatch.setattr(Credit, "TURN", 0.0)

    assert [gives_way(credit, fed[-1]) for _ in range(3)] == [True, True, False]

    assert credit.promise(fed[-1], LIMIT) == LIMIT


def test_nothing_is_kept_for_who_is_cancelled_meanwhile(credit, fed):
    first, _, last = fed
    assert gives_way(credit, last)

    credit.forget(first)

    assert credit.promise(last, LIMIT) == LIMIT


def test_who_gives_way_is_not_woken_by_that_but_by_the_end_of_the_others_claim(credit, fed, monkeypatch):
    first, second, last = fed
    woken = []
    monkeypatch.setattr(credit, "_wake", woken.append)

    assert gives_way(credit, last)
    assert credit.promise(first, LIMIT) == LIMIT
    credit.claimed(first)

    assert woken == [{first, second}, {last}]
