"""The documents of a store."""

from __future__ import annotations


def count_messages(database):
    """Count the messages of all queues; sentinels and idempotency records have no claim count."""
    return database["kombu_pool_messages"].count_documents({"n": {"$exists": True}})


def documents(database, collection="control_queues"):
    """Return the documents of a collection."""
    return [*database[f"kombu_pool_{collection}"].find()]
