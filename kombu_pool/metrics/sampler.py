"""Samples the queues of a project at an interval: one process for all that have a sampler of it."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers import mask
from kombu_pool.errors import ConfigurationError, CorruptRecord, KombuPoolError
from kombu_pool.metrics.exchange import LIFETIME, SAMPLE_QUEUE, Lease, SampleQueue
from kombu_pool.metrics.history import History
from kombu_pool.metrics.sample import decode, encode, take
from kombu_pool.operator.count_budget import CountBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.clock import Clock
    from kombu_pool.metrics.history import Point
    from kombu_pool.metrics.sample import Sample
    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver

logger = logging.getLogger(__name__)

#: Default interval of samples, and the shortest one, in seconds.
INTERVAL, MIN_INTERVAL = 5.0, 0.1
#: Intervals after which a sample is stale, and another process may take the lease; intervals for which the lease lasts,
#: and a sample is kept.
_STALE, _LEASE, _KEPT = 2, 3, 12
#: Parts of an interval: how long after a sample is due another process reads it, and after which it looks again.
_READ_AFTER, _READ_AGAIN = 0.1, 0.2
#: Shortest time after which the lifetimes of the queues are restarted, in seconds.
_TOUCH_INTERVAL = LIFETIME / 4
#: Longest wait for the end of the thread, in seconds.
_JOIN_TIMEOUT = 5.0


class Latest(NamedTuple):
    """The newest sample; ``age`` is in seconds, ``number`` counts the samples that this process has seen."""

    number: int
    sample: Sample
    age: float


def require_interval(interval: float) -> None:
    """Raise ConfigurationError if an interval of samples is too short."""
    if not interval >= MIN_INTERVAL:
        raise ConfigurationError(f"the interval of samples must be {MIN_INTERVAL:g} s or more, not {interval!r}")


class Sampler:
    """The newest sample of a project, and its history.

    A daemon thread takes a sample, or reads one that another process has taken. :meth:`start` starts it; a child
    process of a fork starts its own at the first use. The store must stay open until :meth:`close`.
    """

    def __init__(
        self, store: DataDriver, project: Project = None, *, interval: float = INTERVAL, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        require_interval(interval)
        self.interval = interval
        self._store = store
        self._project = project
        self._clock = clock
        self._lease = Lease(store, project, max(_LEASE * interval, 1.0))
        self._samples = SampleQueue(store, project, _KEPT * interval)
        self._history = History()
        self._budget = CountBudget()
        self._latest: Sample | None = None
        self._number = 0
        #: When the newest sample was taken, and the queues' lifetimes were restarted, by the clock's elapsed time.
        self._taken_at = self._touched_at = float("-inf")
        #: Why there is no newer sample; None if there was no error.
        self.error: str | None = None
        self._is_started = False
        self.after_fork()
        _instances.add(self)

    def after_fork(self) -> None:
        """Give up, in a child process, what belongs to the parent: its thread, locks, lease and subscribers."""
        self._thread: threading.Thread | None = None
        #: Held while a thread is started, and while it is told to end.
        self._thread_lock = threading.Lock()
        #: Set when the last thread was told to end; each thread has one of its own.
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._subscribers: list[Callable[[Latest], object]] = []
        self._lease.forget()

    # What a program asks.

    def start(self) -> None:
        """Start the thread. Idempotent."""
        self._is_started = True
        self._ensure_thread()

    def latest(self) -> Latest | None:
        """Return the newest sample; None if there is none yet."""
        self._ensure_thread()
        with self._changed:
            return self._newest()

    def wait(self, after: int = 0, timeout: float | None = None) -> Latest | None:
        """Return the newest sample once its number is greater than ``after``; None after ``timeout`` seconds."""
        self._ensure_thread()
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self._stop.is_set(), timeout)
            return self._newest() if self._number > after else None

    def points(self, queue: str) -> list[Point]:
        """Return the recent points of a queue, the oldest first; none of an unknown queue."""
        with self._changed:
            return self._history.points(queue)

    def subscribe(self, callback: Callable[[Latest], object]) -> Callable[[], None]:
        """Call back with each new sample, in the sampler's thread; return what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    def close(self) -> None:
        """End the thread, and give the lease to another process. Idempotent."""
        with self._thread_lock:
            self._is_started = False
            self._stop.set()
            thread, self._thread = self._thread, None
        with self._changed:
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT)
        if self.error is not None:
            return  # the control store does not answer
        try:
            self._lease.release()
        except KombuPoolError as error:
            logger.debug("The lease of the samples ends with its ttl: %s", mask(str(error)))

    # What the thread does.

    def run_once(self) -> float:
        """Take a sample if this process has the lease, or gets it; else read new ones. Return when to call again.

        That is in as many seconds. An error of the control store is kept as ``error``.
        """
        begun = self._clock.elapsed()
        try:
            if self._lease.is_held:
                # Before the look, so that one that takes long is not taken twice.
                if self._lease.renew():
                    return self._take(begun)
                logger.info("Another process samples the queues now")
            self._read()
            if self._is_stale():
                self._samples.rewind()
                self._read()
            if self._is_stale() and self._lease.acquire():
                return self._take(begun)
        except KombuPoolError as error:
            self._fail(mask(str(error)))
            return self.interval
        return self._until_next()

    def _take(self, begun: float) -> float:
        sample = take(self._store, self._project, self._clock.time(), self.interval, self._budget)
        self._samples.post(encode(sample))
        self._add(sample, begun)
        if self._touched_at + _TOUCH_INTERVAL <= begun:
            self._samples.touch()
            self._touched_at = begun
        return max(0.0, begun + self.interval - self._clock.elapsed())

    def _read(self) -> None:
        for record, age in self._samples.read():
            try:
                sample = decode(record)
            except CorruptRecord as error:
                logger.warning("A message of queue %r is no sample: %s", SAMPLE_QUEUE, error)
                continue
            if sample is not None:
                self._add(sample, self._clock.elapsed() - age)

    def _add(self, sample: Sample, taken_at: float) -> None:
        if self.error is not None:
            logger.warning("The queues are sampled again")
        self.error = None
        if self._latest is not None:
            sample = sample.since(self._latest, self._project)
        with self._changed:
            self._latest, self._taken_at = sample, taken_at
            self._number += 1
            self._history.add(sample)
            newest = Latest(self._number, sample, max(0.0, self._age()))
            self._changed.notify_all()
        for callback in list(self._subscribers):
            try:
                callback(newest)
            except Exception:
                logger.exception("A subscriber to the samples failed")

    def _newest(self) -> Latest | None:
        return None if self._latest is None else Latest(self._number, self._latest, max(0.0, self._age()))

    def _age(self) -> float:
        return self._clock.elapsed() - self._taken_at

    def _is_stale(self) -> bool:
        return self._age() >= _STALE * self._pace()

    def _pace(self) -> float:
        """Return the interval of the samples: that of the process that takes them."""
        return self.interval if self._latest is None else self._latest.interval

    def _until_next(self) -> float:
        """Return after how many seconds a process that does not sample reads again: just after the next sample."""
        due = (1 + _READ_AFTER) * self._pace() - self._age()
        return max(_READ_AGAIN * self._pace(), due)

    def _fail(self, reason: str) -> None:
        if self.error is None:
            logger.warning("The queues cannot be sampled: %s", reason)
        self.error = reason

    def _ensure_thread(self) -> None:
        if not self._is_started or self._thread is not None:
            return
        with self._thread_lock:
            if self._is_started and self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="kombu_pool sampler", daemon=True
                )
                self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                pause = self.run_once()
            except Exception:
                logger.exception("A sample of the queues failed")
                pause = self.interval
            stop.wait(pause)


_instances: weakref.WeakSet[Sampler] = weakref.WeakSet()


def _close_all() -> None:
    """End the threads of a process that ends, before the interpreter has ended what they use."""
    for sampler in list(_instances):
        sampler.close()


atexit.register(_close_all)


def _after_fork() -> None:
    for sampler in list(_instances):
        sampler.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
