"""The contract of waiting for messages, and a watch for stores that cannot push."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Project
    from kombu_pool.storage.data import MessageController

#: Interval of a polling watch, in seconds: the first of a wait, and the longest, to which it doubles.
_MIN_INTERVAL, _MAX_INTERVAL = 0.005, 0.1
#: Longest silence of a polling watch, in seconds.
_MAX_SILENCE = 1.0


class Watch(ABC):
    """Waits until one of a set of queues may have something to claim."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Return True once a message may have become claimable or :meth:`interrupt` was called; False at the timeout.

        ``timeout`` is in seconds. Changes since the last ``wait`` count, so none is missed between two calls. The end
        of a delay or of a claim counts, too, and so does a message that is dead because it expired, and the deletion of
        a queue. The result may be True without a cause. One thread waits at a time. An idle wait costs next to no CPU.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Wake the current or the next :meth:`wait`. Any thread may call this."""

    @property
    def ready(self) -> frozenset[tuple[Project, str]] | None:
        """The queues that may have something to claim by the last :meth:`wait`; None if any of them may."""
        return None

    def close(self) -> None:  # noqa: B027 - the default of a watch that holds nothing
        """Release the watch's resources, of which it need not have any. Idempotent."""


class PollingWatch(Watch):
    """Compares the counts of free messages.

    It returns True once a second in any case: a count does not show that a message expired and is dead, or that one was
    claimed and another one posted.
    """

    def __init__(self, messages: MessageController, queues: Iterable[tuple[Project, str]]) -> None:
        self._messages = messages
        self._counts = dict.fromkeys(queues, 0)
        self._interrupted = threading.Event()
        self._woken_at = time.monotonic()

    def wait(self, timeout: float) -> bool:
        until, interval = time.monotonic() + timeout, _MIN_INTERVAL
        while not self._has_changed():
            remaining = until - time.monotonic()
            if remaining <= 0:
                return False
            self._interrupted.wait(min(interval, remaining))
            interval = min(2 * interval, _MAX_INTERVAL)
        self._interrupted.clear()
        self._woken_at = time.monotonic()
        return True

    def interrupt(self) -> None:
        self._interrupted.set()

    def _has_changed(self) -> bool:
        before = self._counts
        self._counts = {(project, queue): self._messages.count(queue, project) for project, queue in before}
        more = any(count > before[scope] for scope, count in self._counts.items())
        is_silent = bool(before) and time.monotonic() - self._woken_at >= _MAX_SILENCE
        return more or is_silent or self._interrupted.is_set()
