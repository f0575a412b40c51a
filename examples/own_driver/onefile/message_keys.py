"""Messages by their key."""

from kombu_pool.model import KeyResult
from kombu_pool.storage.keys import CLAIMED, DELAYED, FREE, check_change, found_message


class KeyedMessages:
    """Finds, cancels and changes messages by their key."""

    def find(self, key, queue=None, project=None):
        names = list(self._named(key, queue, project))
        with self._store.read() as (state, now):
            return KeyResult([one for name in names for one in _show(state, project, name, key, now)])

    def cancel(self, key, queue=None, project=None):
        result = KeyResult()
        with self._store.change() as (state, now):
            for name in _queues(state, queue, project):
                found = state.find(project, name, now)
                for shown in list(_show(state, project, name, key, now)):
                    if shown["state"] == CLAIMED:
                        result.claimed.append(shown)
                    elif "dead_letter" in shown:
                        result.dead_letters.append(shown)
                    else:
                        found.remove(found.messages[shown["id"]])
                        result.messages.append(shown)
        return result

    def change(self, key, due=None, priority=None, queue=None, project=None):
        check_change(due, priority)
        result = KeyResult()
        with self._store.change() as (state, now):
            for name in _queues(state, queue, project):
                found = state.find(project, name, now)
                for message in found.messages.values():
                    if message.key == key and not found.is_claimed(message):
                        message.priority = message.priority if priority is None else priority
                        if due is not None:
                            found.change(message, due, now)
                for shown in _show(state, project, name, key, now):
                    (result.claimed if shown["state"] == CLAIMED else result.messages).append(shown)
        return result


def _queues(state, queue, project):
    return [name for owner, name in state.queues if owner == project and queue in (None, name)]


def _show(state, project, name, key, now):
    queue = state.find(project, name, now)
    found = [message for message in queue.messages.values() if message.key == key]
    for message in sorted(found, key=lambda message: message.order):
        kind = CLAIMED if queue.is_claimed(message) else DELAYED if message.due > now else FREE
        yield found_message(message.show(now), name, kind, message.due if kind == DELAYED else None)
