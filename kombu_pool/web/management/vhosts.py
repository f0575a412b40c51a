"""Virtual hosts: each is a project; ``/`` is that of the clients without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.web.management.errors import not_found

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.management.state import ManagementState

#: The virtual host of the clients without a project.
DEFAULT_VHOST = "/"


def vhost_of(project: Project) -> str:
    """Return the virtual host of a project."""
    return DEFAULT_VHOST if project is None else project


def project_of(state: ManagementState, vhost: str) -> Project:
    """Return the project of a virtual host.

    Raises:
        ApiError: it is not the default one, nor that of the server, and has neither a queue nor an exchange.
    """
    project = None if vhost == DEFAULT_VHOST else vhost
    if project in (None, state.project) or _is_used(state.store, project):
        return project
    raise not_found(f"no vhost {vhost!r}: a project is one once a client has declared a queue in it")


def _is_used(store: DataDriver, project: Project) -> bool:
    queues = list(next(store.queue_controller.list(project, limit=1)))
    return bool(queues or store.control.bindings_controller.list_exchanges(project))
