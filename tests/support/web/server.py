"""The web page of a broker URL in a process of its own, as the command line serves it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from tests.support.servers.process import Process
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from pathlib import Path

_ADDRESS = re.compile(r"Serving http://127\.0\.0\.1:(\d+)/")


class WebServer:
    """Serves a broker URL on a free port, with a token. The constructor starts it."""

    def __init__(self, url: str, folder: Path, token: str) -> None:
        log = folder / "web.log"
        command = [sys.executable, "-u", "-m", "kombu_pool", "-b", url, "web", "--port", "0"]
        self._process = Process(["env", f"KOMBU_POOL_WEB_TOKEN={token}", *command], folder, log)
        found = first_answer(lambda: _ADDRESS.search(log.read_text()) or not self._process.runs, why=log.read_text)
        if found is True:
            raise RuntimeError(log.read_text())
        self.port = int(found[1])

    def end(self) -> None:
        """Stop it as Ctrl-C does."""
        self._process.end()
