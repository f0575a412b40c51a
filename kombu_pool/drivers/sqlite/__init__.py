"""The SQLite driver: one file for both planes, shared by any number of processes of one machine, without a server.

``sqlite:///relative.db`` and ``sqlite:////absolute.db``; a missing folder or file is created.
"""

from __future__ import annotations

from kombu_pool.drivers.opening import Opener
from kombu_pool.drivers.sqlite.control import ControlDriver
from kombu_pool.drivers.sqlite.driver import CAPABILITIES, DataDriver
from kombu_pool.drivers.sqlite.location import exists, locate

_opener = Opener(locate, DataDriver, ControlDriver, lambda location: exists(location.path))
open_data, open_control, is_created = _opener.open_data, _opener.open_control, _opener.is_created

__all__ = ["CAPABILITIES", "is_created", "open_control", "open_data"]
