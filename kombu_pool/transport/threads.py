"""Service threads and what wakes them, which no exception of a signal handler leaves locked or half started."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger(__name__)


class Flag:
    """An event as ``threading.Event``, whose lock is entered in Python, where a signal handler may leave it locked."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        #: A locked lock for each thread that waits.
        self._waiters: deque[threading.Lock] = deque()

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._is_set

    def set(self) -> None:
        """Set the flag, and end all waits."""
        self._is_set = True
        for waiter in list(self._waiters):
            _release(waiter)

    def clear(self) -> None:
        """Reset the flag."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, at most ``timeout`` seconds; return whether it is."""
        if self._is_set:
            return True
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        try:
            # Set in between: a flag that is set before this line ends no wait.
            woken = self._is_set or waiter.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        finally:
            self._waiters.remove(waiter)
        return woken


def _release(waiter: threading.Lock) -> None:
    try:
        waiter.release()
    except RuntimeError:  # its wait has ended
        return


def started(target: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread and return it; None if the system has no thread left, which is logged."""
    thread = threading.Thread(target=target, name=f"kombu_pool-{name}", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        logger.warning("The %s thread could not be started; the next use tries again: %s", name, error)
        return None
    return thread


def join(thread: threading.Thread | None, timeout: float) -> None:
    """Wait for the end of a thread, if there is one that is not the calling one."""
    if thread is not None and thread is not threading.current_thread():
        thread.join(timeout)
