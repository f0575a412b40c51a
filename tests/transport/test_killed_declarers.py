"""A process that dies while declaring leaves nothing that does not expire."""

from __future__ import annotations

import pytest

from kombu_pool.pooling import queue_lives
from tests.support.transport.traffic import consume, declare, eventually, exists

LIFETIME = {"arguments": {"x-expires": 200}}
ALONE = {"exclusive": True}


class Died(BaseException):
    """Stands for a SIGKILL, which no code handles."""


def die(*_, **__):
    raise Died


@pytest.mark.usefixtures("frequent_maintenance")
@pytest.mark.parametrize(
    ("step", "declaration"),
    [
        ("control.catalogue_controller.activate", LIFETIME),
        ("data.queue_controller.create", ALONE),
        ("data.message_controller.count", LIFETIME),
    ],
    ids=["as it is registered", "as it is created", "as it is there"],
)
def test_nothing_is_left_of_a_queue_whose_declarer_died(opened, shared_url, monkeypatch, step, declaration):
    dying = opened(shared_url, claim_ttl=0.6).channel()
    channel = opened(shared_url).channel()
    declare(channel, "other")
    consume(channel, "other")
    monkeypatch.setattr(queue_lives, "CREATION_LEASE", 0.6)
    plane, controller, method = step.split(".")
    monkeypatch.setattr(getattr(getattr(dying.connection.broker, plane), controller), method, die)
    with pytest.raises(Died):
        declare(dying, "q", **declaration)
    monkeypatch.undo()
    dying.connection.broker.renewal.stop_renewing(dying.connection.id)
    control = channel.connection.broker.control

    eventually(lambda: not control.catalogue_controller.exists(None, "q"))

    assert not exists(channel, "q")
    eventually(lambda: control.consumers_controller.expired_queues() == [])
