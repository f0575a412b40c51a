"""What an idle process asks a MongoDB again and again."""

from __future__ import annotations

import pytest

from kombu_pool.model import DELETING, Expiry


@pytest.fixture
def busy(control, created, clock, queues):
    """Queues of which none needs maintenance."""
    control.epoch()
    for number in range(30):
        created(f"q{number}", expiry=Expiry(1000, from_now=True) if number % 2 else None)
        queue = queues(f"q{number}", _dead_letter_queue="dlq", _dead_letter_expired=True)
        queue.post("a", "b", ttl=1000)
        queue.claim(limit=1, ttl=500)
    clock.advance(100)
    control.consumers_controller.expired_queues()


@pytest.mark.usefixtures("busy")
def test_an_idle_process_asks_the_control_store_once(control, round_trips):
    due = []

    assert round_trips(lambda: due.append(control.due_maintenance("machine:"))) == 1

    assert due == [(control.epoch(), [], [], [], False)]


@pytest.mark.usefixtures("busy")
def test_an_idle_process_asks_the_data_store_once(driver, round_trips):
    assert round_trips(driver.dead_letter_all) == 1


@pytest.mark.usefixtures("busy")
def test_an_idle_process_makes_the_server_read_nothing(control, driver, profiled):
    done = profiled(lambda: (control.due_maintenance("machine:"), driver.dead_letter_all()))

    assert len(done) >= 2
    # The epoch.
    assert sum(one.get("docsExamined", 0) for one in done) == 1
    assert max(one.get("keysExamined", 0) for one in done) <= 4


def test_due_maintenance_is_what_the_controllers_find(control, catalogue, created, clock):
    created("expired", expiry=Expiry(10, from_now=True))
    created("living", expiry=Expiry(100, from_now=True))
    deleted = created("deleted")
    catalogue.begin_deletion(None, "deleted", deleted.incarnation)
    clock.advance(11)

    due = control.due_maintenance()

    assert due.epoch == control.epoch()
    assert due.expired == [(None, "expired")]
    assert due.deletions == [(None, "deleted", deleted._replace(state=DELETING))]


def test_a_dropped_database_is_another_epoch(control, database):
    before = control.due_maintenance().epoch
    assert control.due_maintenance().epoch == before

    database.client.drop_database(database.name)

    after = control.due_maintenance().epoch
    assert after not in ("", before)
    assert control.epoch() == after
