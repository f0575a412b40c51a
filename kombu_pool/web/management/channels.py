"""Channels of the transport to the broker of the server: what is declared and published is what a client's is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.model import Project
    from kombu_pool.web.site import Site

#: The projects whose broker stays open between two requests.
_MAX_OPEN = 16


class Channels:
    """Opens a channel of a connection of its own for each request.

    A connection of each project stays open, so that the stores do, too.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._open: OrderedDict[Project, Any] = OrderedDict()

    @contextmanager
    def channel(self, project: Project) -> Iterator[Any]:
        """Return a channel, which is closed in the end with its connection."""
        self._keep_open(project)
        with self._connection(project) as connection:
            yield connection.channel()

    def close(self) -> None:
        """Close the connections that stay open. Idempotent."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _keep_open(self, project: Project) -> None:
        with self._lock:
            if not self._open:
                self._site.call_on_close(self.close)
            if project not in self._open:
                self._open[project] = connection = self._connection(project)
                try:
                    connection.connect()
                except BaseException:
                    del self._open[project]
                    raise
            self._open.move_to_end(project)
            if len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)[1].close()

    def _connection(self, project: Project) -> Any:
        broker = self._site.broker
        if broker.connect is not None:
            return broker.connect(project)
        return Connection(f"pool+{broker.store.control.uri}", transport_options={"project": project})
