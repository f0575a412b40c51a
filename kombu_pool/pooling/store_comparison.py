"""Whether a URI leads to the store of a pool, whose hosts may be gone."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool import errors
from kombu_pool.drivers import is_created, mask, mask_uri, open_data, parse
from kombu_pool.model import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import Pool, Project
    from kombu_pool.storage import ControlDriver, DataDriver

#: Options of a URI that say where in a server the store is.
_PLACES = {"db", "key_prefix", "collection_prefix"}
#: The most queues of a pool that are looked for in another store.
_MAX_QUEUES = 100


class Comparison(NamedTuple):
    """Whether a URI leads to the store of a pool, and else the fault of that store, if it is why this is unknown."""

    is_same: bool
    fault: str = ""
    is_unreachable: bool = False


def compare_stores(
    control: ControlDriver, pool: Pool, uri: str, project: Project, options: Mapping[str, Any] | None = None
) -> Comparison:
    """Return whether a URI leads to the store of a pool: to the same identity, or to queues of the pool.

    Queues are looked for only in a store of another identity, or if that of the pool is unknown, as its hosts may be
    gone. ``options`` are those of the pool with the URI; None: as they are.

    Raises:
        ConnectionError: the store at the URI is unreachable.
    """
    options = pool.get("options") if options is None else options
    if _place(pool["uri"], pool.get("options")) == _place(uri, options):
        return Comparison(is_same=True)
    compared = _compare_identities(pool, _identity(uri, options))
    if not compared.is_same and _has_queues_of(control, pool, uri, project, options):
        return Comparison(is_same=True)
    return compared


def _compare_identities(pool: Pool, identity: str) -> Comparison:
    """Return whether the store of a pool has an identity; an empty one is none's."""
    try:
        present = _identity(pool["uri"], pool.get("options"))
    except errors.KombuPoolError as error:
        return Comparison(is_same=False, fault=mask(str(error)), is_unreachable=True)
    fault = "" if present else f"{mask_uri(pool['uri'])} does not exist"
    return Comparison(is_same=present == identity != "", fault=fault)


def is_same_place(uri: str, other: str) -> bool:
    """Return whether two URIs differ at most in the credentials and in options that lead to no other store."""
    return _place(uri) == _place(other)


def _place(uri: str, options: Mapping[str, Any] | None = None) -> tuple[object, ...]:
    """Return what says where the store of a URI is; ``options`` override those of the URI."""
    place = parse(uri.removeprefix("pool+"))
    given = {**place.options, **(options or {})}
    chosen = {key: str(value) for key, value in given.items() if key in _PLACES}
    return place.scheme, place.authority.rpartition("@")[2], place.path, chosen


def _identity(uri: str, options: Mapping[str, Any] | None) -> str:
    uri = uri.removeprefix("pool+")
    if not is_created(uri, options=options):
        return ""
    with closing(open_data(uri, options=options)) as driver:
        return driver.identity


def _has_queues_of(
    control: ControlDriver, pool: Pool, uri: str, project: Project, options: Mapping[str, Any] | None
) -> bool:
    """Return whether a store has a queue that was created in the pool: no other queue bears its incarnation."""
    uri = uri.removeprefix("pool+")
    if not is_created(uri, options=options):
        return False
    entries = control.catalogue_controller.list(project)
    queues = [entry["queue"] for entry in entries if entry["pool"] == pool["name"]][:_MAX_QUEUES]
    found = control.catalogue_controller.find_many([(project, queue) for queue in queues])
    with closing(open_data(uri, options=options)) as driver:
        return any(
            _bears(driver, queue, project, each.incarnation)
            for queue, each in zip(queues, found, strict=True)
            if each is not None and each.state == ACTIVE
        )


def _bears(driver: DataDriver, queue: str, project: Project, incarnation: str) -> bool:
    with suppress(errors.QueueDoesNotExist):
        # A claim of no messages writes nothing, and names the incarnation.
        driver.claim_controller.create(queue, {"ttl": 60, "grace": 60}, project, 0, incarnation=incarnation)
        return True
    return False
