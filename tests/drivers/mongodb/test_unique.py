"""Unique messages in MongoDB: their round trips, and posts that meet."""

from __future__ import annotations

from kombu_pool.drivers.mongodb.unique import UniqueWriter
from kombu_pool.model import WAITING, IdempotencyKey, PresentId, Uniqueness


def messages(count):
    return [{"ttl": None, "body": number, "unique": Uniqueness(f"u{number}", 30)} for number in range(count)]


def test_many_ids_that_are_held_cost_as_many_round_trips_as_one(queue, round_trips):
    queue.post_raw(messages(20))

    def cost(count):
        # The least of some: what is cached of a queue is read again from time to time.
        return min(round_trips(lambda: queue.post_raw(messages(count))) for _ in range(5))

    assert cost(20) == cost(1)


def test_a_post_that_is_made_again_at_the_same_time_stores_once(queue, monkeypatch):
    drop, again = UniqueWriter._drop, []

    def post():
        return queue.post("a", unique=Uniqueness("u", WAITING), idempotency_key=IdempotencyKey(b"producer", 1))

    def meet(*arguments):
        changes = drop(*arguments)
        if not again:
            again.append(())
            again.append(post())
        return changes

    monkeypatch.setattr(UniqueWriter, "_drop", meet)

    first = post()

    assert first == again[1]
    assert not isinstance(first[0], PresentId)
    assert queue.free() == ["a"]
