"""A driver of one's own: ``journal://`` keeps messages in memory, and writes a line in a file for each.

It lives in ``own_driver/``, a project that ``pip install ./own_driver`` would install. To run without that, this script
writes by hand, into a temporary folder, what pip would: the entry point that names the driver.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import kombu_pool

DRIVER = Path(__file__).parent / "own_driver"


def main() -> None:
    """Make the driver known, and put a pool of its kind beside another one."""
    with tempfile.TemporaryDirectory(prefix="kombu_pool-") as folder:
        make_known(Path(folder))
        journal = Path(folder, "journal.jsonl")
        store = kombu_pool.open(f"sqlite:///{folder}/control.db")
        try:
            store.control.pools_controller.create("noted", weight=100, uri=f"journal://shop?file={journal}")
            use(store)
        finally:
            store.close()
        print("the journal:", journal.read_text(), sep="\n", end="")


def make_known(folder: Path) -> None:
    """Do what pip does with the driver's ``pyproject.toml``."""
    installed = folder / "kombu_pool_journal-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: kombu-pool-journal\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text("[kombu_pool.drivers]\njournal = journal_driver\n")
    sys.path += [str(folder), str(DRIVER)]


def use(store: kombu_pool.DataDriver) -> None:
    """Post two messages and consume them: nobody need know which driver keeps them."""
    store.queue_controller.create("orders")
    store.message_controller.post("orders", [{"ttl": 60, "body": "tea"}, {"ttl": 60, "body": "cake"}], client_uuid=None)
    claim, messages = store.claim_controller.create("orders", {"ttl": 60, "grace": 60})
    print("claimed:", [message["body"] for message in messages])
    store.message_controller.bulk_delete("orders", [message["id"] for message in messages], claim_ids=[claim])


if __name__ == "__main__":
    main()
