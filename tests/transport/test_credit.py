"""Who gets the slots of a channel's prefetch limit when several want them."""

from __future__ import annotations

import pytest

from kombu_pool.transport.credit import Credit
from kombu_pool.transport.deliveries import Subscription

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
    """Two that share the slots: the one was fed after the other, which waits for slots."""
    one, other = (Subscription(channel, queue, False, None) for queue in ("one", "other"))
    one.fed = 1
    channel.qos.starved.add(other)
    return one, other


def test_who_waits_for_longer_gets_all_slots(credit, fed):
    one, other = fed

    assert credit.gives_way(one, LIMIT)
    assert credit.promise(one, LIMIT) == 0

    assert not credit.gives_way(other, LIMIT)
    assert credit.promise(other, LIMIT) == LIMIT


def test_slots_that_come_back_with_a_claim_are_the_others_too(credit, fed):
    one, _ = fed
    credit.prefetch_count = 1

    assert credit.gives_way(one, 1, coming=1)
    assert credit.promise(one, 1) == 0


def test_nobody_gives_way_to_whose_queue_was_just_found_empty(credit, fed):
    one, other = fed
    other.quiet_until = float("inf")

    assert not credit.gives_way(one, LIMIT)


def test_nobody_gives_way_to_who_was_fed_later(credit, fed):
    one, other = fed
    other.fed = 2

    assert not credit.gives_way(one, LIMIT)


def test_nobody_gives_way_who_has_no_limit(credit, fed):
    credit.prefetch_count = 0

    assert not credit.gives_way(fed[0], LIMIT)


def test_who_does_not_take_his_turn_has_no_slots_kept_for_long(credit, fed, monkeypatch):
    monkeypatch.setattr(Credit, "TURN", 0.0)

    assert credit.gives_way(fed[0], LIMIT)

    assert credit.promise(fed[0], LIMIT) == LIMIT


def test_nothing_is_kept_for_who_is_cancelled(credit, fed):
    one, other = fed
    assert credit.gives_way(one, LIMIT)

    credit.forget(other)

    assert credit.promise(one, LIMIT) == LIMIT
