"""The connections of this process to one Redis: few, bounded, and shared by all that it does there.

A command takes the connection that was used last. The client object of redis-py is not in between: it takes three
times as long for a call.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.busy_wait import Vigil
from kombu_pool.drivers.redis.connection import BACKOFF, Wire, ask, ask_all, ask_awake, ask_each
from kombu_pool.drivers.redis.connector import Addresses
from kombu_pool.drivers.redis.error_mapping import FAULTS, translated, translation, word_of
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    KombuPoolError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Connection

    from kombu_pool.drivers.redis.location import Location
    from kombu_pool.drivers.redis.scripts import Script

#: What Redis says, by its words, instead of beginning with what it was asked: it starts, or is the master no more.
_NOT_NOW = frozenset({"LOADING", "MASTERDOWN", "READONLY"})
#: Seconds after which a thread that wants a connection looks whether one got lost.
_TURN = 0.1


class Link:
    """Runs scripts and commands on one Redis."""

    #: Whether one script may use the keys of several queues.
    is_cluster = False

    def __init__(self, location: Location) -> None:
        self.location = location
        self._addresses = Addresses(location)
        self._vigil = Vigil(location.busy_wait)
        self._start()
        _living.add(self)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[Wire] = deque()
        self._waiting: deque[Wire] = deque()
        #: All that commands go through. One gets lost when a signal's handler raises at the wrong moment.
        self._wires: weakref.WeakSet[Wire] = weakref.WeakSet()
        self._closed = False
        self.renew_lock()

    def call(self, script: Script, keys: Sequence[bytes], *args: Any) -> Any:
        """Run a script.

        Raises:
            ConnectionError: Redis did not answer, or not enough replicas did; the script may have run.
            StoreFull: it takes no writes now; the script did nothing.
        """
        arguments = (str(len(keys)), *keys, *args)
        return self._use(keys[0], lambda connection: self._run(connection, script, arguments), again=script.repeatable)

    def command(self, *args: Any) -> Any:
        """Run one command that does no harm when it runs twice; raises as :meth:`call` does.

        If it takes a key, that comes first.
        """
        return self._use(args[1] if len(args) > 1 else b"", lambda connection: ask(connection, args), again=True)

    def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run such commands in one round trip, and raise the first error among the answers once all have run."""
        return self._use(b"", lambda connection: ask_all(connection, commands), again=True) if commands else []

    def calls(self, script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        """Run a repeatable script for several (keys, arguments), in one round trip."""
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in each]
        try:
            return self.commands(commands)
        except StoreError as error:
            if not isinstance(error.__cause__, redis_errors.NoScriptError):
                raise
        return [self.call(script, keys, *args) for keys, args in each]

    def together(self, calls: Sequence[tuple[Script, Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        """Run scripts on one queue, one after the other, in one round trip.

        Raises as :meth:`call` does; all of them may have run then.
        """
        if self.is_cluster:
            return [self.call(script, keys, *args) for script, keys, args in calls]
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for script, keys, args in calls]
        answers: list[Any] = self._use(calls[0][1][0], lambda connection: _begun(connection, commands), again=False)
        for index, (script, keys, args) in enumerate(calls):
            if isinstance(answers[index], redis_errors.NoScriptError):
                answers[index] = self.call(script, keys, *args)
            elif isinstance(answers[index], Exception):
                raise translation(answers[index], self.location) from answers[index]
        return answers

    def _use(self, key: bytes | str, work: Callable[[Connection], Any], *, again: bool) -> Any:
        try:
            return self.lend(work, again=again)
        except FAULTS as error:
            if isinstance(error, KombuPoolError):
                raise
            raise translation(error, self.location) from error

    def lend(self, work: Callable[[Connection], Any], *, again: bool) -> Any:
        """Hand a connection to ``work``; raises what redis-py does.

        It is handed another one, once, when the first was lost and ``again``; and in any case when Redis has refused to
        begin with it.
        """
        wire = self._take()
        try:
            return self._attempt(wire, work, again=again)
        except redis_errors.RedisError as error:
            if word_of(error) not in _NOT_NOW:
                raise
            return self._insist(wire, work, again=again)
        finally:
            self._give_back(wire)

    def _insist(self, wire: Wire, work: Callable[[Connection], Any], *, again: bool) -> Any:
        for pause in BACKOFF[:-1]:
            time.sleep(pause)
            try:
                return self._attempt(wire, work, again=again)
            except redis_errors.RedisError as error:
                if word_of(error) not in _NOT_NOW:
                    raise
        time.sleep(BACKOFF[-1])
        return self._attempt(wire, work, again=again)

    def _attempt(self, wire: Wire, work: Callable[[Connection], Any], *, again: bool) -> Any:
        # Who cannot connect has tried often enough: only what was under way is tried again.
        connection = wire.ready()
        wire.owes = True  # until its answer was read, whatever comes in between
        try:
            answer = work(connection)
        except KombuPoolError:
            wire.owes = False
            raise
        except redis_errors.ResponseError as error:
            if word_of(error) not in _NOT_NOW:
                wire.owes = False  # else the master may be another one by now
            raise
        except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError) as error:
            self._note(error)
            if not again or word_of(error) in _NOT_NOW:
                raise
        else:
            wire.owes = False
            return answer
        return self._attempt(wire, work, again=False)

    def _note(self, error: BaseException | None) -> None:
        if isinstance(error, (redis_errors.TimeoutError, TimeoutError)):
            self._addresses.doubt()

    def _run(self, connection: Connection, script: Script, arguments: tuple[Any, ...]) -> Any:
        try:
            return self._answer(connection, script, ("EVALSHA", script.sha, *arguments))
        except redis_errors.NoScriptError:
            return self._answer(connection, script, ("EVAL", script.text, *arguments))

    def _answer(self, connection: Connection, script: Script, command: tuple[Any, ...]) -> Any:
        wanted = self.location.min_replicas
        if not wanted or not script.writes:
            return ask_awake(connection, command, self._vigil) if script.awake else ask(connection, command)
        seconds = self.location.min_replicas_timeout
        answer, replicas = ask_all(connection, [command, ("WAIT", wanted, int(seconds * 1000))])
        if replicas < wanted:
            raise ConnectionError(
                f"{self.location}: it is stored, but only {replicas} of min_replicas={wanted} "
                f"replica(s) confirmed it within {seconds} s"
            )
        return answer

    # Connections.

    @contextmanager
    def waiting(self, key: bytes) -> Iterator[Wire]:
        """Lend a connection, to the node that has the key, to wait on: those of the commands are not for that."""
        self._check_process()
        try:
            wire = self._waiting.pop()
        except IndexError:
            wire = self._new_wire("watch:")
        try:
            with translated(self.location):
                yield wire
        except BaseException as error:
            wire.drop()
            self._note(error.__cause__)
            raise
        finally:
            wire.rest()
            if self._closed:
                wire.drop()
            self._waiting.append(wire)

    def close(self) -> None:
        """Close every connection that is not in use, and those that are once they are not. Idempotent."""
        if self._pid == os.getpid():
            self._closed = True
            for wire in [*self._idle, *self._waiting]:
                wire.drop()

    def _take(self) -> Wire:
        self._check_process()
        try:
            return self._idle.pop()
        except IndexError:
            return self._another()

    def _another(self) -> Wire:
        """Return a new wire or, when there are enough, one that comes back."""
        until = time.monotonic() + 2 * self.location.socket_timeout
        with self._lock:
            self._seekers += 1
            try:
                while True:
                    with suppress(IndexError):
                        return self._idle.pop()
                    if len(self._wires) < self.location.max_connections:
                        wire = self._new_wire("")
                        self._wires.add(wire)
                        return wire
                    self._await_wire(until - time.monotonic())
            finally:
                self._seekers -= 1

    def _await_wire(self, left: float) -> None:
        if left <= 0:
            raise ConnectionError(f"{self.location}: all max_connections={self.location.max_connections} are busy")
        self._returned.wait(min(left, _TURN))

    def _give_back(self, wire: Wire) -> None:
        wire.rest()
        if self._closed or wire.owes:
            wire.drop()
        self._idle.append(wire)
        if self._seekers:
            with self._lock:
                self._returned.notify()

    def _new_wire(self, purpose: str) -> Wire:
        return Wire(lambda: self._addresses.connect(purpose), self.location.health_check_interval)

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            # The parent's sockets are left as they are: to use one, or to shut it down, would be heard by the parent.
            self._inherited = (self._idle, self._waiting)
            self._start()

    def renew_lock(self) -> None:
        """Replace the locks, which a thread of the parent process may have held at the fork."""
        # Not the condition's own: that one is entered in Python, where a signal's handler may leave it locked.
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._seekers = 0
        self._addresses.renew_lock()


def _begun(connection: Connection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return the answers to commands, errors among them; raises when Redis has refused to begin with any."""
    answers = ask_each(connection, commands)
    refusals = [answer for answer in answers if isinstance(answer, Exception) and word_of(answer) in _NOT_NOW]
    if refusals and all(answer in refusals or isinstance(answer, redis_errors.NoScriptError) for answer in answers):
        raise refusals[0]
    return answers


_living: weakref.WeakSet[Link] = weakref.WeakSet()


def _after_fork() -> None:
    for link in list(_living):
        link.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
