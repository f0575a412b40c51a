"""The conformance suite: every promise of :mod:`kombu_pool.storage`, as pytest modules.

A test module runs it by importing everything from here and naming the stores::

    from kombu_pool.testing import Store
    from kombu_pool.testing.conformance import *

    STORES = {"journal": Store(lambda folder, name: f"journal://{folder}/{name}")}
"""

from __future__ import annotations

import pytest

from kombu_pool.testing.fixtures import (
    absent,
    backend,
    both_planes,
    clock,
    compared,
    control,
    control_store,
    control_uri,
    dlq,
    driver,
    leaf,
    movable,
    moves,
    origin,
    queue,
    queues,
    source,
    target,
)

pytest_plugins = ["kombu_pool.testing.plugin"]

__all__ = [
    "absent",
    "backend",
    "both_planes",
    "clock",
    "compared",
    "control",
    "control_store",
    "control_uri",
    "dlq",
    "driver",
    "leaf",
    "movable",
    "moves",
    "origin",
    "pytest_plugins",
    "queue",
    "queues",
    "source",
    "target",
    "test_ack_and_claim",
    "test_against_memory",
    "test_bad_input",
    "test_bindings",
    "test_body_types",
    "test_catalogue",
    "test_catalogue_moves",
    "test_claim_by_id",
    "test_claim_deletion",
    "test_claims",
    "test_claims_and_ttl",
    "test_consumers",
    "test_counters",
    "test_dead_letter_exchange",
    "test_dead_letters",
    "test_defects",
    "test_drivers",
    "test_expired_dead_letters",
    "test_flavors",
    "test_holders",
    "test_idempotency",
    "test_impossible_times",
    "test_incarnations",
    "test_inspection",
    "test_keys",
    "test_listing",
    "test_live_claims",
    "test_many_queues",
    "test_max_length",
    "test_messages",
    "test_moving",
    "test_names_and_isolation",
    "test_pause",
    "test_pool_deletion",
    "test_pools",
    "test_queue_expiry",
    "test_queue_lives",
    "test_queues",
    "test_redrive",
    "test_rejection",
    "test_sealed_queues",
    "test_subscriptions",
    "test_unique_messages",
    "test_watch",
]

# Before `import *` imports the modules: pytest explains failed assertions in registered modules only.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in __all__))
