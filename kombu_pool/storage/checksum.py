"""The checksum of a message, as Zaqar writes it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu_pool.model import Message


def add_checksum(message: Message) -> Message:
    """Return the message with the MD5 of its body's JSON, in which bytes are base64; of the body None it is ""."""
    body = message["body"]
    text = json.dumps(body, default=_text)
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    message["checksum"] = "" if body is None else f"MD5:{digest}"
    return message


def _text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
