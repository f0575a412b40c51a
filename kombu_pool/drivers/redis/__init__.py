"""A data and control store in a Redis, 6.2 or newer, or a Valkey: standalone, behind Sentinel, or a Redis Cluster.

``redis://``, ``rediss://`` (TLS), ``redis+socket://``, ``redis+sentinel://`` and ``redis+cluster://``.

The last two over TLS: ``rediss+sentinel://`` and ``rediss+cluster://``. ``valkey://`` is ``redis://``, and
``valkeys://`` is ``rediss://``.
"""

from __future__ import annotations

from kombu_pool.drivers.opening import Opener
from kombu_pool.drivers.redis.control import ControlDriver
from kombu_pool.drivers.redis.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.redis.location import locate
from kombu_pool.drivers.redis.parameters import NETWORK
from kombu_pool.drivers.redis.shared import is_created as exists

_opener = Opener(locate, DataDriver, ControlDriver, exists)
open_data, open_control, is_created = _opener.open_data, _opener.open_control, _opener.is_created

__all__ = ["CAPABILITIES", "NETWORK", "is_created", "open_control", "open_data"]
