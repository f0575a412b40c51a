"""Rates of counters between two requests."""

from __future__ import annotations

import pytest

from kombu_pool.testing import ManualClock
from kombu_pool.web.management.rates import SPAN, CounterRates

QUEUE = (None, "q")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def rates(clock):
    return CounterRates(clock)


def test_the_first_request_knows_no_rate(rates):
    assert rates.rates(QUEUE, {"published": 100}) == {}


def test_a_client_that_asks_every_30_seconds_gets_the_rates_of_these_30_seconds(rates, clock):
    rates.rates(QUEUE, {"published": 100})
    clock.advance(30)
    first = rates.rates(QUEUE, {"published": 160})
    clock.advance(30)

    assert first == {"published": 2.0}
    assert rates.rates(QUEUE, {"published": 175}) == {"published": 0.5}


def test_a_client_that_asks_often_does_not_shorten_the_time_of_the_rate_of_another(rates, clock):
    counts = []
    for second in range(12):
        counts.append(rates.rates(QUEUE, {"published": second * 10}).get("published"))
        clock.advance(1)

    assert counts == [None, *[10.0] * 11]
    assert clock.passed - rates._looks[QUEUE][0].at >= SPAN


def test_counters_that_begin_again_have_no_negative_rate(rates, clock):
    rates.rates(QUEUE, {"published": 100})
    clock.advance(10)

    assert rates.rates(QUEUE, {"published": 5, "acked": 20}) == {"published": 0.0, "acked": 2.0}


def test_a_sample_of_the_pages_stands_for_an_earlier_request(rates, clock):
    rates.begin(None, {"q": {"published": 100}}, 2.0)
    clock.advance(2)
    rates.begin(None, {"q": {"published": 300}}, 0.0)

    assert rates.rates(QUEUE, {"published": 140}) == {"published": 10.0}
    assert rates.rates((None, "other"), {"published": 140}) == {}
