"""The processes behind the tags that claims have of their holders."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu_pool.storage.inspection import holder_tag
from kombu_pool.transport.processes import consumer_of, has_died, machine, process_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.pooling import DataDriver


@dataclass(frozen=True)
class ProcessView:
    """A process; None is unknown. ``dead``: it was of this machine, and has ended."""

    host: str | None
    pid: int | None
    dead: bool = False


class Processes:
    """The processes that a control store knows as holders of queues, by the tags of their claims."""

    def __init__(self, holders: Iterable[str]) -> None:
        names: dict[str, str | None] = {}
        hosts: dict[str, str] = {}
        for holder in holders:
            name, host = process_of(holder), consumer_of(holder).host
            names[name] = host or names.get(name)
            if host is not None:
                # A process that holds messages without a consumer is of a machine whose others may name it.
                hosts[_machine_of(name)] = host
        if machine():
            hosts[machine()] = platform.node()
        self._by_tag = {
            holder_tag(name): _view(name, host or hosts.get(_machine_of(name))) for name, host in names.items()
        }

    @classmethod
    def of(cls, store: DataDriver) -> Processes:
        """Return the processes that a control store knows."""
        return cls(store.control.consumers_controller.holders(""))

    def find(self, tag: bytes | None) -> ProcessView | None:
        """Return the process of a claim's holder; None of an unknown one."""
        return None if tag is None else self._by_tag.get(tag)


def process_view(holder: str) -> ProcessView:
    """Return the process in the id of one of its connections; its host if that is this machine."""
    name = process_of(holder)
    return _view(name, platform.node() if machine() and _machine_of(name) == machine() else None)


def _machine_of(process: str) -> str:
    return process.partition(":")[0]


def _view(process: str, host: str | None) -> ProcessView:
    pid = process.split(":")[1] if ":" in process else ""
    return ProcessView(host, int(pid) if pid.isdecimal() else None, has_died(process))
