"""A private MongoDB replica set for a test."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pymongo

from tests.support.servers.mongodb.standalone import MongoServer
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from bson import ObjectId
    from typing_extensions import Self

    from tests.support.servers.mongodb.standalone import Parameter

NAME = "rs"
_SETTINGS = {
    # Silence of the primary after which the other members elect a new one.
    "electionTimeoutMillis": 3000,
    "heartbeatIntervalMillis": 500,
}
#: Seconds in which a primary that stepped down is not eligible.
_STEP_DOWN = 10
#: Seconds for the secondaries to catch up before the primary steps down.
_CATCH_UP = 5
#: Timeout of a client for finding a primary, in milliseconds.
_SELECTION = 60_000
#: Size of the oplog, in megabytes.
_OPLOG = "16"


class Member(MongoServer):
    """A member of a replica set."""

    def state(self) -> str:
        """Return the member's state, such as ``PRIMARY`` or ``SECONDARY``."""
        members = self.ask("replSetGetStatus")["members"]
        return next(member["stateStr"] for member in members if member.get("self"))

    def election(self) -> ObjectId | None:
        """Return the id of the election that made it primary, which increases; None if it is not the primary."""
        if not self.runs or self.paused:
            return None
        answer = self.ask("hello")
        return answer["electionId"] if answer["isWritablePrimary"] else None

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--replSet", NAME, "--oplogSize", _OPLOG]


class ReplicaSet:
    """Members that elect a primary. Ready when constructed; ``with`` stops all members."""

    def __init__(self, members: int = 1, **parameters: Parameter) -> None:
        self.members: list[Member] = []
        self._clients: list[pymongo.MongoClient] = []
        with ExitStack() as stack:
            stack.callback(self.stop)
            for _ in range(members):
                self.members.append(Member(**parameters))
            self._initiate()
            self.wait_until_ready()
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        return [member.pid for member in self.members]

    @property
    def primary(self) -> Member:
        """The primary; waits until there is one."""
        return self.wait_for_another(than=None)

    @property
    def secondaries(self) -> list[Member]:
        primary = self.primary
        return [member for member in self.members if member is not primary]

    def uri(self, database: str = "test") -> str:
        addresses = ",".join(member.address for member in self.members)
        return f"mongodb://{addresses}/{database}?replicaSet={NAME}"

    def client(self, **options: Any) -> pymongo.MongoClient:
        """Return a PyMongo client, which is closed when the set stops."""
        client = pymongo.MongoClient(self.uri(), **{"serverSelectionTimeoutMS": _SELECTION, **options})
        self._clients.append(client)
        return client

    def wait_until_ready(self) -> None:
        """Wait until there is a primary and all other members are secondaries."""
        wanted = ["PRIMARY"] + ["SECONDARY"] * (len(self.members) - 1)
        first_answer(lambda: sorted(member.state() for member in self.members) == wanted, why=self._describe)
        # A new primary accepts writes only some time after its election.
        self.wait_for_another(than=None)

    def wait_for_another(self, than: Member | None) -> Member:
        """Wait for a primary other than ``than``, and return it."""
        return first_answer(lambda: self._primary_except(than), why=self._describe)

    def step_down(self) -> Member:
        """Make the primary step down, and return the next primary.

        A single member steps down and is elected again.
        """
        former, alone = self.primary, len(self.members) == 1
        seconds, catch_up = (1, 0) if alone else (_STEP_DOWN, _CATCH_UP)
        former.ask("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=catch_up, force=alone)
        return self.wait_for_another(than=None if alone else former)

    def kill_primary(self) -> Member:
        """Kill the primary, as in a crash, and return the next primary.

        For the time between the two, call ``primary.kill()`` and read ``primary`` later.
        """
        former = self.primary
        former.kill()
        return self.wait_for_another(former)

    def kill(self) -> None:
        """Kill all members, as in a crash."""
        for member in self.members:
            member.kill()

    def restart(self) -> None:
        """Restart all members with their data, also those that are running."""
        for member in self.members:
            member.restart()
        self.wait_until_ready()

    def pause(self) -> None:
        """Pause all members."""
        for member in self.members:
            member.pause()

    def resume(self) -> None:
        for member in self.members:
            member.resume()

    def stop(self) -> None:
        """End all members and delete their folders."""
        for client in self._clients:
            client.close()
        for member in self.members:
            member.stop()

    def _initiate(self) -> None:
        members = [{"_id": number, "host": member.address} for number, member in enumerate(self.members)]
        self.members[0].ask("replSetInitiate", {"_id": NAME, "members": members, "settings": _SETTINGS})

    def _primary_except(self, former: Member | None) -> Member | None:
        elections = {election: member for member in self.members if (election := member.election())}
        # A resumed member still reports to be the primary until it learns of the newer election.
        primary = elections[max(elections)] if elections else None
        return None if primary is former else primary

    def _describe(self) -> str:
        running = [member for member in self.members if member.runs and not member.paused]
        return "\n".join(f"{member.address}: {member.ask('hello')}" for member in running)
