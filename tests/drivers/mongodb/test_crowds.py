"""A queue that others take from at the same time."""

from __future__ import annotations

import threading

from tests.conformance.handles import bodies


def test_what_was_lent_too_often_and_nobody_takes_is_lent_in_a_crowd_too(queue, driver, clock):
    metadata = {"_max_claim_count": 1, "_dead_letter_queue": "nowhere"}
    driver.queue_controller.set_metadata(queue.name, metadata, queue.project)
    queue.post("a")
    queue.claim()
    clock.advance(60)
    driver._store._known[queue.project, queue.name].frontier.is_crowded = True
    found = []

    lender = threading.Thread(target=lambda: found.extend(bodies(queue.claim(limit=1))), daemon=True)
    lender.start()
    lender.join(10)

    assert found == ["a"]
