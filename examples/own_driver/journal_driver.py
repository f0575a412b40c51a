"""``journal://NAME?file=/a/path``: messages in memory, and a line in a file for each one that was posted.

Most of a driver is its controllers. This one borrows those of the memory driver, and adds its own to one verb.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from kombu_pool import conf as configuration
from kombu_pool.drivers import memory
from kombu_pool.drivers.memory.claiming import Claimer
from kombu_pool.drivers.memory.dead_letters import DeadLetters
from kombu_pool.drivers.memory.driver import DataDriver
from kombu_pool.drivers.memory.messages import MessageController
from kombu_pool.drivers.memory.shared import data_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers import StoreUri
    from kombu_pool.drivers.memory.store import DataStore
    from kombu_pool.model import IdempotencyKey, NewMessage, Project
    from kombu_pool.storage import ControlDriver

CAPABILITIES = memory.CAPABILITIES
MOST_BYTES = 1_000_000
OPTIONS = [cfg.StrOpt("file", default="journal.jsonl", help="The file that gets the lines.")]


def open_data(
    uri: StoreUri, *, control: ControlDriver | None, conf: Any, cache: Any, clock: Clock, options: Mapping[str, Any]
) -> JournalDriver:
    """Open the store for messages."""
    chosen = configuration.options(OPTIONS, {**uri.options, **options}, where=str(uri))
    return JournalDriver(data_store(f"journal:{uri.authority}"), clock, Path(chosen["file"]))


class JournalDriver(DataDriver):
    """A store in memory that notes what comes in."""

    def __init__(self, store: DataStore, clock: Clock, file: Path) -> None:
        super().__init__(store, clock, MOST_BYTES, CAPABILITIES)
        dead_letters = DeadLetters(store, clock, self)
        claimer = Claimer(store, clock, dead_letters)
        self.message_controller = JournalledMessages(store, clock, claimer, dead_letters, MOST_BYTES)
        self.message_controller.file = file


class JournalledMessages(MessageController):
    """Messages in memory, each noted in ``file``."""

    file: Path

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sequence[str]:
        """Post, then note what was posted."""
        ids = super().post(queue, messages, client_uuid, project, idempotency_key=idempotency_key)
        lines = [json.dumps({"time": time.time(), "queue": queue, "id": message_id}) for message_id in ids]
        with self.file.open("a", encoding="utf-8") as journal:
            journal.writelines(f"{line}\n" for line in lines)
        return ids
