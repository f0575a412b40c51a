"""Dead letters: four steps of the file, under the loop that every driver shares."""

from kombu_pool.drivers.dead_letters import Candidate, DeadLetterMover, Source, Taken
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from onefile.store import StoredMessage, StoredQueue


class DeadLetters(DeadLetterMover):
    """The dead letters of the file; the place of a queue is (project, queue)."""

    def __init__(self, store, hooks):
        super().__init__(hooks)
        self._store = store

    def dead_letter_all(self):
        """Dead-letter the dead messages of every queue; return their number."""
        with self._store.change() as (state, now):
            places = [place for place in state.queues if state.find(*place, now).dead]
        return sum(self.dead_letter(place) for place in places)

    def take(self, place):
        with self._store.change() as (state, now):
            queue = state.find(*place, now)
            waiting = [message for message in queue.dead.values() if message.reserved_until <= now]
            source, reserved = Source(place, *place, queue.policy, now), []
            for message in waiting:
                letter = source.compose(_candidate(message))
                if (place[0], letter.target) in state.queues:
                    del queue.dead[message.id]
                    _store(state, source, letter)
                else:
                    message.reserved_until = now + RESERVATION_TTL
                    reserved.append(letter)
        return Taken(source, len(waiting) - len(reserved), reserved) if waiting else None

    def move(self, source, letter):
        with self._store.change() as (state, now):
            state.find(*source.place, now).dead.pop(letter.message.id, None)
            _store(state, source, letter)

    def remove(self, source, letter):
        with self._store.change() as (state, now):
            state.find(*source.place, now).dead.pop(letter.message.id, None)

    def retry_later(self, source, letters):
        with self._store.change() as (state, now):
            queue = state.find(*source.place, now)
            for message in [queue.dead[one.message.id] for one in letters if one.message.id in queue.dead]:
                message.reserved_until = 0.0
                if message.dead == DeadLetterReason.DELIVERY_LIMIT:
                    queue.messages[message.id] = queue.dead.pop(message.id)


def _candidate(message):
    rest = message.priority, message.created, message.client, message.ttl, message.expires
    return Candidate(message.id, message.record, message.dead, message.claim_count, *rest, key=message.key)


def _store(state, source, letter):
    queue = state.queues.setdefault((source.project, letter.target or UNREADABLE_QUEUE), StoredQueue())
    number, dead, lifetime = state.next_number(), letter.message, letter.lifetime(queue.policy.ttl)
    message = StoredMessage(number, letter.record, dead.created, *lifetime, dead.priority)
    message.client, message.header, message.key = dead.client, letter.header, dead.key
    queue.messages[message.id] = message
