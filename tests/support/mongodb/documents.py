"""The documents of a store."""

from __future__ import annotations


def count_messages(database):
    """Count the messages of all queues; sentinels and idempotency records have no claim count."""
    return database["kombu_pool_messages"].count_documents({"n": {"$exists": True}})
