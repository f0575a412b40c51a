"""A replicated MongoDB server of one's own."""

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
    # Without a word from the primary for so long, the others elect another one.
    "electionTimeoutMillis": 1500,
    "heartbeatIntervalMillis": 500,
}
#: Seconds that a primary which stepped down does not come back, and that the others have to catch up before it does.
_STEP_DOWN = 10
_CATCH_UP = 5
#: Milliseconds within which a client finds the next primary.
_SELECTION = 15_000
#: Megabytes.
_OPLOG = "16"


class Member(MongoServer):
    """A server that is one of a set."""

    def state(self) -> str:
        """Return what it is now, such as ``PRIMARY`` or ``SECONDARY``."""
        members = self.ask("replSetGetStatus")["members"]
        return next(member["stateStr"] for member in members if member.get("self"))

    def election(self) -> ObjectId | None:
        """Return by which election it takes writes now, the later the greater, or None if it takes none."""
        if not self.runs or self.paused:
            return None
        answer = self.ask("hello")
        return answer["electionId"] if answer["isWritablePrimary"] else None

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--replSet", NAME, "--oplogSize", _OPLOG]


class ReplicaSet:
    """Members that elect a primary. Ready from the start on; ``with`` stops all at the end."""

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
        """The member that takes writes, once there is one."""
        return self.wait_for_another(than=None)

    @property
    def secondaries(self) -> list[Member]:
        primary = self.primary
        return [member for member in self.members if member is not primary]

    def uri(self, database: str = "test") -> str:
        addresses = ",".join(member.address for member in self.members)
        return f"mongodb://{addresses}/{database}?replicaSet={NAME}"

    def client(self, **options: Any) -> pymongo.MongoClient:
        """Connect past all drivers. It waits for a primary, and is closed when the set stops."""
        client = pymongo.MongoClient(self.uri(), **{"serverSelectionTimeoutMS": _SELECTION, **options})
        self._clients.append(client)
        return client

    def wait_until_ready(self) -> None:
        """Wait until there is a primary, and all other members follow it."""
        wanted = ["PRIMARY"] + ["SECONDARY"] * (len(self.members) - 1)
        first_answer(lambda: sorted(member.state() for member in self.members) == wanted, why=self._describe)
        # Only in the end does a new primary take writes.
        self.wait_for_another(than=None)

    def wait_for_another(self, than: Member | None) -> Member:
        """Return the primary, once it is another one."""
        return first_answer(lambda: self._leader_but(than), why=self._describe)

    def step_down(self) -> Member:
        """Let the primary hand over to another member, and return that.

        A single member stops being the primary, and then is it again.
        """
        former, alone = self.primary, len(self.members) == 1
        seconds, catch_up = (1, 0) if alone else (_STEP_DOWN, _CATCH_UP)
        former.ask("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=catch_up, force=alone)
        return self.wait_for_another(than=None if alone else former)

    def kill_primary(self) -> Member:
        """End the primary as a crash does, and return the next one.

        To look at what happens between the two, say ``primary.kill()``, and ask for ``primary`` later.
        """
        former = self.primary
        former.kill()
        return self.wait_for_another(former)

    def kill(self) -> None:
        """End all as a crash does."""
        for member in self.members:
            member.kill()

    def restart(self) -> None:
        """Start all members again with what they kept, those that have ended and those that run."""
        for member in self.members:
            member.restart()
        self.wait_until_ready()

    def pause(self) -> None:
        """Let no member answer anybody."""
        for member in self.members:
            member.pause()

    def resume(self) -> None:
        for member in self.members:
            member.resume()

    def stop(self) -> None:
        """End all for good."""
        for client in self._clients:
            client.close()
        for member in self.members:
            member.stop()

    def _initiate(self) -> None:
        members = [{"_id": number, "host": member.address} for number, member in enumerate(self.members)]
        self.members[0].ask("replSetInitiate", {"_id": NAME, "members": members, "settings": _SETTINGS})

    def _leader_but(self, former: Member | None) -> Member | None:
        elections = {election: member for member in self.members if (election := member.election())}
        # One that was paused takes itself for the primary until it hears of the next.
        leader = elections[max(elections)] if elections else None
        return None if leader is former else leader

    def _describe(self) -> str:
        able = [member for member in self.members if member.runs and not member.paused]
        return "\n".join(f"{member.address}: {member.ask('hello')}" for member in able)
