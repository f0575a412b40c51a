"""Many pools behind one storage contract: each queue lives in the pool that the catalog assigns it to."""

from __future__ import annotations

from kombu_pool.pooling.asking import ask_pools
from kombu_pool.pooling.catalog import Catalog
from kombu_pool.pooling.controllers import ClaimController, MessageController, QueueController, SubscriptionController
from kombu_pool.pooling.driver import DataDriver
from kombu_pool.pooling.pool_calls import call_all
from kombu_pool.pooling.pool_declarations import (
    add_pool,
    already_added,
    compare_pools,
    declare_pools,
    pool_differences,
    require_pools_of,
)
from kombu_pool.pooling.store_comparison import compare_stores

__all__ = [
    "Catalog",
    "ClaimController",
    "DataDriver",
    "MessageController",
    "QueueController",
    "SubscriptionController",
    "add_pool",
    "already_added",
    "ask_pools",
    "call_all",
    "compare_pools",
    "compare_stores",
    "declare_pools",
    "pool_differences",
    "require_pools_of",
]
