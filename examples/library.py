"""The library without Kombu: post to a queue in a SQLite file, claim messages, delete them."""

from __future__ import annotations

import tempfile

import kombu_pool

ORDERS = "orders"


def main() -> None:
    """Post three orders and process them; release two of them once."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        store = kombu_pool.open(f"sqlite:///{folder}/shop.db")
        try:
            fill(store)
            work(store)
        finally:
            store.close()


def fill(store: kombu_pool.DataDriver) -> None:
    """Create the queue and post to it; the messages are durable when ``post`` returns."""
    store.queue_controller.create(ORDERS)
    messages = [
        {"ttl": 3600, "body": {"item": "tea"}},
        {"ttl": 3600, "body": {"item": "cake"}, "priority": 9},
        {"ttl": 3600, "body": {"item": "milk", "label": b"\x00\xff"}},
    ]
    ids = store.message_controller.post(ORDERS, messages, client_uuid=None)
    print("posted:", len(ids))


def work(store: kombu_pool.DataDriver) -> None:
    """Claim all messages. A message that is not deleted is free again after a release, or when the claim's ttl ends."""
    claims, messages = store.claim_controller, store.message_controller
    claim, (first, *others) = claims.create(ORDERS, {"ttl": 60, "grace": 60}, limit=10)
    print("first, by priority:", first["body"])
    messages.delete(ORDERS, first["id"], claim=claim)

    print("released:", [message["body"] for message in others])
    claims.delete(ORDERS, claim)

    claim, again = claims.create(ORDERS, {"ttl": 60, "grace": 60}, limit=10)
    print("claimed again:", [(message["body"]["item"], message["claim_count"]) for message in again])
    messages.bulk_delete(ORDERS, [message["id"] for message in again], claim_ids=[claim])
    print("left:", store.queue_controller.stats(ORDERS)["messages"]["total"])


if __name__ == "__main__":
    main()
