"""The client of this process to one MongoDB, shared by all that it does there.

What both planes build on:

- ``Link.collection(name)``: the collection ``<collection_prefix><name>`` of the location's database, whose reads go to
  the primary and whose writes are acknowledged once a majority has them in its journals. PyMongo's own object.
- ``Link.now(clock)``: the time to compare and to store, in seconds: the server's, as this process knows it; or that of
  a clock which a test brought.
- ``Link.translated()``: a context that raises our errors for PyMongo's; every use of a collection stands in one.
- ``Link.concurrently(work)``: a context during which another thread calls ``work()``.
- ``Link.transact(work)``: call ``work(session)`` in a transaction, where ``Link.has_transactions``.
- ``schema.prepare(link, plane, indexes)``: make the indexes of a plane, once a process; before its first use.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timezone
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo import MongoClient, ReadPreference
from pymongo.errors import AutoReconnect, OperationFailure
from pymongo.read_concern import ReadConcern

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.mongodb.codec import IdGenerator
from kombu_pool.drivers.mongodb.error_mapping import translated
from kombu_pool.drivers.shared_connections import SharedConnections
from kombu_pool.errors import IncompatibleStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.location import Location

T = TypeVar("T")

#: The protocols of MongoDB 4.4 and 5.0.
_OLDEST = 9
_TELLS_OF_RETRIES = 13
#: How often a transaction is tried that others are in the way of.
_ATTEMPTS = 5
#: Transactions that are remembered whose end the server may not have heard of.
_ABANDONED = 100
#: Seconds for which the difference between the server's clock and ours is trusted.
_TRUST = 30.0
_MILLISECOND = 0.001
#: Threads that do something beside others, at the most.
_HELPERS = 32
#: How often the server is asked for its time, unless that is known as closely as this, in seconds, earlier. Messages of
#: several processes are in the order of their posts if these are further apart.
_SAMPLES = 10
_CLOSE = 0.0002


class Client:
    """A database of one MongoDB."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._start()
        _living.add(self)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._mongo_client: MongoClient[dict[str, Any]] | None = None
        self._collections: dict[str, Collection[dict[str, Any]]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._greeting: dict[str, Any] | None = None
        #: The sessions of transactions whose end the server may not have heard of.
        self._abandoned: deque[Mapping[str, Any]] = deque(maxlen=_ABANDONED)
        self._ahead = 0.0
        self._measured = float("-inf")
        #: Gives ids in the order in which this process asks for them.
        self.id_generator = IdGenerator()
        #: The planes whose indexes are known to be there.
        self.prepared_planes: set[str] = set()
        self.renew_lock()

    def collection(self, name: str) -> Collection[dict[str, Any]]:
        """Return one of our collections; raises as :meth:`hello` does."""
        self._check_process()
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
        """Return the time in seconds since the epoch: the server's, unless the clock is a test's own."""
        if not isinstance(clock, SystemClock):
            return clock.time()
        self._check_process()
        if time.monotonic() - self._measured > _TRUST:
            self._greet()
        return time.monotonic() + self._ahead

    def hello(self) -> dict[str, Any]:
        """Return what the server said of itself when it was met.

        Raises:
            IncompatibleStore: it is too old.
            ConnectionError: it cannot be reached.
        """
        self._check_process()
        return self._greeting or self._greet()

    @property
    def has_transactions(self) -> bool:
        """Tell whether it has transactions and change streams: a standalone server has neither."""
        hello = self.hello()
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    @property
    def reports_retries(self) -> bool:
        """Tell whether it says that it did an insertion before: version 4.4 keeps that to itself."""
        return bool(self.hello()["maxWireVersion"] >= _TELLS_OF_RETRIES)

    @contextmanager
    def concurrently(self, work: Callable[[], T]) -> Iterator[Future[T]]:
        """Let another thread do something during the block, which ends no earlier unless it is interrupted."""
        future: Future[T] = Future()
        once = threading.Lock()

        def run() -> None:
            if once.acquire(blocking=False):
                _fulfil(future, work)

        try:
            self._thread_pool().submit(run)
        except RuntimeError:
            # No thread begins any more, at the end of the main one or for want of room; one that is there may be at it.
            run()
        try:
            yield future
        except Exception:
            wait((future,))
            raise
        wait((future,))

    def _thread_pool(self) -> ThreadPoolExecutor:
        self._check_process()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_HELPERS, thread_name_prefix="kombu_pool mongodb")
            return self._threads

    def transact(self, work: Callable[[ClientSession], T]) -> T:
        """Call ``work``, again when others were in its way, and commit what it wrote; return its answer."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._attempt(work)
            except OperationFailure as error:
                # PyMongo's own way of trying again would go on for two minutes, and with a server that is away, too.
                if not error.has_error_label("TransientTransactionError"):
                    raise
        return self._attempt(work)

    def _attempt(self, work: Callable[[ClientSession], T]) -> T:
        self._end_abandoned()
        with self.mongo_client.start_session() as session:
            begun = session.start_transaction(
                ReadConcern("snapshot"), self.mongo_client.write_concern, ReadPreference.PRIMARY
            )
            try:
                with begun:
                    return work(session)
            except AutoReconnect:
                self._abandoned.append(session.session_id)
                raise

    def _end_abandoned(self) -> None:
        """End what broke off on the way, which would be in the way of its own next try for as long as a minute."""
        for session in list(self._abandoned):
            self.mongo_client.admin.command("killSessions", [session])
            with suppress(ValueError):  # another thread did so, too
                self._abandoned.remove(session)

    @property
    def mongo_client(self) -> MongoClient[dict[str, Any]]:
        """The client of this process; it connects when it is first used."""
        self._check_process()
        mongo_client = self._mongo_client
        if mongo_client is None:
            with self._lock, self.translated():
                mongo_client = self._mongo_client = self._mongo_client or self._connect()
        return mongo_client

    def close(self) -> None:
        """Close the connections; the next use opens new ones. Idempotent."""
        if self._pid == os.getpid():
            mongo_client, self._mongo_client = self._mongo_client, None
            helpers, self._threads = self._threads, None
            self._collections = {}
            if helpers is not None:
                helpers.shutdown(wait=False)
            if mongo_client is not None:
                mongo_client.close()

    def _connect(self) -> MongoClient[dict[str, Any]]:
        options: dict[str, Any] = dict(self.location.options)
        lists = {name: list(value) for name, value in options.items() if isinstance(value, tuple)}
        return MongoClient(self.location.uri, **{**options, **lists, "connect": False})

    def _greet(self) -> dict[str, Any]:
        smallest_id, most = float("-inf"), float("inf")
        with self.translated():
            for _ in range(_SAMPLES):
                before = time.monotonic()
                hello: dict[str, Any] = self.mongo_client.admin.command("hello", read_preference=ReadPreference.PRIMARY)
                after = time.monotonic()
                # It was told at some time between the two, and within the millisecond after what it says.
                told = hello["localTime"].replace(tzinfo=timezone.utc).timestamp()
                smallest_id, most = max(smallest_id, told - after), min(most, told + _MILLISECOND - before)
                if most - smallest_id < _CLOSE:
                    break
        if hello.get("maxWireVersion", 0) < _OLDEST:
            raise IncompatibleStore(f"{self.location} is an old MongoDB; kombu_pool needs 4.4 or newer")
        self._ahead = (smallest_id + most) / 2
        self._measured, self._greeting = after, hello
        return hello

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            # The parent's client is left as it is: to use or to close it would be heard by the parent.
            self._inherited = self._mongo_client, self._collections, self._threads
            self._start()

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()


_living: weakref.WeakSet[Client] = weakref.WeakSet()


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as failure:  # noqa: BLE001 - whoever waits for it raises it
        future.set_exception(failure)


def _after_fork() -> None:
    for client in list(_living):
        client.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


shared_clients: SharedConnections[Location, Client] = SharedConnections(Client, lambda client: client.location)
