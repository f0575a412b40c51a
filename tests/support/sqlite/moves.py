"""The steps of a move between two queues "q" of SQLite stores."""

from __future__ import annotations

from kombu_pool import codec
from kombu_pool.moves import MovedMessage
from kombu_pool.testing import QueueHandle
from kombu_pool.testing.moves import SEALED


def seal(queue, **metadata):
    controller = queue.driver.queue_controller
    assert controller.create(queue.name, metadata, incarnation=SEALED, replaces="present")


def take(queue, limit=100):
    return queue.driver.move_controller.take(queue.name, limit=limit, incarnation=SEALED)


def store(queue, batch, epoch=1):
    queue.driver.move_controller.store(queue.name, batch, incarnation="opened", epoch=epoch)


def remove(queue, message_ids):
    queue.driver.move_controller.remove(queue.name, message_ids, incarnation=SEALED)


def remaining(queue):
    return queue.driver.move_controller.remaining(queue.name, incarnation=SEALED)


def set_epoch(queue, epoch):
    return queue.driver.move_controller.set_epoch(queue.name, incarnation="opened", epoch=epoch)


def handle(driver, incarnation, name="q"):
    driver.queue_controller.create(name, incarnation=incarnation)
    return QueueHandle(driver, name, None)


def rows_of(queue, table):
    return queue.driver._database.row(f"SELECT count(*) FROM {table}")[0]  # noqa: S608 - a name of the test


def moved(number, **fields):
    return MovedMessage(str(number), codec.encode(f"moved {number}", 1000), 5.0, 0, **fields)
