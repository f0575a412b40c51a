"""Operations on many queues at once do to each queue what the single operation does, and nothing to any other."""

from __future__ import annotations

import math
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from kombu_pool.model import ACTIVE, DELETING, EXPIRED, Expiry

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import Assignment, NewMessage, Project
    from kombu_pool.storage import (
        BindingsController,
        CatalogueController,
        ConsumersController,
        ControlDriver,
        DataDriver,
        Watch,
    )
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock

    Create = Callable[..., Assignment]

MESSAGE: NewMessage = {"ttl": 300, "body": "body"}
#: Number of the queues of a large batch, each with a message.
MANY = 120
#: Seconds within which every store wakes a watch, and the timeout of a wait that nothing should end.
LIMIT, BRIEFLY = 60.0, 0.02
LIFETIME = 10.0
FROM_NOW = Expiry(LIFETIME, from_now=True)


# In a pool.


@pytest.fixture
def data(leaf: Backend) -> DataDriver:
    return leaf.driver


def create_queue(driver: DataDriver, name: str, project: Project = None, incarnation: str = "one") -> None:
    driver.queue_controller.create(name, {}, project, incarnation=incarnation)
    driver.message_controller.post(name, [MESSAGE], None, project)


def remaining(driver: DataDriver, project: Project = None) -> dict[str, int]:
    """Return the number of messages of each queue that exists."""
    names = [found["name"] for found in next(driver.queue_controller.list(project, limit=0))]
    return {name: driver.message_controller.count(name, project) for name in names}


def test_a_batch_deletes_the_queues_that_bear_the_incarnations(data: DataDriver) -> None:
    for name in ("a", "b", "c", "other"):
        create_queue(data, name)
    create_queue(data, "a", "p", "two")
    create_queue(data, "b", "p")
    subscriptions = data.subscription_controller
    for name in ("a", "c"):
        subscriptions.create(name, "http://example.org", 600, {})

    data.queue_controller.delete_many(
        [(None, "a", "one"), (None, "b", "one"), (None, "c", "two"), ("p", "a", "two"), (None, "absent", "one")]
    )

    assert remaining(data) == {"c": 1, "other": 1}
    assert remaining(data, "p") == {"b": 1}
    assert [len(list(next(subscriptions.list(name)))) for name in ("a", "c")] == [0, 1]


def test_an_empty_batch_deletes_nothing(data: DataDriver) -> None:
    create_queue(data, "a")

    data.queue_controller.delete_many([])

    assert remaining(data) == {"a": 1}


def test_a_large_batch_deletes_every_queue(data: DataDriver) -> None:
    names = [f"q{number}" for number in range(MANY)]
    for name in names:
        create_queue(data, name)
    create_queue(data, "other")

    data.queue_controller.delete_many([(None, name, "one") for name in names])

    assert remaining(data) == {"other": 1}
    data.queue_controller.create("q0", incarnation="two")
    assert data.message_controller.count("q0") == 0


def test_no_process_uses_a_queue_after_its_deletion_in_a_batch(leaf: Backend) -> None:
    data, other = leaf.driver, leaf.another()
    for name in ("a", "b"):
        create_queue(data, name)
        other.message_controller.post(name, [MESSAGE], None, incarnation="one")
        other.claim_controller.create(name, {"ttl": 60, "grace": 0}, limit=1)

    data.queue_controller.delete_many([(None, "a", "one"), (None, "b", "one")])

    for name in ("a", "b"):
        assert other.claim_controller.create(name, {"ttl": 60, "grace": 0}) == (None, [])
        data.queue_controller.create(name, incarnation="two")
        assert other.message_controller.count(name) == 0


def test_a_batch_wakes_the_watch_of_each_deleted_queue(leaf: Backend) -> None:
    data = leaf.driver
    for name in ("a", "b", "c"):
        data.queue_controller.create(name, incarnation="one")
    with ExitStack() as opened:
        watches = {name: opened.enter_context(closing(data.watch([(None, name)]))) for name in ("a", "b", "c")}
        for watch in watches.values():
            drain(watch)

        data.queue_controller.delete_many([(None, "a", "one"), (None, "b", "one"), (None, "c", "two")])

        assert watches["a"].wait(LIMIT)
        assert watches["b"].wait(LIMIT)
        drain(watches["c"])


def drain(watch: Watch) -> None:
    """Wait until the watch times out: it may return True without a cause, but not for ever."""
    assert any(not watch.wait(BRIEFLY) for _ in range(20))


# In the control store.


@pytest.fixture
def catalogue(control: ControlDriver) -> CatalogueController:
    control.pools_controller.create("pool", 1, "memory://pool")
    return control.catalogue_controller


@pytest.fixture
def consumers(control: ControlDriver) -> ConsumersController:
    return control.consumers_controller


@pytest.fixture
def bindings(control: ControlDriver) -> BindingsController:
    for project in (None, "p"):
        for name in ("x", "y"):
            control.bindings_controller.create_exchange(name, "direct", project=project)
    return control.bindings_controller


@pytest.fixture
def created(catalogue: CatalogueController) -> Create:
    """Return a function that creates a queue and returns its assignment."""

    def create(queue: str, project: Project = None, expiry: Expiry | None = None) -> Assignment:
        assigned, _ = catalogue.assign(project, queue, "pool", lease=60)
        assert catalogue.activate(project, queue, assigned.incarnation, {}, expiry)
        return assigned._replace(state=ACTIVE)

    return create


def test_many_assignments_are_found_in_the_order_of_their_names(
    catalogue: CatalogueController, created: Create, clock: ManualClock
) -> None:
    plain, expired = created("plain"), created("expired", expiry=FROM_NOW)
    deleted, other = created("deleted"), created("plain", "p")
    catalogue.begin_deletion(None, "deleted", deleted.incarnation)
    clock.advance(LIFETIME + 1)

    found = catalogue.find_many(
        [("p", "plain"), (None, "deleted"), (None, "absent"), (None, "expired"), (None, "plain"), ("p", "plain")]
    )

    deleting = deleted._replace(state=DELETING)
    assert list(found) == [other, deleting, None, expired._replace(state=EXPIRED), plain, other]
    assert list(catalogue.find_many([])) == []


def test_of_many_queues_those_expire_that_have_expired(
    control: ControlDriver,
    catalogue: CatalogueController,
    consumers: ConsumersController,
    created: Create,
    clock: ManualClock,
) -> None:
    expired = {scope: created(scope[1], scope[0], FROM_NOW) for scope in [(None, "a"), (None, "b"), ("p", "a")]}
    kept = {
        (None, "held"): created("held", expiry=FROM_NOW),
        (None, "unnamed"): created("unnamed", expiry=FROM_NOW),
        (None, "plain"): created("plain"),
        ("p", "b"): created("b", "p", Expiry(1000, from_now=True)),
    }
    consumers.add_holder("held", "one", 60, incarnation=kept[None, "held"].incarnation)
    consumers.add_holder("a", "one", 0.5, incarnation=expired[None, "a"].incarnation)
    clock.advance(LIFETIME + 1)
    named = [*expired, *(scope for scope in kept if scope != (None, "unnamed")), (None, "absent")]

    ended = consumers.expire_many(named)

    assert {(project, queue) for project, queue in ended} == set(expired)
    assert len(ended) == len(expired)
    deleting = [assigned._replace(state=DELETING) for assigned in expired.values()]
    assert list(catalogue.find_many([*expired])) == deleting
    assert catalogue.find(None, "held") == kept[None, "held"]
    assert catalogue.find(None, "plain") == kept[None, "plain"]
    assert catalogue.find("p", "b") == kept["p", "b"]
    assert consumers.expire("unnamed")
    assert not control.queue_controller.exists("a")
    assert control.queue_controller.exists("held")
    assert list(consumers.expire_many(named)) == []
    assert list(consumers.expire_many([])) == []


def test_an_expiry_of_many_ends_the_holders_of_each_and_keeps_others(
    consumers: ConsumersController, created: Create, clock: ManualClock
) -> None:
    for number in range(3):
        assigned = created(f"q{number}", expiry=FROM_NOW)
        consumers.add_holder(f"q{number}", f"dead {number}", 1, incarnation=assigned.incarnation)
    living = created("living", expiry=FROM_NOW)
    consumers.add_holder("living", "living", 60, incarnation=living.incarnation)
    clock.advance(LIFETIME + 2)

    consumers.expire_many([(None, f"q{number}") for number in range(3)])

    assert list(consumers.renew(["dead 0", "dead 1", "dead 2", "living"], 60)) == ["dead 0", "dead 1", "dead 2"]


def test_many_lifetimes_without_an_assignment_just_end(consumers: ConsumersController, clock: ManualClock) -> None:
    for queue in ("a", "b"):
        consumers.set_lifetime(queue, 10, from_now=True)
    clock.advance(11)

    assert len(consumers.expire_many([(None, "a"), (None, "b")])) == 2

    assert list(consumers.expired_queues()) == []
    assert list(consumers.expire_many([(None, "a"), (None, "b")])) == []


def test_a_large_batch_expires_every_queue(
    catalogue: CatalogueController, consumers: ConsumersController, created: Create, clock: ManualClock
) -> None:
    named = [(None, f"q{number}") for number in range(MANY)]
    for _, queue in named:
        created(queue, expiry=FROM_NOW)
    clock.advance(LIFETIME + 1)

    assert {(project, queue) for project, queue in consumers.expire_many(named)} == set(named)

    found = catalogue.find_many(named)
    assert {one.state if one else None for one in found} == {DELETING}
    catalogue.delete_many([(None, queue, one.incarnation) for (_, queue), one in zip(named, found, strict=True) if one])
    assert set(catalogue.find_many(named)) == {None}
    assert list(catalogue.deletions()) == []


def test_a_batch_deletes_the_entries_that_are_being_deleted_with_the_incarnations(
    control: ControlDriver, catalogue: CatalogueController, consumers: ConsumersController, created: Create
) -> None:
    begun = {scope: created(scope[1], scope[0]) for scope in [(None, "a"), (None, "b"), ("p", "a"), (None, "other")]}
    for (project, queue), assigned in begun.items():
        catalogue.begin_deletion(project, queue, assigned.incarnation)
    active = created("active")
    consumers.add_holder("active", "one", 60, incarnation=active.incarnation)

    catalogue.delete_many(
        [
            *((*scope, begun[scope].incarnation) for scope in [(None, "a"), ("p", "a")]),
            (None, "b", "another"),
            (None, "active", active.incarnation),
            (None, "absent", "one"),
        ]
    )
    catalogue.delete_many([])

    assert list(catalogue.find_many([(None, "a"), ("p", "a")])) == [None, None]
    for queue in ("b", "other"):
        assert catalogue.find(None, queue) == begun[None, queue]._replace(state=DELETING)
    assert catalogue.find_until(None, "active") == (active, math.inf)
    assert control.queue_controller.exists("active")
    assert consumers.count("active") == 1


def test_a_batch_removes_no_holder_of_a_later_life(
    catalogue: CatalogueController, consumers: ConsumersController, created: Create
) -> None:
    first, other = created("q"), created("other")
    for queue, assigned in (("q", first), ("other", other)):
        catalogue.begin_deletion(None, queue, assigned.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    second = created("q")
    consumers.add_holder("q", "one", 60, incarnation=second.incarnation)

    catalogue.delete_many([(None, "q", first.incarnation), (None, "other", other.incarnation)])

    assert list(catalogue.find_many([(None, "q"), (None, "other")])) == [second, None]
    assert consumers.count("q") == 1


def keys(bindings: BindingsController, project: Project = None) -> list[tuple[str, str]]:
    return [(binding["exchange"], binding["destination"]) for binding in bindings.list(None, project)]


def test_a_batch_removes_the_bindings_of_the_queues_that_are_being_deleted(
    catalogue: CatalogueController, bindings: BindingsController, created: Create
) -> None:
    lives = {scope: created(scope[1], scope[0]) for scope in [(None, "a"), (None, "b"), ("p", "a"), (None, "active")]}
    for (project, queue), assigned in lives.items():
        for exchange in ("x", "y") if queue == "b" else ("x",):
            bindings.bind(exchange, queue, "key", project=project, incarnation=assigned.incarnation)
        if queue != "active":
            catalogue.begin_deletion(project, queue, assigned.incarnation)
    bindings.bind("x", "unknown")
    bindings.bind("y", "a", project="p")
    before = [bindings.generation(name, project) for name, project in (("x", None), ("y", None), ("x", "p"))]
    named = [(*scope, assigned.incarnation) for scope, assigned in lives.items()]

    sources = bindings.unbind_queues([*named, (None, "unknown", "one")])

    found = {project: set(names) for project, names in sources.items() if names}
    assert found == {None: {"x", "y"}, "p": {"x", "y"}}
    assert sum(len(names) for names in sources.values()) == 4
    assert keys(bindings) == [("x", "active"), ("x", "unknown")]
    assert keys(bindings, "p") == []
    after = [bindings.generation(name, project) for name, project in (("x", None), ("y", None), ("x", "p"))]
    assert all(later > earlier for earlier, later in zip(before, after, strict=True))
    assert not any(bindings.unbind_queues(named).values())
    assert not any(bindings.unbind_queues([]).values())


def test_a_batch_removes_no_binding_of_a_later_life(
    catalogue: CatalogueController, bindings: BindingsController, created: Create
) -> None:
    first, other = created("q"), created("other")
    bindings.bind("x", "other", incarnation=other.incarnation)
    for queue, assigned in (("q", first), ("other", other)):
        catalogue.begin_deletion(None, queue, assigned.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    bindings.bind("x", "q", incarnation=created("q").incarnation)

    sources = bindings.unbind_queues([(None, "q", first.incarnation), (None, "other", other.incarnation)])

    assert {project: list(names) for project, names in sources.items()} == {None: ["x"]}
    assert keys(bindings) == [("x", "q")]
