"""A broker with something on every page: two pools, tasks in each state, dead letters, workers that hold tasks."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.operator import moves
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.storage import DEAD_LETTER_QUEUE, MAX_CLAIM_COUNT
from kombu_pool.transport.publish.envelope import wrap

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from kombu_pool.operator.broker import Broker

#: Names that a page must show as they are.
MARKUP, CONTROL = "<script>alert(1)</script>", "shop.\x1b[31mred\r\n<b>bold</b>"
_QUEUES = ("images", "mail", "orders", "orders.priority", "receipts", "reports.nightly", "search.index", MARKUP)


def task(name: str, task_id: str, **options: Any) -> dict[str, Any]:
    """Return a message with a task."""
    envelope = wrap([], "", "")
    return {
        "ttl": None,
        "body": {**envelope, "headers": {"task": name, "id": task_id, "argsrepr": repr((task_id,))}},
        "key": task_id,
        **options,
    }


def post(broker: Broker, queue: str, *messages: dict[str, Any]) -> None:
    """Post messages."""
    broker.store.message_controller.post(queue, list(messages), None, broker.project)


def fill(folder: Path) -> str:
    """Make the broker in a folder; return its URL."""
    url = f"pool+sqlite:///{folder}/control.db"
    pools = [
        {"name": name, "uri": f"sqlite:///{folder}/{name}.db", "weight": weight}
        for name, weight in (("bulk", 100), ("fast", 200))
    ]
    with open_broker(BrokerUrl(url, {"pools": pools}), create=True) as broker:
        _declare(broker)
        _post(broker)
        _hold(broker)
        _move(broker)
    return url


def _declare(broker: Broker) -> None:
    queues = broker.store.queue_controller
    for name in _QUEUES:
        queues.create(name, None, broker.project)
    queues.create("failed", None, broker.project)
    queues.create("imports", {DEAD_LETTER_QUEUE: "failed", MAX_CLAIM_COUNT: 3}, broker.project)
    queues.pause("reports.nightly", broker.project)


def _post(broker: Broker) -> None:
    post(broker, "receipts", *(task("shop.tasks.send_receipt", f"receipt-{number:04}") for number in range(137)))
    post(broker, "images", *(_image(number, priority=number % 3) for number in range(24)))
    post(broker, "images", *(_image(100 + number, delay=600 + 60 * number) for number in range(12)))
    post(broker, "imports", *(task("shop.tasks.import_prices", f"import-{number}") for number in range(9)))
    post(
        broker, "mail", task(CONTROL, "odd-1"), {"ttl": None, "body": b"\xff\xfe\x00"}, {"ttl": None, "body": "\x1b[2J"}
    )


def _image(number: int, **options: Any) -> dict[str, Any]:
    return task("shop.tasks.resize_image", f"image-{number:04}", **options)


def _hold(broker: Broker) -> None:
    """Start consumers, claim messages with two of them, and reject five messages."""
    store, project = broker[:2]
    for number, queue in enumerate(("receipts", "images", "images", "orders")):
        since = f"{time.time() - 4000 - 600 * number:.0f}"
        holder = f"{_process(number)}:{number}:1@{since}@worker-{number % 2 + 1}:None{number}"
        store.control.consumers_controller.add_holder(queue, holder, 3600, project)
    for number, queue, count in ((0, "receipts", 2), (1, "images", 3), (1, "images", 1)):
        store.claim_controller.create(queue, {"ttl": 3600, "grace": 0, "holder": _process(number)}, project, count)
    claim, messages = store.claim_controller.create("imports", {"ttl": 60, "grace": 0}, project, 5)
    store.message_controller.reject("imports", [(message["id"], claim) for message in messages], project)
    store.dead_letter_all()


def _move(broker: Broker) -> None:
    """Move a queue, and begin the move of another one, which waits for a worker that holds some of its messages."""
    store, project = broker[:2]
    pools = {"bulk": "fast", "fast": "bulk"}
    for queue, count, held in (("archive", 25, 0), ("exports", 60, 7), ("statements", 40, 2)):
        store.queue_controller.create(queue, None, project)
        post(broker, queue, *(task("shop.tasks.export", f"{queue}-{number}") for number in range(count)))
        if held:
            store.claim_controller.create(queue, {"ttl": 3600, "grace": 0, "holder": _process(1)}, project, held)
    for queue in ("archive", "exports"):
        target = pools[store.catalog.pool_of(queue, project) or ""]
        moves.move(store, project, queue, target, lambda now: bool(now.held and now.held == now.left))


def _process(number: int) -> str:
    """Return the name of one of two processes."""
    return f"another machine:{4700 + number % 2}:0"


def trade(broker: Broker, is_over: threading.Event, pause: float) -> None:
    """Let messages come into ``orders`` and go, more in some rounds than in others."""
    store, project = broker[:2]
    for number in itertools.count():
        if is_over.wait(pause):
            return
        post(broker, "orders", *(task("shop.tasks.pay", f"pay-{number}-{each}") for each in range(3 + number * 7 % 11)))
        claim, messages = store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, project, 9)
        if claim is not None:
            held = [(message["id"], claim) for message in messages]
            store.message_controller.delete_claimed("orders", held, project)
