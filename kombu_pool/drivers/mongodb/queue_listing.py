"""Lists of queues, which both planes store alike: ``p`` project, ``q`` name, ``m`` metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.storage.policy import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.collection import Collection

    from kombu_pool.model import Project


def queues_by_name(
    collection: Collection[dict[str, Any]],
    project: Project,
    kfilter: Mapping[str, Any],
    marker: str | None,
    limit: int,
    name: str | None,
    *,
    detailed: bool,
) -> list[dict[str, Any]]:
    """Return a page as ``QueueController.list`` promises it."""
    where: dict[str, Any] = {"p": project_key(project), "q": {"$gt": marker or ""} if marker else {"$gte": ""}}
    where["m"] = {"$exists": True}  # the control plane has documents of queues without a record
    if name:
        # Not $regex: a pattern cannot contain every character.
        where["$expr"] = {"$gte": [{"$indexOfBytes": ["$q", {"$literal": name}]}, 0]}
    queues: list[dict[str, Any]] = []
    with collection.find(where).sort("q", 1) as cursor:
        for found in cursor:
            metadata = read(found["m"]) if kfilter or detailed else {}
            if all(key in metadata and metadata[key] == value for key, value in kfilter.items()):
                queues.append({"name": found["q"], "metadata": metadata} if detailed else {"name": found["q"]})
                if len(queues) == limit:
                    break
    return queues
