"""A task that kills its worker, in a queue with a delivery limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kombu import Queue

from tests.support.celery.application import DEAD, LIMITED
from tests.support.celery.worker import eventually
from tests.support.chaos.tasks import POISON, WORK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.celery.site import Site

#: RabbitMQ's limit counts the deliveries after the first one.
LIMIT, TTL = 3, 2.0


@pytest.mark.scenario("poison")
def test_it_is_dead_lettered_when_so_many_workers_died(
    make_site: Callable[..., Site], tally: Callable[..., None]
) -> None:
    site = make_site(broker_transport_options={"claim_ttl": TTL}, **{LIMITED: LIMIT})
    with site.app.connection() as connection:
        Queue(DEAD)(connection.default_channel).declare()
    arguments = ("--pool=prefork", "--concurrency=1", f"--queues={LIMITED}")
    workers = [site.lone_worker(*arguments, ready=False) for _ in range(LIMIT + 2)]
    for worker in workers:
        worker.ready()

    site.app.send_task(POISON, task_id="poison", queue=LIMITED)
    eventually(lambda: site.counts(DEAD) == (1, 0), 60)
    site.app.send_task(WORK, task_id="after", queue=LIMITED)
    eventually(lambda: any(line.startswith("end after") for line in site.journal.texts()))
    died = sum(not worker.runs for worker in workers)
    with site.app.connection() as connection:
        dead_letter = connection.default_channel.basic_get(DEAD)
    death = dead_letter.headers["x-death"][0]
    tally(workers=len(workers), died=died, dead_letters=1, reason=death["reason"])

    assert died == LIMIT + 1
    assert sum(line.startswith("begin poison") for line in site.journal.texts()) == LIMIT + 1
    assert (dead_letter.headers["id"], death["queue"], death["reason"]) == ("poison", LIMITED, "delivery_limit")
    assert site.counts(LIMITED) == (0, 0)
