"""A Redis and a SQLite file as two pools of one catalogue: what is quick in memory, what is dear on the disk.

``python examples/redis_pools.py redis://localhost:6379/0``, or with that URL in ``REDIS_URL``: it starts no server but
uses one that is there, under keys of its own, which it deletes at the end. It needs ``kombu-pool[redis]``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing

from kombu import Connection, Consumer, Exchange, Producer, Queue

import kombu_pool  # plain Kombu learns of pool:// by this line; Celery does without it

SHOP = Exchange("shop", type="direct")
QUEUES = [
    Queue("payments", SHOP, routing_key="payment"),
    Queue("metrics.page-views", SHOP, routing_key="page-view"),
]
#: What the names of all its keys begin with, for the database may hold other things.
REDIS = {"key_prefix": "kombu-pool-example"}


def options(redis: str, folder: str) -> dict[str, object]:
    """Say which pools and flavors there are, and which queues get which."""
    return {
        "pools": [
            {"name": "memory", "uri": redis, "weight": 100, "flavor": "quick", "options": REDIS},
            {"name": "disk", "uri": f"sqlite:///{folder}/sure.db", "weight": 100, "flavor": "sure"},
        ],
        "flavors": ["quick", "sure"],
        "queue_flavors": {"metrics.*": "quick", "payments": "sure"},
    }


def main() -> None:
    """Publish to both queues, look where the messages are, consume them, delete the queues."""
    redis = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("REDIS_URL")
    if not redis:
        sys.exit("Which Redis? Try: python examples/redis_pools.py redis://localhost:6379/0")
    with (
        tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder,
        # The control store is the third one here. It might as well be one of the two.
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
    """Tell what waits in one pool: a pool is a store like any other, and can be opened as one."""
    with closing(kombu_pool.open_data(uri, options=options)) as store:
        for queue in next(store.queue_controller.list()):
            print(f"{name} holds {queue['name']}, messages: {store.message_controller.count(queue['name'])}")


def consume(connection: Connection) -> None:
    """Take both messages; the consumer need not know which pool each of its queues is in."""
    got: list[str] = []

    def take(body: object, message: object) -> None:
        got.append(f"{message.delivery_info['routing_key']}: {body}")
        message.ack()

    with Consumer(connection.channel(), QUEUES, callbacks=[take]):
        while len(got) < len(QUEUES):
            connection.drain_events(timeout=10)
    print("consumed", *sorted(got), sep="\n  ")


if __name__ == "__main__":
    main()
