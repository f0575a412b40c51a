"""``onefile:///absolute/path``: a message store in one file, for the processes of one machine."""

from pathlib import Path

from kombu_pool import conf as configuration
from kombu_pool import storage
from kombu_pool.errors import KombuPoolError
from kombu_pool.model import Capabilities
from onefile.claims import ClaimController
from onefile.dead_letters import DeadLetters
from onefile.messages import MessageController
from onefile.queues import QueueController
from onefile.store import Store
from onefile.subscriptions import SubscriptionController

CAPABILITIES = (Capabilities.FIFO, Capabilities.CLAIMS, Capabilities.AOD)


def open_data(uri, *, control, conf, cache, clock, options, dead_letter_hooks):
    """Open the store for messages."""
    chosen = configuration.options(configuration.STORE, {**uri.options, **options}, where=str(uri), conf=conf)
    return DataDriver(Store(Path(uri.path), clock), chosen, dead_letter_hooks)


class DataDriver(storage.DataDriver):
    """A message store in one file."""

    capabilities = CAPABILITIES

    def __init__(self, store, options, dead_letter_hooks):
        self._store = store
        self._dead_letters = DeadLetters(store, dead_letter_hooks)
        self.dead_letter_hooks = dead_letter_hooks
        self.queue_controller = QueueController(store)
        self.message_controller = MessageController(store, self._dead_letters, options)
        self.claim_controller = ClaimController(store, self._dead_letters)
        self.subscription_controller = SubscriptionController(store)
        self.connect_controllers()

    @property
    def identity(self):
        with self._store.change() as (state, _):
            return state.identity

    def health(self):
        health = {"storage_reachable": True, "path": str(self._store.path)}
        try:
            with self._store.read() as (state, _):
                return {**health, "queues": len(state.queues)}
        except KombuPoolError as error:
            return {**health, "storage_reachable": False, "error": str(error)}

    def dead_letter_all(self):
        return self._dead_letters.dead_letter_all()

    def gc(self):
        with self._store.change() as (state, now):
            return sum(queue.advance(now) for queue in state.queues.values())

    def close(self):
        """Do nothing: the file is open only during a call."""
