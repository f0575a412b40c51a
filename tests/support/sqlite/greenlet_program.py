"""A process with monkey-patched blocking calls that waits for a locked file: run with ``gevent`` or ``eventlet``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if sys.argv[1] == "gevent":
        import gevent.monkey

        gevent.monkey.patch_all()
    else:
        import eventlet

        eventlet.monkey_patch()

import threading
import time

from kombu_pool import drivers

TICKS = 5


def say(word: str) -> None:
    """Write a word for the test, as one line."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def tick() -> None:
    """Show that this greenlet runs while the other waits."""
    for _ in range(TICKS):
        time.sleep(0.01)
    say("ticked")


def main(uri: str) -> None:
    """Post a message while another greenlet runs."""
    driver = drivers.open_data(uri)
    say("ready")
    sys.stdin.readline()
    threading.Thread(target=tick).start()
    driver.message_controller.post("q", [{"ttl": None, "body": "late"}], None)
    say("posted")
    driver.close()


if __name__ == "__main__":
    main(sys.argv[2])
