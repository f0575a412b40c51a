"""Which consumers get the slots of a prefetch window that they share."""

from __future__ import annotations

import pytest

from kombu_pool.transport.consume.prefetch import PrefetchWindow, QueueConsumers

LIMIT = 4


@pytest.fixture
def channel(connection):
    channel = connection.channel()
    channel.basic_qos(prefetch_count=LIMIT)
    return channel


@pytest.fixture
def window(channel):
    return channel.qos


@pytest.fixture
def served(channel):
    """Three that share the slots, in the order in which they were served; all but the last wait for slots."""
    all_of_them = [QueueConsumers(f"q{number}", False, channel.qos, channel.deliver, "") for number in range(3)]
    for number, one in enumerate(all_of_them):
        one.last_served = number
        one.consumers = ["a consumer"]
        if one is not all_of_them[-1]:
            assert no_slot(channel.qos, one) == 0
    return all_of_them


def no_slot(window, consumers):
    """Ask for slots for these consumers while none is free."""
    window.paused = True
    try:
        return window.claimable(consumers, linger=True)
    finally:
        window.paused = False


def yields(window, consumers, slots=LIMIT, freed_by_ack=0):
    """Yield as a fetcher does, if others were served earlier; return whether they were."""
    behind = window.is_behind(consumers, slots, freed_by_ack)
    if behind:
        window.yield_slots(consumers)
    return behind


def test_who_waits_for_longer_gets_all_slots(window, served):
    first, second, last = served

    assert yields(window, last)
    assert [window.reserve(one, LIMIT) for one in (last, second)] == [0, 0]

    assert not yields(window, first)
    assert window.reserve(first, LIMIT) == LIMIT


def test_slots_that_come_back_with_a_claim_are_the_others_too(window, served, monkeypatch):
    monkeypatch.setattr(window, "outstanding", lambda: LIMIT)

    assert yields(window, served[-1], slots=1, freed_by_ack=1)


def test_who_gives_way_hands_on_what_was_kept_for_him(window, served):
    first, second, last = served
    assert window.claimable(first, linger=True) == LIMIT
    assert yields(window, last)
    assert no_slot(window, first) == 0

    assert yields(window, second)

    assert [window.reserve(one, LIMIT) for one in (last, second, first)] == [0, 0, LIMIT]


def test_nobody_gives_way_for_slots_that_another_is_about_to_take(window, served):
    first, _, last = served
    assert window.reserve(first, LIMIT) == LIMIT

    assert not yields(window, last)


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param({"empty_until": float("inf")}, id="whose queue was just found empty"),
        pytest.param({"last_served": 3}, id="who was fed later"),
        pytest.param({"no_ack": True}, id="who needs no slots"),
        pytest.param({"consumers": []}, id="who is cancelled"),
    ],
)
def test_nobody_gives_way_to(window, served, reason):
    for one in served[:-1]:
        vars(one).update(reason)

    assert not yields(window, served[-1])


def test_nobody_gives_way_who_has_no_limit(window, served):
    window.prefetch_count = 0

    assert not yields(window, served[-1])


def test_who_does_not_take_his_turn_has_no_slots_kept_for_long(window, served, monkeypatch):
    monkeypatch.setattr(PrefetchWindow, "YIELD_TTL", 0.0)

    assert [yields(window, served[-1]) for _ in range(3)] == [True, True, False]

    assert window.reserve(served[-1], LIMIT) == LIMIT


def test_nothing_is_kept_for_who_is_cancelled_meanwhile(window, served):
    first, _, last = served
    assert yields(window, last)

    window.forget(first)

    assert window.reserve(last, LIMIT) == LIMIT


def test_who_gives_way_is_not_woken_by_that_but_by_the_end_of_the_others_claim(window, served, monkeypatch):
    first, second, last = served
    woken = []
    monkeypatch.setattr(window, "_wake", woken.append)

    assert yields(window, last)
    assert window.reserve(first, LIMIT) == LIMIT
    window.unreserve(first)

    assert woken == [{first, second}, {last}]
