"""Many processes on one queue, some of which die: nothing is lost, and only claimed messages are delivered again."""

from __future__ import annotations

import time

import pytest

from tests.support.limits import LIMIT, LONG_TEST, best_of
from tests.support.transport.traffic import consume, consumers, declare, eventually, publish

PRODUCERS, MESSAGES, CONSUMERS, PREFETCH = 5, 400, 4, 64
#: Seconds between two kills, the least that must be killed, and the most: a loaded machine must not kill for ever.
KILL_EVERY, LEAST_KILLED, MOST_KILLED = 0.5, 2, 6
OPTIONS = {"claim_ttl": 4.0}


class Workers:
    """Consumer processes, each with a record of its deliveries."""

    def __init__(self, programs, url, folder):
        self._programs = programs
        self._url = url
        self._folder = folder
        self._living = []
        self.killed = []
        self.records = []

    def start(self):
        record = self._folder / f"seen-{len(self.records)}"
        self.records.append(record)
        program = self._programs.start("work", url=self._url, queue="q", record=str(record), options=OPTIONS)
        self._living.append((program, record))
        return program

    def kill_the_oldest(self):
        program, record = self._living.pop(0)
        program.kill()
        self.killed.append(record)

    def newest_is_at_work(self):
        return self.records[-1].exists() and self.records[-1].stat().st_size > 0

    def may_kill(self, *, is_all_seen):
        """Return whether the rest can go on: consumers that die before they begin would get nothing done."""
        required = len(self.killed) < LEAST_KILLED and is_all_seen
        return required or (len(self.killed) < MOST_KILLED and self.newest_is_at_work())

    def stop(self):
        for program, _ in self._living:
            program.tell()
        for program, _ in self._living:
            program.finish()

    def seen(self, record):
        """Return (body, claim count) of each delivery in a record, in order."""
        lines = record.read_text().splitlines() if record.exists() else []
        return [(body, int(claims)) for body, claims, _ in map(str.split, lines)]

    def most_held(self):
        lines = [line for record in self.records if record.exists() for line in record.read_text().splitlines()]
        return max(int(line.split()[2]) for line in lines)

    def whose_messages_came_again(self):
        """Return the records with a message that was delivered once more elsewhere."""
        given = {}
        for record in self.records:
            for body, claims in self.seen(record):
                given.setdefault(body, []).append((claims, record))
        return {record for times in given.values() for _, record in sorted(times)[:-1]}

    def most_that_came_again(self):
        """Return the largest number of messages of one record that were delivered once more elsewhere."""
        given = {}
        for record in self.records:
            for body, claims in self.seen(record):
                given.setdefault(body, []).append((claims, record))
        again = [record for times in given.values() for _, record in sorted(times)[:-1]]
        return max((again.count(record) for record in set(again)), default=0)

    def total(self):
        return {body for record in self.records for body, _ in self.seen(record)}


@pytest.fixture
def workers(programs, shared_url, tmp_path):
    return Workers(programs, shared_url, tmp_path)


def consume_under_kills(workers, sent):
    """Kill consumers now and then until all messages are seen; fail when no new one is seen within the limit."""
    seen, since, killed_at = set(), time.monotonic(), time.monotonic()
    while seen != sent or len(workers.killed) < LEAST_KILLED:
        time.sleep(0.1)
        now, before = time.monotonic(), len(seen)
        seen = workers.total()
        since = now if len(seen) > before else since
        assert now < since + LIMIT, f"{len(sent - seen)} messages were not seen"
        if now >= killed_at + KILL_EVERY and workers.may_kill(is_all_seen=seen == sent):
            workers.kill_the_oldest()
            workers.start()
            killed_at = now


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.slow
def test_nothing_is_lost_and_only_what_the_killed_held_comes_twice(shared_url, opened, programs, workers):
    channel = opened(shared_url).channel()
    declare(channel, "q")
    sent = {f"p{name}-{number}" for name in range(PRODUCERS) for number in range(MESSAGES)}
    for _ in range(CONSUMERS):
        workers.start()
    producers = [
        programs.start("publish", url=shared_url, queue="q", name=f"p{name}", number=MESSAGES)
        for name in range(PRODUCERS)
    ]

    consume_under_kills(workers, sent)
    # The unacknowledged messages of the last killed process are still claimed, and come again.
    eventually(lambda: channel._queues.total("q") == 0)
    for producer in producers:
        producer.finish()
    workers.stop()

    assert workers.total() == sent
    assert len(workers.killed) >= LEAST_KILLED
    assert workers.most_held() <= PREFETCH
    assert workers.whose_messages_came_again() <= set(workers.killed)
    assert workers.most_that_came_again() <= PREFETCH


def test_producers_of_many_processes_do_not_disturb_each_others_order(shared_url, opened, programs):
    channel = opened(shared_url).channel()
    declare(channel, "q")
    for program in [programs.start("publish", url=shared_url, queue="q", name=name, number=50) for name in "abcd"]:
        program.finish()

    inbox = consume(channel, "q", ack=True)
    inbox.wait_for(200)

    for name in "abcd":
        assert [body for body in inbox.bodies if body.startswith(name)] == [f"{name}-{n}" for n in range(50)]


def test_processes_that_declare_the_same_queue_at_once_use_the_same(shared_url, opened, programs):
    owners = [programs.start("own", url=shared_url, queue="q", options={}) for _ in range(4)]
    for owner in owners:
        assert owner.line() == "ready"

    channel = opened(shared_url).channel()

    assert channel.queue_declare("q", passive=True).consumer_count == 4


def test_a_broadcast_of_another_process_waits_for_the_consumer_of_a_bound_queue(shared_url, opened, programs):
    channel = opened(shared_url).channel()
    declare(channel, "q")
    channel.queue_bind("q", "amq.fanout")

    programs.run("publish", url=shared_url, exchange="amq.fanout", queue="", name="news", number=1)

    assert consume(channel, "q").wait_for(1)[0].payload == "news-0"


def test_an_idle_consumer_in_another_process_hears_of_a_message_at_once(shared_url, opened, programs):
    channel = opened(shared_url).channel()
    declare(channel, "q")

    def delay():
        listener = programs.start("block", url=shared_url, queue="q", seconds=0, options={})
        eventually(lambda: consumers(channel, "q"))
        time.sleep(0.3)
        begun = time.monotonic()
        publish(channel, "q", "a")
        assert listener.line() == "begun"
        heard = time.monotonic() - begun
        listener.finish()
        return heard

    assert best_of(delay, 2) < 2
