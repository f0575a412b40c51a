"""One process of many samples the queues, and all of them have the samples."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from celery import Celery

from kombu_pool.errors import ConfigurationError
from kombu_pool.metrics import Sampler
from kombu_pool.metrics import sampler as sampling
from kombu_pool.metrics.exchange import LEASE_QUEUE, SAMPLE_QUEUE
from kombu_pool.operator.queues import is_internal, list_queues
from kombu_pool.storage.counters import Counter
from tests.support.limits import LIMIT
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import eventually

FAST = 0.1


def declare(store, *queues, project=None):
    for queue in queues:
        store.queue_controller.create(queue, None, project)


def post(store, queue, count, project=None):
    store.message_controller.post(queue, [{"ttl": None, "body": n} for n in range(count)], None, project)
    store.send_counters()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "kombu_pool sampler"]


def step(sampler):
    sampler.run_once()
    return sampler


def rows(sampler):
    newest = sampler.latest()
    rows = newest.sample.report.queues if newest else []
    return {row.queue: row for row in rows if not is_internal(row.queue, row.pool)}


def test_one_of_several_processes_samples_and_the_others_read_its_samples(uri, opened, samplers):
    stores = [opened(uri) for _ in range(3)]
    declare(stores[0], "orders", 'Ünïcode\n"queue"')
    post(stores[0], "orders", 3)
    several = [samplers(store) for store in stores]

    for sampler in several:
        sampler.run_once()

    times = {sampler.latest().sample.at for sampler in several}
    assert len(times) == 1
    assert [sampler.latest().number for sampler in several] == [1, 1, 1]
    assert {name: row.ready for name, row in rows(several[2]).items()} == {"orders": 3, 'Ünïcode\n"queue"': 0}
    assert several[2].latest().sample.counters["orders"][Counter.PUBLISHED] == 3
    assert several[1].latest().sample == several[0].latest().sample


def test_another_process_samples_once_the_claim_of_a_dead_one_has_ended(uri, opened, samplers):
    first, second = (samplers(opened(uri), interval=FAST) for _ in range(2))
    first.run_once()
    first.after_fork()  # as if its process were gone: the lease is held, and not renewed
    second.run_once()
    number = second.latest().number

    eventually(lambda: step(second)._lease.is_held)

    assert second.latest().number > number
    first.run_once()
    assert not first._lease.is_held
    assert first.latest().sample.at == second.latest().sample.at


def test_a_process_that_closes_leaves_the_lease_to_another_at_once(uri, opened, samplers):
    first, second = samplers(opened(uri), interval=FAST), samplers(opened(uri), interval=FAST)
    first.run_once()
    second.run_once()

    first.close()

    assert second._lease.acquire()


def test_a_process_whose_lease_has_ended_reads_what_another_one_samples(opened, samplers, tmp_path):
    first, second = (samplers(opened(f"sqlite:///{tmp_path}/c.db"), interval=FAST) for _ in range(2))
    first.run_once()
    held = first._lease._claim
    first._lease.release()
    assert second._lease.acquire()
    first._lease._claim = held

    second.run_once()
    first.run_once()

    assert not first._lease.is_held
    assert first.latest().sample.at == second.latest().sample.at


def test_each_project_is_sampled_by_itself(opened, samplers, tmp_path):
    store = opened(f"sqlite:///{tmp_path}/c.db")
    declare(store, "ours", project="a")
    declare(store, "theirs", project="b")

    several = [samplers(store, project) for project in ("a", "b")]
    for sampler in several:
        sampler.run_once()

    assert [list(rows(sampler)) for sampler in several] == [["ours"], ["theirs"]]


def test_the_queues_of_the_samples_are_the_control_stores_and_no_user_sees_them(uri, opened, samplers, tmp_path):
    store = opened(uri, pools=[{"name": "user", "uri": f"sqlite:///{tmp_path}/user.db", "weight": 100}])
    declare(store, "orders")
    sampler = samplers(store)
    sampler.run_once()

    report = list_queues(store, None)

    assert [row.queue for row in report.queues] == ["orders"]
    assert [store.catalog.pool_of(queue) for queue in (LEASE_QUEUE, SAMPLE_QUEUE)] == ["kombu_pool.control"] * 2


def test_purging_an_application_deletes_no_sample(opened, samplers, tmp_path):
    uri = f"sqlite:///{tmp_path}/c.db"
    samplers(opened(uri)).run_once()
    app = Celery("shop", broker=f"pool+{uri}", set_as_current=False)

    purged = app.control.purge()

    other = step(samplers(opened(uri)))
    assert purged == 0
    assert other.latest().number == 1
    assert not other._lease.is_held


def test_lost_queues_of_the_samples_are_made_again(uri, opened, samplers):
    store = opened(uri)
    sampler, other = samplers(store, interval=FAST), samplers(opened(uri), interval=FAST)
    sampler.run_once()
    other.run_once()
    for queue in (LEASE_QUEUE, SAMPLE_QUEUE):
        opened(uri).queue_controller.delete(queue)

    eventually(lambda: step(sampler).latest().number >= 3)
    eventually(lambda: step(other).latest().sample.at == sampler.latest().sample.at)

    assert sampler.error is None


def test_rates_and_points_are_those_between_two_samples(uri, opened, samplers):
    store = opened(uri)
    declare(store, "orders")
    sampler, other = samplers(store), samplers(opened(uri))
    sampler.run_once()
    post(store, "orders", 40)
    sampler.run_once()
    other.run_once()

    first, second = sampler.points("orders")
    row = rows(other)["orders"]
    assert (first.ready, first.rate_in) == (0, None)
    assert second.ready == row.ready == 40
    assert row.rate_in == row.growth == pytest.approx(40 / (second.at - first.at), rel=0.01)
    assert second.rate_in == pytest.approx(row.rate_in)
    assert other.points("orders") == [first, second]
    assert sampler.points("other") == []


def test_a_pool_that_is_down_is_in_the_sample_with_its_reason(opened, samplers, tmp_path):
    pools = [
        {"name": name, "uri": uri, "weight": 100, "flavor": name}
        for name, uri in (
            ("up", f"sqlite:///{tmp_path}/up.db"),
            ("down", f"sqlite:///{tmp_path}/down.db"),
        )
    ]
    flavors = [{"name": "up"}, {"name": "down"}]
    store = opened(f"sqlite:///{tmp_path}/c.db", pools=pools, flavors=flavors)
    for name in ("up", "down"):
        store.queue_controller.create(f"q-{name}", {"_flavor": name})
    store.control.pools_controller.update("down", uri="redis://127.0.0.1:1/0")
    fresh = samplers(opened(f"sqlite:///{tmp_path}/c.db"))

    fresh.run_once()

    found, health = rows(fresh), {pool.pool: pool.answers for pool in fresh.latest().sample.pools}
    assert (found["q-up"].ready, found["q-up"].error) == (0, None)
    assert found["q-down"].ready is None
    assert "Connection refused" in found["q-down"].error
    assert health["up"] is True
    assert health["down"] is False


def test_the_thread_samples_wakes_what_waits_and_ends(opened, samplers, tmp_path):
    store = opened(f"sqlite:///{tmp_path}/c.db")
    sampler, seen = samplers(store, interval=FAST), threading.Event()
    assert sampler.wait(timeout=0.05) is None
    unsubscribe = sampler.subscribe(lambda latest: latest.number >= 2 and seen.set())

    sampler.start()
    newest = sampler.wait(after=2, timeout=LIMIT)

    assert newest.number >= 3
    assert newest.age < LIMIT
    assert seen.is_set()
    unsubscribe()
    seen.clear()
    sampler.wait(after=newest.number + 1, timeout=LIMIT)
    assert not seen.is_set()
    sampler.close()
    assert not threads()


def test_many_first_uses_at_once_start_one_thread(opened, samplers, tmp_path):
    store, before, interval = opened(f"sqlite:///{tmp_path}/c.db"), threads(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for _ in range(20):
        sampler, together = samplers(store), threading.Barrier(8)
        callers = [threading.Thread(target=lambda: together.wait() + bool(sampler.start())) for _ in range(8)]  # noqa: B023
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        before.append(sampler._thread)
    sys.setswitchinterval(interval)

    assert not set(threads()) - set(before)


def test_a_thread_that_ends_late_does_not_go_on_beside_its_successor(opened, samplers, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_JOIN_TIMEOUT", 0.05)
    is_busy, may_end = threading.Event(), threading.Event()
    sampler = samplers(opened(f"sqlite:///{tmp_path}/c.db"), interval=FAST)
    unsubscribe = sampler.subscribe(lambda _: (is_busy.set(), may_end.wait(LIMIT)))
    sampler.start()
    assert is_busy.wait(LIMIT)
    (late,) = threads()

    sampler.close()
    unsubscribe()
    sampler.start()
    may_end.set()
    late.join(LIMIT)

    assert not late.is_alive()
    assert len(threads()) == 1


def test_a_subscriber_that_fails_stops_no_sample(opened, samplers, tmp_path, caplog):
    sampler = samplers(opened(f"sqlite:///{tmp_path}/c.db"))
    sampler.subscribe(lambda latest: 1 / 0)

    sampler.run_once()
    sampler.run_once()

    assert sampler.latest().number == 2
    assert "subscriber" in caplog.text


def test_a_child_process_samples_with_a_thread_of_its_own(opened, samplers, tmp_path):
    sampler = samplers(opened(f"sqlite:///{tmp_path}/c.db"), interval=FAST)
    sampler.start()
    number = sampler.wait(timeout=LIMIT).number
    pid = os.fork()
    if not pid:
        newest = sampler.wait(after=number + 5, timeout=LIMIT)
        os._exit(0 if newest is not None and not sampler._lease.is_held else 1)

    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert sampler._lease.is_held


CHILD = """
import sys, kombu_pool
from kombu_pool.metrics import Sampler
sampler = Sampler(kombu_pool.open(sys.argv[1]), interval=0.1)
sampler.start()
while sampler.wait() is None or not sampler._lease.is_held:
    pass
print("samples", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_is_replaced(opened, samplers, tmp_path):
    uri = f"sqlite:///{tmp_path}/c.db"
    with subprocess.Popen([sys.executable, "-c", CHILD, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"samples\n"
        sampler = samplers(opened(uri), interval=FAST)
        sampler.run_once()
        assert sampler.latest().number >= 1
        assert not sampler._lease.is_held
        child.kill()

    eventually(lambda: step(sampler)._lease.is_held)


def test_a_process_that_ends_leaves_the_lease_without_a_word(opened, samplers, tmp_path):
    uri = f"sqlite:///{tmp_path}/c.db"
    program = CHILD.replace("sys.stdin.read()", "")

    done = subprocess.run([sys.executable, "-c", program, uri], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("samples\n", "")
    assert samplers(opened(uri))._lease.acquire()


def test_an_outage_of_the_control_store_is_logged_once_and_ends(opened, samplers, tmp_path, caplog):
    with Server() as server:
        sampler = samplers(opened(server.uri()))
        sampler.run_once()
        server.kill()
        for _ in range(2):
            sampler.run_once()
        assert "redis://" in sampler.error
        assert sampler.latest().number == 1
        server.restart()
        eventually(lambda: step(sampler).latest().number > 1)

    assert sampler.error is None
    assert [record.message.split(":")[0] for record in caplog.records if "sampled" in record.message] == [
        "The queues cannot be sampled",
        "The queues are sampled again",
    ]


@pytest.mark.parametrize("interval", [0, -1, 0.01, float("nan")])
def test_an_interval_that_is_too_short_is_refused(opened, tmp_path, interval):
    with pytest.raises(ConfigurationError, match=r"0\.1 s or more"):
        Sampler(opened(f"sqlite:///{tmp_path}/c.db"), interval=interval)
