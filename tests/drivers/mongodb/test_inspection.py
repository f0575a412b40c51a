"""Many queues with few messages are counted together, and as each one is by itself."""

from __future__ import annotations

import json
import time

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import inspection, states
from tests.support.servers import mongodb

QUEUES = [(project, f"queue-{n}") for project in (None, "shop") for n in range(6)]


@pytest.fixture
def store():
    driver = drivers.open_data(mongodb.fresh_uri())
    yield driver
    driver.close()


def fill(store, project, queue, number):
    """Give a queue messages in each state, more in each one with a greater number."""
    store.queue_controller.create(queue, None, project)
    if not number:
        return
    waiting = [{"ttl": None, "body": n, "priority": n % 2} for n in range(number + 4)]
    others = [{"ttl": None, "body": 0, "delay": 600}] * number + [{"ttl": 0.05, "body": 0}]
    store.message_controller.post(queue, waiting + others, None, project)
    store.claim_controller.create(queue, {"ttl": 600, "grace": 0}, project, number)
    store.claim_controller.create(queue, {"ttl": 0.05, "grace": 0}, project, 1)
    released, messages = store.claim_controller.create(queue, {"ttl": 600, "grace": 0}, project, 1)
    store.claim_controller.release(queue, released, [message["id"] for message in messages], project)


def test_queues_are_counted_together_as_each_by_itself(store, monkeypatch):
    for number, (project, queue) in enumerate(QUEUES):
        fill(store, project, queue, number % 6)
    store.queue_controller.create("uncounted")
    store.message_controller.post("uncounted", [{"ttl": None, "body": 0}], None)
    time.sleep(0.1)  # the short ttls and claims have ended
    asked = []
    together = inspection._count_together
    monkeypatch.setattr(inspection, "_count_together", lambda *given: asked.append(given) or together(*given))

    counts = store.message_controller.count_many([*QUEUES, (None, "absent")])

    by_itself = [store.message_controller.count_many([scope])[0] for scope in QUEUES]
    assert len(asked) == 2  # a half beside the other
    assert counts[-1] is None
    assert [count._replace(oldest_age=None) for count in counts[:-1]] == [
        count._replace(oldest_age=None) for count in by_itself
    ]
    ages = [(one.oldest_age, other.oldest_age) for one, other in zip(counts, by_itself, strict=False)]
    assert all((one is None) == (other is None) for one, other in ages)
    assert all(one == pytest.approx(other, abs=5) for one, other in ages if one is not None)
    assert {count.delayed for count in by_itself} == set(range(6))


def test_queues_with_many_messages_are_counted_each_up_to_the_limit(store, monkeypatch):
    monkeypatch.setattr(inspection, "_FEW_MESSAGES", 20)
    for number, (project, queue) in enumerate(QUEUES):
        store.queue_controller.create(queue, None, project)
        store.message_controller.post(queue, [{"ttl": None, "body": 0}] * (250 if number == 0 else 2), None, project)

    counts = store.message_controller.count_many(QUEUES, 100)
    known = store.message_controller.count_many(QUEUES, 100)
    monkeypatch.setattr(inspection, "_FEW_MESSAGES", 400)
    all_counts = store.message_controller.count_many(QUEUES, 100)

    assert [count.free for count in counts] == [100, *[2] * 11]
    assert [count.is_exact for count in counts] == [False, *[True] * 11]
    # Now those that are known to be short are counted together.
    assert [(count.free, count.is_exact) for count in known] == [(100, False), *[(2, True)] * 11]
    assert [(count.free, count.is_exact) for count in all_counts] == [(250, True), *[(2, True)] * 11]


def test_free_messages_are_counted_in_the_index_alone(store):
    for project, queue in QUEUES:
        store.queue_controller.create(queue, None, project)
        store.message_controller.post(queue, [{"ttl": None, "body": 0}] * 20, None, project)
    messages = store.message_controller._store.messages
    where = {"p": "", "q": {"$in": ["queue-0", "queue-1"]}, **states.free(time.time())}
    pipeline = [{"$match": where}, {"$group": {"_id": "$i", **inspection._FREE}}]

    explain = {"aggregate": messages.name, "pipeline": pipeline, "hint": states.BY_ORDER, "cursor": {}}
    plan = messages.database.command("explain", explain, verbosity="executionStats")

    assert '"totalDocsExamined": 0' in json.dumps(plan, default=str)
