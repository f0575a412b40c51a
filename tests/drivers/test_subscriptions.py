"""Subscriptions in a record that other processes change."""

from __future__ import annotations

import pytest

from kombu_pool import codec, errors
from kombu_pool.drivers import records
from kombu_pool.drivers.subscriptions import SubscriptionController


class ContendedSubscriptions(SubscriptionController):
    """A record to which another process adds a subscriber before the next ``lost`` changes of ours."""

    def __init__(self):
        self.lost = 0
        self.attempts = 0
        self.record = b""
        self.now = 1000.0
        self.ends = ()

    def read(self, project, queue):
        return self.record, self.now

    def replace(self, project, queue, before, after, ends):
        self.attempts += 1
        if self.lost:
            self.lost -= 1
            other = ContendedSubscriptions()
            other.record = self.record
            other.create(queue, f"other-{self.lost}", 60, {}, project)
            self.record = other.record
            return False
        assert before == self.record
        self.record, self.ends = after, ends
        return True

    def subscribers(self):
        return [one["subscriber"] for one in next(self.list("q", limit=0))]


@pytest.fixture
def contended():
    return ContendedSubscriptions()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    made = []
    monkeypatch.setattr(records.time, "sleep", made.append)
    return made


def test_a_change_that_was_overtaken_is_made_to_what_is_there_now(contended, pauses):
    contended.lost = 3

    made = contended.create("q", "ours", 60, {})

    assert contended.subscribers() == ["other-2", "other-1", "other-0", "ours"]
    assert contended.get_with_subscriber("q", "ours")["id"] == made
    assert len(pauses) == 3


def test_a_subscriber_that_another_process_added_meanwhile_is_not_added_again(contended):
    contended.lost = 1

    assert contended.create("q", "other-0", 60, {}) is None
    assert contended.subscribers() == ["other-0"]


def test_a_subscriber_that_another_process_added_meanwhile_is_not_taken_over(contended):
    made = contended.create("q", "ours", 60, {})
    contended.lost = 1

    with pytest.raises(errors.SubscriptionAlreadyExists):
        contended.update("q", made, subscriber="other-0")


def test_a_change_that_is_always_overtaken_fails_in_the_end(contended):
    contended.lost = 1000

    with pytest.raises(errors.ConnectionError, match="subscriptions to queue 'q' 100 times"):
        contended.create("q", "ours", 60, {})


def test_what_changes_nothing_is_not_written(contended):
    made = contended.create("q", "ours", 60, {})

    contended.delete("q", "unknown")
    contended.confirm("q", made, confirmed=False)
    contended.update("q", made, subscriber="ours")

    assert contended.attempts == 1


def test_a_change_takes_what_has_expired_out_of_the_record(contended):
    contended.create("q", "short", 10, {})
    kept = contended.create("q", "long", 0, {})
    contended.now += 10

    contended.confirm("q", kept)

    assert [fields[0] for fields in codec.decode(contended.record)] == [kept]
    assert [*contended.ends] == [float("inf")]
    contended.delete("q", kept)
    assert contended.record == b""


def test_ids_grow_though_the_clock_goes_back(contended):
    first = contended.create("q", "a", 60, {})
    contended.now -= 500
    other = ContendedSubscriptions()
    other.record, other.now = contended.record, contended.now

    assert other.create("q", "b", 60, {}) > first
    assert contended.create("q", "b", 60, {}) > first
