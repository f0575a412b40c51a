"""The steps of a queue's life, each the update of its one document."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, PARTS, QUEUES
from kombu_pool.drivers.mongodb.store import queues_filter
from kombu_pool.drivers.moves import decode_move, encode_move
from kombu_pool.model import ACTIVE, CREATING, DELETING, RESERVED, Assignment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.registry import Registry
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Expiry, Project

    Document = dict[str, Any]
    Pipeline = list[dict[str, Any]]
    #: A projection; None: all fields.
    Fields = Mapping[str, Any] | None

_LINEAGE_BYTES, _SUFFIX_BYTES = 12, 6
_ALL_BUT_RECORD: Final = {"m": 0}
_HAS_RECORD: Final = {"$gt": ["$m", None]}
_HAS_ASSIGNMENT: Final = {"$gt": ["$i", None]}
#: The fields that an assignment may replace.
_REPLACED: Final = {key: f"${key}" for key in ("o", "i", "f", "v", "y", "l", "s", "w")}
#: A queue's document without a move.
_WITHOUT_MOVE: Final = {
    "$arrayToObject": {
        "$filter": {"input": {"$objectToArray": "$$ROOT"}, "cond": {"$not": [{"$in": ["$$this.k", ["v", "y"]]}]}}
    }
}

#: Makes the assignment DELETING, and deletes the record, the lifetime and the marks.
DELETION: Final[dict[str, Any]] = {
    "$set": {"f": DELETING},
    "$unset": dict.fromkeys((*PARTS["record"], *PARTS["lifetime"], "u", "b", "n"), ""),
}
#: The same for a queue that has expired, which need not have an assignment: then its record stays.
EXPIRY: Final[Pipeline] = [
    {
        "$set": {
            "f": {"$cond": [_HAS_ASSIGNMENT, DELETING, "$$REMOVE"]},
            "m": {"$cond": [_HAS_ASSIGNMENT, "$$REMOVE", "$m"]},
        }
    },
    {"$unset": [*PARTS["lifetime"], "n"]},
]

_IS_LEASED: Final = {"$and": [{"$eq": ["$f", CREATING]}, {"$not": [_HAS_RECORD]}]}
#: Puts back what an assignment with a deleted pool replaced.
_RESTORATION: Final[Pipeline] = [
    {
        "$set": {
            **{key: f"$b.{key}" for key in ("o", "i", "f", "v", "y")},
            **{key: {"$cond": [_IS_LEASED, f"$b.{key}", f"${key}"]} for key in ("l", "s", "w")},
        }
    },
    {"$unset": ["u", "b"]},
]


def expiry_with(mark: str) -> Pipeline:
    """Return the expiry that leaves a mark, by which the process finds the queues that it changed."""
    return [*EXPIRY, {"$set": {"d": mark}}]


class Lives:
    """The documents of queues, whose assignments it verifies.

    An assignment is stored before its pools are read. So if a pool is deleted meanwhile, either the deletion sees the
    assignment, or the assignment's writer sees the deletion and puts back what was there. Until its pools were read an
    assignment is *unverified*, and every reader verifies it: so none refers to a deleted pool, even if its writer died
    in between.
    """

    def __init__(self, tables: Tables, registry: Registry) -> None:
        self._tables = tables
        self._registry = registry

    def read(self, where: Filter, fields: Fields = _ALL_BUT_RECORD) -> Document | None:
        """Return these fields of a queue's document with a verified assignment, or with none."""
        return self.verified(self._tables[QUEUES].find_one(where, fields), fields)

    def verified(self, found: Document | None, fields: Fields = _ALL_BUT_RECORD) -> Document | None:
        """Return a document with a verified assignment, or what replaced it."""
        while found is not None and "u" in found:
            if self.find_missing_pool(found) is None:
                self.mark_verified(found)
                break
            found = self._tables[QUEUES].find_one({"_id": found["_id"]}, fields)
        return found

    def find_missing_pool(self, found: Document) -> str | None:
        """Return a pool of an unverified assignment that does not exist; None: all exist.

        If one does not, what the assignment replaced is put back.
        """
        missing = self._registry.find_missing([found["o"], *found.get("y", ())])
        if missing is not None:
            self._tables[QUEUES].update_one(_unverified(found), _RESTORATION)
            self._tables.remove_empty({"_id": found["_id"]})
        return missing

    def mark_verified(self, found: Document) -> bool:
        """Mark the assignment in a document as verified, and forget what it replaced; return whether it is that one."""
        done = self._tables[QUEUES].update_one(_unverified(found), {"$unset": {"u": "", "b": ""}})
        return done.matched_count == 1

    def begin_deletion(self, where: Filter, incarnation: str) -> bool:
        """Make the assignment DELETING; return whether it has the incarnation."""
        if not self._tables[QUEUES].update_one({**where, "i": incarnation}, DELETION).matched_count:
            return False
        self.remove_holders(where, incarnation)
        return True

    def remove_holders(self, where: Filter, incarnation: str) -> None:
        """Delete the holders of a queue that is DELETING, but none of a later life."""
        self._tables[HOLDERS].delete_many({**where, "k": {"$in": [None, lineage_of(incarnation)]}})

    def remove_holders_of_all(self, ended: Sequence[Document]) -> None:
        """Delete the holders of queues that are DELETING, given by their documents, but none of a later life."""
        if ended:
            lineages = {lineage_of(one["i"]) for one in ended}
            self._tables[HOLDERS].delete_many({**documents_filter(ended), "k": {"$in": [None, *lineages]}})


def find_deleting(tables: Tables, queues: Sequence[tuple[Project, str, str]]) -> list[Document]:
    """Return the documents of those queues, each given as (project, name, incarnation), that are DELETING."""
    lives = {(project_key(project), queue, incarnation) for project, queue, incarnation in queues}
    if not lives:
        return []
    where = {**queues_filter({(project, queue) for project, queue, _ in lives}), "f": DELETING}
    found = tables[QUEUES].find(where, {"p": 1, "q": 1, "i": 1})
    return [one for one in found if (one["p"], one["q"], one["i"]) in lives]


def documents_filter(found: Sequence[Document]) -> Filter:
    """Return the filter of what belongs to the queues of documents, by their names."""
    return queues_filter((one["p"], one["q"]) for one in found)


def _unverified(found: Document) -> Filter:
    """Return the filter of the unverified assignment in a document."""
    return {"_id": found["_id"], "i": found["i"], "v": found.get("v"), "u": True}


def assignment_of(found: Mapping[str, Any] | None) -> Assignment | None:
    """Return the assignment in a document."""
    if found is None or "i" not in found:
        return None
    return Assignment(found["o"], found["i"], found["f"], decode_move(found["v"]) if "v" in found else None)


def fields_of(assigned: Assignment) -> Document:
    """Return the fields of an assignment in a document."""
    fields: Document = {"o": assigned.pool, "i": assigned.incarnation, "f": assigned.state}
    if assigned.move is not None:
        fields.update(v=encode_move(assigned.move), y=sorted(assigned.move.pools))
    return fields


def assignment_filter(assigned: Assignment) -> Filter:
    """Return the filter of the documents with this assignment."""
    return {"v": None, **fields_of(assigned), "y": {"$exists": assigned.move is not None}}


def replacement(found: Assignment, changed: Assignment) -> Pipeline:
    """Return the update that changes one assignment into another, which is unverified if it uses more pools."""
    update: Pipeline = [{"$set": {key: {"$literal": value} for key, value in fields_of(changed).items()}}]
    if changed.move is None:
        update.append({"$unset": ["v", "y"]})
    # First: it keeps what was there before.
    return [*([] if changed.pools <= found.pools else [{"$set": {"u": True, "b": _REPLACED}}]), *update]


def lineage_of(incarnation: str) -> str:
    """Return what the incarnations of one queue have in common until it is deleted."""
    return incarnation.partition(".")[0]


class NewAssignment:
    """An assignment with a new incarnation."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._suffix = f".{secrets.token_urlsafe(_SUFFIX_BYTES)}"

    def is_in(self, found: Mapping[str, Any]) -> bool:
        """Return whether a document has this assignment."""
        return str(found["i"]).endswith(self._suffix)

    def insertion(self) -> Pipeline:
        """Return the update that puts it in place of any other, without verification."""
        return [{"$set": self._fields(RESERVED)}, {"$unset": ["v", "y", "u", "b"]}]

    def update(self, replaces: Assignment | None, lease: float | None, now: float) -> Pipeline:
        """Return the update that puts it where there is none, or ``replaces``."""
        is_free: Document = {"$not": [_HAS_ASSIGNMENT]}
        if replaces is not None and replaces.state != DELETING:
            move = encode_move(replaces.move)
            replaced = {"$i": replaces.incarnation, "$f": replaces.state}
            is_replaced: list[Document] = [{"$eq": [key, {"$literal": value}]} for key, value in replaced.items()]
            is_replaced.append({"$eq": [{"$ifNull": ["$v", b""]}, {"$literal": move}]})
            is_free = {"$or": [is_free, {"$and": is_replaced}]}
        fields = {**self._fields(RESERVED if lease is None else CREATING), "u": True, "b": _REPLACED}
        has_move = replaces is not None and replaces.move is not None
        changed: list[Any] = [_WITHOUT_MOVE if has_move else "$$ROOT", fields]
        if lease is not None:
            lifetime = {"l": lease, "s": now, "w": now + lease, "d": None}
            changed.append({"$cond": [_HAS_RECORD, {}, lifetime]})
        return [{"$replaceWith": {"$cond": [is_free, {"$mergeObjects": changed}, "$$ROOT"]}}]

    def _fields(self, state: str) -> Document:
        lineage = {"$ifNull": ["$j", secrets.token_urlsafe(_LINEAGE_BYTES)]}
        incarnation = {"$concat": [lineage, self._suffix]}
        return {"o": {"$literal": self._pool}, "i": incarnation, "f": state, "j": lineage}


def activation(record: bytes, expiry: Expiry | None, now: float) -> Pipeline:
    """Return the update that makes an assignment ACTIVE, and creates the record and the lifetime if there is none."""
    start: float | None = None
    waits = now
    if expiry is not None:
        # With a holder, too: the process that confirms it may die before.
        start = now if expiry.from_now or expiry.holder else None
        waits = max(now + expiry.after if expiry.from_now else now, now + expiry.holder_ttl if expiry.holder else now)
    new = {"l": None if expiry is None else expiry.after, "s": start, "w": None if expiry is None else waits, "d": None}
    lifetime = {
        key: {"$cond": [_HAS_RECORD, f"${key}", "$$REMOVE" if value is None else value]} for key, value in new.items()
    }
    values = {"f": ACTIVE, "m": {"$ifNull": ["$m", {"$literal": record}]}, **lifetime}
    return [{"$set": values}, {"$unset": ["u", "b"]}]
