"""A connection in the event loop of a worker."""

from __future__ import annotations

import time

import pytest
from kombu.asynchronous import Hub

from tests.support.limits import best_of


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


def two_ticks(hub: Hub, connection) -> float:
    """Return the seconds of two ticks of the idle loop."""
    connection.transport.register_with_event_loop(connection.connection, hub)
    # The timer of a prefork pool: the loop sleeps until the next timer.
    hub.call_repeatedly(5.0, list)
    loop = hub.create_loop()
    begun = time.monotonic()
    next(loop)
    next(loop)
    return time.monotonic() - begun


def active_timers(hub: Hub) -> list[object]:
    """Return the timers that will fire."""
    return [entry for *_, entry in hub.timer.queue if not entry.canceled]


def test_the_loop_turns_by_itself_for_a_signal_does_not_wake_it(site, hub):
    def seconds():
        with site.app.connection() as connection:
            return two_ticks(hub, connection)

    assert best_of(seconds, 2.0) < 2.0


def test_a_closed_connection_leaves_nothing_in_the_loop(site, hub):
    with site.app.connection() as connection:
        two_ticks(hub, connection)
        assert len(active_timers(hub)) == 2

    assert hub.readers == {}
    assert len(active_timers(hub)) == 1
