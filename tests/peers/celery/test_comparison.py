"""What counts in Celery's own tests: a test that passes on RabbitMQ, and not on a store."""

from __future__ import annotations

import pytest

from tests.support.peers.celery_suite import compare


@pytest.mark.parametrize(
    ("store", "peer", "worse"),
    [
        ({"a": "passed"}, {"a": "passed"}, 0),
        ({"a": "passed"}, {"a": "failed"}, 0),
        ({"a": "failed"}, {"a": "failed"}, 0),
        ({"a": "failed"}, {"a": "passed"}, 1),
        ({"a": "skipped"}, {"a": "passed"}, 1),
        ({"a": "skipped"}, {"a": "skipped"}, 0),
        ({}, {"a": "passed"}, 1),
        ({"a": "failed", "b": "passed"}, None, 1),
    ],
)
def test_a_test_that_passes_on_rabbitmq_must_pass_on_a_store(store, peer, worse, capsys):
    outcomes = {"sqlite": store} | ({} if peer is None else {"amqp": peer})

    assert compare(outcomes) == worse
    assert capsys.readouterr().out.count("WORSE") == worse
