"""What a process counts is added when its catalog closes."""

from __future__ import annotations

from kombu_pool.pooling import Catalog, MessageController
from kombu_pool.storage.counters import Counter


def test_a_catalog_that_closes_adds_what_its_controllers_counted(populated, control, clock):
    catalog = Catalog(None, None, control, clock=clock)
    MessageController(catalog).post("of-a", [{"ttl": None, "body": "a"}], None)
    thread = catalog.counters._thread

    catalog.close()

    assert not thread.is_alive()
    assert control.counters([(None, "of-a")]) == {(None, "of-a"): {Counter.PUBLISHED: 1}}
