"""Ages and sizes as the command line and the web page show them."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_KILO = 1000


def format_age(seconds: float | None) -> str | None:
    """Return a duration in its two largest units."""
    if seconds is None:
        return None
    whole = max(int(seconds), 0)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def format_size(size: float | None) -> str | None:
    """Return a number of bytes in the largest unit of which there is one."""
    if size is None:
        return None
    for unit in ("B", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:.1f} TB"
