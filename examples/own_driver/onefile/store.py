"""The file: a pickle of all queues, which every change replaces as a whole under a lock."""

import fcntl
import pickle
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

from kombu_pool import codec
from kombu_pool.drivers.records import age_of
from kombu_pool.errors import ConnectionError, QueueDoesNotExist  # noqa: A004 - Zaqar's name for it
from kombu_pool.model import NO_INCARNATION
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy_of, write


@dataclass
class StoredMessage:
    """A message; ``dead`` is the reason of its death, ``reserved_until`` the time until which a process moves it."""

    number: int
    record: bytes
    created: float
    ttl: float
    expires: float
    priority: int
    due: float = 0.0
    client: str | None = None
    header: dict | None = None
    key: str | None = None
    claim_id: str | None = None
    claim_count: int = 0
    dead: str | None = None
    reserved_until: float = 0.0

    @property
    def id(self):
        """The id in the contract."""
        return str(self.number)

    @property
    def order(self):
        """The place in the queue."""
        return -self.priority, self.number

    def show(self, now):
        """Return the message as the contract shows it."""
        age, body = age_of(self.created, self.ttl, now), codec.decode(self.record)
        shown = {"id": self.id, "age": age, "ttl": self.ttl, "body": body}
        shown |= {"claim_id": self.claim_id, "claim_count": self.claim_count}
        options = {"priority": self.priority, "key": self.key, "dead_letter": self.header and self.header.copy()}
        return shown | {key: value for key, value in options.items() if value}


@dataclass
class StoredQueue:
    """A queue; ``claims`` has ttl, start and holder by id, ``posts`` number, time and ids of producers' posts.

    ``holds``: the message, its scope and its end by the id of a unique message.
    """

    metadata: bytes = field(default_factory=lambda: write({}))
    messages: dict = field(default_factory=dict)
    dead: dict = field(default_factory=dict)
    claims: dict = field(default_factory=dict)
    posts: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    incarnation: str = NO_INCARNATION
    paused: bool = False

    @property
    def policy(self):
        """What the metadata asks of the store."""
        return policy_of(self.metadata)

    def advance(self, now):
        """Bring everything into its state at ``now``; return the number of claims and messages that ended."""
        ended = [claim_id for claim_id, (ttl, since, _) in self.claims.items() if since + ttl <= now]
        for claim_id in ended:
            del self.claims[claim_id]
        expired = [message for message in self.messages.values() if message.expires <= now]
        for message in expired:
            if not self.policy.expires_to_dlq:
                self.remove(message)
            elif message.claim_id not in self.claims:
                self.mark_dead(message, DeadLetterReason.EXPIRED)
        return len(ended) + len(expired)

    def select(self, now, *, claimed=False):
        """Return the messages that are not delayed at ``now``, in order; the claimed ones only with ``claimed``."""
        found = [m for m in self.messages.values() if m.due <= now and (claimed or m.claim_id not in self.claims)]
        return sorted(found, key=lambda message: message.order)

    def held_by(self, claim_id):
        """Return the messages of a claim, in order; none once it has ended."""
        held = self.select(inf, claimed=True) if claim_id in self.claims else ()
        return [message for message in held if message.claim_id == claim_id]

    def is_claimed(self, message):
        """Return whether a claim holds a message."""
        return message.claim_id in self.claims

    def change(self, message, due, now):
        """Change the due time of a message that waits, and its expiry with it."""
        moved = max(due, now) - max(message.due, now)
        message.due, message.expires = due, message.expires + moved
        message.ttl = message.expires - message.created if message.ttl else 0

    def remove(self, message):
        """Delete a message."""
        del self.messages[message.id]
        self.end_if_empty(message.claim_id)

    def end_if_empty(self, claim_id):
        """End a claim that holds no message."""
        if not self.held_by(claim_id):
            self.claims.pop(claim_id, None)

    def mark_dead(self, message, reason):
        """Keep a message as dead until it is dead-lettered."""
        self.remove(message)
        message.dead = reason
        self.dead[message.id] = message


@dataclass
class State:
    """The content of the file, by (project, queue)."""

    identity: str = field(default_factory=lambda: secrets.token_hex(16))
    # Random: the ids of a queue that moves here from another pool must not name new messages.
    number: int = field(default_factory=lambda: secrets.randbits(48))
    queues: dict = field(default_factory=dict)
    subscriptions: dict = field(default_factory=dict)

    def next_number(self):
        """Return a number that is greater than all before."""
        self.number += 1
        return self.number

    def find(self, project, name, now):
        """Return the queue as it is at ``now``; an empty one, which is not stored, in place of an absent one."""
        queue = self.queues.get((project, name)) or StoredQueue()
        queue.advance(now)
        return queue

    def bears(self, project, name, incarnation):
        """Return whether the queue is there, with that incarnation; None: any."""
        queue = self.queues.get((project, name))
        return queue is not None and incarnation in (None, queue.incarnation)

    def require(self, project, name, now, incarnation=None):
        """Return the queue as :meth:`find` does; raise QueueDoesNotExist if there is none of that incarnation."""
        if not self.bears(project, name, incarnation):
            raise QueueDoesNotExist(name, project)
        return self.find(project, name, now)


class Store:
    """Access to the file. An operation is one ``with`` block: no other process, and no thread, is in one meanwhile."""

    def __init__(self, path, clock):
        self.path = path
        self._clock = clock

    @contextmanager
    def read(self):
        """Yield the content of the file, and the time."""
        try:
            with self.path.with_suffix(".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # A pickle is as safe as the folder: only this driver's users may write in it.
                yield pickle.loads(self.path.read_bytes()) if self.path.exists() else State(), self._clock.time()  # noqa: S301
        except OSError as error:
            raise ConnectionError(f"{self.path}: {error}") from error

    @contextmanager
    def change(self):
        """Yield as :meth:`read` does; store what the block changes, unless it raises."""
        with self.read() as (state, now):
            yield state, now
            new = self.path.with_suffix(".new")
            new.write_bytes(pickle.dumps(state))
            new.replace(self.path)
