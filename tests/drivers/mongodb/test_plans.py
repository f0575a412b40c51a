"""No operation examines more messages than it needs, however many there are."""

from __future__ import annotations

import pytest

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.cached_queue import CachedQueue
from kombu_pool.drivers.mongodb.codec import number_at, project_key, smallest_id
from kombu_pool.drivers.mongodb.queue_scan import any_free, free_filters
from kombu_pool.storage import policy
from kombu_pool.testing import QueueHandle, ids

BACKLOG = 2000


@pytest.fixture
def backlog(queue, driver):
    """A queue with messages in every state, and another queue of the same length."""
    other = QueueHandle(driver, "other", "p")
    other.create()
    other.post(*range(BACKLOG), priority=9)
    queue.post(*range(BACKLOG), delay=600, priority=1)
    queue.post(*range(BACKLOG))
    queue.claim(limit=BACKLOG // 2, ttl=600)
    return queue


@pytest.fixture
def examined_by(profiled):
    """Return a function that returns the largest number of keys or documents that a command of an action examined."""

    def measure(action):
        found = profiled(action)
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
    """Return the number of examined keys or documents in an explanation, and the indexes of its plan."""
    stats = explained["executionStats"] if "executionStats" in explained else explained["stages"][0]["$cursor"]
    stats = stats.get("executionStats", stats)
    return max(stats["totalKeysExamined"], stats["totalDocsExamined"]), indexes_in(stats)


def indexes_in(plan):
    """Return the names of all indexes in a plan."""
    names, todo = set(), [plan]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            names |= {one["indexName"]} if "indexName" in one else set()
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return names


@pytest.fixture(params=["everywhere", "beyond"])
def plan(request, backlog, driver, clock):
    """The plan of a scan at first, or after messages of three priorities were consumed."""
    driver._store.advance(backlog.project, backlog.name, clock.time())
    plan = CachedQueue(driver._store.queue(backlog.project, backlog.name), 0.0).plan(clock.time(), 10)
    if request.param == "everywhere":
        return plan
    for first in (0, 128, 255):
        plan.cached.record_first(plan, smallest_id(first, number_at(plan.now)))
    return plan._replace(range=plan.cached.narrow_range)


def test_the_first_messages_are_found_by_the_line(plan, database):
    for where in free_filters(plan.queue.scope, plan.range, plan.now):
        order = {"$sort": dict(states.ORDER)}

        count, indexes = examined(explain(database, [{"$match": where}, order, {"$limit": 10}]))

        assert count <= 11
        assert indexes == {"order"}


@pytest.mark.parametrize("limit", [0, 3])
def test_new_and_released_messages_are_merged_by_the_line(plan, database, limit):
    queue = plan.queue._replace(metadata=policy.write({"_max_claim_count": limit}))
    where = any_free(plan._replace(queue=queue))
    command = {"find": "kombu_pool_messages", "filter": where, "sort": {"_id": 1}, "limit": 10, "hint": "order"}

    explained = database.command("explain", command, verbosity="executionStats")

    count, indexes = examined(explained)
    assert count <= 10 + 2 * len(where["$or"])
    assert indexes == {"order"}
    assert '"SORT"' not in str(explained).replace("'", '"')


def test_the_order_of_a_claim_is_said_as_the_line_begins(database, backlog):
    """Otherwise version 4.4 would sort the whole queue, and newer ones do not show that."""
    index = database["kombu_pool_messages"].index_information()["order"]["key"]

    assert [*states.ORDER] == index[: len(states.ORDER)]


def test_nothing_due_is_found_without_looking_at_what_waits(backlog, database, clock):
    where = {**scope_of(database, backlog), **states.due(clock.time())}

    count, indexes = examined(explain(database, [{"$match": where}, {"$limit": 1}]))

    assert count <= 1
    assert indexes == {"due"}


def test_what_is_due_is_always_looked_for_by_its_time(queue, database, clock):
    queue.post(*range(20))
    for _ in range(10):
        held = queue.claim(limit=2)
        queue.delete_claimed([(one, held.id) for one in ids(held)])
        clock.advance(2)

    plans = list(database["kombu_pool_messages"].aggregate([{"$planCacheStats": {}}]))
    of_due = [one for one in plans if "r" in one["createdFromQuery"]["query"]]

    assert any(one["isActive"] for one in of_due)
    assert [indexes_in(one["cachedPlan"]) for one in of_due] == [{"due"}] * len(of_due)


def test_how_to_find_what_a_claim_holds_is_not_tried_out(backlog, profiled):
    held, another = backlog.claim(limit=5), backlog.claim(limit=5)

    def work():
        backlog.claim_of(held.id)
        backlog.renew(held.id)
        backlog.renew_all([held.id, another.id])
        named = [(backlog.project, backlog.name, held.id), (backlog.project, "other", held.id)]
        backlog.driver.claim_controller.renew(named, {"ttl": 60, "grace": 0})
        backlog.end_claims("holder")
        backlog.release(held.id, ids(held)[:2])
        backlog.end(held.id)

    assert not [one for one in profiled(work) if one.get("fromMultiPlanner")]


def test_what_waits_next_is_found_at_once(backlog, database):
    where = {**scope_of(database, backlog), "s": 1}

    count, indexes = examined(explain(database, [{"$match": where}, {"$sort": {"r": 1}}, {"$limit": 1}]))

    assert count <= 1
    assert indexes == {"due"}


def test_a_claim_looks_at_what_it_takes(backlog, examined_by):
    assert examined_by(lambda: backlog.claim(limit=10)) <= 25


def test_a_claim_of_one_looks_at_one(backlog, examined_by):
    assert examined_by(lambda: backlog.claim(limit=1)) <= 5


def test_a_claim_by_ids_looks_at_what_it_takes(backlog, examined_by):
    posted = backlog.post(*range(100))

    assert examined_by(lambda: backlog.claim_by_id(posted[40:50])) <= 25


def test_a_deletion_looks_at_what_it_deletes(backlog, examined_by):
    held = backlog.claim(limit=10)

    assert examined_by(lambda: backlog.delete_claimed([(one, held.id) for one in ids(held)])) <= 25


def test_how_to_delete_under_several_claims_is_not_tried_out(backlog, profiled):
    pairs = [(one, held.id) for held in (backlog.claim(limit=5), backlog.claim(limit=5)) for one in ids(held)]

    done = profiled(lambda: backlog.delete_claimed(pairs))

    assert [one["op"] for one in done if one.get("fromMultiPlanner")] == []
    assert [one["ndeleted"] for one in done if one["op"] == "remove"] == [10]


def test_a_renewal_looks_at_what_is_held(backlog, examined_by):
    held = backlog.claim(limit=10)

    assert examined_by(lambda: backlog.renew(held.id)) <= 25


def test_a_renewal_of_many_claims_looks_at_what_they_hold(backlog, examined_by):
    held = [backlog.claim(limit=1).id for _ in range(10)]

    assert examined_by(lambda: backlog.renew_all(held)) <= 25


def test_the_end_of_a_holder_looks_at_the_claims_of_its_queues(backlog, examined_by):
    assert examined_by(lambda: backlog.end_claims("holder")) <= BACKLOG // 2 + 1


def test_a_page_looks_at_what_it_shows(backlog, examined_by):
    marker = backlog.page(limit=10)[1]

    assert examined_by(lambda: backlog.page(limit=10, marker=marker)) <= 25


def test_a_page_of_all_states_looks_at_what_it_shows(backlog, examined_by):
    assert examined_by(lambda: backlog.page(limit=10, include_claimed=True, include_delayed=True)) <= 25


def test_stats_look_at_each_message_of_a_state_once(backlog, examined_by):
    waiting = BACKLOG + BACKLOG // 2

    assert examined_by(backlog.stats) <= waiting + 2


def test_collecting_looks_at_what_has_expired(backlog, driver, clock, examined_by):
    backlog.post(*range(20), ttl=10)
    clock.advance(11)

    assert examined_by(driver.gc) <= 25


@pytest.mark.usefixtures("long_cache")
def test_a_post_looks_at_no_message(backlog, examined_by):
    assert examined_by(lambda: backlog.post("a")) <= 1


# Dead messages.


@pytest.fixture
def expiring(driver):
    """A long queue without dead messages, and its dead-letter queue."""
    QueueHandle(driver, "dlq", "p").create()
    made = QueueHandle(driver, "expiring", "p")
    made.create(_dead_letter_queue="dlq", _dead_letter_expired=True)
    made.post(*range(BACKLOG), ttl=600)
    made.post(*range(BACKLOG), ttl=600, delay=600)
    return made


def test_burying_nothing_looks_at_nothing(backlog, expiring, driver, clock, examined_by):
    backlog.post(*range(BACKLOG), ttl=10)
    clock.advance(11)

    assert examined_by(driver.dead_letter_all) <= 1


def test_dead_lettering_nothing_takes_one_command_however_many_queues_there_are(expiring, driver, profiled):
    for number in range(20):
        QueueHandle(driver, f"expiring {number}", "p").create(_dead_letter_queue="dlq", _dead_letter_expired=True)

    assert len(profiled(driver.dead_letter_all)) == 1


def test_a_claim_where_nothing_is_dead_looks_at_what_it_takes(expiring, examined_by):
    assert examined_by(lambda: expiring.claim(limit=10)) <= 25


def test_a_watch_where_nothing_is_dead_looks_at_the_next_to_expire(expiring, driver, examined_by):
    expiring.claim(limit=BACKLOG)
    watch = driver.watch([(expiring.project, expiring.name)])

    assert examined_by(lambda: watch.wait(0)) <= 5
    watch.close()


def test_burying_looks_at_what_is_dead(expiring, driver, clock, examined_by):
    expiring.post(*range(20), ttl=10)
    clock.advance(11)

    assert examined_by(driver.dead_letter_all) <= 50


def test_a_rejection_looks_at_what_it_rejects(expiring, examined_by):
    held = expiring.claim(limit=10)

    assert examined_by(lambda: expiring.reject(held)) <= 25


def test_what_waits_to_be_buried_is_passed_over_queue_by_queue(driver, examined_by):
    for number in range(5):
        queue = QueueHandle(driver, f"queue {number}", "p")
        queue.create(_dead_letter_exchange="unroutable")
        queue.post(*range(200))
        queue.reject(queue.claim(limit=200))

    assert examined_by(driver.dead_letter_all) <= 100


# The number of commands for ordinary queues.


@pytest.mark.usefixtures("long_cache")
def test_a_post_to_an_ordinary_queue_is_two_commands(queue, profiled):
    assert len(profiled(lambda: queue.post("a"))) == 2


@pytest.mark.usefixtures("long_cache", "rare_scans")
def test_a_claim_of_an_ordinary_queue_is_two_commands_at_most(queue, profiled):
    queue.post(*range(10))
    queue.claim(limit=1)

    assert len(profiled(lambda: queue.claim(limit=1))) == 1
    assert len(profiled(lambda: queue.claim(limit=5))) == 2


def test_an_acknowledgement_is_one_command(queue, profiled):
    queue.post("a")
    held = queue.claim()

    assert len(profiled(lambda: queue.delete_claimed([(held.messages[0]["id"], held.id)]))) == 1


@pytest.mark.usefixtures("long_cache")
def test_a_queue_with_a_dead_letter_queue_costs_no_command_more(expiring, profiled):
    expiring.claim(limit=1)

    assert len(profiled(lambda: expiring.post("a"))) <= 2
    assert len(profiled(lambda: expiring.claim(limit=1))) == 2
