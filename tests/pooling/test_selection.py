from __future__ import annotations

from collections import Counter

import pytest

from kombu_pool.pooling.selection import choose_weighted


def pools(**weights):
    return [{"name": name, "uri": "memory://", "weight": weight, "flavor": None} for name, weight in weights.items()]


@pytest.mark.parametrize(("drawn", "expected"), [(0, "a"), (1, "a"), (2, "b"), (4, "b"), (5, "d")])
def test_a_number_falls_to_the_pool_whose_share_it_lies_in(drawn, expected):
    chosen = choose_weighted(pools(a=2, b=3, c=0, d=1), lambda _low, _high: drawn)

    assert chosen["name"] == expected


def test_the_generator_is_asked_for_a_number_from_0_to_the_total_less_1():
    calls = []

    choose_weighted(pools(a=2, b=3, c=0), lambda low, high: calls.append((low, high)) or 0)

    assert calls == [(0, 4)]


@pytest.mark.parametrize("none", [{}, {"a": 0}, {"a": 0, "b": 0}])
def test_nothing_is_drawn_when_no_pool_has_a_weight(none):
    assert choose_weighted(pools(**none), lambda _low, _high: pytest.fail("nothing to draw")) is None


def test_pools_are_drawn_in_proportion_to_their_weights():
    drawn = Counter(choose_weighted(pools(a=1, b=3, c=0))["name"] for _ in range(4000))

    assert 800 < drawn["a"] < 1200
    assert drawn["a"] + drawn["b"] == 4000


def test_a_generator_that_draws_too_much_gets_the_last_pool_that_has_a_weight():
    assert choose_weighted(pools(a=1, b=1, c=0), lambda _low, _high: 99)["name"] == "b"
