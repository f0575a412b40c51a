"""The rounds in which a process renews its claims while a store is unreachable."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kombu_pool import errors
from kombu_pool.clock import SystemClock
from kombu_pool.testing import ManualClock
from kombu_pool.transport.consume import renewal
from tests.support.transport.traffic import eventually

TTL, TIMEOUT = 30.0, 8.0
PERIOD = TTL / 3


class Stores:
    """Stores, each the place of one queue, and the control store; those that are ``down`` fail after a timeout."""

    def __init__(self, clock):
        self.clock, self.down, self.renewed = clock, set(), []
        self.catalog = SimpleNamespace(place_of=lambda queue, project: queue)
        self.claim_controller = SimpleNamespace(renew=lambda claims, metadata: self.ask(claims[0][1]))

    def ask(self, place):
        self.renewed.append(place)
        if place in self.down:
            self.clock.advance(TIMEOUT)
            raise errors.ConnectionError(f"{place} is unreachable")
        return []

    # Those of the control store.

    def add_holder(self, *_, **__):
        pass

    def remove_holders(self, *_):
        pass

    def renew(self, holders, ttl):
        return self.ask("control")


class Rounds:
    """In place of the flag that ends the thread: some rounds, each after its pause."""

    def __init__(self, count):
        self.left, self.pauses = count, []

    def wait(self, pause):
        if self.left:
            self.pauses.append(pause)
        self.left -= 1
        return self.left < 0

    def set(self):
        pass

    def clear(self):
        pass


@pytest.fixture
def stores(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(SystemClock, "elapsed", staticmethod(clock.time))
    return Stores(clock)


def run(stores, queues, monkeypatch, count):
    """Renew a claim of each queue in a number of rounds; return the pauses before them."""
    renewing = renewal.Renewal(stores, stores, {"ttl": TTL, "grace": TTL})
    rounds = Rounds(count)
    monkeypatch.setattr(renewing, "_wake", rounds)
    leases = [
        SimpleNamespace(project=None, queue=queue, claim_id="c", unsettled=1, valid_until=0.0) for queue in queues
    ]
    monkeypatch.setattr(renewing, "leases", lambda: leases)
    renewing.keep_alive("holder")
    eventually(lambda: rounds.left < 0)
    renewing.close()
    return rounds.pauses


def test_what_was_unreachable_is_renewed_after_all_else(stores, monkeypatch):
    stores.down = {"a", "c"}

    run(stores, ["a", "b", "c", "d"], monkeypatch, 2)

    first, second = stores.renewed[:5], stores.renewed[5:]
    assert first == ["a", "b", "c", "d", "control"]
    assert second[:3] == ["b", "d", "control"]
    assert sorted(second[3:]) == ["a", "c"]


def test_rounds_begin_as_often_while_a_store_is_unreachable(stores, monkeypatch):
    monkeypatch.setattr(renewal.Renewal, "RETRY", PERIOD)
    stores.down = {"a"}

    pauses = run(stores, ["a", "b"], monkeypatch, 3)

    assert pauses == [PERIOD, PERIOD - TIMEOUT, PERIOD - TIMEOUT]


def test_a_round_that_takes_longer_than_its_period_is_followed_by_a_pause(stores, monkeypatch):
    stores.down = {"a", "b"}

    pauses = run(stores, ["a", "b"], monkeypatch, 2)

    assert pauses == [PERIOD, PERIOD / 10]
