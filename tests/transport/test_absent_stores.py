"""Whether a store exists is asked without creating it."""

from __future__ import annotations

from kombu_pool import drivers
from tests.support.transport.traffic import declare


def test_a_store_exists_once_it_was_used_and_not_when_it_is_asked_for(url, connect):
    uri = url.removeprefix("pool+")
    for _ in range(2):
        assert not drivers.is_created(uri)

    declare(connect().channel(), "q")

    assert drivers.is_created(uri)
