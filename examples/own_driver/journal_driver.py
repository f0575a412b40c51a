"""``journal://NAME?file=/a/path``: messages in memory, and a line in a file for each message that is posted.

A whole driver implements every controller. This one wraps a store that kombu_pool opens, and changes one verb.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

import kombu_pool
from kombu_pool import conf as configuration
from kombu_pool.drivers import capabilities_of
from kombu_pool.storage import DataDriver, MessageController

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers import StoreUri
    from kombu_pool.model import IdempotencyKey, NewMessage, Project
    from kombu_pool.storage import ControlDriver, DeadLetterHooks, Watch

CAPABILITIES = capabilities_of("memory://")
OPTIONS = [*configuration.STORE, cfg.StrOpt("file", default="journal.jsonl", help="The file that gets the lines.")]


def open_data(
    uri: StoreUri,
    *,
    control: ControlDriver | None,
    conf: Any,
    cache: Any,
    clock: Clock,
    options: Mapping[str, Any],
    dead_letter_hooks: DeadLetterHooks,
) -> JournalDriver:
    """Open the store for messages."""
    chosen = configuration.options(OPTIONS, {**uri.options, **options}, where=str(uri))
    file = Path(chosen.pop("file"))
    name = f"memory://journal-{uri.authority}{uri.path}"
    store = kombu_pool.open_data(name, clock=clock, options=chosen, dead_letter_hooks=dead_letter_hooks)
    return JournalDriver(store, clock, file)


class JournalDriver(DataDriver):
    """A store that writes a line for each message."""

    def __init__(self, store: DataDriver, clock: Clock, file: Path) -> None:
        self._store = store
        self.capabilities = store.capabilities
        self.dead_letter_hooks = store.dead_letter_hooks
        self.queue_controller = store.queue_controller
        self.message_controller = JournalledMessages(store.message_controller, clock, file)
        self.claim_controller = store.claim_controller
        self.subscription_controller = store.subscription_controller

    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        return self._store.watch(queues)

    def is_alive(self) -> bool:
        return self._store.is_alive()

    def health(self) -> dict[str, Any]:
        return self._store.health()

    def dead_letter_all(self) -> int:
        return self._store.dead_letter_all()

    def gc(self) -> int:
        return self._store.gc()

    def close(self) -> None:
        self._store.close()


@MessageController.register
class JournalledMessages:
    """A message controller that writes a line for each message, and leaves every other verb to the store's."""

    def __init__(self, messages: MessageController, clock: Clock, file: Path) -> None:
        self._messages = messages
        self._clock = clock
        self._file = file

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._messages, verb)

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Sequence[str]:
        """Post, then write the lines."""
        ids = self._messages.post(queue, messages, client_uuid, project, idempotency_key=idempotency_key)
        lines = [json.dumps({"time": self._clock.time(), "queue": queue, "id": message_id}) for message_id in ids]
        with self._file.open("a", encoding="utf-8") as journal:
            journal.writelines(f"{line}\n" for line in lines)
        return ids
