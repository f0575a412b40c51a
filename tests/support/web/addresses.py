"""The address of this machine, and the token of the applications that have one."""

from __future__ import annotations

TOKEN = "correct horse battery"
LOOPBACK = "http://127.0.0.1:15680"
