"""The driver for MongoDB 4.4 or newer, for ``mongodb://`` and ``mongodb+srv://``.

The server is standalone, a replica set, or a sharded cluster.
"""

from __future__ import annotations

from kombu_pool.drivers.mongodb.control import ControlDriver
from kombu_pool.drivers.mongodb.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.mongodb.location import locate
from kombu_pool.drivers.mongodb.parameters import NETWORK
from kombu_pool.drivers.mongodb.schema import is_created as exists
from kombu_pool.drivers.opening import Opener

_opener = Opener(locate, DataDriver, ControlDriver, exists)
open_data, open_control, is_created = _opener.open_data, _opener.open_control, _opener.is_created

__all__ = ["CAPABILITIES", "NETWORK", "is_created", "open_control", "open_data"]
