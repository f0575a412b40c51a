"""Posts that meet the seal of a queue: they rest on a look at it from before, or are made again."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.drivers.mongodb import cached_queue
from kombu_pool.drivers.mongodb.client import Client
from kombu_pool.model import IdempotencyKey, Uniqueness
from tests.support.mongodb.failures import Died, die
from tests.support.mongodb.moves import post, remaining, seal, take
from tests.support.moving_programs import SOURCE
from tests.support.servers import mongodb

KEY = IdempotencyKey(b"me", 1)
ONE = [{"ttl": 0, "body": "late"}]
SEVERAL = [*ONE, {"ttl": 0, "body": "later"}]
UNIQUE = [{**ONE[0], "unique": Uniqueness("u", "waiting")}]
HELD = [{**ONE[0], "unique": Uniqueness("u", 60.0)}]
POSTS = pytest.mark.parametrize("messages", [ONE, SEVERAL, UNIQUE, HELD], ids=["one", "several", "unique", "held"])
ANY_SERVER = pytest.mark.parametrize("uri", ["replica set", "standalone"], indirect=True)


@pytest.fixture(params=["replica set"])
def uri(request):
    return mongodb.fresh_uri() if request.param == "replica set" else mongodb.fresh_standalone_uri()


@pytest.fixture
def stalled(source, another, monkeypatch):
    """Stall the next post of the source after its look at the queue; another process seals the queue meanwhile."""
    monkeypatch.setattr(cached_queue, "POST_TTL", 0.0)

    def stall(action=None):
        original, calls = type(source.driver.message_controller._writer).documents, iter(range(100))

        def documents(self, *args):
            if next(calls) == 0:
                seal(another)
            return original(self, *args)

        monkeypatch.setattr("kombu_pool.drivers.mongodb.posting.MessageWriter.documents", documents)
        if action is not None:
            confirmation = "kombu_pool.drivers.mongodb.post_confirmation.PostConfirmation._withdraw"
            withdraw = type(source.driver.message_controller._confirmation)._withdraw

            def act(self, *args):
                action()
                return withdraw(self, *args)

            monkeypatch.setattr(confirmation, act)

    return stall


@ANY_SERVER
@POSTS
@pytest.mark.parametrize("key", [None, KEY])
def test_a_post_that_came_after_the_seal_is_withdrawn(source, stalled, messages, key):
    stalled()

    with pytest.raises(errors.QueueDoesNotExist):
        post(source, messages, key)

    assert source.all() == []
    assert remaining(source) == 0
    moves = source.driver.move_controller
    assert moves.completed_post(SOURCE, KEY) is None
    assert moves.unique_holder(SOURCE, "u") is None


@ANY_SERVER
@POSTS
@pytest.mark.parametrize("by", ["a consumer", "a move"])
def test_a_post_after_the_seal_whose_message_is_in_use_already_counts(source, another, stalled, messages, by):
    stalled(lambda: another.claim(limit=1) if by == "a consumer" else take(another, limit=1))

    ids = post(source, messages, KEY)

    assert len(ids) == len(messages)
    assert remaining(source) == len(messages)
    assert list(source.driver.move_controller.completed_post(SOURCE, KEY) or ()) == list(ids)


@ANY_SERVER
@POSTS
def test_a_process_that_died_before_it_withdrew_its_post_has_stored_it(source, stalled, messages):
    stalled(die)

    with pytest.raises(Died):
        post(source, messages, KEY)

    assert remaining(source) == len(messages)
    assert len(source.driver.move_controller.completed_post(SOURCE, KEY) or ()) == len(messages)


@ANY_SERVER
def test_a_seal_that_is_repeated_outlasts_the_posts_too(source, another, monkeypatch):
    monkeypatch.setattr("kombu_pool.drivers.mongodb.store.Store.wait_out_caches", die)
    with pytest.raises(Died):
        seal(source)
    waits = []
    monkeypatch.setattr(
        "kombu_pool.drivers.mongodb.store.Store.wait_out_caches", lambda *args, **_: waits.append(args[2])
    )

    assert not seal(another)

    assert waits == [SOURCE]


# Posts whose result is unknown.


@ANY_SERVER
@POSTS
@pytest.mark.parametrize("reports_retries", [True, False])
def test_a_post_that_is_not_complete_is_refused_for_ever(source, monkeypatch, messages, reports_retries):
    monkeypatch.setattr(Client, "reports_retries", reports_retries)
    moves = source.driver.move_controller

    assert moves.completed_post(SOURCE, KEY) is None
    with pytest.raises(errors.QueueDoesNotExist):
        post(source, messages, KEY)

    assert moves.completed_post(SOURCE, KEY) is None
    assert source.all() == []


@ANY_SERVER
@POSTS
def test_a_complete_post_is_told_though_its_messages_are_gone(source, messages):
    ids = post(source, messages, KEY)
    source.pop()
    seal(source)

    for _ in range(2):
        assert list(source.driver.move_controller.completed_post(SOURCE, KEY) or ()) == list(ids)
