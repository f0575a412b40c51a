"""Durations and times as an operator writes them."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}


def read_duration(text: str) -> float:
    """Return a number of seconds: of ``5``, ``5s``, ``500ms``, ``2m``, ``3h``, ``1d``.

    Raises:
        ValueError: the text is no duration, or none above 0.
    """
    found = _SECONDS.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ValueError(f"{text!r} is no duration: write 5s, 500ms, 2m, 3h or 1d.")
    return float(found[1]) * _UNITS[found[2]]


def read_time(text: str) -> float:
    """Return a time in ISO 8601 as seconds since the epoch; without a zone it is in UTC.

    Raises:
        ValueError: the text is no time.
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 2030-01-31T12:00:00+00:00.") from None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
