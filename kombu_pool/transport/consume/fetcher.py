"""Claims messages for the consumers of one connection whose queues live in one pool, from a daemon thread.

It claims as much as there is credit for, hands each batch to the connection, and sleeps in the store's watch while
there is nothing, or until credit comes back while there is none.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.storage import Watch
    from kombu_pool.transport.connection import PoolConnection
    from kombu_pool.transport.consume.deliveries import Subscription
    from kombu_pool.transport.consume.prefetch import Credit

logger = logging.getLogger(__name__)

#: Tells in which order those were fed that share slots, also by several fetchers.
_feedings = itertools.count(1)


class Fetcher:
    """Feeds the subscriptions of one connection from one pool."""

    #: Seconds for which slots are gathered before a claim of fewer than half of them.
    LINGER = 0.005
    #: Seconds for which a queue that was found empty is left alone, unless its store says that something came.
    QUIET = 0.1
    #: The longest sleep: a message that no wake-up told of is found after it.
    IDLE = 5.0
    #: Seconds that who drains events without waiting leaves to a claim that the fetcher's own thread has begun.
    TURN = 0.5
    #: Seconds between two looks for a queue that has no pool.
    UNMAPPED = 1.0
    #: The most watches, each of those queues that had room and no message at one time.
    WATCHES = 8
    FIRST_BACKOFF, LAST_BACKOFF = 0.1, 2.0

    def __init__(self, connection: PoolConnection, pool: str | None) -> None:
        self.pool = pool
        self.failure: errors.ConnectionError | None = None
        self._connection = connection
        self.subscriptions: tuple[Subscription, ...] = ()
        self._credit = threading.Event()
        self._watches: dict[frozenset[str], Watch] = {}
        self._watching: Watch | None = None
        self._stopped = False
        #: Seconds of the next pause: the more failures since the pool last answered, the longer.
        self._backoff = self.FIRST_BACKOFF
        self._lock = threading.Lock()
        #: Held by the thread that claims, which may be the one that drains events.
        self._turn = threading.Lock()
        #: The queues of those with room whose messages the thread waits for, or is about to.
        self._awaited: frozenset[str] = frozenset()
        #: How long it sleeps at a stretch: less while a subscription waits for its turn.
        self._idle = self.IDLE
        self._thread = threading.Thread(target=self._run, name=f"kombu_pool-fetcher-{pool}", daemon=True)

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is left to feed."""
        return not self.subscriptions

    def feeds_any(self, subscriptions: Iterable[Subscription]) -> bool:
        """Tell whether it feeds one of these."""
        return not set(self.subscriptions).isdisjoint(subscriptions)

    def add(self, subscription: Subscription) -> None:
        """Feed a subscription too."""
        with self._lock:
            self.subscriptions = (*self.subscriptions, subscription)
        if not self._thread.is_alive():
            self._thread.start()
        self.wake()

    def remove(self, subscription: Subscription) -> None:
        """Feed a subscription no more."""
        with self._lock:
            self.subscriptions = tuple(other for other in self.subscriptions if other is not subscription)

    def wake(self) -> None:
        """Look again, for credit has come back or the subscriptions have changed."""
        self._credit.set()
        watching = self._watching
        if watching is not None:
            watching.interrupt()

    def feed(self, *, patient: bool) -> None:
        """Claim in the calling thread, which has nothing to do otherwise; that spares waking another for each batch.

        Not if it is ``patient`` and the fetcher's own thread sleeps already until something comes, for whomever.
        """
        sleeps = self._watching is not None
        if self.failure is not None or (patient and sleeps and not self._forgets(self.subscriptions)):
            return
        # What the other one is about to bring is there, for who does not wait as well.
        if not self._turn.acquire(timeout=0 if patient else self.TURN):
            return
        try:
            if not (patient and sleeps):
                self._listen_anew()
            is_late = self._forgets(self._claim(patient=False) or ())
        except errors.KombuPoolError:
            # The fetcher's own thread is to see it too, to tell of it and to try again.
            is_late = True
        finally:
            self._turn.release()
        if is_late:
            self.wake()

    def _forgets(self, subscriptions: Iterable[Subscription]) -> bool:
        """Tell whether there are some whose messages the fetcher's own thread does not wait for."""
        return any(subscription.queue not in self._awaited for subscription in subscriptions)

    def stop(self) -> None:
        """Tell the thread to end; :meth:`join` waits for it."""
        self._stopped = True
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stopped:
                try:
                    self._round()
                except errors.ConnectionError as failure:
                    self._fail(failure)
                    pause, self._backoff = self._backoff, min(self._backoff * 2, self.LAST_BACKOFF)
                    self._pause(pause)
                except Exception as failure:
                    # A store full, a path gone, a defect of ours: whoever consumes reconnects rather than dies.
                    logger.exception("Claiming from pool %r failed", self.pool)
                    self._fail(errors.PoolUnavailable(self.pool, f"claiming failed: {failure!r}"))
                    self._backoff = self.LAST_BACKOFF
                    self._pause(self.LAST_BACKOFF)
                else:
                    self.failure = None
        finally:
            self._drop_watches()

    def _round(self) -> None:
        """Claim for everybody who has room, or sleep until that makes sense again."""
        self._credit.clear()
        hungry = self._claim_in_turn(patient=True)
        if hungry is None:
            return
        if any(
            subscription.channel.qos.is_lingering() for subscription in self.subscriptions if subscription not in hungry
        ):
            self._credit.wait(self.LINGER)
            hungry = self._claim_in_turn(patient=False)
            if hungry is None:
                return
        if not hungry:
            self._credit.wait(self._idle)
        elif self.pool is None:
            self._credit.wait(self.UNMAPPED)
            self._connection.settle_in(self)
        elif len(hungry) == len(self.subscriptions) or not self._credit.wait(self.QUIET):
            # Who has no room now may have it in a moment: to fall asleep in the store would cost more than that wait.
            self._sleep(self._awaited)

    def _claim_in_turn(self, *, patient: bool) -> list[Subscription] | None:
        with self._turn:
            hungry = self._claim(patient=patient)
            self._awaited = frozenset(subscription.queue for subscription in hungry or ())
        return hungry

    def _claim(self, *, patient: bool) -> list[Subscription] | None:
        """Claim once for each; return those with room whose queues had nothing, or None when something came.

        Whoever was fed last comes last the next time: what room there is goes around. Before all come those whose
        consumers have got something done, and would wait while others find their queues empty.
        """
        in_turn = sorted(self.subscriptions, key=lambda subscription: subscription.fed)
        coming = self._coming(in_turn)
        hungry = []
        fed = False
        self._idle = self.IDLE
        for subscription in sorted(in_turn, key=lambda subscription: not coming.get(subscription)):
            got = self._feed(subscription, coming.get(subscription, 0), patient=patient)
            if got:
                fed = True
                subscription.fed = next(_feedings)
            elif got is not None:
                hungry.append(subscription)
        return None if fed else hungry

    def _coming(self, in_turn: Sequence[Subscription]) -> dict[Subscription, int]:
        """Return how many slots come back with the next claim for each, for messages of its that are done.

        Of those that share slots one is the first to be fed. The store is told of what the others have done now: what
        one waits for is another's.
        """
        now = time.monotonic()
        first: dict[Credit, Subscription] = {}
        for subscription in in_turn:
            if now >= subscription.quiet_until:
                first.setdefault(subscription.channel.qos, subscription)
        for subscription in in_turn:
            if subscription is not first.get(subscription.channel.qos) and self._connection.acknowledged(subscription):
                with suppress(errors.KombuPoolError):  # They are sent again later.
                    self._connection.settle(subscription)
        return {subscription: self._connection.acknowledged(subscription) for subscription in first.values()}

    def _feed(self, subscription: Subscription, coming: int, *, patient: bool) -> int | None:
        """Claim for one, for which so many slots come back with that; return what it got, None if it has no room."""
        if subscription.turn is not None and not subscription.turn.is_ours():
            self._idle = min(self._idle, subscription.turn.PERIOD)
            return None
        credit = subscription.channel.qos
        room = credit.room(subscription, patient=patient, coming=coming)
        now = time.monotonic()
        if room <= 0:
            return None
        if now < subscription.quiet_until:
            return 0
        if credit.is_anothers_turn(subscription, room, coming):
            self._give_way(subscription)
            return None
        room = credit.promise(subscription, room, coming)
        if room <= 0:
            # Another pool may be about to take them, or may not answer.
            self._idle = min(self._idle, credit.TURN)
            return None
        try:
            got = self._claim_for(subscription, room, coming, patient=patient)
        finally:
            credit.claimed(subscription)
        if got == 0:
            subscription.quiet_until = now + self.QUIET
        return got

    def _give_way(self, subscription: Subscription) -> None:
        """Free the slots of what is done for whose turn it is, in another pool perhaps, and see what it left after."""
        credit = subscription.channel.qos
        self._idle = min(self._idle, credit.TURN)
        try:
            self._connection.settle(subscription)
        finally:
            credit.give_way(subscription)

    def _claim_for(self, subscription: Subscription, room: int, coming: int, *, patient: bool) -> int | None:
        """Claim for so many slots that were promised; return how many messages came, None if no slot was free yet."""
        got = self._connection.claim(subscription, room, coming)
        if got is None:
            # Somebody else tells the store of what is done: what is free without that?
            credit = subscription.channel.qos
            room = credit.promise(subscription, credit.room(subscription, patient=patient))
            got = self._connection.claim(subscription, room) if room > 0 else None
        self._hear_answer()
        return got

    def _listen_anew(self) -> None:
        """Forget which queues were found empty. Only in turn: who claims may be about to note what is not so by now."""
        for subscription in self.subscriptions:
            subscription.quiet_until = 0.0

    def _sleep(self, queues: frozenset[str]) -> None:
        watch = self._watches.get(queues)
        if watch is None:
            # A new watch knows nothing of before: look once more, then sleep.
            self._watch(queues)
            is_news = True
        else:
            is_news = self._wait(watch)
        if is_news:
            with self._turn:
                self._listen_anew()

    def _wait(self, watch: Watch) -> bool:
        self._watching = watch
        try:
            # Whoever freed a slot before may not have seen that there is something to interrupt.
            return not self._credit.is_set() and watch.wait(self._idle)
        finally:
            self._watching = None

    def _watch(self, queues: frozenset[str]) -> None:
        if len(self._watches) >= self.WATCHES:
            self._drop_watches()
        self._watches[queues] = self._connection.watch(queues)

    def _drop_watches(self) -> None:
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.close()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and (left := until - time.monotonic()) > 0:
            self._credit.clear()
            self._credit.wait(left)

    def _fail(self, failure: errors.ConnectionError) -> None:
        self._drop_watches()
        if self._backoff == self.FIRST_BACKOFF:
            logger.warning("Pool %r gives no messages now: %s", self.pool, failure)
        self.failure = failure
        self._connection.report(failure)

    def _hear_answer(self) -> None:
        """Note that the pool answered a claim: a round in which there was no room for one says nothing of it."""
        if self._backoff > self.FIRST_BACKOFF:
            logger.info("Pool %r gives messages again", self.pool)
            self._backoff = self.FIRST_BACKOFF
