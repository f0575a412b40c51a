"""Declaring a queue again: a difference is an error at most where RabbitMQ sees one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.peers.brokers import EXAMPLES, REFUSED
from tests.support.servers import rabbitmq

if TYPE_CHECKING:
    from tests.support.peers.brokers import Peer

pytestmark = pytest.mark.skipif(not rabbitmq.program(), reason="RabbitMQ is not installed")

NAME = "redeclared"
arguments = st.fixed_dictionaries(
    {},
    optional={
        "x-message-ttl": st.sampled_from([0, 5000, 6000]),
        "x-expires": st.sampled_from([60000, 70000]),
        "x-max-length": st.sampled_from([0, 5]),
        "x-max-priority": st.sampled_from([1, 5]),
        "x-overflow": st.sampled_from(["drop-head", "reject-publish"]),
        "x-single-active-consumer": st.booleans(),
        "x-dead-letter-exchange": st.sampled_from(["", "dlx"]),
        "x-queue-mode": st.sampled_from(["default", "lazy"]),
        "x-custom": st.sampled_from([1, "a", (1, 2), [1, 2], {"a": [1]}]),
    },
)


@EXAMPLES
@given(first=arguments, second=arguments)
@example(first={"x-custom": (1, 2)}, second={"x-custom": (1, 2)})
@example(first={"x-custom": (1, 2)}, second={"x-custom": [1, 2]})
@example(first={}, second={"x-queue-type": "classic"})
@example(first={"x-message-ttl": 5000}, second={"x-message-ttl": 6000})
def test_declaring_again_is_refused_at_most_where_rabbitmq_refuses(
    peer: Peer, ours: Peer, first: dict[str, Any], second: dict[str, Any]
) -> None:
    expected, answer = (redeclared(each, first, second) for each in (peer, ours))

    if expected != REFUSED:
        assert answer == expected
    elif "x-queue-mode" not in {*first, *second}:  # which has no effect here
        assert answer == REFUSED


def redeclared(broker: Peer, first: dict[str, Any], second: dict[str, Any]) -> Any:
    """Declare a queue twice, and return REFUSED if the second time is an error."""

    def declare(given: dict[str, Any]) -> Any:
        return lambda channel: channel.queue_declare(NAME, durable=True, auto_delete=False, arguments=given).queue

    broker.attempt(lambda channel: channel.queue_delete(NAME))
    assert broker.attempt(declare(first)) == NAME
    answer = broker.attempt(declare(second))
    broker.attempt(lambda channel: channel.queue_delete(NAME))
    return answer
