"""Names of any characters, and the isolation of queues and projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import UNKNOWN_ID, QueueHandle, ids, page_of

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.testing.fixtures import MakeQueue

#: The project and the name of a queue.
Scope: TypeAlias = tuple[str | None, str]

NAMES = [
    "dots.in.it",
    ".",
    "a/b",
    "/",
    "a b",
    " ",
    "ünïcödé",
    "quote's",
    'double"quote',
    "back`tick",
    "émoji 🐇",
    "100%_",
    "*",
    "[a-z]",
    "{tag}",
    "$dollar",
    "back\\slash",
    "new\nline",
    "colon:semi;comma,",
    "None",
    "null",
    "nul\x00byte",
    "'; DROP TABLE message; --",
    "x" * 1000,
]
#: Pairs of scopes that become equal when they are joined, case-folded or normalised.
PAIRS: list[tuple[Scope, Scope]] = [
    ((None, "q"), ("None", "q")),
    ((None, "q"), ("", "q")),
    ((None, "q"), ("null", "q")),
    ((None, "/q"), ("", "q")),
    (("a", "b/c"), ("a/b", "c")),
    (("a", "b.c"), ("a.b", "c")),
    (("a", "b:c"), ("a:b", "c")),
    (("a", "b c"), ("a b", "c")),
    (("a", "b\x00c"), ("a\x00b", "c")),
    (("p", "q"), ("P", "q")),
    (("p", "q"), ("p", "Q")),
    (("p", "q"), ("p", "q ")),
    (("p", "\u00e9"), ("p", "e\u0301")),
    (("p", "q.x"), ("p", "q")),
    (("p", "q"), ("q", "p")),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_may_hold_any_character(queues: MakeQueue, driver: DataDriver, name: str) -> None:
    queue = queues(name, name, x=1)
    queue.post("a")
    held = queue.claim()

    assert queue.claimed_by(held) == ["a"]
    assert queue.delete_claimed([(ids(held)[0], held.id)]) == []
    assert driver.queue_controller.get(name, project=name) == {"x": 1}
    assert page_of(driver.queue_controller.list(project=name))[0] == [{"name": name}]
    queue.drop()
    assert not driver.queue_controller.exists(name, project=name)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_control_store_takes_any_name(control: ControlDriver, name: str) -> None:
    control.queue_controller.create(name, {"x": 1}, project=name)
    control.pools_controller.create(name, 1, "memory://somewhere")
    control.flavors_controller.create(name, project=name)
    control.catalogue_controller.insert(name, name, name)
    control.bindings_controller.create_exchange(name, "topic", project=name)
    control.bindings_controller.bind(name, name, name, project=name)
    control.consumers_controller.add_holder(name, name, 60, project=name)

    assert control.queue_controller.get(name, project=name) == {"x": 1}
    assert control.pools_controller.get(name)["name"] == name
    assert control.flavors_controller.exists(name, project=name)
    assert control.catalogue_controller.get(name, name) == {"queue": name, "project": name, "pool": name}
    assert control.bindings_controller.list(name, project=name)[0]["routing_key"] == name
    assert control.consumers_controller.count(name, project=name) == 1


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ascii)
def test_similar_scopes_are_different_queues(
    queues: MakeQueue, driver: DataDriver, first: Scope, second: Scope
) -> None:
    mine, theirs = queues(first[1], first[0], side="mine"), QueueHandle(driver, second[1], second[0])
    assert not driver.queue_controller.exists(second[1], project=second[0])

    theirs.create(side="theirs")
    mine.post("mine")

    assert theirs.all() == []
    assert driver.queue_controller.get(first[1], project=first[0]) == {"side": "mine"}
    theirs.drop()
    assert mine.free() == ["mine"]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ascii)
def test_similar_scopes_are_mapped_apart(control: ControlDriver, first: Scope, second: Scope) -> None:
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    project, queue = first
    control.catalogue_controller.insert(project, queue, "a")

    assert not control.catalogue_controller.exists(*second)
    assert control.catalogue_controller.insert_if_absent(second[0], second[1], "b") == "b"
    assert control.catalogue_controller.get(*first) == {"project": first[0], "queue": first[1], "pool": "a"}
    control.catalogue_controller.delete(*second)
    assert control.catalogue_controller.exists(*first)


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ascii)
def test_similar_scopes_have_holders_of_their_own(control: ControlDriver, first: Scope, second: Scope) -> None:
    control.consumers_controller.add_holder(first[1], "holder", 60, project=first[0])

    assert control.consumers_controller.count(second[1], project=second[0]) == 0
    assert not control.consumers_controller.expire(second[1], project=second[0])
    assert control.consumers_controller.count(first[1], project=first[0]) == 1


@pytest.mark.parametrize("theirs", [("other", None), ("queue", "project")], ids=["queue", "project"])
def test_no_id_opens_a_message_of_another_queue_or_project(
    queue: QueueHandle, queues: MakeQueue, theirs: tuple[str, Project]
) -> None:
    other = queues(*theirs)
    (message_id,) = queue.post("secret")
    held = queue.claim()
    own = other.post("own")[0]
    other_held = other.claim()

    assert other.get_all([message_id]) == [] or message_id == own
    if message_id != own:
        with pytest.raises(errors.MessageDoesNotExist):
            other.get(message_id)
        other.delete(message_id, claim=other_held.id)
    other.delete_all([message_id], claim_ids=[held.id, other_held.id])
    assert other.delete_claimed([(message_id, held.id)]) == [(message_id, held.id)]
    assert other.release(held.id, [message_id]) == 0
    with pytest.raises(errors.ClaimDoesNotExist):
        other.claim_of(held.id)
    other.end(held.id)
    other.purge()

    assert queue.claimed_by(held) == ["secret"]


def test_another_project_sees_no_messages(queue: QueueHandle, queues: MakeQueue) -> None:
    queue.post("secret")
    other = queues(queue.name, "project")

    assert other.all() == []
    assert other.claim() == (None, [])
    assert other.pop() == []
    assert other.count() == 0
    assert other.stats()["total"] == 0


def test_a_queue_is_deleted_in_its_project_only(queue: QueueHandle, queues: MakeQueue) -> None:
    other = queues(queue.name, "project")
    queue.post("a")

    other.drop()

    assert queue.free() == ["a"]


def test_a_claim_id_of_another_queue_deletes_nothing(queue: QueueHandle, queues: MakeQueue) -> None:
    (message_id,) = queue.post("a")
    queue.claim()
    other = queues("other")
    other.post("b")
    theirs = other.claim()

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.delete(message_id, claim=theirs.id)
    with pytest.raises(errors.ClaimDoesNotMatch):
        queue.delete_all([message_id], claim_ids=[theirs.id])
    assert queue.delete_claimed([(message_id, theirs.id)]) == [(message_id, theirs.id)]
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.delete(message_id, claim=UNKNOWN_ID)
