"""An exception of a signal handler at any point: acknowledged messages are not delivered again."""

from __future__ import annotations

import threading

import pytest
from kombu import Connection, Consumer, Queue

from kombu_pool.pooling import ClaimController, MessageController
from tests.support.limits import LIMIT
from tests.support.transport.traffic import eventually


def interrupt_once(monkeypatch, controller, method, interrupted):
    """Interrupt a call of the main thread that sends acknowledgements, before it reaches the store."""
    genuine = getattr(controller, method)

    def call(self, queue, held, *arguments, **options):
        if held and not interrupted and threading.current_thread() is threading.main_thread():
            interrupted.append(method)
            raise KeyboardInterrupt
        return genuine(self, queue, held, *arguments, **options)

    monkeypatch.setattr(controller, method, call)


def states(link, queue):
    return link.broker.data.queue_controller.stats(queue)["messages"]


@pytest.mark.parametrize("together", [True, False])
def test_an_acknowledgement_whose_sending_was_interrupted_is_sent_again(url, monkeypatch, together):
    interrupted, got = [], []
    with Connection(url, transport_options={"ack_delay": 0.5}) as connection:
        channel = connection.default_channel
        link = channel.connection
        queue = Queue("q")(channel)
        queue.declare()
        for body in ("a", "b", "c"):
            connection.Producer().publish(body, routing_key="q")
        with Consumer(channel, [queue], on_message=got.append, prefetch_count=1):
            connection.drain_events(timeout=LIMIT)
            channel.flow(active=False)  # only this test claims
            got[0].ack()

            if together:
                interrupt_once(monkeypatch, ClaimController, "ack_and_claim", interrupted)
                (subscription,) = channel._queue_consumers.values()
                with pytest.raises(KeyboardInterrupt):
                    link.dispatcher.claimer.claim(subscription, 1)
            else:
                interrupt_once(monkeypatch, MessageController, "delete_claimed", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    link.broker.settlement.flush()
            channel.flow(active=True)
            while len(got) < 3:
                connection.drain_events(timeout=LIMIT)
                got[-1].ack()

        assert [message.payload for message in got] == ["a", "b", "c"]
        eventually(lambda: states(link, "q")["total"] == 0)
