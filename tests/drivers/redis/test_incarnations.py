"""The lives of queues: what their steps cost, what a full server lets them do, and what is left of them."""

from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis import keys
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.model import ACTIVE, CREATING, DELETING, NO_INCARNATION, Expiry
from kombu_pool.testing import ManualClock
from tests.support.redis.stored_keys import stored_keys
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_cluster_uri

LEASE = 60.0
CLAIM = {"ttl": 60, "grace": 60}
MESSAGE = {"ttl": None, "body": "a"}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def open_control(clock):
    """Open a control store with the pools ``a`` and ``b``; it is closed at the end."""
    opened = []

    def make(where):
        control = drivers.open_control(where, clock=clock)
        opened.append(control)
        for pool in ("a", "b"):
            control.pools_controller.create(pool, 1, f"memory://{pool}")
        return control

    yield make
    for control in opened:
        control.close()


@pytest.fixture
def control(uri, open_control):
    return open_control(uri)


@pytest.fixture
def server():
    """A server whose memory a test makes full, or whose answers it loses."""
    with Server(maxmemory_policy="noeviction") as server:
        yield server


@pytest.fixture
def data(uri, open_driver):
    return open_driver(uri)


def created(control, queue="q", expiry=None):
    """Return the assignment of a new queue that is active."""
    assigned, _ = control.catalogue_controller.assign(None, queue, "a", lease=LEASE)
    assert control.catalogue_controller.activate(None, queue, assigned.incarnation, {}, expiry)
    return assigned._replace(state=ACTIVE)


def key(part):
    return keys.control_key("kombu-pool", part)


def sent(commands, work):
    """Return the names of the commands that crossed the network during ``work``."""
    return [line.command[0] for line in commands(work) if not line.by_script]


# Round trips.


def test_each_step_of_a_life_is_one_round_trip(control, commands):
    catalogue, consumers, bindings = (
        control.catalogue_controller,
        control.consumers_controller,
        control.bindings_controller,
    )
    assigned, other = created(control), created(control, "s")
    bindings.create_exchange("x", "fanout")

    for step in (
        lambda: catalogue.assign(None, "r", "a", lease=LEASE),
        lambda: catalogue.assign(None, "r", "b"),
        lambda: catalogue.activate(None, "q", assigned.incarnation, {}),
        lambda: consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation),
        lambda: consumers.expire("q"),
        lambda: consumers.expire("q", unused=assigned.incarnation),
        lambda: catalogue.begin_deletion(None, "q", assigned.incarnation),
        catalogue.deletions,
        lambda: catalogue.delete(None, "q", incarnation=assigned.incarnation),
        lambda: catalogue.find(None, "r"),
        lambda: control.queue_controller.exists("q"),
        lambda: bindings.bind("x", "s", incarnation=other.incarnation),
        lambda: bindings.unbind_queue("s", incarnation=other.incarnation),
        control.due_maintenance,
    ):
        step()  # the server has the script from now on
        assert sent(commands, step) == [b"EVALSHA"]


def test_an_incarnation_costs_no_round_trip_and_no_command_more(data, commands):
    data.queue_controller.create("q", incarnation="one")
    post, claims = data.message_controller.post, data.claim_controller

    def use(incarnation):
        post("q", [MESSAGE], None, incarnation=incarnation)
        claim, messages = claims.create("q", CLAIM, incarnation=incarnation)
        held = [(messages[0]["id"], claim)]
        post("q", [MESSAGE], None, incarnation=incarnation)
        claims.ack_and_claim("q", held, CLAIM, incarnation=incarnation)

    use("one")
    ran = [[line.command[0] for line in commands(lambda each=each: use(each))] for each in ("one", None)]

    assert ran[0] == ran[1]
    assert ran[0].count(b"EVALSHA") == 4


def test_a_deletion_is_one_round_trip_which_deletes_all(data, client, commands):
    queues = data.queue_controller
    metadata = {"_dead_letter_queue": "dead"}
    queues.create("q", metadata, incarnation="one")
    queues.delete("q", incarnation="one")
    queues.create("q", metadata, incarnation="two")
    data.message_controller.post("q", [MESSAGE], None)

    assert sent(commands, lambda: queues.delete("q", incarnation="two")) == [b"EVALSHA"]

    assert stored_keys(client) == set()


def test_what_is_being_deleted_is_found_without_a_look_at_the_rest(control, commands):
    found = []
    for number in range(500):
        created(control, f"q{number}")
    deleted = created(control, "deleted")
    control.catalogue_controller.begin_deletion(None, "deleted", deleted.incarnation)
    control.catalogue_controller.deletions()  # the server has the script from now on
    ran = commands(lambda: found.extend(control.catalogue_controller.deletions()))

    assert found == [(None, "deleted", deleted._replace(state=DELETING))]
    assert [line.command[0] for line in ran] == [b"EVALSHA", b"SRANDMEMBER", b"HMGET"]


def test_deletions_that_fail_keep_no_other_from_its_own(control):
    queues = {f"q{number}" for number in range(20)}
    for queue in queues:
        control.catalogue_controller.begin_deletion(None, queue, created(control, queue).incarnation)

    seen = set()
    for _ in range(500):
        seen |= {queue for _, queue, _ in control.catalogue_controller.deletions(limit=5)}

    assert seen == queues


# What is left, and what a full server lets happen.


def test_nothing_is_left_of_a_life(control, client):
    expiry = Expiry(60, from_now=True, holder="owner", holder_ttl=60)
    assigned = created(control, expiry=expiry)
    control.consumers_controller.add_holder("q", "one", 60, incarnation=assigned.incarnation)
    control.catalogue_controller.begin_deletion(None, "q", assigned.incarnation)

    left = stored_keys(client)
    control.catalogue_controller.delete(None, "q", incarnation=assigned.incarnation)

    pools = {key("registry")}
    assert left == pools | {key(part) for part in ("catalogue", "catalogue:deleting", "catalogue:queues")}
    assert stored_keys(client) == pools


def test_an_insertion_ends_a_deletion(control, client):
    control.catalogue_controller.begin_deletion(None, "q", created(control).incarnation)

    control.catalogue_controller.insert(None, "q", "b")

    assert [entry["pool"] for entry in control.catalogue_controller.list(None)] == ["b"]
    assert list(control.catalogue_controller.deletions()) == []
    assert client.hgetall(key("catalogue:queues")) == {b"\0b": b"1"}


def test_a_full_store_begins_no_life_and_ends_those_that_are_over(server, clock, open_control):
    control = open_control(server.uri())
    catalogue, consumers = control.catalogue_controller, control.consumers_controller
    first, second, third = (created(control, queue, Expiry(10, from_now=True)) for queue in ("q", "r", "s"))
    creating, _ = catalogue.assign(None, "t", "a", lease=LEASE)
    server.ask("CONFIG", "SET", "maxmemory", 1)

    with pytest.raises(errors.StoreFull):
        catalogue.assign(None, "new", "a", lease=LEASE)
    with pytest.raises(errors.StoreFull):
        catalogue.activate(None, "t", creating.incarnation, {})
    assert consumers.add_holder("r", "one", 60, incarnation=second.incarnation)
    clock.advance(11)
    assert catalogue.begin_deletion(None, "q", first.incarnation)
    assert consumers.expire("s")
    consumers.remove_holders(["one"])
    assert consumers.expire("r", unused=second.incarnation)
    for queue, assigned in (("q", first), ("r", second), ("s", third)):
        assert catalogue.find(None, queue) == assigned._replace(state=DELETING)
        catalogue.delete(None, queue, incarnation=assigned.incarnation)

    assert catalogue.find(None, "new") is None
    assert catalogue.find(None, "t") == creating
    assert [scope for scope in consumers.expired_queues() if scope[1] == "new"] == []
    assert [entry["queue"] for entry in catalogue.list(None)] == ["t"]


def test_a_queue_is_deleted_from_a_full_store(server, open_driver):
    data = open_driver(server.uri())
    data.queue_controller.create("q", incarnation="one")
    data.message_controller.post("q", [MESSAGE], None)
    server.ask("CONFIG", "SET", "maxmemory", 1)

    with pytest.raises(errors.StoreFull):
        data.queue_controller.create("r", incarnation="two")
    data.queue_controller.delete("q", incarnation="one")

    assert not data.queue_controller.exists("q")
    assert not data.queue_controller.exists("r")


# Lost answers.


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


def test_an_assignment_whose_answer_was_lost_is_ours(proxy, server, open_control):
    through, direct = open_control(proxy.uri), open_control(server.uri())
    created(through, "warm")
    proxy.lose_answer_to(script("control/assign").sha)

    assigned, is_new = through.catalogue_controller.assign(None, "q", "a", lease=LEASE)

    assert is_new
    assert direct.catalogue_controller.find(None, "q") == assigned
    assert server.client().hgetall(key("catalogue:queues")) == {b"\0a": b"2"}
    proxy.lose_answer_to(script("control/assign").sha)
    second, is_new = through.catalogue_controller.assign(None, "q", "b", replaces=assigned)
    assert is_new
    assert direct.catalogue_controller.find(None, "q") == second
    assert server.client().hgetall(key("catalogue:queues")) == {b"\0a": b"1", b"\0b": b"1"}


def test_an_assignment_whose_answer_was_lost_is_not_ours_once_its_deletion_began(proxy, server, open_control):
    through, direct = open_control(proxy.uri), open_control(server.uri())
    created(through, "warm")

    def delete():
        found = direct.catalogue_controller.find(None, "q")
        direct.catalogue_controller.begin_deletion(None, "q", found.incarnation)

    proxy.lose_answer_to(script("control/assign").sha, then=delete)
    assigned, is_new = through.catalogue_controller.assign(None, "q", "a", lease=LEASE)

    assert (assigned.state, is_new) == (DELETING, False)


def test_an_activation_whose_answer_was_lost_is_not_repeated(proxy, server, open_control):
    through, direct = open_control(proxy.uri), open_control(server.uri())
    created(through, "warm")
    assigned, _ = through.catalogue_controller.assign(None, "q", "a", lease=LEASE)
    proxy.lose_answer_to(script("control/activate").sha)

    with pytest.raises(errors.ConnectionError):
        through.catalogue_controller.activate(None, "q", assigned.incarnation, {})

    assert assigned.state == CREATING
    assert direct.catalogue_controller.find(None, "q") == assigned._replace(state=ACTIVE)
    assert direct.queue_controller.exists("q")


def test_a_deletion_whose_answer_was_lost_is_repeated(proxy, server, open_control):
    through, direct = open_control(proxy.uri), open_control(server.uri())
    warm, assigned = created(through, "warm"), created(through)
    assert through.catalogue_controller.begin_deletion(None, "warm", warm.incarnation)
    through.catalogue_controller.delete(None, "warm", incarnation=warm.incarnation)

    proxy.lose_answer_to(script("control/begin_deletion").sha)
    assert through.catalogue_controller.begin_deletion(None, "q", assigned.incarnation)
    proxy.lose_answer_to(script("control/unassign").sha)
    through.catalogue_controller.delete(None, "q", incarnation=assigned.incarnation)

    assert direct.catalogue_controller.find(None, "q") is None
    assert server.client().hgetall(key("catalogue:queues")) == {}


# The queue in its pool.


def test_a_queue_that_gets_another_incarnation_gets_the_new_metadata_only(data, client):
    bounded = {"_max_length_bytes": 5, "_max_message_ttl": 7, "_default_message_delay": 8, "_max_claim_count": 9}
    data.queue_controller.create("plain", {"a": 1}, incarnation="two")
    data.queue_controller.create("q", {**bounded, "_dead_letter_queue": "dead"}, incarnation="one")
    data.message_controller.post("q", [{**MESSAGE, "delay": 0}], None)

    data.queue_controller.create("q", {"a": 1}, incarnation="two", replaces="one")

    plain, replaced = (client.hgetall(keys.queue_keys("kombu-pool", None, name).queue) for name in ("plain", "q"))
    for fields in (plain, replaced):
        fields.pop(b"last")
    replaced.pop(b"next", None)
    assert replaced == plain


def test_only_an_incarnation_replaces_another(data):
    data.queue_controller.create("q", incarnation="one")

    assert data.queue_controller.create("q", {"a": 1}, replaces="one") is False
    assert data.queue_controller.create("q", {"a": 1}, incarnation="one", replaces="one") is False

    assert data.queue_controller.get("q") == {}
    assert data.message_controller.post("q", [MESSAGE], None, incarnation="one")


def test_an_incarnation_may_be_any_text(data):
    for number, incarnation in enumerate(["=", "\0", "é", "\ud800", "*", " "]):
        queue = f"q{number}"
        data.queue_controller.create(queue, incarnation=incarnation)

        assert data.message_controller.post(queue, [MESSAGE], None, incarnation=incarnation)
        with pytest.raises(errors.IncarnationConflict) as caught:
            data.queue_controller.create(queue, incarnation=NO_INCARNATION)
        assert caught.value.current == incarnation


def test_a_claim_in_several_runs_keeps_what_it_has_when_the_queue_gets_another_incarnation(
    uri, open_driver, monkeypatch
):
    data, other = open_driver(uri), open_driver(uri)
    data.queue_controller.create("q", incarnation="one")
    data.message_controller.post("q", [MESSAGE] * 3, None)
    monkeypatch.setattr("kombu_pool.drivers.redis.claiming._BATCH", 1)
    claimer = data.claim_controller
    run = claimer._run

    def run_then_replace(*arguments):
        more = run(*arguments)
        other.queue_controller.create("q", incarnation="two", replaces="one")
        return more

    monkeypatch.setattr(claimer, "_run", run_then_replace)
    claim, messages = data.claim_controller.create("q", CLAIM, incarnation="one")

    assert len(messages) == 1
    assert len(data.claim_controller.get("q", claim)[1]) == 1


def test_a_deletion_in_a_cluster_keeps_the_entries_of_a_queue_that_was_created_meanwhile(open_driver, monkeypatch):
    uri = fresh_cluster_uri()
    data, other = open_driver(uri), open_driver(uri)
    data.queue_controller.create("q", incarnation="one")
    store = data.queue_controller._store
    remove = data.queue_controller._delete_index_entries

    def create_first(*arguments):
        other.queue_controller.create("q", {"_dead_letter_queue": "dead"}, incarnation="two")
        remove(*arguments)

    monkeypatch.setattr(data.queue_controller, "_delete_index_entries", create_first)
    data.queue_controller.delete("q", incarnation="one")

    assert [queue["name"] for queue in next(other.queue_controller.list())] == ["q"]
    assert store.client.command("ZCARD", store.queues_with_dead) == 1
    monkeypatch.undo()
    data.queue_controller.delete("q", incarnation="two")
    assert [*next(other.queue_controller.list())] == []
    assert store.client.command("ZCARD", store.index) == store.client.command("ZCARD", store.queues_with_dead) == 0
