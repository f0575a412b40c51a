"""The store in this process's memory: the reference semantics, for tests and eager applications.

``memory://NAME`` is one store per name, shared by all drivers of the process. A forked child has a copy of its own.
"""

from __future__ import annotations

from kombu_pool.drivers.memory.control import ControlDriver
from kombu_pool.drivers.memory.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.memory.shared import control_store, data_store, is_created_at, locate, name_of
from kombu_pool.drivers.opening import Opener

_opener = Opener(
    locate,
    DataDriver,
    lambda uri, location, clock: ControlDriver(uri.text, control_store(location.name), clock),
    is_created_at,
)
open_data, open_control, is_created = _opener.open_data, _opener.open_control, _opener.is_created

__all__ = ["CAPABILITIES", "data_store", "is_created", "name_of", "open_control", "open_data"]
