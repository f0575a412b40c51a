"""What the controllers of the message store share: its scripts' keys and time, and how a script is run to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis.keys import KeySets, key_sets, store_key
from kombu_pool.drivers.redis.times import now_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.link import Link
    from kombu_pool.drivers.redis.scripts import Script
    from kombu_pool.model import Project

#: What a script answers that is to be run again, for there was more to settle than one run may.
SETTLE = b"settle"


class Store:
    """The messages of one Redis under one prefix."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self._prefix = link.location.key_prefix
        self._is_cluster = link.is_cluster
        #: The queues that there are, each as its project's stored form, a slash, and its name.
        self.index = store_key(self._prefix, "queues")

    def keys(self, project: Project, queue: str) -> KeySets:
        """Return the keys of a queue."""
        return key_sets(self._prefix, project, queue, self._is_cluster)

    def now(self) -> str | float:
        """Return the time as scripts take it."""
        return now_argument(self.clock)

    def run(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        """Run a script that settles its queue first, again and again while that is more than one run may do."""
        while True:
            answer = self.link.call(script, keys, self.now(), *args)
            if answer != SETTLE:
                return answer
