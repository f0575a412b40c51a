"""What the controllers of the message store share: its scripts' keys and time, and how a script is run to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.keys import QUEUES_WITH_DEAD, KeySets, key_sets, scope_of, store_key
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.times import now_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Link
    from kombu_pool.drivers.redis.scripts import Script
    from kombu_pool.model import Project

_MOURN = script("take_dead", repeatable=True, writes=False)
#: What a script answers that is to be run again, for there was more to settle than one run may.
ADVANCE = b"advance"
#: What it answers when first somebody has to see to messages that expired and are to be buried.
TAKE_DEAD = b"take_dead"
AGAIN = (ADVANCE, TAKE_DEAD)


class Store:
    """The messages of one Redis under one prefix."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self._prefix = link.location.key_prefix
        self._is_cluster = link.is_cluster
        #: The queues that there are, each as its project's stored form, a slash, and its name.
        self.index = store_key(self._prefix, "queues")
        #: Of these, those where something may be dead, by when to look; in a cluster all that bury anything, as 0.
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
        """Run a script that settles its queue first, again and again while that is more than one run may do."""
        while True:
            answer = self.link.call(script, keys.states, self.now(), *args)
            if answer not in AGAIN:
                return answer
            if answer == TAKE_DEAD:
                self.mourn(keys)

    def run_mourning(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        """Run a script that has the keys for the dead likewise."""
        while True:
            answer = self.link.call(script, keys, self.now(), *args)
            if answer != ADVANCE:
                return answer

    def mourn(self, keys: KeySets) -> None:
        """Let messages of a queue be dead that expired and are to be buried; as many as one run may."""
        self.link.call(_MOURN, keys.dead_lettering, self.now(), 0, 0)
