"""Applications that use what a page configures, and what is asked of them."""

from __future__ import annotations

#: A task, and the question that a test asks of it.
ADDING = """

@app.task
def add(numbers):
    return sum(numbers)
"""
ADD = 'python -c "import tasks; print(tasks.add.delay([2, 3]).get(timeout=60))"'

#: A result backend without a server.
RESULTS = "db+sqlite:///results.db"


def application(**settings: str) -> str:
    """Return a ``tasks.py`` with these arguments of ``Celery``."""
    arguments = "".join(f", {name}={value!r}" for name, value in settings.items())
    return f"from celery import Celery\napp = Celery('tasks'{arguments})\n{ADDING}"


#: What an application does that a worker and a producer with one plain task do not, for its permissions.
EVERYTHING = """
import time
from contextlib import closing, suppress

import kombu_pool
from kombu import Connection, Exchange, Producer, Queue
from tasks import app

kinds = [Exchange(f"e-{kind}", type=kind) for kind in ("direct", "topic", "fanout", "headers")]
dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-delivery-limit": 1, "x-expires": 60000}
bounded = dead | {"x-max-length": 3, "x-max-length-bytes": 9999}
arguments = [{}, bounded, dead | {"x-message-ttl": 50}, {"x-single-active-consumer": True}]
with Connection(app.conf.broker_url) as connection:
    channel = connection.default_channel
    producer = Producer(channel)
    Queue("dead")(channel).declare()
    for number, (exchange, more) in enumerate(zip(kinds, arguments)):
        queue = Queue(f"q{number}", exchange, routing_key="k", queue_arguments=more)(channel)
        queue.declare()
        for priority in range(6):
            producer.publish("x", exchange=exchange, routing_key="k", priority=priority, expiration=600)
        for how in ("ack", "reject", "requeue", "requeue", "reject"):
            message = queue.get()
            if message is not None:
                getattr(message, how)()
        time.sleep(0.1)
        queue.get()
    with producer.batch() if hasattr(producer, "batch") else connection.channel():
        pass
with Connection(app.conf.broker_url) as connection, connection.Consumer(Queue("empty"), callbacks=[print]):
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.5)
with closing(kombu_pool.open(app.conf.broker_url)) as store:
    store.redrive("dead")
    store.gc()
    store.subscription_controller.create("dead", "http://localhost/", 60, {})
    next(store.subscription_controller.list("dead"))
    for queue in ("q0", "q1", "q2", "q3", "dead", "empty"):
        store.queue_controller.stats(queue)
        next(store.message_controller.list(queue, echo=True, include_claimed=True, include_delayed=True))
        store.message_controller.post(queue, [{"ttl": 60, "body": "d", "delay": 30}, {"ttl": 60, "body": "e"}], None)
        claim, messages = store.claim_controller.create(queue, {"ttl": 60, "grace": 60})
        if claim is not None:
            store.claim_controller.update(queue, claim, {"ttl": 60, "grace": 60})
            store.claim_controller.get(queue, claim)
            store.claim_controller.delete(queue, claim)
        store.message_controller.pop(queue, 1)
        store.message_controller.purge(queue)
        store.queue_controller.delete(queue)
"""
