"""The permits of several processes, which are one table and a clock that the tests advance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kombu_pool.drivers.sqlite import write_permits
from kombu_pool.drivers.sqlite.write_permits import PERMITS, PLACES, WritePermits

MILLISECOND = 1_000_000
#: Nanoseconds after which a permit that is not used is free, and after which one that is used is.
IDLE, TERM = MILLISECOND, 5 * MILLISECOND
#: Nanoseconds after which a waiting writer that shows no sign of life is passed over: far less than a second.
GONE = 100 * MILLISECOND


class Writer:
    """A process that writes whenever it may."""

    def __init__(self, path):
        self.permits = WritePermits(path)
        self.permits.wait()  # its first busy answer
        self.waiting = None
        self.writes = 0

    def step(self):
        """Write if it may, or wait; return whether it wrote."""
        if self.waiting is None and not self.permits.may_begin():
            self.waiting = self.permits.wait()
        if self.waiting is not None:
            if not self.waiting.may_try():
                return False
            self.waiting.leave()
            self.waiting = None
        self.writes += 1
        return True


@pytest.fixture
def time(monkeypatch):
    """The clock of the permits; ``time.now += 1`` advances it by a nanosecond."""

    class Time:
        now = 10**15

    monkeypatch.setattr(write_permits, "monotonic_ns", lambda: Time.now)
    return Time


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "pool.db")


@pytest.fixture
def writers(file, time):
    """Eight writers, of which the first have the permits and the others wait, in their order."""
    found = [Writer(file) for _ in range(8)]
    for writer in found:
        time.now += 1000
        writer.step()
    assert [writer.writes for writer in found] == [1] * PERMITS + [0] * (8 - PERMITS)
    return found


def test_a_process_that_meets_no_other_makes_no_table(file):
    permits = WritePermits(file)

    assert permits.may_begin()

    permits.begun()
    permits.ended()
    assert not Path(f"{file}-wake").exists()


def test_writers_take_turns_and_each_gets_its_share(writers, time):
    for writer in writers:
        writer.writes = 0

    for _ in range(8000):
        time.now += MILLISECOND // 10
        assert sum(writer.step() for writer in writers) <= 2 * PERMITS  # at the end of their terms

    fair = sum(writer.writes for writer in writers) / 8
    assert fair > 8000 * PERMITS / 8 * 0.8
    assert all(fair / 2 <= writer.writes <= fair * 1.5 for writer in writers)


def test_an_unused_permit_goes_to_the_writer_that_has_waited_longest(writers, time):
    time.now += IDLE

    assert [writer.step() for writer in reversed(writers[PERMITS:])] == [False] * (7 - PERMITS) + [True]


def test_a_permit_that_is_used_all_the_time_is_given_up(writers, time):
    for _ in range(TERM * 10 // MILLISECOND):
        time.now += MILLISECOND // 10
        for writer in writers[:PERMITS]:
            assert writer.step()

    assert [writer.step() for writer in writers[PERMITS:]] == [True] * PERMITS + [False] * (8 - 2 * PERMITS)
    assert not writers[0].step()


def test_a_waiting_writer_that_was_stopped_or_killed_is_passed_over(writers, time):
    for _ in range(GONE // MILLISECOND):
        time.now += MILLISECOND
        for writer in writers[PERMITS + 1 :]:
            writer.step()

    assert all(writer.writes for writer in writers[PERMITS + 1 :])
    assert writers[PERMITS].writes == 0
    writers[PERMITS].step()  # continued: it waited longest
    time.now += IDLE
    assert writers[PERMITS].step()


def test_a_new_writer_does_not_overtake_those_that_wait(writers, file, time):
    time.now += IDLE
    late = Writer(file)

    assert not late.step()
    assert writers[PERMITS].step()


def test_a_writer_without_a_place_gets_a_permit_in_the_end(file, time):
    many = [Writer(file) for _ in range(PLACES + PERMITS + 1)]
    for _ in range(PLACES * 10):
        time.now += IDLE
        for writer in many:
            writer.step()

    assert all(writer.writes for writer in many)


@pytest.mark.parametrize("forward", [-(10**14), 10**14])
def test_what_processes_of_another_boot_left_does_not_matter(writers, file, time, forward):
    time.now += forward
    new = Writer(file)

    assert new.step()


def test_a_child_does_not_have_the_permits_of_its_parent(file, time):
    one, another = Writer(file), Writer(file)
    one.step()
    time.now += 1000

    one.permits.forget()

    one.permits.wait()
    assert [one.step(), another.step()] == [True, True]  # the parent's stays taken


def test_a_table_that_was_deleted_is_followed_by_the_next(file, time, monkeypatch):
    one, another = Writer(file), Writer(file)
    one.step()
    os.unlink(f"{file}-wake")  # noqa: PTH108
    monkeypatch.setattr(write_permits, "_CHECK_INTERVAL", 0)
    for writer in (one, another):
        writer.permits._check_at = 0
        writer.permits.wait()

    for _ in range(PERMITS):
        assert Writer(file).step()

    assert not another.step()


def test_without_a_table_writers_try_at_intervals(tmp_path):
    permits = WritePermits(str(tmp_path / "absent" / "pool.db"))

    assert permits.wait() is None
    assert permits.may_begin()


def test_a_transaction_of_another_is_watched_before_anything_sleeps(writers):
    first, second = writers[0].permits, writers[1].permits
    waiting = second.wait()

    first.begun()
    first.ended()

    assert waiting.may_try()
    assert waiting.pause() == 0
