"""The keys of a store, without the one that every store has from its first use."""

from __future__ import annotations

from kombu_pool.drivers.redis.keys import store_key

#: The layout version and the identity of the store with the default prefix.
LAYOUT_KEY = store_key("kombu-pool", "layout")


def stored_keys(client):
    """Return the keys of a database but for the layout key."""
    return {*client.scan_iter()} - {LAYOUT_KEY}
