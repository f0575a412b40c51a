"""Pools and flavors over a record that others change, and the record's stored form."""

from __future__ import annotations

import threading
import time

import pytest

from kombu_pool import errors
from kombu_pool.drivers import records
from kombu_pool.drivers.registry import PoolsController, Records, Registry, StoredPool, decode, encode


class ContendedRegistry(Registry[int]):
    """A record that another process changes ``lost`` times before a change of ours."""

    def __init__(self, lost):
        self.lost = lost
        self.attempts = 0
        self.records = Records()

    def read(self):
        return self.records, self.attempts

    def replace(self, records, version, unused=None):
        assert version == self.attempts
        self.attempts += 1
        if self.attempts <= self.lost:
            self.records = Records({f"other-{version}": StoredPool(f"other://{version}", 1, None, b"\x80")})
            return False
        self.records = records
        return True

    def require_unused(self, name):
        pass


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses of this thread; those that other tests have left go on to sleep."""
    made, ours, sleep = [], threading.get_ident(), time.sleep

    def pause(seconds):
        if threading.get_ident() == ours:
            made.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr(records.time, "sleep", pause)
    return made


def test_a_change_that_was_overtaken_is_made_to_what_is_there_now(pauses):
    contended = ContendedRegistry(lost=3)

    PoolsController(contended).create("p", 1, "memory://p")

    assert [*contended.records.pools] == ["other-2", "p"]
    assert len(pauses) == 3


def test_a_change_that_is_always_overtaken_fails_in_the_end(pauses):
    contended = ContendedRegistry(lost=1000)

    with pytest.raises(errors.ConnectionError, match="100 times"):
        PoolsController(contended).create("p", 1, "memory://p")

    assert contended.attempts == 100
    assert sum(pauses) < 10


def test_what_changes_nothing_is_not_written():
    contended = ContendedRegistry(lost=0)
    pools = PoolsController(contended)
    pools.create("p", 1, "memory://p")

    pools.create("p", 1, "memory://p")
    pools.update("p", weight=1)
    pools.delete("absent")

    assert contended.attempts == 1


def test_a_record_keeps_any_text():
    odd = "\0\ud800é/\U0001f600"
    records = Records({odd: StoredPool(odd, 0, odd, b"\x80")}, {(None, odd): b"\x80", (odd, ""): b"\x90"}, (odd,))

    assert decode(encode(records)) == records
    assert decode(b"") == Records()
