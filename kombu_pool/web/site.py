"""What the pages of one application share: the opened broker, the options, the samples and the audit log."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kombu_pool.drivers import mask
from kombu_pool.errors import ConnectionError as StoreConnectionError
from kombu_pool.errors import KombuPoolError
from kombu_pool.metrics.sampler import INTERVAL
from kombu_pool.operator.broker import Broker, open_broker
from kombu_pool.web.audit import AuditLog
from kombu_pool.web.control_gate import ControlGate, ControlOutage
from kombu_pool.web.sampling import Samples
from kombu_pool.web.shared import SharedAnswers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from kombu_pool.model import FoundMessage

    Revoke = Callable[[Sequence[FoundMessage]], Mapping[str, Exception] | None]

T = TypeVar("T")

#: Least characters of a token: it is the only thing that keeps others out.
MIN_TOKEN = 16
#: Time for which a broker that could not be opened is not opened again, in seconds.
_RETRY_AFTER = 1.0
_CLOSED = "The web page is closed"


@dataclass(frozen=True)
class Options:
    """What a page may show and do, and for which clients."""

    #: What a client must know; None lets every client in that comes from this machine.
    token: str | None = None
    #: Refuse every action.
    read_only: bool = False
    #: Show the beginning of each body, for a task its arguments.
    show_bodies: bool = False
    #: Names of hosts under which the page is served without a token, beside this machine's; "*" for any.
    allowed_hosts: tuple[str, ...] = ()
    #: Called with the messages of tasks that were cancelled, for their results; returns the errors by task.
    on_cancelled: Revoke | None = None
    #: Time between two samples of the queues, in seconds.
    every: float = INTERVAL


class Site:
    """The broker that the pages show, and what they share. It is opened by the first request that needs it."""

    def __init__(self, app: Any, options: Options) -> None:
        """``app``: a :class:`Broker`, which the caller closes, a Celery application or a BrokerUrl."""
        self.options = options
        self.audit = AuditLog()
        self.warnings: list[str] = []
        self.shared = SharedAnswers()
        self.sampler = Samples(lambda: self.broker, options.every)
        #: The number of open streams.
        self.streams = 0
        #: Set when the server stops: streams end.
        self.closing = threading.Event()
        self._is_closed = False
        self._app = app
        self._opened: Broker | None = app if isinstance(app, Broker) else None
        self._failure: tuple[float, KombuPoolError] | None = None
        self._gate = ControlGate(self._ask_control)
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._made: dict[str, Any] = {}
        self._once_lock = threading.Lock()

    @property
    def broker(self) -> Broker:
        """The opened broker, whose control store answers.

        Raises:
            ControlOutage: the control store does not answer.
            ConnectionError: the site is closed: a late request must not open it again.
            KombuPoolError: it cannot be opened.
        """
        self._require_open()
        self._gate.require()
        if self._opened is None:
            raise StoreConnectionError(_CLOSED)
        return self._opened

    @property
    def outage(self) -> str | None:
        """Why the control store does not answer, or gives no new samples; None if there is no reason."""
        try:
            self._gate.require()
        except ControlOutage as error:
            return str(error)
        except KombuPoolError as error:
            return mask(str(error))
        return self.sampler.outage

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreConnectionError(_CLOSED)

    def _ask_control(self) -> None:
        """Ask the control store for something, and open the broker first if it is not."""
        opened = self._opened
        if opened is None:
            with self._lock:
                self._require_open()
                opened = self._opened = self._opened or self._open()
        opened.store.control.epoch()

    def _open(self) -> Broker:
        if self._failure is not None and time.monotonic() - self._failure[0] < _RETRY_AFTER:
            raise self._failure[1]
        try:
            return self._stack.enter_context(open_broker(self._app, warn=self.warnings.append))
        except KombuPoolError as error:
            self._failure = time.monotonic(), error
            raise

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what was made under a name, and make it at the first call."""
        with self._once_lock:
            if name not in self._made:
                self._made[name] = make()
            found: T = self._made[name]
            return found

    def call_on_close(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the broker is closed, or would be if it was opened here; before it is."""
        self._stack.callback(callback)

    def reopen(self) -> None:
        """Serve requests again after :meth:`close`: a server may start one application several times."""
        self._is_closed = False
        self.closing.clear()

    def close(self) -> None:
        """End the streams, and close the broker if it was opened here."""
        self.closing.set()
        self._is_closed = True
        self.sampler.close()
        with self._lock:
            self._made.clear()
            self._stack.close()
            self._opened = self._app if isinstance(self._app, Broker) else None


def site_of(request: Request) -> Site:
    """Return the site of a request's application."""
    site: Site = request.app.state.site
    return site
