"""A driver that was closed opens nothing more."""

from __future__ import annotations

import threading

import pytest

from kombu_pool import drivers, errors
from tests.support.servers import mongodb


@pytest.fixture
def driver():
    opened = drivers.open_data(mongodb.fresh_uri())
    opened.queue_controller.create("q")
    yield opened
    opened.close()


def test_a_closed_driver_says_so(driver):
    driver.close()
    driver.close()

    assert not driver.is_alive()
    with pytest.raises(errors.ConnectionError, match="closed"):
        driver.queue_controller.exists("q")


def test_a_thread_of_a_watch_that_starts_after_the_end_opens_no_client(driver, monkeypatch):
    watch = driver.watch([(None, "q")])
    late = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: late.append(thread))  # noqa: PLW0108 - binds the thread
        watch._stream.keep_open()
    watch.close()
    driver.close()

    for thread in late:
        thread.run()

    assert late
    assert driver._client._mongo_client is None
