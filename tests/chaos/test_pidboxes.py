"""The control queues and pending replies of many killed workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool.pooling.queue_lives import CREATION_LEASE
from tests.support.celery.worker import eventually
from tests.support.chaos.stores import STORES
from tests.support.transport.child_programs import Programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.celery.brokers import Broker
    from tests.support.chaos.scale import Scale

TTL, EXPIRES, PER_PROCESS, ASKERS = 2.0, 2.0, 25, 4
#: Until all has expired, in seconds: a queue in whose creation its process was killed is kept for CREATION_LEASE.
UNTIL_ALL_EXPIRED = CREATION_LEASE + 30


@pytest.fixture
def programs() -> Iterator[Programs]:
    started = Programs("tests.support.chaos.child_programs")
    yield started
    started.kill()


def of_mailboxes(contents: list[str]) -> list[str]:
    """Return the contents of a store that belong to a killed mailbox or a reply queue."""
    return [line for line in contents if "killed-" in line or ".reply.celery.pidbox" in line]


def without_counters_of_the_living(contents: list[str]) -> list[str]:
    """Return the contents of a store but the counters of the mailbox that stays, which it gets at any moment."""
    return [line for line in contents if not ("counter" in line and "living" in line)]


@pytest.mark.scenario("pidboxes")
def test_nothing_is_left_of_them_after_their_expiry(
    store: str, broker: Broker, programs: Programs, scale: Scale, tally: Callable[..., None]
) -> None:
    options = {"claim_ttl": TTL}
    start = {"url": broker.url, "expires": EXPIRES, "options": options}

    def contents() -> list[str]:
        return without_counters_of_the_living(STORES[store].contents(broker.url))

    # One worker stays alive: only processes that consume run the maintenance.
    assert programs.start("serve", names=["living"], **start).line() == "ready"
    finished = programs.start("ask", seconds=0.1, **start)
    assert finished.line() == "asking"
    finished.finish()
    eventually(lambda: not of_mailboxes(contents()))
    before = contents()
    names = [f"killed-{number}" for number in range(scale.boxes)]
    served = [
        programs.start("serve", names=names[first : first + PER_PROCESS], **start)
        for first in range(0, len(names), PER_PROCESS)
    ]
    for process in served:
        assert process.line() == "ready"
    askers = [programs.start("ask", seconds=60.0, **start) for _ in range(ASKERS)]
    for process in askers:
        assert process.line() == "asking"
    eventually(lambda: sum(".reply.celery.pidbox" in line for line in contents()) >= ASKERS)
    most = of_mailboxes(contents())
    for process in (*askers, *served):
        process.kill()
    eventually(
        lambda: not of_mailboxes(contents()) and len(contents()) <= len(before),
        UNTIL_ALL_EXPIRED,
        lambda: "\n".join(contents()),
    )
    tally(mailboxes=len(names), askers=ASKERS, entries_of_theirs=len(most), left=len(of_mailboxes(contents())))

    assert all(any(name in line for line in most) for name in names)
