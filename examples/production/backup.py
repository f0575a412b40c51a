"""Copy a SQLite broker while its processes go on: a copy of one moment, complete before it replaces the last one.

Run it as ``python backup.py /var/lib/shop/broker.db /var/lib/shop/backup/broker.db``.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

source, target = sys.argv[1:]
unfinished = Path(f"{target}.part")
unfinished.unlink(missing_ok=True)
with closing(sqlite3.connect(source)) as broker, closing(sqlite3.connect(unfinished)) as copy:
    broker.backup(copy)
    (count,) = copy.execute("SELECT count(*) FROM message").fetchone()
unfinished.replace(target)
print(f"{target}: {count} messages")
