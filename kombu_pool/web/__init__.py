"""The web page of an operator: an ASGI application over the verbs of ``kombu_pool.operator``."""

from __future__ import annotations

from kombu_pool.web.app import create_app

__all__ = ["create_app"]
