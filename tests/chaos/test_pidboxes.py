"""The remote control of many workers that are killed: their queues, and the replies that were on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.celery.worker import eventually
from tests.support.chaos.stores import STORES
from tests.support.transport.child_programs import Programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.celery.brokers import Broker
    from tests.support.chaos.scale import Scale

TTL, EXPIRES, A_PROCESS, ASKERS = 2.0, 2.0, 25, 4


@pytest.fixture
def programs() -> Iterator[Programs]:
    started = Programs("tests.support.chaos.child_programs")
    yield started
    started.kill()


def named(contents: list[str]) -> list[str]:
    """Return what of a store's contents is somebody's: a mailbox's, a reply queue's, or bound for one."""
    return [line for line in contents if "doomed-" in line or ".reply.celery.pidbox" in line]


@pytest.mark.timeout(120)
@pytest.mark.scenario("pidboxes")
def test_nothing_is_left_of_them_after_their_expiry(
    store: str, broker: Broker, programs: Programs, scale: Scale, tally: Callable[..., None]
) -> None:
    options = {"claim_ttl": TTL}
    start = {"url": broker.url, "expires": EXPIRES, "options": options}

    def contents() -> list[str]:
        return STORES[store].contents(broker.url)

    # One worker lives on; only who consumes from something tidies up.
    assert programs.start("serve", names=["living"], **start).line() == "ready"
    polite = programs.start("ask", seconds=0.1, **start)
    assert polite.line() == "asking"
    polite.finish()
    eventually(lambda: not named(contents()))
    before = contents()
    names = [f"doomed-{number}" for number in range(scale.boxes)]
    doomed = [
        programs.start("serve", names=names[first : first + A_PROCESS], **start)
        for first in range(0, len(names), A_PROCESS)
    ]
    for process in doomed:
        assert process.line() == "ready"
    askers = [programs.start("ask", seconds=60.0, **start) for _ in range(ASKERS)]
    for process in askers:
        assert process.line() == "asking"
    eventually(lambda: sum(".reply.celery.pidbox" in line for line in contents()) >= ASKERS)
    most = named(contents())
    for process in (*askers, *doomed):
        process.kill()
    eventually(lambda: not named(contents()) and len(contents()) <= len(before), 60, lambda: "\n".join(contents()))
    tally(mailboxes=len(names), askers=ASKERS, entries_of_theirs=len(most), left=len(named(contents())))

    assert all(any(name in line for line in most) for name in names)
