"""Two SQLite files as two pools: one that is quick, one that is sure, and queues that choose by flavor.

The same dictionary goes into ``broker_transport_options`` of a Celery application.
"""

from __future__ import annotations

import tempfile
from contextlib import closing

from kombu import Connection, Consumer, Exchange, Producer, Queue

import kombu_pool  # plain Kombu learns of pool:// by this line; Celery does without it

SHOP = Exchange("shop", type="direct")
QUEUES = [
    # A queue may say which flavor it wants ...
    Queue("payments", SHOP, routing_key="payment", queue_arguments={"x-pool-flavor": "sure"}),
    # ... or leave it to the rules below.
    Queue("metrics.page-views", SHOP, routing_key="page-view"),
]


def options(folder: str) -> dict[str, object]:
    """Say which pools and flavors there are, and which queues get which."""
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
    """Publish to both queues, look where the messages are, consume them."""
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
    """Name the queues of one pool: a pool is a store like any other, and can be opened as one."""
    with closing(kombu_pool.open_data(uri)) as store:
        return [queue["name"] for queue in next(store.queue_controller.list())]


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
