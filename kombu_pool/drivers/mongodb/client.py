"""The MongoDB client of this process: one per location, shared by all drivers that use that location.

Both planes use it for:

- ``Client.collection(name)``: PyMongo's collection ``<collection_prefix><name>`` of the location's database. Reads go
  to the primary; a write is acknowledged once a majority has it in its journals.
- ``Client.now(clock)``: the time to compare and to store, in seconds.
- ``Client.translated()``: a context that raises our errors for PyMongo's. Every use of a collection is inside one.
- ``Client.concurrently(work)``: a context during which another thread calls ``work()``.
- ``Client.transact(work)``: ``work(session)`` in a transaction, if ``Client.has_transactions``.
- ``schema.prepare(client, plane, indexes)``: check the store's layout and create the indexes of a plane.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from datetime import timezone
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo import MongoClient, ReadPreference
from pymongo.errors import AutoReconnect, OperationFailure, WriteConcernError
from pymongo.read_concern import ReadConcern

from kombu_pool.clock import SystemClock
from kombu_pool.drivers import records
from kombu_pool.drivers.mongodb.codec import IdGenerator
from kombu_pool.drivers.mongodb.error_mapping import INTERRUPTED, translated
from kombu_pool.drivers.shared_connections import SharedConnections, renew_in_children
from kombu_pool.errors import ConnectionError, IncompatibleStore  # noqa: A004 - Zaqar's name for it

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.location import Location

T = TypeVar("T")

#: Wire versions of MongoDB 4.4, the oldest supported, and of 5.0, which reports a retried insertion as such.
_MIN_WIRE_VERSION = 9
_RETRY_REPORT_WIRE_VERSION = 13
#: Attempts at a transaction that conflicts with others: a conflict may last until the other one is in the server's
#: journal. With the pauses between them, some 2 s.
_TRANSACTION_ATTEMPTS = 50
#: Bound of the list of transactions that the server may hold open.
_MAX_BROKEN_TRANSACTIONS = 100
#: Lifetime of a measured difference between the server's clock and ours, in seconds.
_CLOCK_OFFSET_TTL = 30.0
#: Resolution of the server's clock, in seconds.
_MILLISECOND = 0.001
#: Bound of the threads that run work concurrently.
_MAX_THREADS = 32
#: Number of requests for the server's time per measurement, and the uncertainty, in seconds, that ends one earlier.
#: Messages that processes post further apart than that are in the order of their posts.
_CLOCK_SAMPLES = 10
_CLOCK_PRECISION = 0.0002


class Client:
    """A database of one MongoDB."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._closed = False
        self._start()
        renew_in_children(self)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._mongo_client: MongoClient[dict[str, Any]] | None = None
        self._collections: dict[str, Collection[dict[str, Any]]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._hello: dict[str, Any] | None = None
        #: Sessions whose transaction the server may hold open.
        self._broken: deque[Mapping[str, Any]] = deque(maxlen=_MAX_BROKEN_TRANSACTIONS)
        self._clock_offset = 0.0
        self._clock_measured_at = float("-inf")
        self.id_generator = IdGenerator()
        #: The planes whose layout and indexes this process has checked.
        self.prepared_planes: set[str] = set()
        #: The random id of the store, once a plane is prepared.
        self.identity = ""
        self.renew_lock()

    def collection(self, name: str) -> Collection[dict[str, Any]]:
        """Return one of our collections; raises as :meth:`hello` does."""
        self._detect_fork()
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = self._open(name)
        return found

    def _open(self, name: str) -> Collection[dict[str, Any]]:
        self.hello()
        return self.mongo_client.get_database(
            self.location.database, read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("local")
        )[self.location.collection_prefix + name]

    def translated(self) -> AbstractContextManager[None]:
        """Raise our errors for PyMongo's within the block."""
        return translated(self.location)

    def now(self, clock: Clock) -> float:
        """Return the server's time in seconds since the epoch; with a test's clock, that clock's time."""
        if not isinstance(clock, SystemClock):
            return clock.time()
        self._detect_fork()
        if time.monotonic() - self._clock_measured_at > _CLOCK_OFFSET_TTL:
            self._request_hello()
        return time.monotonic() + self._clock_offset

    def hello(self) -> dict[str, Any]:
        """Return the server's last answer to ``hello``.

        Raises:
            IncompatibleStore: the server is too old.
            ConnectionError: the server is unreachable.
        """
        self._detect_fork()
        return self._hello or self._request_hello()

    @property
    def has_transactions(self) -> bool:
        """Whether the server has transactions and change streams, which a standalone server lacks."""
        return "setName" in self.hello() or self.is_sharded

    @property
    def is_sharded(self) -> bool:
        """Whether the server is a router of a sharded cluster, whose change streams may be late."""
        return self.hello().get("msg") == "isdbgrid"

    @property
    def reports_retries(self) -> bool:
        """Whether the server's answer marks an insertion as a retry; version 4.4 does not."""
        return bool(self.hello()["maxWireVersion"] >= _RETRY_REPORT_WIRE_VERSION)

    @contextmanager
    def concurrently(self, work: Callable[[], T]) -> Iterator[Future[T]]:
        """Run ``work`` in another thread during the block; an interrupt ends the block without waiting for it."""
        future: Future[T] = Future()
        once = threading.Lock()

        def run() -> None:
            if once.acquire(blocking=False):
                _complete(future, work)

        try:
            self._thread_pool().submit(run)
        except RuntimeError:
            # No thread can be started: the main thread has ended, or a limit is reached. An idle one may run it too.
            run()
        try:
            yield future
        except Exception:
            wait((future,))
            raise
        wait((future,))

    def _thread_pool(self) -> ThreadPoolExecutor:
        self._detect_fork()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="kombu_pool mongodb")
            return self._threads

    def transact(self, work: Callable[[ClientSession], T], session: ClientSession | None = None) -> T:
        """Call ``work`` in a transaction, commit it, and return the result; repeat it after a conflict.

        Without a ``session`` each attempt has one of its own.
        """
        for number in range(_TRANSACTION_ATTEMPTS - 1):
            try:
                return self._transact_once(work, session)
            except OperationFailure as error:
                # PyMongo's own with_transaction repeats for two minutes, also while the server is unreachable.
                if not error.has_error_label("TransientTransactionError"):
                    raise
            time.sleep(records.pause_after(number))
        return self._transact_once(work, session)

    def _transact_once(self, work: Callable[[ClientSession], T], given: ClientSession | None) -> T:
        self._end_broken_transactions()
        with self.mongo_client.start_session() if given is None else nullcontext(given) as session:
            begun = session.start_transaction(
                ReadConcern("snapshot"), self.mongo_client.write_concern, ReadPreference.PRIMARY
            )
            try:
                with begun:
                    result = work(session)
            except AutoReconnect:
                self._broken.append(session.session_id)
                raise
            except WriteConcernError as error:
                if error.code != INTERRUPTED:
                    raise
                # It is committed, but another process ended the session before that was durable: wait again.
                session.commit_transaction()
            return result

    def end_transactions(self, session: Mapping[str, Any]) -> None:
        """End the transaction that is open in the session with this id, also in another process."""
        self.mongo_client.admin.command("killSessions", [session])

    def _end_broken_transactions(self) -> None:
        """End transactions that lost their connection: open ones block a retry for up to a minute."""
        for session in list(self._broken):
            self.end_transactions(session)
            with suppress(ValueError):  # another thread ended it, too
                self._broken.remove(session)

    @property
    def mongo_client(self) -> MongoClient[dict[str, Any]]:
        """PyMongo's client of this process; it connects on first use."""
        self._detect_fork()
        mongo_client = self._mongo_client
        if mongo_client is None:
            with self._lock, self.translated():
                if self._closed:
                    # A watch's thread may come late: nothing would close a client that it opened.
                    raise ConnectionError(f"{self.location}: this driver was closed")
                mongo_client = self._mongo_client = self._mongo_client or self._connect()
        return mongo_client

    def close(self) -> None:
        """Close the connections; a later use raises :class:`ConnectionError`. Idempotent."""
        if self._pid == os.getpid():
            with self._lock:
                self._closed = True
                mongo_client, self._mongo_client = self._mongo_client, None
            threads, self._threads = self._threads, None
            self._collections = {}
            if threads is not None:
                threads.shutdown(wait=False)
            if mongo_client is not None:
                mongo_client.close()

    def _connect(self) -> MongoClient[dict[str, Any]]:
        options: dict[str, Any] = dict(self.location.options)
        lists = {name: list(value) for name, value in options.items() if isinstance(value, tuple)}
        return MongoClient(self.location.uri, **{**options, **lists, "connect": False})

    def _request_hello(self) -> dict[str, Any]:
        """Ask the primary for its description, and measure the difference between its clock and ours."""
        lower, upper = float("-inf"), float("inf")
        with self.translated():
            for _ in range(_CLOCK_SAMPLES):
                before = time.monotonic()
                hello: dict[str, Any] = self.mongo_client.admin.command("hello", read_preference=ReadPreference.PRIMARY)
                after = time.monotonic()
                # The server read its clock between the two, within the millisecond that follows the reported time.
                reported = hello["localTime"].replace(tzinfo=timezone.utc).timestamp()
                lower, upper = max(lower, reported - after), min(upper, reported + _MILLISECOND - before)
                if upper - lower < _CLOCK_PRECISION:
                    break
        if hello.get("maxWireVersion", 0) < _MIN_WIRE_VERSION:
            raise IncompatibleStore(f"{self.location} is older than MongoDB 4.4, the oldest that kombu_pool supports")
        self._clock_offset = (lower + upper) / 2
        self._clock_measured_at, self._hello = after, hello
        return hello

    def _detect_fork(self) -> None:
        if self._pid != os.getpid():
            # The parent's objects stay referenced: using, closing or collecting them would write to its sockets.
            self._inherited = self._mongo_client, self._collections, self._threads
            self._start()

    def renew_lock(self) -> None:
        """Replace the lock after a fork."""
        self._lock = threading.Lock()


def _complete(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as failure:  # noqa: BLE001 - the caller of result() raises it
        future.set_exception(failure)


shared_clients: SharedConnections[Location, Client] = SharedConnections(Client, lambda client: client.location)
