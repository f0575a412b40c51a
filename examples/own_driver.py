"""A driver of one's own: ``onefile://`` keeps a pool in one file, which the processes of a machine share.

The driver is the project ``own_driver/``, which ``pip install ./own_driver`` installs. This script runs without that:
it writes the entry point that names the driver, as pip would, into a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import kombu_pool

DRIVER = Path(__file__).parent / "own_driver"


def main() -> None:
    """Install the driver for this process, and use a pool of its kind."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        install(Path(folder))
        store = kombu_pool.open(f"sqlite:///{folder}/control.db")
        try:
            store.control.pools_controller.create("mine", weight=100, uri=f"onefile://{folder}/shop")
            use(store)
            print("the pool:", {**store.health()["pools"]["mine"], "path": "..."})
        finally:
            store.close()


def install(folder: Path) -> None:
    """Write the entry point of the driver's ``pyproject.toml``, and extend the import path."""
    metadata = folder / "kombu_pool_onefile-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kombu-pool-onefile\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[kombu_pool.drivers]\nonefile = onefile\n")
    sys.path += [str(folder), str(DRIVER)]


def use(store: kombu_pool.DataDriver) -> None:
    """Post two messages and consume them, as with any other store."""
    store.queue_controller.create("orders")
    store.message_controller.post("orders", [{"ttl": 60, "body": "tea"}, {"ttl": 60, "body": "cake"}], client_uuid=None)
    claim, messages = store.claim_controller.create("orders", {"ttl": 60, "grace": 60})
    print("claimed:", [message["body"] for message in messages])
    store.message_controller.bulk_delete("orders", [message["id"] for message in messages], claim_ids=[claim])


if __name__ == "__main__":
    main()
