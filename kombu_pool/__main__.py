"""``python -m kombu_pool``: the command line for a broker URL."""

from __future__ import annotations

import sys

try:
    from kombu_pool.cli import main
except ImportError as error:
    if error.name != "click":
        raise
    sys.exit("The command line needs click: pip install 'kombu-pool[cli]'")

if __name__ == "__main__":
    main(prog_name="python -m kombu_pool")
