"""The page in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving(url: str, *options: str) -> Iterator[str]:
    """Serve the page of a broker; yield its address. In the end it must stop by itself, with 0 or by the signal."""
    command = [sys.executable, "-m", "kombu_pool", "-b", url, "web", "--port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.search(r"http://\S+", line)[0].rstrip(",")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT)
