"""The pools and flavors in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.moves import decode_move
from kombu_pool.drivers.registry import Records, decode, encode
from kombu_pool.drivers.registry import Registry as Contract
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import PoolInUse

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.database import Database

_SQL = statements("registry")


class Registry(Contract[int]):
    """The row of all pools and flavors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> tuple[Records, int]:
        version, record = self._database.row(_SQL["read"])
        return decode(record), version

    def replace(self, records: Records, version: int, unused: str | None = None) -> bool:
        record = encode(records)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            if unused is not None:
                self.require_unused(unused)
            return bool(connection.execute(_SQL["replace"], (record, version)).rowcount)

    def require_unused(self, name: str) -> None:
        ((queues,),) = self._database.rows(_SQL["queues"], (name,))
        moves = [decode_move(stored) for (stored,) in self._database.rows(_SQL["moves"], (name,))]
        queues += sum(move is not None and name in move.pools for move in moves)
        if queues:
            raise PoolInUse(name, queues)
