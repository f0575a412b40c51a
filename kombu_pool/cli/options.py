"""The options that several commands have."""

from __future__ import annotations

import json
import re
from typing import Any

import click

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


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
    """A number of seconds: ``5``, ``5s``, ``500ms``, ``2m``, ``3h``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = _SECONDS.fullmatch(str(value))
        if found is None or float(found[1]) == 0:
            self.fail(f"{value!r} is no duration: write 5s, 500ms, 2m or 3h.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


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
