"""Which modules of the suite run over pooling with MongoDB, whose tests cost most."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: Modules about the contents of messages and about single operations on one queue. Pooling hands such a call to one
#: pool, which ``pooled-sqlite`` and ``pooled-redis`` show; what MongoDB makes of it is shown by ``mongodb``.
NOT_OVER_POOLED_MONGODB = {
    "test_bad_input",
    "test_claim_deletion",
    "test_claims_and_ttl",
    "test_listing",
    "test_messages",
    "test_names_and_isolation",
    "test_subscriptions",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of those modules."""
    left_out = [item for item in items if "[pooled-mongodb" in item.nodeid and _is_left_out(item)]
    others = set(items).difference(left_out)
    items[:] = [item for item in items if item in others]
    config.hook.pytest_deselected(items=left_out)


def _is_left_out(item: pytest.Item) -> bool:
    _, _, test = item.nodeid.partition("tests/conformance/test_contract.py::")
    return test.partition("::")[0] in NOT_OVER_POOLED_MONGODB
