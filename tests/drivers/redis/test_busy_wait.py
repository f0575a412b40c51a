"""Busy-waiting is suspended where replies are late, and tried again later."""

from __future__ import annotations

from kombu_pool import drivers
from kombu_pool.drivers.redis.busy_wait import BusyWait
from tests.support.servers.redis_shared import fresh_uri


class RawConnection:
    """A connection whose reply has arrived after a number of polls."""

    def __init__(self, polls):
        self._polls = polls
        self.polled = 0

    def can_read(self, timeout):
        assert timeout == 0
        self.polled += 1
        return self.polled > self._polls


def polls(busy_wait, raw):
    raw.polled = 0
    busy_wait.wait(raw)
    return raw.polled


def test_it_looks_until_there_is_something():
    assert polls(BusyWait(10.0), RawConnection(polls=5)) == 6


def test_it_gives_up_when_its_time_is_over():
    assert polls(BusyWait(0.001), RawConnection(polls=10**9)) > 0


def test_without_seconds_it_does_not_look():
    assert polls(BusyWait(0.0), RawConnection(polls=0)) == 0


def test_after_three_answers_too_late_it_rests_and_then_tries_again():
    busy_wait, late = BusyWait(0.000001), RawConnection(polls=10**9)
    tried = [polls(busy_wait, late) > 0 for _ in range(1010)]

    assert tried[:3] == [True] * 3
    assert not any(tried[3:1003])
    assert all(tried[1003:1006])


def test_an_answer_in_time_makes_up_for_late_ones():
    busy_wait = BusyWait(0.01)
    for _ in range(10):
        assert polls(busy_wait, RawConnection(polls=10**9)) > 0
        assert polls(busy_wait, RawConnection(polls=0)) == 1


def test_publishing_works_with_it_and_without():
    for query in ("busy_wait=0", "busy_wait=0.01"):
        driver = drivers.open_data(f"{fresh_uri()}?{query}")
        driver.queue_controller.create("q")
        ids = [driver.message_controller.post("q", [{"ttl": None, "body": n}], None)[0] for n in range(20)]
        assert len(set(ids)) == driver.message_controller.count("q") == 20
        driver.close()
