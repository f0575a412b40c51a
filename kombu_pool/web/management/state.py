"""What the handlers of one application share: the store, its channels, and the rates of its counters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from kombu_pool.web.management.channels import Channels
from kombu_pool.web.management.rates import CounterRates
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.site import Site

#: Names of projects that no path of the API has: that of the default virtual host, and the empty one.
_UNNAMED = frozenset({"/", ""})

_lock = threading.Lock()


class ManagementState:
    """The state of the API of one application."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.channels = Channels(site)
        self.rates = CounterRates()
        #: The number of the sample that the first rates are taken from.
        self._sample = 0

    @classmethod
    def of(cls, request: Request) -> ManagementState:
        """Return the state of the request's application, which its first request makes."""
        shared: Any = request.app.state
        with _lock:
            if not hasattr(shared, "management"):
                shared.management = cls(site_of(request))
            found: ManagementState = shared.management
        return found

    @property
    def store(self) -> DataDriver:
        """The queues of the broker.

        Raises:
            KombuPoolError: it cannot be opened.
        """
        return self.site.broker.store

    @property
    def project(self) -> Project:
        """The project that the server was started for."""
        return self.site.broker.project

    def use_samples(self) -> None:
        """Begin rates with the newest sample, if the pages take samples."""
        sampler = self.site.sampler.running
        latest = None if sampler is None else sampler.latest()
        if latest is not None and latest.number != self._sample:
            self._sample = latest.number
            self.rates.begin(self.project, latest.sample.counters, latest.age)

    def projects(self) -> Sequence[Project]:
        """Return the known projects: the default one, that of the server, and those with a counted message."""
        named = {self.project, *(project for project, _ in self.store.control.counters())}
        # The API would take the queue of a project "/" for one of the default project.
        return (None, *sorted(project for project in named if project is not None and project not in _UNNAMED))
