"""Values of messages and arguments as JSON: any that a store keeps, those that JSON has not as text."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from starlette.responses import Response


def document(value: Any, status: int = 200) -> Response:
    """Return an answer with a value as its JSON document."""
    try:
        content = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        content = json.dumps(jsonable(value), separators=(",", ":"))
    return Response(content, status, media_type="application/json")


def jsonable(value: Any) -> Any:
    """Return a value with the same parts as JSON has them."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(jsonable(key)): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if isinstance(value, bytes):
        return text_or_base64(value)[0]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def text_or_base64(value: bytes) -> tuple[str, str]:
    """Return bytes as a text, and its encoding: "string" if they are UTF-8, else "base64"."""
    try:
        return value.decode(), "string"
    except UnicodeDecodeError:
        return base64.b64encode(value).decode(), "base64"
