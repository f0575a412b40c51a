"""The options that several commands have."""

from __future__ import annotations

import json
from typing import Any

import click

from kombu_pool.operator.times import read_duration


class JsonObject(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A JSON object, such as ``{"synchronous": "NORMAL"}``."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.fail('not a JSON object, such as {"synchronous": "NORMAL"}', param, ctx)
        return found


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A number of seconds: ``5``, ``5s``, ``500ms``, ``2m``, ``3h``, ``1d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return read_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


JSON_OBJECT, DURATION = JsonObject(), Duration()
#: Print JSON instead of a table.
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON with stable keys.")
#: Ask nothing before something is deleted.
without_asking = click.option("--yes", "-y", is_flag=True, help="Delete without a confirmation.")
timeout = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds after which a pool is down.  [default: 1]"
)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless the answer was given by an option; abort on a no."""
    if not yes:
        click.confirm(question, abort=True, err=True)
