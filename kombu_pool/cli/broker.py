"""The broker of a Celery application, as the commands see it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver


class Broker(NamedTuple):
    """What the commands work on: the pools of a broker URL, as one project sees them."""

    store: DataDriver
    project: Project


@contextmanager
def opened(context: click.Context) -> Iterator[Broker]:
    """Open the control store of the Celery application's broker URL, as the application itself would."""
    with context.obj.app.connection_for_write() as connection:
        if not isinstance(connection.transport, Transport):
            raise click.ClickException(
                f"The broker is {connection.as_uri()}, none of ours: try celery -b pool:// pool ..."
            )
        try:
            ours = connection.transport.establish_connection()
            try:
                yield Broker(ours.broker.data, ours.options.project)
            finally:
                connection.transport.close_connection(ours)
        except KombuPoolError as error:
            raise click.ClickException(mask(str(error))) from error
