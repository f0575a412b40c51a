"""The library without Kombu: a queue in a SQLite file, posted to, claimed from, deleted from."""

from __future__ import annotations

import tempfile

import kombu_pool

ORDERS = "orders"


def main() -> None:
    """Post three orders and work them off, the second one with an accident."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        store = kombu_pool.open(f"sqlite:///{folder}/shop.db")
        try:
            fill(store)
            work(store)
        finally:
            store.close()


def fill(store: kombu_pool.DataDriver) -> None:
    """Create the queue and post to it; the store has the messages for good when ``post`` returns."""
    store.queue_controller.create(ORDERS)
    messages = [
        {"ttl": 3600, "body": {"item": "tea"}},
        {"ttl": 3600, "body": {"item": "cake"}, "priority": 9},
        {"ttl": 3600, "body": {"item": "milk", "label": b"\x00\xff"}},
    ]
    ids = store.message_controller.post(ORDERS, messages, client_uuid=None)
    print("posted:", len(ids))


def work(store: kombu_pool.DataDriver) -> None:
    """Claim what there is. What is not deleted comes back: at once when released, else when the claim's ttl is over."""
    claims, messages = store.claim_controller, store.message_controller
    claim, (first, *others) = claims.create(ORDERS, {"ttl": 60, "grace": 60}, limit=10)
    print("the urgent one first:", first["body"])
    messages.delete(ORDERS, first["id"], claim=claim)

    print("an accident; given back:", [message["body"] for message in others])
    claims.delete(ORDERS, claim)

    claim, again = claims.create(ORDERS, {"ttl": 60, "grace": 60}, limit=10)
    print("lent again:", [(message["body"]["item"], message["claim_count"]) for message in again])
    messages.bulk_delete(ORDERS, [message["id"] for message in again], claim_ids=[claim])
    print("left:", store.queue_controller.stats(ORDERS)["messages"]["total"])


if __name__ == "__main__":
    main()
