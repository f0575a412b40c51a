"""The scheduler under claims that begin and end in any order: the limit holds, and every queue is served."""

from __future__ import annotations

import random

import pytest

from kombu_pool.transport.consume.consumers import Grant
from tests.support.transport.scheduling import LIMIT, Setup, ack


class RandomRun:
    """Claims of three places that begin and end in any order, acknowledgements, and requests that fail."""

    def __init__(self, seed):
        self.draw = random.Random(seed)  # noqa: S311 - nothing secret
        self.setup = Setup(self.draw.choice(["round_robin", "priority", "sorted"]), places=("a", "b", "c"))
        self.backlog = dict.fromkeys("uvwxyz", 100)
        self.grants, self.leases = [], []
        for number, queue in enumerate(self.backlog):
            self.setup.consume(queue, place="abc"[number % 3])

    def step(self):
        """Do something, and return whether there is more to do."""
        kind = self.draw.random()
        if kind < 0.5:
            self._begin()
        elif kind < 0.8 and self.grants:
            self._end(self.grants.pop(self.draw.randrange(len(self.grants))))
        else:
            for lease in self.draw.sample(self.leases, min(1, len(self.leases))):
                ack(lease, self.draw.randint(1, LIMIT))
        self.leases = [lease for lease in self.leases if lease.unsettled]
        return bool(self.grants or self.leases or any(self.backlog.values()))

    def _begin(self):
        grant = self.setup.next(self.draw.choice("abc"), leave_few=self.draw.random() < 0.5)
        if isinstance(grant, Grant):
            self.grants.append(grant)
            return
        for place in self.setup.places.values():
            self.setup.scheduler.woken(place)

    def _end(self, grant):
        """End a claim, which carries the acknowledgements of its queue, or a request with those of other queues."""
        queue = grant.consumers.queue
        for lease in grant.leases or [lease for lease in self.leases if lease.queue == queue]:
            batch = {}
            lease.begin_flush(batch)
            has_failed = self.draw.random() < 0.1
            for ids in batch.values():
                (lease.flush_failed if has_failed else lease.flushed)(ids)
            lease.is_queued = has_failed and bool(batch)
        count = min(grant.slots, LIMIT - self.setup.window.outstanding(), self.backlog[queue])
        self.backlog[queue] -= count
        if count:
            self.leases.append(self.setup.lease(grant.consumers, count))
        self.setup.scheduler.done(grant, count if grant.slots else None)


@pytest.mark.parametrize("seed", range(20))
def test_the_limit_holds_and_all_are_served_whatever_happens(seed):
    run = RandomRun(seed)
    for _ in range(20_000):
        if not run.step():
            return
        assert run.setup.window.outstanding() <= LIMIT

    pytest.fail(f"left: {run.backlog}, {len(run.grants)} claims, {len(run.leases)} leases")
