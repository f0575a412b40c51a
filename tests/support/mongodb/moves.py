"""The steps of a move under test."""

from __future__ import annotations

from kombu_pool.storage.moving import sealed_incarnation
from tests.support.moving_programs import BATCH, SOURCE, TARGET

SEALED = sealed_incarnation()


def seal(source, **metadata):
    """Seal the source."""
    return source.driver.queue_controller.create(SOURCE, metadata, incarnation=SEALED, replaces="present")


def take(source, limit=BATCH, **options):
    """Put a batch of the source aside, or return the one that is."""
    return source.driver.move_controller.take(SOURCE, limit=limit, incarnation=SEALED, **options)


def store(target, batch, epoch=1):
    """Store a batch in the target."""
    target.driver.move_controller.store(TARGET, batch, incarnation="opened", epoch=epoch)


def remove(source, batch):
    """Remove a batch from the source."""
    source.driver.move_controller.remove(SOURCE, [message.id for message in batch], incarnation=SEALED)


def begin(target, epoch=1):
    """Let a process of this epoch store batches; return the ids of the last one."""
    return target.driver.move_controller.set_epoch(TARGET, incarnation="opened", epoch=epoch)


def remaining(source):
    """Count what is left in the source."""
    return source.driver.move_controller.remaining(SOURCE, incarnation=SEALED)


def post(source, messages, key=None):
    """Post to the source as a producer that has not heard of the seal."""
    controller = source.driver.message_controller
    return controller.post(SOURCE, messages, None, idempotency_key=key, incarnation="present")
