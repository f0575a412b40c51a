"""The driver for MongoDB 4.4 or newer, for ``mongodb://`` and ``mongodb+srv://``.

The server is standalone, a replica set, or a sharded cluster.
"""

from __future__ import annotations

from kombu_pool.drivers.mongodb.control import ControlDriver
from kombu_pool.drivers.mongodb.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.mongodb.location import locate
from kombu_pool.drivers.mongodb.parameters import NETWORK
from kombu_pool.drivers.opening import Opener

_opener = Opener(locate, DataDriver, ControlDriver)
open_data, open_control = _opener.open_data, _opener.open_control

__all__ = ["CAPABILITIES", "NETWORK", "open_control", "open_data"]
