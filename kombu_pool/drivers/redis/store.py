"""The message store as its controllers share it: the keys and the time that scripts take, and the loop around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.redis.keys import QUEUES_WITH_DEAD, KeySets, key_sets, scope_of, store_key
from kombu_pool.drivers.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.drivers.redis.scripts import Script
    from kombu_pool.model import Project

_TAKE_DEAD = script("take_dead", repeatable=True)
#: Reply of a script that must run again: more messages change their state by now than one run may move.
ADVANCE = b"advance"
#: Reply of a script that must run again after ``take_dead``: messages expired that are to be dead-lettered.
TAKE_DEAD = b"take_dead"
RUN_AGAIN = (ADVANCE, TAKE_DEAD)


class Store:
    """The messages of one Redis under one prefix."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self._prefix = client.location.key_prefix
        self._is_cluster = client.is_cluster
        #: All queues, each as its project's stored form, a slash and its name.
        self.index = store_key(self._prefix, "queues")
        #: Queues that may have dead messages, by the time to look; in a cluster all with dead-lettering, at 0.
        self.queues_with_dead = store_key(self._prefix, QUEUES_WITH_DEAD)

    def keys(self, project: Project, queue: str) -> KeySets:
        """Return the keys of a queue."""
        return key_sets(self._prefix, project, queue, self._is_cluster)

    def scope(self, queue: bytes) -> tuple[Project, str]:
        """Return the project and the name of a queue by its key ``queue``."""
        return scope_of(self._prefix, queue)

    def now(self) -> str | float:
        """Return the time as scripts take it."""
        return now_argument(self.clock)

    def run(self, script: Script, keys: KeySets, *args: Any) -> Any:
        """Run a script that advances the states of its queue first, as often as that takes."""
        while True:
            reply = self.client.call(script, keys.states, self.now(), *args)
            if reply not in RUN_AGAIN:
                return reply
            if reply == TAKE_DEAD:
                self.mark_expired_dead(keys)

    def run_dead_lettering(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        """Run a script that has the keys of dead messages too, as often as it takes."""
        while True:
            reply = self.client.call(script, keys, self.now(), *args)
            if reply != ADVANCE:
                return reply

    def mark_expired_dead(self, keys: KeySets) -> None:
        """Mark expired messages of a queue as dead, as many as one run of a script may."""
        self.client.call(_TAKE_DEAD, keys.dead_lettering, self.now(), 0, 0)


def now_argument(clock: Clock) -> str | float:
    """Return the argument ``now`` of scripts: "" for the time of Redis, which all processes share, or a test's time."""
    return "" if isinstance(clock, SystemClock) else clock.time()
