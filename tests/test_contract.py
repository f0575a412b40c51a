"""The contract stays small: what one method can say by another has a default."""

from __future__ import annotations

import inspect

from kombu_pool import storage

#: Most abstract methods of the contract's classes, each counted once a class.
MOST_ABSTRACT_METHODS = 67


def abstract_methods() -> list[str]:
    classes = [value for name in storage.__all__ if inspect.isclass(value := getattr(storage, name))]
    return [f"{each.__name__}.{method}" for each in classes for method in getattr(each, "__abstractmethods__", ())]


def test_a_driver_has_no_more_methods_to_write_than_it_must():
    assert len(abstract_methods()) <= MOST_ABSTRACT_METHODS, sorted(abstract_methods())


def test_every_abstract_method_belongs_to_a_class_that_a_driver_writes():
    classes = {method.partition(".")[0] for method in abstract_methods()}

    assert classes == {
        "BindingsController",
        "CatalogueController",
        "ClaimController",
        "ConsumersController",
        "ControlDriver",
        "DataDriver",
        "FlavorsController",
        "MessageController",
        "PoolsController",
        "QueueController",
        "SubscriptionController",
        "Watch",
    }
