"""Two SQLite files as two pools, a fast one and a durable one, and queues that choose a pool by flavor.

The same dictionary goes into ``broker_transport_options`` of a Celery application.
"""

from __future__ import annotations

import tempfile
from contextlib import closing

from kombu import Connection, Consumer, Exchange, Producer, Queue

import kombu_pool  # registers pool:// with plain Kombu; Celery does not need it

SHOP = Exchange("shop", type="direct")
QUEUES = [
    # A queue may name its flavor ...
    Queue("payments", SHOP, routing_key="payment", queue_arguments={"x-pool-flavor": "sure"}),
    # ... or get it from the rules below.
    Queue("metrics.page-views", SHOP, routing_key="page-view"),
]


def options(folder: str) -> dict[str, object]:
    """Return the pools, the flavors, and the rules for queues."""
    return {
        "pools": [
            {
                "name": "quick",
                "uri": f"sqlite:///{folder}/quick.db?synchronous=NORMAL",
                "weight": 100,
                "flavor": "quick",
            },
            {"name": "sure", "uri": f"sqlite:///{folder}/sure.db", "weight": 100, "flavor": "sure"},
        ],
        "flavors": ["quick", "sure"],
        "queue_flavors": {"metrics.*": "quick"},
    }


def main() -> None:
    """Publish to both queues, print where the messages are, consume them."""
    with (
        tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder,
        Connection(f"pool+sqlite:///{folder}/control.db", transport_options=options(folder)) as connection,
    ):
        producer = Producer(connection.channel(), exchange=SHOP)
        producer.publish({"euros": 12}, routing_key="payment", declare=[*QUEUES])
        producer.publish({"path": "/"}, routing_key="page-view", declare=[*QUEUES])
        for pool in ("quick", "sure"):
            print(f"{pool}.db holds the queue", *queues_in(f"sqlite:///{folder}/{pool}.db"))
        consume(connection)


def queues_in(uri: str) -> list[str]:
    """Return the queues of one pool, opened directly as a store."""
    with closing(kombu_pool.open_data(uri)) as store:
        return [queue["name"] for queue in next(store.queue_controller.list())]


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
