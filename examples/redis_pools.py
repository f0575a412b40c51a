"""A Redis server and a SQLite file as two pools: fast queues in memory, durable ones on disk.

``python examples/redis_pools.py redis://localhost:6379/0``, or with that URL in ``REDIS_URL``. The example uses a
running server, under its own key prefix, and deletes its keys at the end. It needs ``kombu-pool[redis]``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing

from kombu import Connection, Consumer, Exchange, Producer, Queue

import kombu_pool  # registers pool:// with plain Kombu; Celery does not need it

SHOP = Exchange("shop", type="direct")
QUEUES = [
    Queue("payments", SHOP, routing_key="payment"),
    Queue("metrics.page-views", SHOP, routing_key="page-view"),
]
#: Prefix of all keys, because the database may contain other data.
REDIS = {"key_prefix": "kombu-pool-example"}


def options(redis: str, folder: str) -> dict[str, object]:
    """Return the pools, the flavors, and the rules for queues."""
    return {
        "pools": [
            {"name": "memory", "uri": redis, "weight": 100, "flavor": "quick", "options": REDIS},
            {"name": "disk", "uri": f"sqlite:///{folder}/sure.db", "weight": 100, "flavor": "sure"},
        ],
        "flavors": ["quick", "sure"],
        "queue_flavors": {"metrics.*": "quick", "payments": "sure"},
    }


def main() -> None:
    """Publish to both queues, print where the messages are, consume them, delete the queues."""
    redis = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("REDIS_URL")
    if not redis:
        sys.exit("No Redis URL; try: python examples/redis_pools.py redis://localhost:6379/0")
    with (
        tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder,
        # The control store is a third store here; it could also be one of the two.
        Connection(f"pool+sqlite:///{folder}/control.db", transport_options=options(redis, folder)) as connection,
    ):
        channel = connection.channel()
        producer = Producer(channel, exchange=SHOP)
        producer.publish({"euros": 12}, routing_key="payment", declare=[*QUEUES])
        producer.publish({"path": "/"}, routing_key="page-view", declare=[*QUEUES])
        show("The Redis", redis, REDIS)
        show("The file", f"sqlite:///{folder}/sure.db", {})
        consume(connection)
        for queue in QUEUES:
            queue(channel).delete()


def show(name: str, uri: str, options: dict[str, str]) -> None:
    """Print the queues of one pool, opened directly as a store."""
    with closing(kombu_pool.open_data(uri, options=options)) as store:
        for queue in next(store.queue_controller.list()):
            print(f"{name} holds {queue['name']}, messages: {store.message_controller.count(queue['name'])}")


def consume(connection: Connection) -> None:
    """Consume both messages; the consumer does not need to know the pools of its queues."""
    received: list[str] = []

    def receive(body: object, message: object) -> None:
        received.append(f"{message.delivery_info['routing_key']}: {body}")
        message.ack()

    with Consumer(connection.channel(), QUEUES, callbacks=[receive]):
        while len(received) < len(QUEUES):
            connection.drain_events(timeout=10)
    print("consumed", *sorted(received), sep="\n  ")


if __name__ == "__main__":
    main()
