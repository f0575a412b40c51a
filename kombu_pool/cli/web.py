"""The command that serves the web page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import BrokerUrl, open_broker
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

_TOKEN = "KOMBU_POOL_WEB_TOKEN"  # noqa: S105 - the name of a variable


@click.command("web")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; another than this machine's needs a token."
)
@click.option("--port", type=click.IntRange(0, 65535), default=15680, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the token that clients must know.  [default: ${_TOKEN}, if it is set]",
)
@click.option("--read-only", is_flag=True, help="Take no action.")
@click.option("--show-bodies", is_flag=True, help="Show the beginning of each body; of a task its arguments.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="Name of a host under which any client is served without a token.",
)
@click.option("--root-path", default="", help="Path under which a proxy serves the page, which it removes: /pool.")
@click.option("--every", type=options.DURATION, default="5s", show_default=True, help="Time between two samples.")
@click.pass_context
def web(context: click.Context, /, host: str, port: int, token_file: Path | None, root_path: str, **given: Any) -> None:
    """Serve a web page of the queues, tasks, dead letters, pools and workers, until Ctrl-C."""
    server, root = _server(), root_path.strip("/")
    with open_broker(context) as broker:
        token = _token(token_file)
        server.require_safe(host, token)
        app = _create_app(broker, token, _revoker(context.obj.app), given)
        with server.listen(host, port) as listener:
            name = f"[{host}]" if ":" in host else host
            click.echo(f"Serving http://{name}:{listener.getsockname()[1]}/, until Ctrl-C.")
            server.serve(app, listener, f"/{root}" if root else "")


def _server() -> ModuleType:
    try:
        from kombu_pool.web import server  # noqa: PLC0415 - the extra [web]
    except ImportError as error:
        if error.name is None or error.name.startswith("kombu_pool"):
            raise
        raise click.ClickException(
            f"The web page needs the package {error.name.partition('.')[0]!r}, which is not installed: "
            "pip install 'kombu-pool[web]'"
        ) from error
    return server


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(_TOKEN) or None
    token = file.read_text("utf-8").strip()
    if not token:
        raise ConfigurationError(f"{file} has no token")
    return token


def _create_app(broker: Any, token: str | None, revoke: Any, given: dict[str, Any]) -> Any:
    from kombu_pool.web import create_app  # noqa: PLC0415 - the extra [web]

    return create_app(broker, token=token, on_cancelled=revoke, **given)


def _revoker(app: Any) -> Any:
    """Return what revokes the results of an application; None for a broker URL."""
    if isinstance(app, BrokerUrl):
        return None
    from kombu_pool.contrib.tasks import revoker  # noqa: PLC0415 - not without an application

    return revoker(app)
