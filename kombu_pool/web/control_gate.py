"""Whether the control store answers: asked before a page waits for it, which a frozen one lets it do for long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from kombu_pool.drivers import mask
from kombu_pool.errors import ConnectionError as StoreConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longest wait for the control store, in seconds.
TIMEOUT = 1.0
#: Time for which an answer holds, in seconds: a page asks several times, and a store may freeze at any time.
TTL = 0.02


class ControlOutage(StoreConnectionError):  # noqa: N818 - as PoolUnavailable
    """The control store does not answer."""


class ControlGate:
    """Asks the control store whether it answers: one question at a time, which all requests share."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._question: _Question | None = None

    def require(self) -> None:
        """Return once the control store has answered, if it did not a moment ago.

        Raises:
            ControlOutage: it does not answer within ``TIMEOUT``, or cannot be reached.
            KombuPoolError: it cannot be used.
        """
        with self._lock:
            if self._question is None or self._question.is_over:
                self._question = _Question(self._ask)
            question = self._question
        question.require_answer()


class _Question:
    """One question, in a thread of its own, which does not keep the process alive."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._begun = time.monotonic()
        self._ended: float | None = None
        self._error: Exception | None = None
        self._is_done = threading.Event()
        threading.Thread(target=self._run, name="kombu_pool control store", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether the answer is too old."""
        return self._ended is not None and time.monotonic() >= self._ended + TTL

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - raised by those that wait
            self._error = error
        self._ended = time.monotonic()
        self._is_done.set()

    def require_answer(self) -> None:
        """Return once there is an answer; raise as :meth:`ControlGate.require` does."""
        if not self._is_done.wait(max(0.0, self._begun + TIMEOUT - time.monotonic())):
            passed = time.monotonic() - self._begun
            raise ControlOutage(f"The control store has not answered for {max(passed, TIMEOUT):.0f} s")
        if isinstance(self._error, StoreConnectionError):
            raise ControlOutage(f"The control store cannot be reached: {mask(str(self._error))}") from self._error
        if self._error is not None:
            raise self._error
