"""Stopped and killed workers leave nothing behind but the task queue."""

from __future__ import annotations

from tests.support.celery.worker import eventually


def leftovers(site) -> list[str]:
    """Return everything except the task queue, its binding and its exchange."""
    with site.store() as store:
        queues = [queue["name"] for queue in next(store.queue_controller.list(limit=0))]
        bound = [binding["destination"] for binding in store.control.bindings_controller.list()]
        mapped = [entry["queue"] for entry in store.control.catalogue_controller.list(None)]
        held = store.control.consumers_controller.count("celery")
    return sorted(name for name in {*queues, *bound, *mapped} if name != "celery") + ["celery's consumer"] * held


def test_workers_leave_nothing_behind(site):
    for _ in range(2):
        workers = [site.worker("--pool=solo", "--task-events", ready=False) for _ in range(3)]
        for worker in workers:
            worker.ready()
        for worker in workers:
            site.inspect(worker).ping()
        for worker in workers:
            worker.stop()

    assert leftovers(site) == []


def test_what_a_killed_worker_leaves_goes_by_itself(site):
    brief = {"control_queue_expires": 1, "event_queue_expires": 1, "broker_transport_options": {"claim_ttl": 2.0}}
    killed = site.worker("--pool=solo", **brief)
    mine = {name for name in leftovers(site) if name.startswith(("celeryev", killed.name))}
    other = site.lone_worker("--pool=solo", **brief)

    killed.kill()

    assert mine
    eventually(lambda: not mine & set(leftovers(site)))
    assert site.inspect(other).ping() == {other.name: {"ok": "pong"}}
    other.stop()
    assert leftovers(site) == []


def test_commands_leave_nothing_behind(site):
    worker = site.lone_worker("--pool=solo")
    before = leftovers(site)

    site.run("status", "--timeout=60", "--destination", worker.name)
    site.run("inspect", "ping", "--timeout=60", "--destination", worker.name)
    site.run("events", "--help")

    eventually(lambda: leftovers(site) == before)
    worker.stop()
    assert leftovers(site) == []
