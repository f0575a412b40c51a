"""The Sentinels of a location: each of them is asked for the master, over a connection that stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis
from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.connection import execute_each
from kombu_pool.drivers.redis.error_mapping import CLIENT_ERRORS, reason
from kombu_pool.drivers.redis.settings import base_settings, tls_settings
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.redis.location import Address, Location

#: Timeout of each Sentinel, in seconds: one that is down must not use the time of the others.
_TIMEOUT: Final = 1.0


class Master(NamedTuple):
    """A master and the epoch of its election: of two answers the one with the higher epoch is newer."""

    address: Address
    epoch: int


class Sentinels:
    """The Sentinels of one location. Not for several threads at once."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._sentinels = [_Sentinel(location, address) for address in location.nodes]

    def master(self, current: Master | None, *, accepts_older: bool = False) -> Master:
        """Return the master: ``current`` if the first Sentinel that answers confirms it, else as :meth:`tracked` does.

        With ``accepts_older``, the newest of all answers counts, also one that is older than ``current``.

        Raises:
            redis.exceptions.ConnectionError: no Sentinel knows a master that is up.
            ConfigurationError: the servers are no Sentinels.
        """
        first = next(self._answers([]), None)
        if first is not None and (current is None or first == current):
            return first
        return self._newest(current, []) if accepts_older else self.tracked(current)

    def tracked(self, current: Master | None) -> Master:
        """Return the newest of all answers, or ``current`` if that is newer; raises as :meth:`master` does.

        The Sentinel that has the newest one may be slow. If all Sentinels answer, an older answer counts: after
        SENTINEL MONITOR their epochs begin with 0.
        """
        failures: list[Exception] = []
        newest = self._newest(current, failures)
        return current if current is not None and newest.epoch < current.epoch and failures else newest

    def _newest(self, current: Master | None, failures: list[Exception]) -> Master:
        """Return the newest of all answers.

        Sentinels may have different addresses of one master: while one of the newest answers has that of ``current``,
        it stays.
        """
        answers = list(self._answers(failures))
        if not answers:
            raise self._failure(failures)
        epoch = max(answer.epoch for answer in answers)
        newest = [answer for answer in answers if answer.epoch == epoch]
        return next((one for one in newest if current and one.address == current.address), newest[0])

    def close(self) -> None:
        """Close the connections."""
        for sentinel in self._sentinels:
            sentinel.disconnect()

    def _answers(self, failures: list[Exception]) -> Iterator[Master]:
        """Yield the masters that are up; the Sentinel that answered is asked first the next time."""
        for sentinel in list(self._sentinels):
            try:
                master = sentinel.master()
            except CLIENT_ERRORS as error:
                failures.append(error)
                # To the end: its timeout must not delay the next question.
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
            else:
                yield master

    def _failure(self, failures: list[Exception]) -> redis_errors.ConnectionError:
        """Return one error for all Sentinels; a wrong password comes first, as waiting does not mend it."""
        where = str(self._location)
        for error in failures:
            if isinstance(error, (redis_errors.AuthenticationError, redis_errors.NoPermissionError)):
                return redis_errors.AuthenticationError(
                    f"a Sentinel refuses the user (see sentinel_username and sentinel_password): {reason(error, where)}"
                )
        if all(isinstance(error, redis_errors.ResponseError) for error in failures):
            raise ConfigurationError(f"{where} is no Sentinel ({failures[0]})")
        reasons = dict.fromkeys(reason(error, where) for error in failures)
        return redis_errors.ConnectionError(f"no Sentinel reports a master: {'; '.join(reasons)}")


class _Sentinel:
    def __init__(self, location: Location, address: Address) -> None:
        self._location = location
        host, port = address
        kind = redis.SSLConnection if location.ssl else redis.Connection
        timeout = min(location.socket_timeout, _TIMEOUT)
        settings = {
            **base_settings(location),
            "username": location.sentinel_username,
            "password": location.sentinel_password,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
        }
        self._raw: redis.Connection = kind(host=host, port=port, **settings, **tls_settings(location))
        self._is_open = False

    def master(self) -> Master:
        was_open = self._is_open
        try:
            return self._ask()
        except (redis_errors.ConnectionError, OSError):
            if not was_open:
                raise
        return self._ask()

    def _ask(self) -> Master:
        service = self._location.service
        questions: list[tuple[Any, ...]] = [("SENTINEL", "MASTERS"), ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)]
        try:
            if not self._is_open:
                self._raw.connect()
                self._is_open = True
            masters, address = execute_each(self._raw, questions)
        except BaseException:
            # Also after an interrupt: the next question would get this one's reply.
            self.disconnect()
            raise
        if isinstance(masters, Exception):
            raise masters
        master = _parse(service, [_fields(one) for one in masters], address)
        return master._replace(address=self._location.reachable(master.address))

    def disconnect(self) -> None:
        self._is_open = False
        self._raw.disconnect()


def _fields(flat: list[bytes]) -> dict[str, str]:
    texts = [text.decode("utf-8", "replace") for text in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _parse(service: str, masters: list[dict[str, str]], address: Any) -> Master:
    """Return the master from the replies to both questions.

    Once a replica is promoted, the second reply names it, while the first still describes the former master.
    """
    known = next((master for master in masters if master["name"] == service), None)
    if known is None:
        names = ", ".join(sorted(master["name"] for master in masters)) or "none"
        raise redis_errors.ConnectionError(f"it knows no master {service!r} (masters: {names})")
    described = known["ip"], int(known["port"])
    # Without the permission for the second question its reply is an error.
    named = (address[0].decode(), int(address[1])) if isinstance(address, list) else described
    if named == described and not _is_up(known["flags"]):
        raise redis_errors.ConnectionError(f"the master {service!r} is down")
    return Master(named, int(known.get("config-epoch", 0)))


def _is_up(flags: str) -> bool:
    return not {"s_down", "o_down"}.intersection(flags.split(","))
