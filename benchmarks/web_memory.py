"""What the web page's process takes after many page loads: ``python -m benchmarks.web_memory [LOADS]``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.support.web.shop import fill
from tests.support.web.site import serving

PATHS = ("/", "/queue?name=images", "/tasks", "/tasks?name=shop.*", "/dead", "/dead?name=failed", "/pools", "/workers")
#: Loads before the first look, and between two looks.
WARM_UP, STEP = 400, 2000


def main() -> None:
    """Load the pages one after the other, and print the memory of the server."""
    loads = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, serving(fill(Path(folder))) as address:
        (server,) = (child for child in psutil.Process().children() if "web" in child.cmdline())
        with httpx.Client(base_url=address, headers={"accept": "text/html"}, timeout=60) as client:
            _load(client, WARM_UP)
            before, begun = server.memory_info().rss, time.monotonic()
            for done in range(STEP, loads + 1, STEP):
                _load(client, STEP)
                grown = (server.memory_info().rss - before) / 1e6
                rate = done / (time.monotonic() - begun)
                print(f"{done} loads: {before / 1e6:.1f} MB and {grown:+.1f} MB, {rate:.0f} loads/s", flush=True)


def _load(client: httpx.Client, times: int) -> None:
    for number in range(times):
        client.get(PATHS[number % len(PATHS)]).raise_for_status()


if __name__ == "__main__":
    main()
