"""The ids that unique messages hold."""

from kombu_pool.model import EXTEND, REPLACE, WAITING, PresentId
from kombu_pool.storage.policy import read
from kombu_pool.storage.unique import UniquePost
from kombu_pool.storage.validation import effective_delay


def settle(queue, incoming, now):
    """Return the id of the message in the place of a new one; None, if that is to be stored."""
    unique = incoming.unique
    held, scope, until = queue.holds.get(unique.id, (None, None, 0)) if unique else (None, None, 0)
    if held is None:
        return None
    message = queue.messages.get(held.id)
    waits = message is not None and not queue.is_claimed(message)
    is_held = until > now if until else waits or (message is not None and scope != WAITING)
    if not is_held or UniquePost.takes_over(incoming, held.key, waits=waits):
        return None
    if waits and unique.conflict == REPLACE:
        queue.remove(message)
        return None
    if unique.conflict == EXTEND:
        due = now + effective_delay(incoming, read(queue.metadata))
        if waits and due > max(message.due, now):
            queue.change(message, due, now)
        if until and not isinstance(unique.scope, str):
            queue.holds[unique.id] = held, scope, max(until, now + unique.scope)
    return PresentId.of(held.id, held.key)


def hold(queue, stored, now):
    """Let stored messages hold their ids; forget those that are free."""
    holds = queue.holds.items()
    is_over = {name: until <= now if until else held.id not in queue.messages for name, (held, _, until) in holds}
    queue.holds = {name: one for name, one in queue.holds.items() if not is_over[name]}
    for incoming, message in stored:
        if (unique := incoming.unique) is not None:
            queue.holds[unique.id] = message, unique.scope, 0 if isinstance(unique.scope, str) else now + unique.scope
