"""However many messages there are, no operation looks at more of them than it must."""

from __future__ import annotations

import pytest

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.layout import project_key
from kombu_pool.drivers.mongodb.store import first_in_line
from tests.conformance.handles import QueueHandle, ids

BACKLOG = 2000


@pytest.fixture
def backlog(queue, driver):
    """A queue with messages in every state, beside another one that is as long."""
    other = QueueHandle(driver, "other", "p")
    other.create()
    other.post(*range(BACKLOG), priority=9)
    queue.post(*range(BACKLOG), delay=600, priority=1)
    queue.post(*range(BACKLOG))
    queue.claim(limit=BACKLOG // 2, ttl=600)
    return queue


@pytest.fixture
def looked_at(database):
    """Return how many keys or documents the server looked at, at the most for one command, while something was done."""

    def measure(action):
        database.command("profile", 2)
        action()
        database.command("profile", 0)
        found = [one for one in database["system.profile"].find() if "kombu_pool_" in one["ns"]]
        database.drop_collection("system.profile")
        assert found
        assert not [one for one in found if "COLLSCAN" in one.get("planSummary", "") and "queues" not in one["ns"]]
        return max(max(one.get("keysExamined", 0), one.get("docsExamined", 0)) for one in found)

    return measure


def scope_of(database, queue):
    found = database["kombu_pool_queues"].find_one({"p": project_key(queue.project), "q": queue.name})
    return {"p": found["p"], "q": found["q"], "i": found["_id"]}


def explain(database, pipeline):
    command = {"aggregate": "kombu_pool_messages", "pipeline": pipeline, "cursor": {}}
    return database.command("explain", command, verbosity="executionStats")


def examined(explained):
    """Return what an explanation says was examined, and the indexes that were used."""
    stats = explained["executionStats"] if "executionStats" in explained else explained["stages"][0]["$cursor"]
    stats = stats.get("executionStats", stats)
    names, todo = set(), [stats]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            names |= {one["indexName"]} if "indexName" in one else set()
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return max(stats["totalKeysExamined"], stats["totalDocsExamined"]), names


def test_the_first_messages_are_found_by_the_line(backlog, database, clock):
    pipeline = first_in_line(scope_of(database, backlog), clock.time(), 10)

    looked, indexes = examined(explain(database, pipeline))

    assert looked <= 11
    assert indexes == {"line"}


def test_nothing_due_is_found_without_looking_at_what_waits(backlog, database, clock):
    where = {**scope_of(database, backlog), **states.due(clock.time())}

    looked, indexes = examined(explain(database, [{"$match": where}, {"$limit": 1}]))

    assert looked <= 1
    assert indexes == {"waiting"}


def test_what_waits_next_is_found_at_once(backlog, database):
    where = {**scope_of(database, backlog), "s": 1}

    looked, indexes = examined(explain(database, [{"$match": where}, {"$sort": {"r": 1}}, {"$limit": 1}]))

    assert looked <= 1
    assert indexes == {"waiting"}


def test_a_claim_looks_at_what_it_takes(backlog, looked_at):
    assert looked_at(lambda: backlog.claim(limit=10)) <= 25


def test_a_claim_of_one_looks_at_one(backlog, looked_at):
    assert looked_at(lambda: backlog.claim(limit=1)) <= 3


def test_a_deletion_looks_at_what_it_deletes(backlog, looked_at):
    held = backlog.claim(limit=10)

    assert looked_at(lambda: backlog.delete_claimed([(one, held.id) for one in ids(held)])) <= 25


def test_a_renewal_looks_at_what_is_held(backlog, looked_at):
    held = backlog.claim(limit=10)

    assert looked_at(lambda: backlog.renew(held.id)) <= 25


def test_a_page_looks_at_what_it_shows(backlog, looked_at):
    marker = backlog.page(limit=10)[1]

    assert looked_at(lambda: backlog.page(limit=10, marker=marker)) <= 25


def test_a_page_of_all_states_looks_at_what_it_shows(backlog, looked_at):
    assert looked_at(lambda: backlog.page(limit=10, include_claimed=True, include_delayed=True)) <= 25


def test_stats_look_at_each_message_of_a_state_once(backlog, looked_at):
    waiting = BACKLOG + BACKLOG // 2

    assert looked_at(backlog.stats) <= waiting


def test_collecting_looks_at_what_has_expired(backlog, driver, clock, looked_at):
    backlog.post(*range(20), ttl=10)
    clock.advance(11)

    assert looked_at(driver.gc) <= 25


def test_a_post_looks_at_no_message(backlog, looked_at):
    assert looked_at(lambda: backlog.post("a")) <= 1
