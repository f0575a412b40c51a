"""Exchanges and bindings of the control store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.storage import BindingsController, ControlDriver


@pytest.fixture
def bindings(control: ControlDriver) -> BindingsController:
    return control.bindings_controller


@pytest.fixture
def bound(bindings: BindingsController) -> BindingsController:
    """An exchange with two queues bound to it."""
    bindings.create_exchange("x", "topic")
    bindings.bind("x", "a", "key.a")
    bindings.bind("x", "b", "key.b", {"match": "all"})
    return bindings


def routes(bindings: Iterable[Any]) -> list[tuple[str, str, str]]:
    return [(binding["exchange"], binding["destination"], binding["routing_key"]) for binding in bindings]


def test_an_exchange_comes_back_as_it_was_made(bindings: BindingsController) -> None:
    assert bindings.create_exchange("x", "headers", False, True, {"alternate-exchange": "y"}) is True

    exchange = bindings.get_exchange("x")

    assert exchange["generation"] > 0
    assert exchange == {
        "generation": exchange["generation"],
        "name": "x",
        "type": "headers",
        "durable": False,
        "auto_delete": True,
        "arguments": {"alternate-exchange": "y"},
    }


def test_an_exchange_is_durable_and_stays_unless_told_otherwise(bindings: BindingsController) -> None:
    bindings.create_exchange("x", "direct")

    exchange = bindings.get_exchange("x")

    assert (exchange["durable"], exchange["auto_delete"], exchange["arguments"]) == (True, False, {})


def test_creating_again_leaves_an_exchange_as_it_is(bindings: BindingsController) -> None:
    bindings.create_exchange("x", "direct")
    before = bindings.get_exchange("x")

    assert bindings.create_exchange("x", "topic", arguments={"a": 1}) is False

    assert bindings.get_exchange("x") == before


def test_an_unknown_exchange_does_not_exist(bindings: BindingsController) -> None:
    with pytest.raises(errors.ExchangeDoesNotExist) as raised:
        bindings.get_exchange("x", project="p")

    assert (raised.value.exchange, raised.value.project) == ("x", "p")
    assert bindings.generation("x") == 0
    bindings.delete_exchange("x")


def test_exchanges_are_listed_by_name(bindings: BindingsController) -> None:
    for name in ("b", "a", "B"):
        bindings.create_exchange(name, "direct")
    bindings.create_exchange("other", "direct", project="p")

    assert [exchange["name"] for exchange in bindings.list_exchanges()] == ["B", "a", "b"]
    assert [exchange["name"] for exchange in bindings.list_exchanges(project="p")] == ["other"]


def test_a_binding_comes_back_as_it_was_made(bindings: BindingsController) -> None:
    bindings.create_exchange("x", "headers")

    assert bindings.bind("x", "q", "key", {"x-match": "any", "n": 1}) is True

    assert list(bindings.list("x")) == [
        {
            "exchange": "x",
            "destination": "q",
            "destination_type": "queue",
            "routing_key": "key",
            "arguments": {"x-match": "any", "n": 1},
        }
    ]


def test_the_same_binding_is_made_once(bound: BindingsController) -> None:
    assert bound.bind("x", "a", "key.a") is False
    assert bound.bind("x", "b", "key.b", {"match": "all"}) is False
    assert len(bound.list("x")) == 2


def test_bindings_differ_by_any_of_their_parts(bound: BindingsController) -> None:
    bound.create_exchange("a", "direct")

    assert bound.bind("x", "a", "other key")
    assert bound.bind("x", "a", "key.a", {"match": "any"})
    assert bound.bind("x", "a", "key.a", destination_type="exchange")
    assert len(bound.list("x")) == 5


def test_equal_arguments_are_the_same_in_any_order(bindings: BindingsController) -> None:
    bindings.create_exchange("x", "headers")
    bindings.bind("x", "q", arguments={"a": 1, "b": 2})

    assert bindings.bind("x", "q", arguments={"b": 2, "a": 1}) is False
    assert bindings.unbind("x", "q", arguments={"b": 2, "a": 1}) is True


def test_no_arguments_are_empty_arguments(bindings: BindingsController) -> None:
    bindings.create_exchange("x", "direct")
    bindings.bind("x", "q", "key", None)

    assert bindings.bind("x", "q", "key", {}) is False


def test_a_queue_to_bind_need_not_exist_but_an_exchange_must(bindings: BindingsController) -> None:
    with pytest.raises(errors.ExchangeDoesNotExist) as raised:
        bindings.bind("x", "q")
    assert raised.value.exchange == "x"
    bindings.create_exchange("x", "direct")

    with pytest.raises(errors.ExchangeDoesNotExist) as raised:
        bindings.bind("x", "y", destination_type="exchange")

    assert raised.value.exchange == "y"
    assert list(bindings.list()) == []


def test_unbinding_removes_that_one_binding(bound: BindingsController) -> None:
    bound.bind("x", "a", "other key")

    assert bound.unbind("x", "a", "key.a") is True
    assert bound.unbind("x", "a", "key.a") is False

    assert routes(bound.list("x")) == [("x", "b", "key.b"), ("x", "a", "other key")]


@pytest.mark.parametrize(
    "binding",
    [
        ("x", "a", ""),
        ("x", "b", "key.b"),
        ("x", "a", "key.a", {"match": "all"}),
        ("x", "a", "key.a", None, "exchange"),
        ("y", "a", "key.a"),
    ],
)
def test_unbinding_what_is_not_bound_removes_nothing(bound: BindingsController, binding: Any) -> None:
    assert bound.unbind(*binding) is False
    assert len(bound.list("x")) == 2


def test_unbinding_a_queue_removes_all_ways_to_it(bound: BindingsController) -> None:
    bound.create_exchange("y", "direct")
    bound.create_exchange("a", "direct")
    bound.bind("x", "a", "again")
    bound.bind("y", "a", "key")
    bound.bind("x", "a", "exchange", destination_type="exchange")

    assert sorted(bound.unbind_queue("a")) == ["x", "y"]

    assert routes(bound.list()) == [("x", "b", "key.b"), ("x", "a", "exchange")]
    assert list(bound.unbind_queue("a")) == []


def test_bindings_are_listed_in_the_order_in_which_they_were_made(bound: BindingsController) -> None:
    bound.create_exchange("w", "direct")
    bound.bind("w", "c", "key")
    bound.bind("x", "0", "key")

    assert routes(bound.list()) == [("x", "a", "key.a"), ("x", "b", "key.b"), ("w", "c", "key"), ("x", "0", "key")]
    assert routes(bound.list("x")) == [("x", "a", "key.a"), ("x", "b", "key.b"), ("x", "0", "key")]
    assert routes(bound.list("w")) == [("w", "c", "key")]
    assert list(bound.list("absent")) == []


def test_a_deleted_exchange_takes_its_bindings_with_it(bound: BindingsController) -> None:
    bound.create_exchange("source", "direct")
    bound.bind("source", "x", destination_type="exchange")
    bound.bind("source", "x", destination_type="queue")

    bound.delete_exchange("x")
    bound.delete_exchange("x")

    assert routes(bound.list()) == [("source", "x", "")]
    assert bound.list()[0]["destination_type"] == "queue"
    bound.create_exchange("x", "direct")
    assert list(bound.list("x")) == []


def test_exchanges_of_two_projects_stay_apart(bound: BindingsController) -> None:
    bound.create_exchange("x", "direct", project="p")
    bound.bind("x", "a", "theirs", project="p")

    assert routes(bound.list(project="p")) == [("x", "a", "theirs")]
    assert list(bound.unbind_queue("a", project="p")) == ["x"]
    bound.delete_exchange("x", project="p")
    assert len(bound.list("x")) == 2
    assert bound.get_exchange("x")["type"] == "topic"


CHANGES = [
    lambda bindings: bindings.bind("x", "c", "key"),
    lambda bindings: bindings.unbind("x", "a", "key.a"),
    lambda bindings: bindings.unbind_queue("a"),
    lambda bindings: bindings.delete_exchange("y"),
    lambda bindings: (bindings.delete_exchange("x"), bindings.create_exchange("x", "topic")),
]


@pytest.mark.parametrize("change", CHANGES, ids=["bind", "unbind", "unbind_queue", "delete_destination", "recreate"])
def test_the_generation_changes_with_every_change(
    bound: BindingsController, change: Callable[[BindingsController], Any]
) -> None:
    bound.create_exchange("y", "direct")
    bound.bind("x", "y", destination_type="exchange")
    before = bound.generation("x")

    change(bound)

    assert bound.generation("x") > before
    assert bound.get_exchange("x")["generation"] == bound.generation("x")


def test_the_generation_stays_while_nothing_changes(bound: BindingsController) -> None:
    before = bound.generation("x")
    bound.create_exchange("y", "direct")

    bound.create_exchange("x", "topic")
    bound.bind("x", "a", "key.a")
    bound.unbind("x", "a", "no key")
    bound.unbind_queue("unbound")
    bound.bind("y", "a", "key.a")

    assert bound.generation("x") == before


def test_a_generation_is_never_used_again(bound: BindingsController) -> None:
    seen = set()
    for _ in range(3):
        bound.delete_exchange("x")
        assert bound.generation("x") == 0
        bound.create_exchange("x", "topic")
        seen.add(bound.generation("x"))
        bound.bind("x", "a")
        seen.add(bound.generation("x"))

    assert len(seen) == 6
    assert min(seen) > 0


def test_arguments_are_not_shared_with_the_caller(bindings: BindingsController) -> None:
    arguments = {"list": [1]}
    bindings.create_exchange("x", "headers", arguments=arguments)
    bindings.bind("x", "q", arguments=arguments)
    arguments["list"].append(2)
    bindings.list("x")[0]["arguments"]["list"].append(3)
    bindings.get_exchange("x")["arguments"]["list"].append(3)

    assert bindings.list("x")[0]["arguments"] == {"list": [1]}
    assert bindings.get_exchange("x")["arguments"] == {"list": [1]}


def test_asking_again_may_be_spared_for_some_seconds_only(bindings: BindingsController) -> None:
    assert 0 <= bindings.generation_ttl <= 60


def life_of(control: ControlDriver, queue: str = "a") -> str:
    """Create a queue in the catalogue, and return its incarnation."""
    control.pools_controller.create("pool", 1, "memory://pool")
    assigned, _ = control.catalogue_controller.assign(None, queue, "pool", lease=60)
    assert control.catalogue_controller.activate(None, queue, assigned.incarnation)
    return assigned.incarnation


def test_a_binding_to_another_life_of_a_queue_is_refused(control: ControlDriver) -> None:
    bindings, catalogue = control.bindings_controller, control.catalogue_controller
    bindings.create_exchange("x", "direct")
    incarnation = life_of(control)
    generation = bindings.generation("x")
    with pytest.raises(errors.QueueDoesNotExist):
        bindings.bind("x", "a", "key", incarnation="another")
    with pytest.raises(errors.QueueDoesNotExist):
        bindings.bind("x", "absent", "key", incarnation=incarnation)
    assert bindings.generation("x") == generation

    assert bindings.bind("x", "a", "key", incarnation=incarnation) is True
    assert bindings.bind("x", "a", "key", incarnation=incarnation) is False

    catalogue.begin_deletion(None, "a", incarnation)
    with pytest.raises(errors.QueueDoesNotExist):
        bindings.bind("x", "a", "late", incarnation=incarnation)
    assert routes(bindings.list()) == [("x", "a", "key")]


def test_the_bindings_of_a_life_are_removed_while_its_deletion_lasts(control: ControlDriver) -> None:
    bindings, catalogue = control.bindings_controller, control.catalogue_controller
    bindings.create_exchange("x", "direct")
    first = life_of(control)
    bindings.bind("x", "a", "key", incarnation=first)
    assert list(bindings.unbind_queue("a", incarnation=first)) == []
    catalogue.begin_deletion(None, "a", first)
    assert list(bindings.unbind_queue("a", incarnation="another")) == []
    assert routes(bindings.list()) == [("x", "a", "key")]

    assert list(bindings.unbind_queue("a", incarnation=first)) == ["x"]

    assert routes(bindings.list()) == []
    catalogue.delete(None, "a", incarnation=first)
    second, _ = catalogue.assign(None, "a", "pool", lease=60)
    bindings.bind("x", "a", "key", incarnation=second.incarnation)
    # A process that stalled in the deletion of the first life goes on.
    assert list(bindings.unbind_queue("a", incarnation=first)) == []
    assert routes(bindings.list()) == [("x", "a", "key")]
