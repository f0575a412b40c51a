"""The broker of a Celery application, or of a broker URL, opened for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kombu_pool.cli.tables import escaped
from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator import broker
from kombu_pool.operator.broker import Broker, BrokerUrl

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Broker", "BrokerUrl", "open_broker"]


@contextmanager
def open_broker(context: click.Context, *, create: bool = False, declare: bool = True) -> Iterator[Broker]:
    """Open the control store of the application's broker URL; print what is refused, and end with an error of ours."""
    try:
        with broker.open_broker(context.obj.app, create=create, declare=declare, warn=_warn) as opened:
            yield opened
    except KombuPoolError as error:
        raise click.ClickException(escaped(mask(str(error)))) from error


def _warn(text: str) -> None:
    click.echo(f"Warning: {escaped(text)}", err=True)
