"""Watches that wait in Redis for a wake-up, for the end of a delay or a claim, or for an interrupt.

A wake-up list gets one entry from a script when a message is claimable and no watch was woken for it yet. Redis hands
the entry to the watch that has waited longest, so that one publish wakes one consumer, whose claim wakes the next one
if it leaves messages. The deletion of a queue must wake all watches: another list gets a token of it, and each watch
that takes the token passes it on, until it comes to one that has had it. In a Redis Cluster no command may wait for the
lists of several queues: there the scripts publish to a channel of the queue, which wakes all watches.
"""

from __future__ import annotations

import math
import os
import threading
import time
from abc import abstractmethod
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.redis.connection import execute, shut_down
from kombu_pool.drivers.redis.connector import BLOCK_TIMEOUT
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    StoreFull,
)
from kombu_pool.storage import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import redis

    from kombu_pool.drivers.redis.connection import Connection
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project

_PEEK = script("peek", repeatable=True)
#: Interval of polling with a clock other than the server's, in seconds: it may be moved at any time.
_CLOCK_POLL_INTERVAL = 0.02
#: Shortest timeout of a wait, in seconds: the server's timer is no finer.
_MIN_TIMEOUT = 0.001
#: What ``drop_queue`` publishes in a cluster.
_DELETED = b"deleted"
#: Expiry of a token that is passed on, in milliseconds: a watch that waits takes it at once, and others peek first.
_TOKEN_EXPIRY = 1000


class RedisWatch(Watch):
    """Peeks at the queues, and waits for a wake-up while they have nothing to claim."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str]]) -> None:
        self._store = store
        self._keys = [store.keys(project, name) for project, name in queues]
        #: The queues that existed at the last peek and are not known to be deleted since.
        self._existing: set[bytes] = set()
        self._interrupted = False
        self._closed = False
        #: The connection to shut down on an interrupt.
        self._listening: redis.Connection | None = None
        # Held while that is shut down, and while it is released: after that its socket may be another one's.
        self._interrupting = threading.RLock()
        self._pid = os.getpid()

    def wait(self, timeout: float) -> bool:
        self._reset_after_fork()
        deadline = time.monotonic() + timeout
        while not self._closed:
            self._prepare()
            is_news, due = self._peek()
            if self._was_interrupted() or is_news:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                if self._listen(min(left, BLOCK_TIMEOUT), due):
                    return True
            except Exception:
                if not self._was_interrupted():
                    raise
                return True
        return False

    def interrupt(self) -> None:
        if self._pid != os.getpid():
            self._interrupted = True
            return
        with self._interrupting:
            self._interrupted = True
            if self._listening is not None:
                # Wakes the waiting thread at once, whether or not the server replies.
                shut_down(self._listening)

    def close(self) -> None:
        self._closed = True
        self.interrupt()

    @abstractmethod
    def _listen(self, timeout: float, due: float) -> bool:
        """Wait for a wake-up for at most ``timeout`` and ``due`` seconds; return whether one came.

        May raise when it is interrupted.
        """

    def _prepare(self) -> None:
        """Subscribe, where a wake-up after the peek would be missed otherwise."""

    def _reset_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._listening, self._closed = os.getpid(), None, False
            self._interrupting = threading.RLock()

    def _was_interrupted(self) -> bool:
        with self._interrupting:
            was, self._interrupted = self._interrupted, False
            return was

    def _peek(self) -> tuple[bool, float]:
        """Return whether a queue has something to claim or was deleted, and in how many seconds one may have."""
        now = self._store.now()
        replies = self._store.client.calls(_PEEK, [(keys.states, (now,)) for keys in self._keys])
        existing = {keys.queue for keys, reply in zip(self._keys, replies, strict=True) if reply is not None}
        known, self._existing = self._existing, existing
        if 1 in replies or not known <= existing:
            return True, 0.0
        due = min((float(reply) for reply in replies if reply), default=math.inf)
        if not isinstance(self._store.clock, SystemClock):
            due = min(due, _CLOCK_POLL_INTERVAL)
        return False, max(due, _MIN_TIMEOUT)

    def _is_deleted(self, queue: bytes) -> bool:
        """Mark a queue as deleted; return whether that is new of a queue that existed."""
        existed = queue in self._existing
        self._existing.discard(queue)
        return existed


class WakeupListWatch(RedisWatch):
    """Waits with BLPOP on the wake-up lists of the queues, and on the lists of their deletions."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str]]) -> None:
        super().__init__(store, queues)
        self._deletions = {keys.deletions: keys.queue for keys in self._keys}
        self._lists: list[Any] = [*(keys.wakeup for keys in self._keys), *self._deletions]
        #: The last token that this watch passed on, by its list.
        self._tokens: dict[bytes, bytes] = {}

    def _listen(self, timeout: float, due: float) -> bool:
        if not self._keys:
            time.sleep(min(timeout, _CLOCK_POLL_INTERVAL))
            return False
        try:
            with (
                self._store.client.blocking_connection(self._keys[0].wakeup) as connection,
                self._shut_down_on_interrupt(connection) as raw,
            ):
                found = self._await_wakeup(connection, raw, timeout, due)
        except ConnectionError:
            # The wait goes on at the new master, whose queues the caller looks at first.
            if not connection.is_outdated:
                raise
            return True
        return found is not None and self._is_news(*found)

    def _is_news(self, key: bytes, token: bytes) -> bool:
        """Return whether an entry of a list is a wake-up; pass the token of a deletion on the first time."""
        queue = self._deletions.get(key)
        if queue is None:
            return True
        if self._tokens.get(key) == token:
            return False
        self._tokens[key] = token
        with suppress(StoreFull):
            self._store.client.commands([("LPUSH", key, token), ("PEXPIRE", key, _TOKEN_EXPIRY)])
        return self._is_deleted(queue)

    @contextmanager
    def _shut_down_on_interrupt(self, connection: Connection) -> Iterator[redis.Connection]:
        raw = connection.ready()
        with self._interrupting:
            self._listening = raw
            if self._interrupted:
                shut_down(raw)
        try:
            yield raw
        finally:
            with self._interrupting:
                self._listening = None
            # Before the next peek: a wake-up for a connection without a listener would be lost.
            if self._interrupted or connection.has_unread_reply:
                connection.disconnect()

    def _await_wakeup(self, connection: Connection, raw: redis.Connection, timeout: float, due: float) -> Any:
        """Return a list's key and its entry, or None."""
        command = raw.pack_command("BLPOP", *self._lists, repr(max(timeout, _MIN_TIMEOUT)))
        raw.send_packed_command(command, check_health=False)
        # By our timer, as the server's is coarse.
        if due < timeout and not raw.can_read(due):
            connection.has_unread_reply = True
            return None
        return raw.read_response()


class ChannelWatch(RedisWatch):
    """Subscribes to the channels of the queues, on a connection that it holds until it is closed."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str]]) -> None:
        super().__init__(store, queues)
        self._subscription = ExitStack()
        self._waiting = threading.Lock()

    def wait(self, timeout: float) -> bool:
        self._reset_after_fork()
        with self._waiting:
            return super().wait(timeout)

    def close(self) -> None:
        super().close()
        if self._pid == os.getpid():
            with self._waiting:
                self._subscription.close()

    def _reset_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._inherited, self._subscription = self._subscription, ExitStack()
            self._waiting = threading.Lock()
        super()._reset_after_fork()

    def _was_interrupted(self) -> bool:
        with self._interrupting:
            was = super()._was_interrupted()
            if was:
                self._unsubscribe()
            return was

    def _unsubscribe(self) -> None:
        self._listening = None
        self._subscription.close()

    def _prepare(self) -> None:
        if self._listening is not None or not self._keys:
            return
        connection = self._subscription.enter_context(self._store.client.blocking_connection(self._keys[0].queue))
        self._subscription.callback(connection.disconnect)
        with self._store.client.errors_of_node(self._keys[0].queue):
            raw = connection.ready()
            for keys in self._keys:
                execute(raw, ("SUBSCRIBE", keys.queue))
        self._listening = raw

    def _listen(self, timeout: float, due: float) -> bool:
        raw = self._listening
        if raw is None:
            time.sleep(min(timeout, _CLOCK_POLL_INTERVAL))
            return False
        try:
            with self._store.client.errors_of_node(self._keys[0].queue):
                return self._await_wakeup(raw, min(timeout, due))
        except Exception:
            self._unsubscribe()
            raise

    def _await_wakeup(self, raw: redis.Connection, timeout: float) -> bool:
        if not raw.can_read(timeout):
            if timeout >= BLOCK_TIMEOUT:
                execute(raw, ("PING",))  # a dead connection is silent too
            return False
        is_news = False
        while raw.can_read(0):
            _, channel, event = raw.read_response()
            if event != _DELETED or self._is_deleted(channel):
                is_news = True
        return is_news
