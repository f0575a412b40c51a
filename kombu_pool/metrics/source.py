"""The samples of a broker that is opened at the first use, and again while it cannot be."""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.metrics.sampler import INTERVAL, Sampler, require_interval
from kombu_pool.operator.broker import Broker, BrokerUrl, open_broker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.metrics.sampler import Latest
    from kombu_pool.model import Project

#: Time for which a broker that could not be opened is not opened again, in seconds.
_RETRY_AFTER = 1.0


class SampleSource:
    """The samples of a broker, and the broker.

    ``broker`` is a broker URL with its ``transport_options``, a Celery application, or an opened
    :class:`~kombu_pool.operator.broker.Broker`, or a function that returns one, which the caller closes. Opening
    creates no store.

    Raises:
        ConfigurationError: the interval is too short.
    """

    def __init__(
        self, broker: Any, *, interval: float = INTERVAL, transport_options: Mapping[str, Any] | None = None
    ) -> None:
        require_interval(interval)
        self._app = BrokerUrl(broker, transport_options) if isinstance(broker, str) else broker
        self._interval = interval
        #: What the parent process has opened, and closes.
        self._inherited: list[ExitStack] = []
        self._reset()
        _instances.add(self)

    def after_fork(self) -> None:
        """Leave, in a child process, what is open to the parent: the next use opens it again."""
        self._inherited.append(self._stack)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._broker: Broker | None = None
        self._sampler: Sampler | None = None
        self._failure: tuple[float, KombuPoolError] | None = None

    @property
    def broker(self) -> Broker:
        """The opened broker.

        Raises:
            KombuPoolError: it cannot be opened, or could not a moment ago.
        """
        with self._lock:
            if self._broker is None:
                self._broker = self._open()
            return self._broker

    def _open(self) -> Broker:
        now = SYSTEM_CLOCK.elapsed()
        if self._failure is not None and now < self._failure[0] + _RETRY_AFTER:
            raise self._failure[1]
        try:
            if isinstance(self._app, Broker):
                broker = self._app
            elif inspect.isroutine(self._app):
                broker = self._app()
            else:
                broker = self._stack.enter_context(open_broker(self._app, warn=_ignore))
        except KombuPoolError as error:
            self._failure = now, error
            raise
        self._sampler = Sampler(broker.store, broker.project, interval=self._interval)
        self._sampler.start()
        self._stack.callback(self._sampler.close)
        return broker

    @property
    def project(self) -> Project:
        """The project that is sampled. Raises as :attr:`broker` does."""
        return self.broker.project

    def latest(self, timeout: float) -> Latest | None:
        """Return the newest sample; if there is none yet, wait for the first one at most ``timeout`` seconds.

        Raises:
            KombuPoolError: the broker cannot be opened.
        """
        self._require_open()
        sampler = self._sampler
        return None if sampler is None else sampler.latest() or sampler.wait(timeout=timeout)

    def _require_open(self) -> None:
        _ = self.broker

    def error(self) -> str | None:
        """Return why there are no new samples; None if there are."""
        failure = None if self._failure is None or self._broker is not None else mask(str(self._failure[1]))
        return failure or (None if self._sampler is None else self._sampler.error)

    def close(self) -> None:
        """End the sampler, and close the broker if it was opened here. Idempotent: the next use opens it again."""
        with self._lock:
            self._stack.close()
            self._broker = self._sampler = None


def _ignore(warning: str) -> None:
    """Leave a warning about the declaration of pools to the processes that use the pools."""


_instances: weakref.WeakSet[SampleSource] = weakref.WeakSet()


def _after_fork() -> None:
    # Before any thread of the child: several first uses at once would each open the broker.
    for source in list(_instances):
        source.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
